"""Readers, splits, the prepared store, the sampler, quality checks."""
