"""BM25 as a part of a net: its postings in buffers of a size known beforehand. P passages, V terms, E postings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luban.columns import Array, Ragged
from luban.retrieving.bm25 import Postings, postings

LAST = 2**63 - 1  # stands behind every key


def sizes_of(passages: Ragged) -> dict[str, int]:
    """Terms and postings of a collection's keys."""
    owner, _ = passages.places()
    keys = passages.flat()
    pairs = np.unique(np.stack([owner.astype(np.int64), keys], 1), axis=0) if len(keys) else np.zeros((0, 2))
    return {"passages": len(passages), "terms": len(np.unique(keys)), "postings": len(pairs)}


def fill(buffer: Tensor, values: Array, rest: float = 0) -> None:
    """Put values at the front; a part of the collection, as a rehearsal takes it, leaves room behind."""
    buffer[: len(values)] = torch.from_numpy(np.ascontiguousarray(values)).to(buffer.dtype)
    buffer[len(values) :] = rest


class Lexical(nn.Module):
    """The postings of one cut."""

    terms: Tensor
    starts: Tensor
    passages: Tensor
    weights: Tensor

    def __init__(self, sizes: dict[str, int], k1: float, b: float) -> None:
        super().__init__()
        self.count, self.k1, self.b = sizes["passages"], k1, b
        self.kept: Postings | None = None
        for name, length, dtype in (
            ("terms", sizes["terms"], torch.int64),
            ("starts", sizes["terms"] + 1, torch.int64),
            ("passages", sizes["postings"], torch.int32),
            ("weights", sizes["postings"], torch.float32),
        ):
            self.register_buffer(name, torch.zeros(length, dtype=dtype))

    def index(self, passages: Ragged) -> None:
        """Keep what each term of each passage counts."""
        found = postings(passages, self.k1, self.b)
        for name, rest in (("terms", LAST), ("starts", len(found.passages)), ("passages", 0), ("weights", 0)):
            fill(self.get_buffer(name), getattr(found, name), rest)
        self.kept = None

    @property
    def postings(self) -> Postings:
        """As arrays; they share the buffers' memory where those lie in main memory."""
        if self.kept is None:
            arrays: dict[str, Any] = {name: self.get_buffer(name).cpu().numpy() for name in ("terms", "starts", "passages", "weights")}
            self.kept = Postings(**arrays, count=self.count)
        return self.kept

    def search(self, question: Array) -> tuple[Array, Array]:
        """(P,) scores, and (P,) the share of the most that the question could score."""
        scores = self.postings.scores(question)
        return scores, scores / max(1e-9, self.postings.most(question))

    def check(self) -> None:
        """Raises ValueError where a posting lies outside: the buffers of a bundle come from a stranger."""
        starts, end = self.starts, len(self.passages)
        sound = bool((starts[0] == 0) & (starts[1:] >= starts[:-1]).all() & (starts[-1] <= end)) and bool(
            torch.isfinite(self.weights).all()
        )
        sound = sound and bool((self.terms[1:] >= self.terms[:-1]).all())
        if not sound or (end and not bool(((self.passages >= 0) & (self.passages < self.count)).all())):
            raise ValueError("postings")
        self.kept = None

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Buffers that move are looked at anew."""
        self.kept = None
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.kept = None
        super()._load_from_state_dict(*args, **kwargs)
