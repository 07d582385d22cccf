"""How long a batch takes by its rows, learnt while working: seconds ≈ start + each × rows, older batches forgotten evenly.

A mean over rows alone would not do: small batches are dear a row, and a line that is kept short for that reason would stay dear.
"""

from __future__ import annotations

import math

NEWEST = 0.05  # weight of the newest batch, or of the newest request
WORST = 8.0  # times as long as foretold


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


class Forecast:
    """How long a request will be under way, and how far such forecasts were out: what else the processor does shows in that alone."""

    def __init__(self, target_s: float, batch_rows: int) -> None:
        self.target_s, self.batch_rows = target_s, batch_rows
        self.pace, self.request_s = Pace(), 0.0  # request_s: seconds of the loop for one request, told from outside
        self.ratio = 1.0

    def plain(self, rows: int, requests: int) -> float:
        """Seconds until so many rows of so many requests are answered, by what lately was measured."""
        return self.pace.wait(rows, self.batch_rows) + requests * self.request_s

    def wait(self, rows: int, requests: int) -> float:
        """The same, as far out as forecasts were."""
        return self.plain(rows, requests) * self.ratio

    def learn(self, foretold_s: float, took_s: float) -> None:
        """A request is answered; those that hardly waited say nothing about waiting."""
        if foretold_s * self.ratio >= self.target_s / 4:
            found = min(max(took_s / foretold_s, 1.0), WORST)
            self.ratio += NEWEST * (found - self.ratio)
