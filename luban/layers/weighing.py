"""What a row counts where labels are weighed.

N rows, K labels.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor


def row_weights(target: np.ndarray, weights: Tensor | None) -> np.ndarray | None:
    """(N,) labels and (K,) weights -> (N,) weights; None = all alike."""
    return None if weights is None else weights.double().numpy()[target.astype(np.int64)]
