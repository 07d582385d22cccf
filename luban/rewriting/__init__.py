"""From one text to another: how answers are cut, counted against references, and made of long sources."""
