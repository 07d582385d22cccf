"""What a network of so many weights has still to learn after so many tokens: by it a budget decides a size.

N weights, D tokens seen, U of them different. Hoffmann et al. 2022, eq. 2, without its constant: A/N^α + B/D^β; of tokens that come again each is
worth less than before, D' = U + U·R·(1 - exp(-(D/U - 1)/R)) (Muennighoff et al. 2023, section 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

REPEATS = 15.4  # R: so many passes more are all that passes without end are worth


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The constants, which belong to a kind of task and of training."""

    of_weights: float
    """A, in nats."""
    by_weights: float
    """α."""
    of_tokens: float
    """B, in nats."""
    by_tokens: float
    """β."""

    def left(self, *, weights: float, seen: float, different: float) -> float:
        """Nats a token above what no network can learn."""
        return self.of_weights / max(1.0, weights) ** self.by_weights + self.of_tokens / worth(seen, different) ** self.by_tokens


def worth(seen: float, different: float) -> float:
    """D', the tokens that were all different and would teach as much."""
    again = max(0.0, seen / max(1.0, different) - 1)
    return max(1.0, min(seen, different) + different * REPEATS * (1 - math.exp(-again / REPEATS)))
