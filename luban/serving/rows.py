"""Rows of a request held against a bundle's signature: cells become values of their kind, media becomes bytes; a path or an address is neither.

What can be answered together is told by `key`: a column of whole numbers and one of texts are never mixed, so that neighbours change nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from luban.messages import Said, said
from luban.serving import problems
from luban.serving.settings import Limits

MEDIA = ("image", "audio", "video", "mask")
LARGEST_WHOLE = 2**63 - 1
MOST_DETAILS = 20
DEEPEST = 3  # a cell of lists of lists


class Wrong(Exception):
    """A cell that cannot be of its kind."""

    def __init__(self, what: Said) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Rows:
    """Checked cells by column."""

    columns: dict[str, list[Any]]
    count: int
    bytes: int
    key: tuple[str, ...] = field(default=())  # what each column holds; "mixed" keeps the rows by themselves

    @property
    def alone(self) -> bool:
        """Whether they must not be put beside other rows."""
        return "mixed" in self.key

    def table(self) -> pl.DataFrame:
        """As raw rows are."""
        return pl.DataFrame([series(name, cells) for name, cells in self.columns.items()])


def together(parts: list[Rows]) -> pl.DataFrame:
    """Rows of one key as one table."""
    if len(parts) == 1:
        return parts[0].table()
    return pl.DataFrame([series(name, [cell for part in parts for cell in part.columns[name]]) for name in parts[0].columns])


def series(name: str, cells: list[Any]) -> pl.Series:
    """As `model.predict` would make it of the same cells."""
    return pl.Series(name, cells, strict=False)


def hold(given: list[Any], inputs: dict[str, str], limits: Limits, optional: frozenset[str] = frozenset()) -> Rows:
    """The rows as columns; an optional one that no row has is left out. Raises RequestError L605 with the place of each cell that is wrong."""
    if not given or len(given) > limits.rows:
        raise problems.invalid(said("there must be between 1 and {most} rows", most=limits.rows))
    details: list[dict[str, Any]] = []
    columns: dict[str, list[Any]] = {}
    if not all(isinstance(row, dict) for row in given):
        raise problems.invalid(said("a row is a table of names and cells"))
    for name, kind in inputs.items():
        take = CELLS.get(kind, plain)
        cells = columns[name] = []
        for place, row in enumerate(given):
            try:
                cells.append(take(row.get(name) if name in optional else row[name], limits))
            except KeyError:
                details.append({"row": place, "column": name, "what": said("the column is missing")})
            except Wrong as wrong:
                details.append({"row": place, "column": name, "what": wrong.what})
            if len(details) >= MOST_DETAILS:
                break
    columns = {name: cells for name, cells in columns.items() if name not in optional or any(name in row for row in given)}
    if details:
        raise problems.invalid(said("some cells are not such as the model reads"), details[:MOST_DETAILS])
    size = sum(len(cell) if isinstance(cell, str | bytes) else 8 * measure(cell) for cells in columns.values() for cell in cells)
    types = tuple(type_of(cells, inputs[name]) for name, cells in columns.items())
    return Rows(columns, len(given), size, (*types, *columns) if optional else types)


def measure(cell: Any) -> int:
    """Numbers of a cell, about."""
    return len(cell) * (len(cell[0]) if cell and isinstance(cell[0], list) else 1) if isinstance(cell, list) else 1


def type_of(cells: list[Any], kind: str) -> str:
    """The one type of a column, `mixed` of several or of lists that may hold anything; nothing but missing cells is `none`."""
    found = {type(cell).__name__ for cell in cells if cell is not None}
    if len(found) > 1 or ("list" in found and kind not in CELLS):
        return "mixed"
    return next(iter(found), "none")


def text(cell: Any, limits: Limits) -> Any:
    """A text, or none."""
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise Wrong(said("a text is wanted"))
    if len(cell) > limits.characters:
        raise Wrong(said("the text is longer than {most} characters", most=limits.characters))
    if not cell.isascii():
        check_characters(cell)
    return cell


def check_characters(cell: str) -> None:
    """Raises Wrong for half a character, which JSON can write and nothing else can hold."""
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        raise Wrong(said("the text holds half a character")) from error


def number(cell: Any, limits: Limits) -> Any:
    """A number, or a text that may be read as one, as in a file."""
    if isinstance(cell, bool):
        return float(cell)
    if isinstance(cell, int):
        if abs(cell) > LARGEST_WHOLE:
            raise Wrong(said("the number is too large"))
        return float(cell)
    if cell is None or isinstance(cell, float):
        return cell
    if isinstance(cell, str) and len(cell) <= 64:
        return text(cell, limits)
    raise Wrong(said("a number is wanted"))


def category(cell: Any, limits: Limits) -> Any:
    """A name, a number that is one, or none."""
    if isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) > LARGEST_WHOLE:
        raise Wrong(said("the number is too large"))
    if cell is None or isinstance(cell, int | float):
        return cell
    return text(cell, limits)


def names(cell: Any, limits: Limits) -> Any:
    """Tags: a list of texts, or a text with separators."""
    if not isinstance(cell, list):
        return text(cell, limits)
    if len(cell) > limits.characters:
        raise Wrong(said("the list is too long"))
    if not all(isinstance(part, str) for part in cell):
        raise Wrong(said("a list of texts is wanted"))
    return [text(part, limits) for part in cell]


def readings(cell: Any, limits: Limits) -> Any:
    """A series: numbers, or lists of numbers all of one length."""
    if cell is None:
        return None
    if isinstance(cell, str):
        return text(cell, limits)
    if not isinstance(cell, list) or not cell:
        raise Wrong(said("a list of numbers is wanted, or of lists of numbers"))
    steps = cell if isinstance(cell[0], list) else [[part] for part in cell]
    if not all(isinstance(step, list) and len(step) == len(steps[0]) for step in steps):
        raise Wrong(said("a list of numbers is wanted, or of lists of numbers"))
    if len(steps) * len(steps[0]) > limits.numbers:
        raise Wrong(said("the series holds more than {most} numbers", most=limits.numbers))
    if not all(
        isinstance(part, int | float) and not isinstance(part, bool) and abs(part) <= LARGEST_WHOLE for step in steps for part in step
    ):
        raise Wrong(said("a list of numbers is wanted, or of lists of numbers"))
    return [[float(part) for part in step] for step in steps]


def media(cell: Any, limits: Limits) -> Any:
    """Bytes, from base64 or from a part of a form; never a path, never an address."""
    if isinstance(cell, dict) and set(cell) == {"base64"}:
        cell = cell["base64"]
    if isinstance(cell, str):
        cell = decoded(cell.partition(",")[2] if cell.startswith("data:") else cell, limits)
    if not isinstance(cell, bytes):
        raise Wrong(said('media is wanted in base64: {{"base64": "…"}}, or as a file of multipart/form-data'))
    if len(cell) > limits.media_bytes:
        raise Wrong(said("the file is larger than {most} bytes", most=limits.media_bytes))
    return cell


def decoded(cell: str, limits: Limits) -> bytes:
    """base64 to bytes. Raises Wrong."""
    if len(cell) > limits.media_bytes * 4 // 3 + 4:
        raise Wrong(said("the file is larger than {most} bytes", most=limits.media_bytes))
    try:
        return base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Wrong(said('media is wanted in base64: {{"base64": "…"}}, or as a file of multipart/form-data')) from error


def picture(cell: Any, limits: Limits) -> bytes:
    """The bytes of a picture whose header is within the limits."""
    from luban.pictures import open_picture

    data = media(cell, limits)
    found, _ = open_picture(data)
    if found is None:
        raise Wrong(said("the picture cannot be read, or has too many pixels"))
    with found:
        if found.width * found.height > limits.pixels:
            raise Wrong(said("the picture has more than {most} pixels", most=limits.pixels))
    return data


def plain(cell: Any, limits: Limits, level: int = 0) -> Any:
    """A value, or lists of values: for kinds that hold no media."""
    if isinstance(cell, list) and level < DEEPEST and len(cell) <= limits.numbers:
        return [plain(part, limits, level + 1) for part in cell]
    if isinstance(cell, dict | list | bytes):
        raise Wrong(said("a value is wanted, or a list of values"))
    return category(cell, limits)


CELLS: dict[str, Callable[[Any, Limits], Any]] = {
    "text": text, "number": number, "category": category, "date": text, "tags": names, "series": readings,
    "image": picture, **{kind: media for kind in MEDIA if kind != "image"},
}  # fmt: skip
