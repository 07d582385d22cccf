"""One file per architecture: plain nn.Module, no I/O, no training logic."""
