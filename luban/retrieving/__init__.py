"""Passages found for a question: by the words they share, by the parts of words, by what words go together."""
