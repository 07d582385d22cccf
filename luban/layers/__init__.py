"""Pieces that three or more models use."""
