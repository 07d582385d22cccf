"""A solved net that holds its rows is given as many as fit: the same ones each time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from luban.columns import Columns
from luban.draw import Draw
from luban.training.solving import solve

ROWS = 5003


class Rows:
    """A task whose batch is the rows themselves."""

    def collate(self, examples: Columns, draw: Draw) -> dict[str, torch.Tensor]:
        return {"x": torch.from_numpy(np.asarray(examples["x"]))}


class Seen(nn.Module):
    """Keeps the rows it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sum", torch.zeros((), dtype=torch.int64))
        self.batches: list[list[int]] = []

    def solve(self, batches: Iterable[Any]) -> Iterator[float]:
        self.batches = [batch["x"].tolist() for batch in batches]
        self.sum += sum(map(sum, self.batches))
        yield 1.0


class Heavy(Seen):
    """Needs a megabyte, and a kilobyte for each row."""

    def weigh(self, batch: Any) -> tuple[float, float]:
        assert 64 <= len(batch["x"]) < 1000
        return 1e6, 1e3


def solved(net: Seen, *, folder: Path | None = None, **room: float) -> tuple[Seen, int]:
    examples = Columns({"x": np.arange(ROWS)}, np.arange(ROWS))
    return net, solve(Rows(), net, examples, seed=3, folder=folder, tell=lambda *_, **__: None, **room)[1]


def test_all_rows_are_given_where_they_fit() -> None:
    for net, room in ((Heavy(), {}), (Heavy(), {"room": 1e10}), (Seen(), {"room": 1e6})):
        found, rows = solved(net, **room)
        assert list(chain.from_iterable(found.batches)) == list(range(ROWS))
        assert rows == ROWS


def test_a_sample_is_given_where_they_do_not(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    found, rows = solved(Heavy(), room=5e6, folder=tmp_path)
    given = list(chain.from_iterable(found.batches))
    assert 1850 < rows == len(given) < 2150  # (0.6 · 5 MB - 1 MB) / 1 kB
    assert given == sorted(set(given))
    assert f"heavy learns from {rows} of {ROWS} rows" in caplog.text
    assert solved(Heavy(), room=5e6)[0].batches == found.batches
    again, known = solved(Heavy(), room=5e6, folder=tmp_path)
    assert (known, again.batches) == (rows, [])  # put back, not solved again
    assert int(again.sum) == int(found.sum)


def test_batches_shrink_with_the_room() -> None:
    assert max(map(len, solved(Seen(), room=1e9)[0].batches)) == 2048
    assert max(map(len, solved(Seen(), room=256_000)[0].batches)) == 100  # an eighth of it, over 40 · 8 bytes a row
