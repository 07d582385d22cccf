"""The example echo: sequences to be copied, made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from luban.files import write_whole


def write(folder: Path) -> None:
    """Sequences of one to ten of 39 symbols, to be copied: 20,000 to learn from and 200 that are not among them."""
    rng, rows = np.random.default_rng(0), dict[str, None]()
    while len(rows) < 20_200:
        rows[" ".join(f"s{symbol:02}" for symbol in rng.integers(1, 40, rng.integers(1, 11)))] = None
    texts = list(rows)
    for name, part in (("train.csv", texts[:-200]), ("test.csv", texts[-200:])):
        write_whole(folder / name, pl.DataFrame({"source": part, "target": part}).write_csv().encode())
