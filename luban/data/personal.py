"""Personal data in texts and numbers: e-mail, mobile and telephone, resident id, social security number, bank card.

Shapes are checked by their own rules (checksums, dates, prefixes), so that order numbers, times and amounts are not taken for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import polars as pl

MOST_EXAMPLES = 3
MOST_CHARACTERS = 2_000  # of a cell, from its start
LONGEST = 128  # characters of an e-mail address that is still masked
MOSTLY = 0.95  # of a column of bare numbers, the share that must fit: digits alone fit by chance
FILES = {"png", "jpg", "jpeg", "gif", "webp", "svg", "bmp", "css", "js", "html", "zip", "pdf", "txt", "csv"}
PROVINCES = {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83}
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
KNOWN_FAKES = {"078051120", "219099999", "123456789", "111111111"}
CARDS = ((r"4\d{15}(\d{3})?", "Visa"), (r"5[1-5]\d{14}|2(22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}", "Mastercard"), (r"3[47]\d{13}", "Amex"),
         (r"62\d{14,17}", "UnionPay"), (r"35(2[89]|[3-8]\d)\d{12}", "JCB"), (r"6(011|5\d\d|4[4-9]\d)\d{12}", "Discover"), (r"3(0[0-5]|[68]\d)\d{11}", "Diners"))  # fmt: skip
CARD = re.compile("|".join(f"(?:{shape})" for shape, _ in CARDS))
ALONE, END = r"(?<![\w.+\-/#])", r"(?![\w\-]|\.\d)"  # not a part of a longer word, number or path


@dataclass(frozen=True)
class Found:
    """How many cells hold it, and a few of them masked."""

    kind: str
    count: int
    examples: list[str]


@dataclass(frozen=True)
class Shape:
    """How one kind of personal data is written, and what else must hold."""

    kind: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]
    quick: str  # for Polars: what any cell that could match contains


def personal(series: pl.Series) -> list[Found]:
    """What a column of texts or whole numbers holds, kind by kind; a value is named once, by the first kind it fits."""
    if not (series.dtype == pl.String or series.dtype.is_integer()):
        return []
    bare = series.dtype.is_integer()
    cells = series.drop_nulls().cast(pl.String).str.slice(0, MOST_CHARACTERS)
    if not len(cells) or (bare and not cells.str.contains(r"^\d{11,19}$").any()):
        return []
    found = []
    for shape in SHAPES:
        able = cells.filter(cells.str.contains(shape.quick))
        hits = [hit for cell in able.to_list() if (hit := first(shape, cell))]
        written = bare or bool(cells.str.contains(r"^\d+$").all())
        if hits and (not written or len(hits) >= MOSTLY * len(cells)):
            found.append(Found(shape.kind, len(hits), list(dict.fromkeys(map(masked, hits)))[:MOST_EXAMPLES]))
    return found


def first(shape: Shape, cell: str) -> str:
    """The first match in a cell that holds, or nothing."""
    return next((match.group() for match in shape.pattern.finditer(cell) if shape.holds(match.group())), "")


def masked(value: str) -> str:
    """The first character, and one more of what stands before it; all others are stars, signs between them stay."""
    shown = 3 if value.startswith("+") else 1
    return value[:shown] + re.sub(r"[^\W_]", "*", value[shown:])


def digits_of(value: str) -> str:
    """Digits alone."""
    return re.sub(r"\D", "", value)


def is_email(value: str) -> bool:
    """A name, a domain with a top level that is no file's suffix."""
    name, _, domain = value.rpartition("@")
    labels = domain.split(".")
    return (
        labels[-1].lower() not in FILES
        and ".." not in value
        and not name.startswith(".")
        and all(label.strip("-") == label for label in labels)
    )


def is_resident_id(value: str) -> bool:
    """Eighteen places: province, birth date, checksum."""
    try:
        born = date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return False
    check = "10X98765432"[sum(int(digit) * weight for digit, weight in zip(value, WEIGHTS, strict=False)) % 11]
    return int(value[:2]) in PROVINCES and 1900 <= born.year and born <= date.today() and value[17].upper() == check


def is_card(value: str) -> bool:
    """A known prefix and length, and the sum of Luhn (ISO/IEC 7812-1)."""
    digits = digits_of(value)
    if not CARD.fullmatch(digits) or len(set(digits)) < 4:
        return False
    doubled = [int(d) if place % 2 == 0 else sum(divmod(2 * int(d), 10)) for place, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def is_social_security(value: str) -> bool:
    """Area, group and serial that were given out."""
    area, group, serial = value.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000" and digits_of(value) not in KNOWN_FAKES


def is_mobile(value: str) -> bool:
    """Eleven digits, more than two different ones after the prefix."""
    return len(set(digits_of(value)[-8:])) > 2


def is_telephone(value: str) -> bool:
    """Eight to fifteen digits behind a +, or ten in the North American grouping."""
    digits = digits_of(value)
    if value.startswith("+"):
        return 10 <= len(digits) <= 15 and not digits.startswith("86") and len(set(digits[3:])) > 2
    return len(digits) == 10 and len(set(digits)) > 3


SHAPES = (
    Shape("email", re.compile(r"(?<![\w.+\-@/])[\w.+\-]{1,64}@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,24}(?![\w\-@]|\.\w)", re.ASCII), is_email, "@"),
    Shape("resident_id", re.compile(ALONE + r"[1-8]\d{16}[\dXx]" + END, re.ASCII), is_resident_id, r"\d{17}"),
    Shape("bank_card", re.compile(ALONE + r"\d{4,6}(?:[ \-]?\d{4,6}){2,3}(?:[ \-]?\d{1,3})?" + END, re.ASCII), is_card, r"\d{4}[ \-]?\d{4}"),
    Shape("mobile", re.compile(r"(?<![\w.\-/#])(?:\+?86[ \-]?)?1[3-9]\d[ \-]?\d{4}[ \-]?\d{4}" + END, re.ASCII), is_mobile, r"1[3-9]\d[ \-]?\d{4}"),
    Shape("social_security", re.compile(ALONE + r"\d{3}-\d{2}-\d{4}" + END, re.ASCII), is_social_security, r"\d{3}-\d{2}-\d{4}"),
    Shape("telephone", re.compile(r"(?<![\w.\-/#+])(?:\+[1-9]\d{0,2}(?:[ \-]?\(?\d{1,4}\)?){2,5}|\([2-9]\d{2}\) ?[2-9]\d{2}-\d{4}|[2-9]\d{2}-[2-9]\d{2}-\d{4})" + END, re.ASCII), is_telephone, r"\+[1-9]|\d{3}-\d{4}"),
)  # fmt: skip


def hidden(text: str, most: int = MOST_CHARACTERS) -> str:
    """The first `most` characters of a text, everything personal in it masked, also what the cut goes through."""
    text = text[: most + LONGEST]
    for shape in SHAPES:
        text = shape.pattern.sub(lambda match, shape=shape: masked(match.group()) if shape.holds(match.group()) else match.group(), text)
    return text[:most]
