"""Texts and pictures of validation and test that nearly stand in an earlier split: bounded samples, every pair compared in the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from luban.data.checks.duplicates import plain
from luban.data.checks.finding import TRAIN, Finding, Subject
from luban.data.minhash import near_pairs
from luban.data.picture_hash import near_pictures, small_picture
from luban.draw import key_of, mix
from luban.messages import said
from luban.pictures import in_threads

MOST_TEXTS = (5_000, 20_000)  # held-out, training
MOST_CHARACTERS = 1_000  # of a text, from its start
FEWEST_WORDS, FEWEST_HAN = 8, 12  # below which two texts are alike by chance; without spaces they are codes, not texts
MOST_PICTURES = (1_000, 4_000)


@dataclass(frozen=True)
class Pair:
    """Two rows that are nearly the same in one column."""

    column: str
    row: int  # of the later split
    other: int  # of the earlier one
    likeness: float
    exact: bool


@dataclass(frozen=True)
class Near:
    """What a search in one column found, among how many rows."""

    pairs: list[Pair]
    held: int  # rows of validation and test that were looked at
    train: int


def near_texts(subject: Subject) -> Iterator[Finding]:
    """Long enough texts at least 0.8 alike by MinHash."""
    for name, kind in subject.inputs.items():
        if kind != "text" or subject.table[name].dtype != pl.String:
            continue
        rows = sampled(subject, long_enough(subject.table[name]), MOST_TEXTS)
        cells, splits = subject.table[name][rows], subject.splits[rows]
        pairs = [
            Pair(name, *later_first(subject, int(rows[a]), int(rows[b])), likeness, cells[a] == cells[b])
            for a, b, likeness in near_pairs(plain(cells.str.slice(0, MOST_CHARACTERS)).to_list(), splits)
        ]
        yield from told(subject, "W255", name, Near(pairs, int((splits != TRAIN).sum()), int((splits == TRAIN).sum())))


def long_enough(series: pl.Series) -> np.ndarray:
    """(N,) whether a text has words or Han characters enough to be a text of its own."""
    words, han = series.str.count_matches(r"\S\s+\S") + 1, series.str.count_matches(r"[\u3400-\u9fff]")
    return ((words >= FEWEST_WORDS) | (han >= FEWEST_HAN)).fill_null(False).to_numpy()


def near_images(subject: Subject) -> Iterator[Finding]:
    """Pictures with nearly the same perceptual hash and pixels."""
    for name, kind in subject.inputs.items():
        if kind != "image":
            continue
        rows = sampled(subject, subject.table[name].is_not_null().to_numpy(), MOST_PICTURES)
        found = [
            (int(row), small)
            for row, small in zip(rows, in_threads(small_picture, subject.table[name][rows].to_list()), strict=True)
            if small is not None
        ]
        held, train = ([(row, small) for row, small in found if (subject.splits[row] == TRAIN) == trains] for trains in (False, True))
        if not held or not train:
            continue
        keys = subject.key_of(name)
        pairs = [
            Pair(name, held[a][0], train[b][0], likeness, keys[held[a][0]] == keys[train[b][0]])
            for a, b, likeness in near_pictures(np.stack([small for _, small in held]), np.stack([small for _, small in train]))
        ]
        yield from told(subject, "W256", name, Near(pairs, len(held), len(train)))


def told(subject: Subject, code: str, name: str, near: Near) -> Iterator[Finding]:
    """A warning where a row that is no exact copy leaks; the pairs are kept for the report."""
    subject.found[f"near:{name}"] = near
    leaking = {pair.row for pair in near.pairs if subject.splits[pair.row] != subject.splits[pair.other] and not pair.exact}
    seen = {"held": f"{near.held:,}", "train": f"{near.train:,}"}
    if leaking:
        detail = said("{count} of {held} held-out rows nearly repeat one of {train} training rows", count=len(leaking), **seen)
        yield Finding(
            code,
            "warning",
            said("near copy"),
            detail,
            said("drop them, or keep them together with a group; scores are too good otherwise"),
            name,
        )
    elif near.held and near.train:
        yield Finding(
            "", "ok", said("near copy"), said("none of {held} held-out rows nearly repeats one of {train} training rows", **seen), "", name
        )


def later_first(subject: Subject, one: int, other: int) -> tuple[int, int]:
    """The row of the later split, then the other."""
    return (one, other) if subject.splits[one] >= subject.splits[other] and one != other else (other, one)


def sampled(subject: Subject, usable: np.ndarray, most: tuple[int, int]) -> np.ndarray:
    """Rows in their order: at most so many held-out and so many training ones, drawn by their place."""
    kept = []
    for held, limit in zip((True, False), most, strict=True):
        rows = np.flatnonzero(usable & ((subject.splits != TRAIN) == held))
        if len(rows) > limit:
            rows = rows[np.argsort(mix(rows.astype(np.uint64) ^ np.uint64(key_of(0, "near"))), kind="stable")[:limit]]
        kept.append(rows)
    return np.sort(np.concatenate(kept))
