"""Checkpoint folders as everyone else writes and reads them: `config.json`, safetensors, tokenizer files; and each family's names."""
