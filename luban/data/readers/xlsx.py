"""Excel workbooks (.xlsx): one sheet, the first row that holds anything names the columns."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from luban.data.readers.csv import check_names, misfit
from luban.data.source import BadRow, Origin, Part
from luban.errors import DataError, MachineError, shorten, warn
from luban.messages import tr

if TYPE_CHECKING:
    from luban.data.reading import Reading

SUFFIXES = (".xlsx", ".xlsm")
ERRORS = ("#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!")
MOST_MEMBERS = 10_000
HEAD = 4096


def read(path: Path, options: Reading) -> Part:
    """The rows of one sheet. Raises DataError L202, L204, L205, L208, L209, L218, MachineError L505."""
    guard(path, options.max_unpacked)
    sheet, rows = cells(path, options.sheet)
    start = next((i for i, row in enumerate(rows) if filled(row)), None)
    if start is None:
        raise DataError("L202", tr("the sheet is empty"), where=f"{path.name}: {sheet}", fix=tr("name another sheet under [reading]"))
    first = rows[start][: filled(rows[start])]
    names = (
        ["" if cell is None else str(cell).strip() for cell in first]
        if options.header
        else [f"column_{i}" for i in range(1, len(first) + 1)]
    )
    check_names(names, path)
    kept, at, rejects = [], [], []
    for number, row in enumerate(rows[start + options.header :], start=start + options.header + 1):
        width = filled(row)
        if width > len(names):
            rejects.append(BadRow(str(path), number, *misfit(names, width), shorten(row[len(names)])))
        elif width:
            kept.append([*row[: len(names)], *[None] * (len(names) - len(row))])
            at.append(number)
    columns = [
        column(name, list(values), path) for name, values in zip(names, zip(*kept, strict=True) if kept else [()] * len(names), strict=True)
    ]
    note = tr("{file}: sheet {sheet}, {columns} columns", file=path.name, sheet=sheet, columns=len(names))
    return Part(pl.DataFrame(columns), Origin.lines(path, np.array(at, np.int64)), rejects, notes=(note,))


def guard(path: Path, limit: int) -> None:
    """Refuse what is no workbook, unpacks to too much, or declares entities, before anything is parsed. Raises DataError L204, L205."""
    try:
        with zipfile.ZipFile(path) as book:
            members = book.infolist()
            if sum(member.file_size for member in members) > limit or len(members) > MOST_MEMBERS:
                fix = tr("raise max_unpacked if you trust the file, or unpack it yourself")
                raise DataError("L205", tr("unpacks to more than {limit} bytes", limit=limit), where=path.name, fix=fix)
            for member in members:
                if member.filename.endswith((".xml", ".rels")) and b"<!" in head_of(book, member).replace(b"<!--", b""):
                    fix = tr("save it again as .xlsx, or as csv")
                    raise DataError("L204", tr("the workbook declares a document type"), where=path.name, fix=fix)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DataError:
    """The error for a workbook that can't be parsed."""
    fix = tr("save it again as .xlsx, or as csv")
    return DataError("L204", tr("the file is damaged: {why}", why=str(error)[:80]), where=path.name, fix=fix)


def head_of(book: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The first bytes of a member, where a document type would stand."""
    with book.open(member) as file:
        return file.read(HEAD)


def cells(path: Path, wanted: str | None) -> tuple[str, list[tuple[Any, ...]]]:
    """The sheet's name and its rows as values. Raises DataError L204, L218, MachineError L505."""
    try:
        import openpyxl
    except ImportError as error:
        raise MachineError("L505", tr("xlsx needs the package openpyxl"), where=path.name, fix="pip install openpyxl") from error
    try:
        with warnings.catch_warnings(action="ignore"):  # styles and extensions it does not know; the values stay what they are
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
            names = book.sheetnames
            name = wanted or names[0]
            if name in names:
                sheet = book[name]
                sheet.reset_dimensions()
                rows = [tuple(None if blank(cell) else cell for cell in row) for row in sheet.iter_rows(values_only=True)]
                book.close()
                return name, rows
    except Exception as error:  # openpyxl lets through whatever its XML parser, zip and number formats raise
        raise damaged(path, error) from error
    fix = tr("name one of them, or leave it out for the first")
    raise DataError("L218", tr("no sheet of this name"), where=path.name, received=name, allowed=names, fix=fix)


def blank(cell: Any) -> bool:
    """Nothing, or written as nothing."""
    return cell is None or (isinstance(cell, str) and cell.strip() in ("", "NA"))


def filled(row: tuple[Any, ...]) -> int:
    """How many cells up to the last that holds something."""
    return next((i for i in range(len(row), 0, -1) if row[i - 1] is not None), 0)


def column(name: str, values: list[Any], path: Path) -> pl.Series:
    """A typed column; error cells are missing with a warning, mixed types become text."""
    wrong = sum(isinstance(value, str) and value in ERRORS for value in values)
    if wrong:
        warn(
            "W202",
            tr("{count} cells hold an Excel error and are read as missing", count=wrong),
            where=f"{path.name}: {name}",
            fix=tr("repair the formulas"),
        )
        values = [None if isinstance(value, str) and value in ERRORS else value for value in values]
    types = {type(value) for value in values} - {type(None)}
    if types <= {int, float}:
        whole = all(float(v).is_integer() and abs(v) < 2**53 for v in values if v is not None)
        return pl.Series(
            name,
            [None if v is None else (int(v) if whole else float(v)) for v in values],
            dtype=(pl.Int64 if whole else pl.Float64) if types else pl.String,
        )
    if types == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if types <= {datetime, date}:
        return pl.Series(name, [None if v is None else datetime(*v.timetuple()[:6]) for v in values], dtype=pl.Datetime("us"))
    return pl.Series(name, [None if v is None else written(v) for v in values], dtype=pl.String)


def written(value: Any) -> str:
    """A cell of a mixed column as text, whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, (datetime, date, time)) else str(value)
