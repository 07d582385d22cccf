"""Which rows are for training, validation and test, decided before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import polars as pl
from annotated_types import Ge, Lt

from luban.draw import key_of, mix
from luban.errors import DataError, RecipeError, warn
from luban.messages import tr

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
FEW_LABELS = 64
GROUPED, ORDERED = ("random", "last", "last_one", "ratio"), ("time", "last", "last_one")  # splits that heed a group, or an order
CHUNK = 1 << 20  # rows whose places are counted at once


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """The `[split]` section; what the data brings as its own split is kept."""

    validation: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of the rows that choose checkpoint and model."""
    test: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of the rows scored once, at the end."""
    by: Literal["random", "stratified", "time", "last", "last_one", "ratio"] | None = None
    """`stratified` keeps the shares of the labels, `time` tests on the latest rows, `last` on each group's latest, `last_one` on just one
    row of each, `ratio` on a share of each group at random; left out, as the task has it."""
    group: str | None = None
    """Column whose equal values stay in one split (a patient, a customer); with `by = "last"`, whose last rows are the test."""
    order: str | None = None
    """Column of time for `by = "time"`, which it implies, and `by = "last"`; left out, `last` takes the rows as they stand."""

    def __post_init__(self) -> None:
        """Raises RecipeError L116 for keys that exclude each other."""
        if self.group and self.by in ("time", "stratified"):
            what = tr("group can't be kept by this split")
            raise RecipeError("L116", what, where="recipe.toml: split.group", received=self.by, allowed=GROUPED)
        if self.order and self.by in ("random", "stratified", "ratio"):
            what = tr("this split has no use for an order")
            raise RecipeError("L116", what, where="recipe.toml: split.order", received=self.by, allowed=ORDERED)


def divide(table: pl.DataFrame, split: Splitting, *, target: str | None, seed: int, given: np.ndarray | None = None) -> np.ndarray:
    """(N,) int8: 0 train, 1 validation, 2 test. `given` is the data's own split, completed where a part is missing."""
    parts = np.zeros(len(table), np.int8) if given is None else given.astype(np.int8).copy()
    shares = wanted_shares(split, parts, given is not None)
    if any(shares.values()) and bool((parts == TRAIN).all()):
        parts = cut(table, split, shares, target, seed, None)
    elif any(shares.values()):
        free = np.flatnonzero(parts == TRAIN)
        parts[free] = cut(table[free], split, shares, target, seed, free)
    if not (parts == TRAIN).any():
        raise DataError(
            "L220", tr("no rows are left for training"), where="split", received=len(table), fix=tr("give more rows or smaller shares")
        )
    return parts


def wanted_shares(split: Splitting, parts: np.ndarray, given: bool) -> dict[int, float]:
    """What to cut from the training rows: a part that the data brings is not cut again."""
    if split.validation + split.test >= 1:
        raise RecipeError(
            "L110", tr("validation and test leave nothing to train on"), where="recipe.toml: split", received=split.validation + split.test
        )
    has = {part: given and bool((parts == part).any()) for part in (VALIDATION, TEST)}
    return {VALIDATION: 0.0 if has[VALIDATION] else split.validation, TEST: 0.0 if given and has[TEST] else split.test}


def cut(
    table: pl.DataFrame, split: Splitting, shares: dict[int, float], target: str | None, seed: int, rows: np.ndarray | None
) -> np.ndarray:
    """Parts for these rows; None = all of the table."""
    if split.by == "time":
        return by_time(table, need(table, split.order, "order"), shares)
    if split.by in ("last", "last_one"):
        return by_last(table, split, shares)
    if split.by == "ratio":
        return by_ratio(table, need(table, split.group, "group"), shares, seed, rows)
    if split.group is not None:
        return by_group(table, need(table, split.group, "group"), shares, seed)
    if split.by == "stratified" and target in table.columns and not table[target].dtype.is_nested():
        return stratified(table[target], shares, seed, rows)
    return at_random(len(table), shares, seed, rows)


def need(table: pl.DataFrame, column: str | None, key: str) -> str:
    """The column, or an error that names those there are."""
    if column is None or column not in table.columns:
        raise RecipeError(
            "L111", tr("the split needs a column of the data"), where=f"recipe.toml: split.{key}", received=column, allowed=table.columns
        )
    return column


def keys(places: np.ndarray | range, seed: int, rows: np.ndarray | None = None) -> np.ndarray:
    """(N,) one pseudo-random key for each place, of the row that stands there: a row's key never depends on the others."""
    out, key = np.empty(len(places), np.uint64), np.uint64(key_of(seed, "split"))
    for start in range(0, len(places), CHUNK):
        part = np.asarray(places[start : start + CHUNK])
        out[start : start + CHUNK] = mix((part if rows is None else rows[part]).astype(np.uint64) ^ key)
    return out


def at_random(count: int, shares: dict[int, float], seed: int, rows: np.ndarray | None) -> np.ndarray:
    """Exact shares in random order."""
    return fill(np.argsort(keys(range(count), seed, rows), kind="stable"), shares)


def fill(order: np.ndarray, shares: dict[int, float]) -> np.ndarray:
    """Test from the front of the order, then validation; at least one row each where there are three."""
    count, parts = len(order), np.zeros(len(order), np.int8)
    least = 1 if count >= 3 else 0
    num_test = max(least, round(count * shares[TEST])) if shares[TEST] else 0
    num_validation = max(least, round(count * shares[VALIDATION])) if shares[VALIDATION] else 0
    parts[order[:num_test]] = TEST
    parts[order[num_test : num_test + num_validation]] = VALIDATION
    return parts


def stratified(labels: pl.Series, shares: dict[int, float], seed: int, rows: np.ndarray | None) -> np.ndarray:
    """Every k-th row of the rows sorted by label and key: each label keeps its share; a label's first row trains."""
    codes, names = codes_of(labels)
    parts, before = np.zeros(len(labels), np.int8), 0
    for run in sorted_rows(codes, names, seed, rows):
        for start in range(0, len(run), CHUNK):
            order = run[start : start + CHUNK]
            for part, phase in ((TEST, 0.25), (VALIDATION, 0.75)):
                places = np.floor(np.arange(before + start - 1, before + start + len(order)) * shares[part] + phase)
                chosen = places[1:] > places[:-1]
                parts[order[chosen & (parts[order] == TRAIN)]] = part
        parts[run[np.r_[True, np.diff(codes[run]) != 0]]] = TRAIN
        before += len(run)
    return parts if all((parts == p).any() or not shares[p] for p in (VALIDATION, TEST)) else at_random(len(labels), shares, seed, rows)


def sorted_rows(codes: np.ndarray, names: int, seed: int, rows: np.ndarray | None) -> Iterator[np.ndarray]:
    """The places sorted by label and key: label by label where they are few, which takes less memory, else in one piece."""
    if names > FEW_LABELS:
        yield np.lexsort((keys(range(len(codes)), seed, rows), codes))
        return
    for code in range(names):
        here = places_of(codes, code)
        yield here[np.argsort(keys(here, seed, rows), kind="stable")]


def places_of(codes: np.ndarray, code: int) -> np.ndarray:
    """Where a code stands, in half the memory where 32 bits hold the places."""
    dtype = np.int32 if len(codes) < 2**31 else np.int64
    pieces = (np.flatnonzero(codes[start : start + CHUNK] == code) + start for start in range(0, len(codes), CHUNK))
    return np.concatenate([np.zeros(0, dtype), *(piece.astype(dtype) for piece in pieces)])


def codes_of(labels: pl.Series) -> tuple[np.ndarray, int]:
    """(N,) the place of each label among the sorted names, and how many those are; a missing label is an empty one."""
    names = labels.unique().cast(pl.String).fill_null("").unique().sort()
    found = labels if labels.dtype == pl.Enum and not labels.null_count() else labels.cast(pl.String).fill_null("").cast(pl.Enum(names))
    codes = found.cast(pl.Enum(names)).to_physical()
    return (codes.cast(pl.UInt8) if len(names) <= FEW_LABELS else codes).to_numpy(), len(names)


def by_group(table: pl.DataFrame, group: str, shares: dict[int, float], seed: int) -> np.ndarray:
    """Whole groups, in random order of their values."""
    codes = table[group].cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
    names = table[group].cast(pl.String).fill_null("").unique().sort()
    if len(names) < 3:
        raise DataError("L221", tr("a split by group needs at least three groups"), where=group, received=len(names))
    group_key = [key_of(seed, "group", name) for name in names]  # not polars' hash: it may change with its version
    order = np.argsort(np.array(group_key, np.uint64), kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    done = np.cumsum(np.bincount(rank[codes], minlength=len(names))) / len(table)
    part_of, begin = np.zeros(len(names), np.int8), 0
    for part, spare in ((TEST, 2 if shares[VALIDATION] else 1), (VALIDATION, 1)):
        before = done[begin - 1] if begin else 0.0
        taken = int((np.r_[before, done[begin:-1]] - before < shares[part]).sum())  # at least one group, where a share is wanted
        end = min(begin + taken, len(names) - spare)
        part_of[begin:end], begin = part, end
    return part_of[rank[codes]]


def by_time(table: pl.DataFrame, order: str, shares: dict[int, float]) -> np.ndarray:
    """The latest rows are the test, those before them the validation; rows of one instant stay together."""
    times = in_order(table[order])
    rank = times.rank("min").to_numpy() - 1
    if rank.max() == 0:
        warn("W220", tr("every row has the same time; the split by time is empty"), where=order)
    share = rank / len(table)
    limits = 1 - shares[TEST] - shares[VALIDATION], 1 - shares[TEST]
    return np.where(share >= limits[1], TEST if shares[TEST] else VALIDATION, np.where(share >= limits[0], VALIDATION, TRAIN)).astype(
        np.int8
    )


def in_order(times: pl.Series) -> pl.Series:
    """The moments as values that rise with time: texts that all read as dates are dates. Raises DataError L222 where one is missing."""
    if times.null_count():
        raise DataError(
            "L222", tr("{n} rows have no time", n=times.null_count()), where=times.name, fix=tr("fill them or drop them before")
        )
    if times.dtype != pl.String:
        return times
    from luban.kinds.date import guess_format, parse  # imports torch, which dividing does without

    instants = parse(times, guess_format(times))
    return times if instants.null_count() else instants


def by_last(table: pl.DataFrame, split: Splitting, shares: dict[int, float]) -> np.ndarray:
    """In each group by itself: its last rows are the test, those before them the validation; a group of fewer than three rows trains."""
    rows = table.select(place=pl.int_range(pl.len()))
    if split.order is not None:
        times = in_order(table[need(table, split.order, "order")])
        rows = rows.with_columns(time=times).sort("time", maintain_order=True)
    places = rows["place"].to_numpy()
    codes = np.zeros(len(table), np.int64)
    if split.group is not None:
        codes = table[need(table, split.group, "group")].cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
    places = places[np.argsort(codes[places], kind="stable")]  # by group, then time, then place
    sizes = np.bincount(codes)
    from_end = np.cumsum(sizes)[codes[places]] - np.arange(len(places))  # 1 = the last row of its group
    if split.by == "last_one":
        shares = {part: 1e-9 if share else 0.0 for part, share in shares.items()}
    tested = last_rows(sizes, shares[TEST], spare=2)
    validated = last_rows(sizes, shares[VALIDATION], spare=1 + tested)
    parts = np.zeros(len(table), np.int8)
    parts[places[from_end <= (tested + validated)[codes[places]]]] = VALIDATION
    parts[places[from_end <= tested[codes[places]]]] = TEST
    return parts


def by_ratio(table: pl.DataFrame, group: str, shares: dict[int, float], seed: int, rows: np.ndarray | None) -> np.ndarray:
    """In each group by itself a share at random, rounded down, but one row where there are three; a group of fewer rows trains."""
    codes = table[group].cast(pl.String).fill_null("").rank("dense").to_numpy().astype(np.int64) - 1
    order = np.lexsort((keys(range(len(table)), seed, rows), codes))
    sizes = np.bincount(codes)
    place = np.arange(len(order)) - (np.cumsum(sizes) - sizes)[codes[order]]
    counts = {part: np.where(sizes >= 3, np.maximum(np.floor(sizes * share + 1e-9), share > 0), 0) for part, share in shares.items()}
    parts = np.zeros(len(table), np.int8)
    parts[order[place < (counts[TEST] + counts[VALIDATION])[codes[order]]]] = VALIDATION
    parts[order[place < counts[TEST][codes[order]]]] = TEST
    return parts


def last_rows(sizes: np.ndarray, share: float, *, spare: np.ndarray | int) -> np.ndarray:
    """(groups,) how many rows a share takes of each group: at least one where there are three, never the spare ones."""
    wanted = np.maximum(1, np.round(sizes * share)).astype(np.int64) if share else np.zeros_like(sizes)
    return np.where(sizes >= 3, np.minimum(wanted, sizes - spare), 0)


def folds(count: int, number: int, labels: pl.Series | None, seed: int) -> np.ndarray:
    """(N,) the fold that tests each row, labels kept in proportion."""
    order = np.argsort(keys(range(count), seed), kind="stable")
    if labels is not None:
        codes = labels.cast(pl.String).fill_null("").rank("dense").to_numpy()
        order = order[np.argsort(codes[order], kind="stable")]
    out = np.empty(count, np.int64)
    out[order] = np.arange(count) % number
    return out
