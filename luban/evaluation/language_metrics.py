"""Metrics of language models: how well the text was foretold.

Marks read: nats (N,) -log of the chance given to what followed, summed over an example's targets · tokens (N,) how many targets · bytes (N,) of
UTF-8 that they stand for. Bits per byte compare models of any vocabulary; perplexity and nats per token only those of the same.
"""

from __future__ import annotations

import math

import numpy as np

from luban.columns import Columns
from luban.evaluation.metrics import Metric, dense
from luban.evaluation.tally import Tally, sums

POSITIVE = (0.0, math.inf)
NEEDS = (("nats", "tokens"),)


def totals(marks: Columns, *names: str) -> np.ndarray:
    """(N, S) marks side by side."""
    return np.stack([dense(marks, name).astype(np.float64) for name in names], 1)


def tally_nats(marks: Columns) -> Tally:
    """Mean -log chance of a token: the cross-entropy loss."""
    return sums(totals(marks, "nats", "tokens"), lambda total: total[:, 0] / total[:, 1])


def tally_perplexity(marks: Columns) -> Tally:
    """exp of the mean -log chance of a token."""
    return sums(totals(marks, "nats", "tokens"), lambda total: np.exp(np.minimum(700.0, total[:, 0] / total[:, 1])))


def tally_bits(marks: Columns) -> Tally:
    """-log₂ chance of the text, over its bytes: what a compressor by this model would need of each."""
    return sums(totals(marks, "nats", "bytes"), lambda total: total[:, 0] / math.log(2) / total[:, 1])


bits_per_byte = Metric(
    name="bits_per_byte",
    tally=tally_bits,
    higher_is_better=False,
    needs=(("nats", "bytes"),),
    bounds=POSITIVE,
    titles=("bits per byte", "每字节比特数"),
)
perplexity = Metric(
    name="perplexity", tally=tally_perplexity, higher_is_better=False, needs=NEEDS, bounds=(1.0, math.inf), titles=("perplexity", "困惑度")
)
nats_per_token = Metric(
    name="nats_per_token",
    tally=tally_nats,
    higher_is_better=False,
    needs=NEEDS,
    bounds=POSITIVE,
    titles=("loss per token (nats)", "每词元损失（奈特）"),
)
