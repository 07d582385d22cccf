"""A checkpoint folder as users bring one: a small BERT with random weights and a WordPiece tokenizer."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import torch

from luban.checkpoints import bert as names
from luban.checkpoints import folder
from luban.kinds.text import Text
from luban.models.bert import Bert
from luban.tokenizing import subwords

SIZES = {"width": 22, "layers": 2, "heads": 2, "feed": 31, "positions": 37}
TEXTS = ["很好 推荐", "太差 后悔", "这是第 位顾客的话 0123456789", "red big vite 红色 的", "good bad row news"]


@cache
def tiny() -> str:
    """Its path; removed when the process ends."""
    place = Path(tempfile.mkdtemp(prefix="checkpoint-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    write(place / "tiny-bert")
    return str(place / "tiny-bert")


def write(place: Path, **changes: int) -> None:
    """The same folder each time, and under each language's texts."""
    parts = subwords.train(TEXTS * 3, 200, lowercase=True)
    spec = Text.adopt(parts, Text.Config(), 37)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        net = Bert(Bert.Config(**(SIZES | changes), vocabulary=len(parts.vocabulary) + 3), {"x": spec})  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    settings = vars(net.config)
    folder.write(place, names.config_of(settings, masked=False), names.theirs(settings, net.state_dict()), subwords.files_of(parts, 37))


@contextmanager
def changing(place: Path) -> Iterator[tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, bytes]]]:
    """The settings, weights and tokenizer's files of a folder, to be changed; then they are written back."""
    config, weights = folder.read(place)
    weights, files = {name: tensor.clone() for name, tensor in weights.items()}, folder.read_tokenizer(place)
    yield config, weights, files
    folder.write(place, config, weights, files)


def pickle(place: Path) -> None:
    """Its weights, under the name that pickled ones have."""
    (place / "model.safetensors").rename(place / "pytorch_model.bin")


def reviews(count: int) -> pl.DataFrame:
    """Texts of two kinds, and what they say."""
    good = [(7 * i) % 5 < 2 for i in range(count)]
    return pl.DataFrame(
        {"review": [f"{'很好 推荐' if g else '太差 后悔'} {i}" for i, g in enumerate(good)], "label": ["a" if g else "b" for g in good]}
    )
