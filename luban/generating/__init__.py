"""Saying what follows, token by token: settings, sampling, slots at work side by side, and text piece by piece."""
