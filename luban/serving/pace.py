"""How long a batch takes by its rows, learnt while working: seconds ≈ start + each × rows, older batches forgotten evenly.

A mean over rows alone would not do: small batches are dear a row, and a line that is kept short for that reason would stay dear.
"""

from __future__ import annotations

import math

NEWEST = 0.05  # weight of the newest batch


class Pace:
    """Least squares over batches whose weights fade."""

    def __init__(self) -> None:
        self.weight = self.rows = self.seconds = self.squares = self.products = 0.0

    def learn(self, rows: int, seconds: float) -> None:
        """One more batch."""
        kept = 1 - NEWEST
        self.weight = kept * self.weight + 1
        self.rows = kept * self.rows + rows
        self.seconds = kept * self.seconds + seconds
        self.squares = kept * self.squares + rows * rows
        self.products = kept * self.products + rows * seconds

    @property
    def line(self) -> tuple[float, float]:
        """(start, each) in seconds; where all batches were of one size, half is taken to be the start."""
        if not self.weight:
            return 0.0, 0.0
        rows, seconds = self.rows / self.weight, self.seconds / self.weight
        spread = self.squares / self.weight - rows * rows
        if spread < 1e-6 * rows * rows + 1e-9:
            return seconds / 2, seconds / 2 / rows
        each = (self.products / self.weight - rows * seconds) / spread
        each = min(max(each, 0.0), seconds / rows)
        return seconds - each * rows, each

    def wait(self, rows: int, batch_rows: int) -> float:
        """Seconds until so many rows are answered."""
        start, each = self.line
        return start * math.ceil(rows / batch_rows) + each * rows
