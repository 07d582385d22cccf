"""Texts to tokens and back: vocabularies learnt or taken from checkpoints."""
