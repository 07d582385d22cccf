"""text: words in any language, as byte-level BPE trained on the training rows; Chinese needs no spaces.

Each Han or kana character stands alone, so that the same word is always the same tokens; other scripts merge within words.
Byte-level BPE: Sennrich, Haddow and Birch 2016; over bytes, Radford et al. 2019. No text is ever out of vocabulary.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from luban.columns import Ragged
from luban.errors import DataError
from luban.kinds import Encoded, Spec
from luban.messages import tr

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from luban.draw import Draw

ENCODER = "ngrams"
PADDING = 0
CHUNK = 500_000  # characters


class Text:
    """Token ids, 0 = padding; a missing text is an empty one."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How text becomes tokens."""

        vocabulary: Annotated[int, Ge(257)] = 8192
        """Tokens at most, bytes included; fewer are made where the training rows are few."""
        max_length: Annotated[int, Gt(0)] = 512
        """Tokens kept of a text, from its start; texts that reach it are counted by `luban check`."""
        lowercase: bool = True
        """Fold case, and full width forms to plain ones (NFKC), before cutting tokens."""

    @staticmethod
    def fit(series: pl.Series, config: Text.Config) -> Spec:
        """Train the tokenizer. Raises DataError L210 when no training row holds text."""
        texts = [normalise(text, config.lowercase) for text in as_text(series).unique(maintain_order=True).to_list() if text]
        if not texts:
            raise DataError("L210", tr("no training row holds any text"), where=series.name, fix=tr("leave the column out of [inputs]"))
        return {
            "kind": "text",
            "tokenizer": train_tokenizer(texts, config.vocabulary),
            "max_length": config.max_length,
            "lowercase": config.lowercase,
        }

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """Ragged int32 token ids, at most `max_length` each."""
        tokenizer, limit = open_tokenizer(spec["tokenizer"]), spec["max_length"]
        texts = [normalise(text, spec["lowercase"]) for text in as_text(series).to_list()]
        flat, lengths = [np.zeros(0, np.int32)], []
        for chunk in chunks(texts):
            ids = [encoding.ids[:limit] for encoding in tokenizer.encode_batch_fast(chunk)]
            flat.append(np.fromiter((i for row in ids for i in row), np.int32))
            lengths += [len(row) for row in ids]
        values = Ragged.of(np.concatenate(flat), lengths)
        return Encoded(values, {}, np.maximum(values.lengths, 1))

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Tensor:
        """(B, T) int64 token ids, 0 = padding."""
        return torch.from_numpy(values.pad(PADDING).astype(np.int64))

    @staticmethod
    def num_tokens(spec: Spec) -> int:
        """Ids run from 0 to this, less one."""
        return open_tokenizer(spec["tokenizer"]).get_vocab_size()

    @staticmethod
    def demo(count: int, seed: int) -> pl.Series:
        """Short sentences in two languages."""
        draws = np.random.default_rng(seed).integers(0, 5, (count, 2))
        words = ("很好", "不 行", "good", "bad!", "ＯＫ 吧")
        return pl.Series([f"{words[a]} {words[b]} {i % 13}" for i, (a, b) in enumerate(draws)], dtype=pl.String)


def chunks(texts: list[str]) -> Iterator[list[str]]:
    """Texts of about so many characters: what the tokenizer makes of them takes a hundred times their memory."""
    held, size = [], 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= CHUNK:
            yield held
            held, size = [], 0
    if held:
        yield held


def as_text(series: pl.Series) -> pl.Series:
    """Missing becomes empty."""
    return series.cast(pl.String).fill_null("")


def normalise(text: str, lowercase: bool) -> str:
    """NFKC (full width forms fold) and lower case, where asked for."""
    return unicodedata.normalize("NFKC", text).lower() if lowercase else text


def train_tokenizer(texts: list[str], vocabulary: int) -> str:
    """A byte-level BPE as JSON; token 0 is padding."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    han = pre_tokenizers.Split(Regex(r"[\p{Han}\p{Hiragana}\p{Katakana}]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([han, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocabulary, 257),
        min_frequency=2,
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer.to_str()


@lru_cache(maxsize=16)
def open_tokenizer(serialised: str) -> Tokenizer:
    """The tokenizer of a spec; opened once."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(serialised)
