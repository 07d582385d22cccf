"""One file per command, thin: found by its name."""
