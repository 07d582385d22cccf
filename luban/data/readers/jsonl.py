"""JSON lines, and JSON that is one list of records; nested lists stay lists, plain or gzipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from luban.data.dtypes import tidy
from luban.data.encoding import Text, load
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError, shorten
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
BLANK = " \t\n\r"
DEEPEST = 200  # the parser recurses; deeper lines are refused before it does


def read(path: Path, options: Reading) -> Part:
    """One record per line, or per item of the list. Raises DataError L202, L204 - L207, L217."""
    text = load(path, options)
    rejects: list[BadRow] = []
    rows: list[dict[str, Any]] = []
    at: list[int] = []
    source = listed(text, path) if text.data.lstrip()[:1] == b"[" else by_line(text)
    for line, record, place, reason in source:
        if reason:
            rejects.append(BadRow(str(path), line, place, reason, shorten(record)))
        else:
            rows.append(record)
            at.append(line)
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = tidy(pl.DataFrame([column(name, [row.get(name) for row in rows]) for name in names]))
    return Part(
        table,
        Origin.lines(path, np.array(at, np.int64)),
        rejects,
        notes=(tr("{file}: {columns} fields, {encoding}", file=path.name, columns=len(names), encoding=text.encoding.upper()),),
    )


def by_line(text: Text) -> Iterator[tuple[int, Any, str, str]]:
    """Line, record, column at fault, reason."""
    for number, raw in enumerate(text.data.split(b"\n"), start=1):
        if not raw.strip():
            continue
        if number in text.bad:
            yield number, raw[:80].decode("utf-8", "replace"), "", text.bad[number]
            continue
        line = raw.decode()
        try:
            record = parse(line)
        except (ValueError, RecursionError) as error:
            yield number, line[:200], *fault(error)
            continue
        yield (
            number,
            record,
            "",
            "" if isinstance(record, dict) else tr("not a record: a line must be {open} … {close}", open="{", close="}"),
        )


def parse(line: str) -> Any:
    """One JSON value. Raises ValueError."""
    if line.count("[") + line.count("{") > DEEPEST and nesting(line) > DEEPEST:
        raise ValueError(tr("nested deeper than {limit}", limit=DEEPEST))
    return json.loads(line)


def nesting(line: str) -> int:
    """The deepest level of brackets, strings counted too: an upper bound."""
    level = deepest = 0
    for character in line:
        level += (character in "[{") - (character in "]}")
        deepest = max(deepest, level)
    return deepest


def fault(error: Exception) -> tuple[str, str]:
    """Where in the line the JSON breaks, and why."""
    if isinstance(error, json.JSONDecodeError):
        return "", tr("invalid JSON at character {place}: {why}", place=error.pos + 1, why=error.msg)
    return "", tr("invalid JSON: {why}", why=str(error)[:80])


def listed(text: Text, path: Path) -> Iterator[tuple[int, Any, str, str]]:
    """The items of one list, each with the line it begins at. Raises DataError L217 where the list breaks."""
    content, decoder = text.data.decode(), json.JSONDecoder()
    place, line, counted = content.index("[") + 1, 1, 0
    while True:
        while content[place : place + 1] in (*BLANK, ","):
            place += 1
        if content[place : place + 1] in ("]", ""):
            break
        line, counted = line + content.count("\n", counted, place), place
        try:
            record, end = decoder.raw_decode(content, place)
        except (ValueError, RecursionError) as error:
            raise DataError(
                "L217", fault(error)[1], where=f"{path.name}:{line}", fix=tr("repair the list, or write one record per line (.jsonl)")
            ) from error
        bad = text.bad.get(line, "")
        yield (
            line,
            record,
            "",
            bad if bad or isinstance(record, dict) else tr("not a record: a line must be {open} … {close}", open="{", close="}"),
        )
        place = end
    if not content[place:].strip(BLANK + "]") == "" or content[place : place + 1] != "]":
        raise DataError("L217", tr("the list of records does not end"), where=f"{path.name}:{line}", fix=tr("copy or download it again"))


def types_of(values: list[Any]) -> set[type]:
    """The types of the values; whole numbers beyond 64 bits count as floats too."""
    types = {type(value) for value in values} - {type(None)}
    if int in types and not all(-(2**63) <= value < 2**63 for value in values if type(value) is int):
        types.add(float)
    return types


def column(name: str, values: list[Any], types: set[type] | None = None) -> pl.Series:
    """A typed column; mixed types become text, true and false among numbers too. `types` are those of the whole column, if this is a part."""
    types = types_of(values) if types is None else types
    if types <= {int, float}:
        dtype = pl.Int64 if types == {int} else pl.Float64
        return pl.Series(
            name, [None if v is None else float(v) for v in values] if dtype == pl.Float64 else values, dtype=dtype if types else pl.String
        )
    if types in ({str}, {bool}):
        return pl.Series(name, values, dtype=pl.String if types == {str} else pl.Boolean)
    if types in ({list}, {dict}):
        try:
            return pl.Series(name, values, strict=True)
        except (TypeError, pl.exceptions.PolarsError):
            return pl.Series(name, values, strict=False)
    return pl.Series(name, [None if value is None else written(value) for value in values], dtype=pl.String)


def written(value: Any) -> str:
    """A value of a mixed column as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
