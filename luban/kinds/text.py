"""text: words in any language, as byte-level BPE trained on the training rows, or WordPiece; Chinese needs no spaces.

Each Han or kana character stands alone, so that the same word is always the same tokens; other scripts merge within words.
Byte-level BPE: Sennrich, Haddow and Birch 2016; over bytes, Radford et al. 2019. No text is ever out of vocabulary.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from luban import few, occluding
from luban.columns import Ragged
from luban.errors import DataError
from luban.kinds import Encoded, Spec
from luban.messages import tr
from luban.tokenizing import subwords, tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from luban.draw import Draw

ENCODER = "ngrams"
PADDING = 0
CHUNK = 500_000  # characters
MOST_TOKENS = 262_144
PAD = "<pad>"
HAN = r"[\p{Han}\p{Hiragana}\p{Katakana}]"


class Text:
    """Token ids, 0 = padding; a missing text is an empty one."""

    occlusion = occluding.TEXT

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How text becomes tokens."""

        vocabulary: Annotated[int, Ge(257), Le(MOST_TOKENS)] = 8192
        """Tokens at most, bytes included; fewer are made where the training rows are few."""
        max_length: Annotated[int, Gt(0), Le(65_536)] = 512
        """Tokens kept of a text, from its start; texts that reach it are counted by `luban check`."""
        lowercase: bool = True
        """Fold case, and full width forms to plain ones (NFKC), before cutting tokens."""
        tokenizer: Literal["bytes", "wordpiece"] = "bytes"
        """How tokens are cut: byte pairs, which know every text; or WordPiece as BERT has it, a text opened by `[CLS]` and closed by `[SEP]`.
        With a pretrained model the checkpoint's own is used."""

    @dataclass(frozen=True, kw_only=True)
    class Fitted:
        """The tokenizer as JSON, and how texts come to it."""

        tokenizer: str
        max_length: Annotated[int, Gt(0), Le(65_536)]
        lowercase: bool
        architecture: dict[str, Any] = field(default_factory=dict)
        """Settings of the pretrained model that the tokenizer came with."""

        def __post_init__(self) -> None:
            if subwords.opened(self.tokenizer) is None:
                vocabulary_of(self.tokenizer)

    @staticmethod
    def fit(series: pl.Series, config: Text.Config) -> Spec:
        """Train the tokenizer. Raises DataError L210 when no training row holds text."""
        return Text.fit_together([series], config)

    @staticmethod
    def fit_together(columns: list[pl.Series], config: Text.Config) -> Spec:
        """One tokenizer for all columns: the same word is the same tokens in each. Raises DataError L210 for a column without text."""
        folded = config.lowercase and config.tokenizer == "bytes"  # WordPiece folds case by itself
        texts: list[str] = []
        for series in columns:
            found = [normalise(text, folded) for text in as_text(series).unique(maintain_order=True).to_list() if text]
            if not found:
                raise DataError("L210", tr("no training row holds any text"), where=series.name, fix=tr("leave the column out of [inputs]"))
            texts += found
        if config.tokenizer == "bytes":
            tokenizer = train_tokenizer(texts, config.vocabulary)
        else:
            tokenizer = subwords.train(texts, config.vocabulary, lowercase=config.lowercase).as_json()
        return {"kind": "text", "tokenizer": tokenizer, "max_length": config.max_length, "lowercase": folded}

    @staticmethod
    def adopt(parts: subwords.Parts, config: Text.Config, most: int) -> Spec:
        """The spec of a column whose tokenizer comes with a pretrained model that reads `most` tokens."""
        return {"kind": "text", "tokenizer": parts.as_json(), "max_length": min(most, config.max_length), "lowercase": False}

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """Ragged int32 token ids, at most `max_length` each."""
        limit, pieces = spec["max_length"], subwords.opened(spec["tokenizer"])
        texts = [normalise(text, spec["lowercase"]) for text in few.texts(series) or as_text(series).to_list()]
        if pieces is not None:
            parts = [pieces.encode(chunk, limit) for chunk in chunks(texts)]
        else:
            tokenizer = open_tokenizer(spec["tokenizer"])
            parts = [tokens.encode(chunk, tokenizer, limit) for chunk in chunks(texts)]
        parts = parts or [Ragged.of(np.zeros(0, np.int32), [])]
        values = Ragged.of(np.concatenate([part.values for part in parts]), np.concatenate([part.lengths for part in parts]))
        return Encoded(values, {}, np.maximum(values.lengths, 1))

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Tensor:
        """(B, T) int64 token ids, 0 = padding."""
        return torch.from_numpy(values.pad(PADDING).astype(np.int64))

    @staticmethod
    def num_tokens(spec: Spec) -> int:
        """Ids run from 0 to this, less one."""
        pieces = subwords.opened(spec["tokenizer"])
        return open_tokenizer(spec["tokenizer"]).get_vocab_size() if pieces is None else len(pieces)

    @staticmethod
    def names(ids: list[int], spec: Spec) -> list[str]:
        """What each token is called: its piece, or the text it stands for; of the padding nothing."""
        pieces = subwords.opened(spec["tokenizer"])
        if pieces is not None:
            return [pieces.name(number) if number else "" for number in ids]
        tokenizer = open_tokenizer(spec["tokenizer"])
        return [tokenizer.decode([number]) if number else "" for number in ids]

    @staticmethod
    def joints(spec: Spec) -> tuple[int, int] | None:
        """(the token that opens a text, the one that takes its place in a later text of a row; 0 = none); None where texts are not opened."""
        pieces = subwords.opened(spec["tokenizer"])
        return None if pieces is None else (pieces.opens, pieces.closes if pieces.parts.kind == "bytes" else 0)

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
    from tokenizers import models, pre_tokenizers, trainers

    tokenizer = around(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocabulary, 257),
        min_frequency=2,
        special_tokens=[PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer.to_str()


def around(model: Any) -> Tokenizer:
    """The one way a text is cut before its bytes are merged: nothing of it is ever taken from a file."""
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    han = pre_tokenizers.Split(Regex(HAN), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([han, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@lru_cache(maxsize=16)
def open_tokenizer(serialised: str) -> Tokenizer:
    """The tokenizer of a spec; opened once."""
    from tokenizers import models

    vocabulary, merges = vocabulary_of(serialised)
    tokenizer = around(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.add_special_tokens([PAD])
    return tokenizer


def vocabulary_of(serialised: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Tokens and merges of a tokenizer such as `train_tokenizer` makes. Raises ValueError for any other."""
    try:
        found = json.loads(serialised)
        model, pieces = found["model"], found["pre_tokenizer"]["pretokenizers"]
        vocabulary, merges = model["vocab"], [tuple(pair) for pair in model["merges"]]
        kinds = [model["type"], found["normalizer"], found["post_processor"], found["decoder"]["type"], *(p["type"] for p in pieces)]
        ours = kinds == ["BPE", None, None, "ByteLevel", "Split", "ByteLevel"] and pieces[0]["pattern"] == {"Regex": HAN}
        ours = ours and len(vocabulary) <= MOST_TOKENS and sorted(vocabulary.values()) == list(range(len(vocabulary)))
        ours = ours and vocabulary[PAD] == PADDING
        ours = ours and all(len(pair) == 2 and {*pair, pair[0] + pair[1]} <= vocabulary.keys() for pair in merges)
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(tr("not a tokenizer of Luban: {why}", why=type(error).__name__)) from error
    if not ours:
        raise ValueError(tr("not a tokenizer of Luban: {why}", why=tr("another kind of tokenizer")))
    return vocabulary, merges
