"""What each column is, which one is the target, which task it makes: guesses from the data, each with its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from luban.catalog import entries
from luban.data.media import medium_of_column
from luban.messages import tr

SAMPLE = 50_000
FEW = 12  # distinct whole numbers up to which codes are considered
FEW_CLASSES = 20
LONG_CATEGORY = 32  # mean characters beyond which repeated text is still text
SHORT_TEXT, SHORT_HAN_TEXT = 8, 6  # Chinese says more in fewer characters and has no spaces to count words by
SEPARATORS = ("|", ";", "；", "、", ",", "，")
MOST_TAGS = 1000
HAN = r"[\u3400-\u9fff]"
DATE_SHAPE = r"^\s*\d{4}\s*[-/.年]\s*\d{1,2}\s*[-/.月]\s*\d{1,2}\s*日?([T ]\d{1,2}:\d{2}.*)?\s*$|^\s*\d{1,2}[./]\d{1,2}[./]\d{4}\s*$"
NUMBER_SHAPE = r"^\s*[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d+)?\s*%?\s*$"
SERIES_SHAPE = r"^\s*\[[\s\[]*[+-]?[\d.][\s\d.,eE+\-\[\]]*\]\s*$"
CODE_SHAPE = r"^[A-Za-z0-9_\-:.#/]+$"
ID_NAME = re.compile(r"(?i:(^|[_\s\-.])(id|ids|uuid|guid|index|idx)([_\s\-.]|$))|[a-z](Id|ID)$|编号|序号")
ROW_NAME = re.compile(r"(?i:(^|[_\s\-.])(row|key|no)$|^unnamed)")
CODE_NAME = re.compile(r"(type|code|class|kind|zip|postcode|category|cluster|group|status|类|码|型|区)", re.IGNORECASE)
DATE_NAME = re.compile(r"(date|day|日期|时间)", re.IGNORECASE)
TARGET_NAMES = (
    "target", "label", "labels", "class", "y", "sentiment", "outcome", "response", "category",
    "目标", "标签", "类别", "情感", "分类", "结果",
)  # fmt: skip
LIKELY_TARGETS = (
    "survived", "churn", "churned", "default", "income", "price", "saleprice", "medv", "species", "diagnosis", "quality", "rating",
    "score", "stars", "creditability", "topic", "tags", "is_fraud", "fraud", "价格", "销量", "评分", "是否违约", "流失",
)  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """Kinds of columns, the target and the task, each with a sentence that says why."""

    kinds: dict[str, str]  # column -> kind, the target among them
    why: dict[str, str]  # column -> reason
    ignored: dict[str, str]  # column -> reason
    target: str | None
    target_why: str
    task: str | None  # classification, regression, or None without a target
    task_why: str

    @property
    def inputs(self) -> dict[str, str]:
        """The kinds of all columns but the target."""
        return {name: kind for name, kind in self.kinds.items() if name != self.target}


@dataclass(frozen=True)
class Look:
    """A column's known values (a sample of at most 50,000 rows), and their count and spread."""

    name: str
    whole: pl.Series
    known: pl.Series
    distinct: int

    @property
    def share(self) -> float:
        """Of the known values, the share that is distinct."""
        return self.distinct / len(self.known)

    def count(self) -> str:
        """Distinct values; of a sample, at least so many."""
        return str(self.distinct) if len(self.whole) <= SAMPLE else f"≥ {self.distinct}"

    def all_differ(self) -> bool:
        """No value occurs twice in the whole column."""
        return (
            self.distinct == len(self.known)
            and self.whole.n_unique() - bool(self.whole.null_count()) == len(self.whole) - self.whole.null_count()
        )


Verdict = tuple[str | None, str]  # kind or None = ignored, and the reason


def guess(table: pl.DataFrame, target: str | None = None) -> Guess:
    """Kinds, target and task; `target` when the user named it."""
    verdicts = {series.name: judge(series) for series in table.get_columns()}
    chosen, target_why = (target, tr("you named it")) if target else choose_target(table, verdicts)
    task, task_why = None, tr("no target, no task")
    if chosen in verdicts:
        verdicts[chosen], task, task_why = as_target(table[chosen], verdicts[chosen])
    kinds = {name: kind for name, (kind, _) in verdicts.items() if kind}
    why = {name: reason for name, (kind, reason) in verdicts.items() if kind}
    ignored = {name: reason for name, (kind, reason) in verdicts.items() if not kind}
    return Guess(kinds, why, ignored, chosen, target_why, task, task_why)


def judge(series: pl.Series) -> Verdict:
    """One column's kind, or why it is left out."""
    if series.null_count() == len(series):
        return None, tr("no value at all")
    known = series.gather_every(max(1, -(-len(series) // SAMPLE))).drop_nulls()
    known = known if len(known) else series.drop_nulls().head(SAMPLE)
    if nested := judge_nested(series, known):
        return nested
    look = Look(series.name, series, known, known.n_unique())
    if look.distinct == 1 and series.drop_nulls().n_unique() == 1 and len(series) > 1:
        if not series.null_count():
            return None, tr("the same value in every row")
        return "category", tr("one value, or missing")
    if series.dtype == pl.Boolean:
        return "category", tr("true or false")
    if series.dtype.is_temporal():
        return "date", tr("dates")
    return judge_numbers(look) if series.dtype.is_numeric() else judge_text(look)


def judge_nested(series: pl.Series, known: pl.Series) -> Verdict | None:
    """Bytes and lists."""
    if medium := medium_of_column(series):
        return as_medium(medium)
    if series.dtype == pl.Binary:
        return None, tr("bytes of an unknown format")
    if not isinstance(series.dtype, (pl.List, pl.Array)):
        return None
    inner = series.dtype.inner
    while isinstance(inner, (pl.List, pl.Array)):
        inner = inner.inner
    if inner == pl.String and series.dtype.inner == pl.String:
        names = known.explode(empty_as_null=True).n_unique()
        return "tags", tr("lists of names, {count} different ones", count=names)
    if inner.is_numeric():
        lengths = known.list.len() if isinstance(known.dtype, pl.List) else known.arr.to_list().list.len()
        return "series", tr("lists of numbers, {shortest} to {longest} steps", shortest=lengths.min(), longest=lengths.max())
    return None, tr("nested values that are neither names nor numbers")


def as_medium(medium: str) -> Verdict:
    """Media of a kind Luban reads, or not yet."""
    if medium in entries("kinds"):
        return medium, tr("holds files or bytes of {medium}", medium=medium)
    return None, tr("holds {medium}, which no kind of column reads yet", medium=medium)


def judge_numbers(look: Look) -> Verdict:
    """Whole numbers may be counts, codes, dates or ids."""
    known = look.known
    finite = known.drop_nans().filter(known.drop_nans().is_finite()) if known.dtype.is_float() else known
    if not len(finite):
        return None, tr("no finite number")
    if not whole(finite):
        return "number", tr("{distinct} distinct numbers", distinct=look.count())
    low, high = int(finite.min()), int(finite.max())  # pyright: ignore[reportArgumentType]
    if counts_rows(look):
        return None, tr("whole numbers that count the rows")
    if ID_NAME.search(look.name) or ROW_NAME.search(look.name):
        if look.all_differ():
            return None, tr("a different whole number in every row, and named like an id")
        if look.distinct > FEW and ID_NAME.search(look.name):
            return "category", tr("{distinct} codes, and named like an id", distinct=look.distinct)
    if DATE_NAME.search(look.name) and low >= 19_000_101 and high <= 21_001_231 and not unreadable_days(known):
        return "date", tr("whole numbers that read as year, month and day")
    if look.distinct == 2:
        return "category", tr("two values: {low} and {high}", low=low, high=high)
    if look.distinct <= FEW and (CODE_NAME.search(look.name) or high - low > 4 * look.distinct) and look.share <= 0.5:
        return "category", tr("{distinct} whole numbers that look like codes; write number if their order counts", distinct=look.distinct)
    if look.distinct <= FEW:
        return "number", tr(
            "{distinct} whole numbers from {low} to {high}; write category if they are codes", distinct=look.distinct, low=low, high=high
        )
    return "number", tr("whole numbers from {low} to {high}", low=low, high=high)


def unreadable_days(known: pl.Series) -> int:
    """How many numbers are no day written as 20240501."""
    return known.cast(pl.Int64).cast(pl.String).str.to_date("%Y%m%d", strict=False).null_count()


def whole(known: pl.Series) -> bool:
    """Whether all numbers are whole."""
    return known.dtype.is_integer() or bool(((known == known.floor()) & (known.abs() < 2**53)).all())


def counts_rows(look: Look) -> bool:
    """n, n + 1, n + 2 … in the order of the rows, or the same numbers in another order."""
    column = look.whole
    if len(column) < 8 or column.null_count() or not look.all_differ():
        return False
    return int(column.max()) - int(column.min()) == len(column) - 1  # pyright: ignore[reportArgumentType]


def judge_text(look: Look) -> Verdict:
    """Dates, numbers with signs, tags, ids, categories, text: in this order."""
    known = look.known
    if (share := average(known.str.contains(SERIES_SHAPE))) >= 0.95:
        return "series", tr("{share} read as lists of numbers", share=f"{share:.0%}")
    if (share := average(known.str.contains(DATE_SHAPE))) >= 0.95:
        return "date", tr("{share} read as dates, such as {example}", share=f"{share:.0%}", example=repr(known[0])[:30])
    padded = known.str.contains(r"^\s*0\d").any()
    if not padded and look.share < 0.5 and look.distinct <= FEW and known.str.contains(r"^\s*[+-]?\d+\s*$").all():
        return "category", tr("{distinct} whole numbers written as text", distinct=look.distinct)
    if not padded and (share := average(known.str.contains(NUMBER_SHAPE) & known.str.contains(r"\d"))) >= 0.95:
        return "number", tr(
            "{share} read as numbers, such as {example}; the others will be rejected", share=f"{share:.0%}", example=repr(known[0])[:30]
        )
    if tags := judge_tags(look):
        return tags
    length = average(known.str.len_chars())
    han = average(known.str.contains(HAN)) >= 0.5
    if look_alike(look, length, han=bool(han)):
        return None, tr("a different code in every row, such as {example}: an id", example=repr(known[0])[:30])
    facts = {"share": f"{look.share:.0%}", "distinct": look.distinct, "length": round(length)}
    shortest = SHORT_HAN_TEXT if han else SHORT_TEXT
    if (look.share > 0.5 and length >= shortest and look.distinct > 5) or (length > LONG_CATEGORY and look.distinct > 50):
        return "text", tr("{share} of the values distinct, {length} characters on average", **facts)
    return "category", tr("{distinct} distinct values, {length} characters on average", **facts)


def average(values: pl.Series) -> float:
    """The mean, or the share of True."""
    return float(values.mean() or 0.0)  # pyright: ignore[reportArgumentType]


def look_alike(look: Look, length: float, *, han: bool) -> bool:
    """An id: all differ, no spaces, and built alike (same length, or a common beginning, or the name says so)."""
    if han or length > 64 or len(look.known) < 8 or not look.known.str.contains(CODE_SHAPE).all() or not look.all_differ():
        return False
    if ID_NAME.search(look.name) or ROW_NAME.search(look.name):
        return True
    digits = average(look.known.str.contains(r"\d")) >= 0.9
    lengths = look.known.str.len_chars()
    return bool(digits) and (lengths.n_unique() <= 3 or look.known.str.slice(0, 2).n_unique() == 1)


def judge_tags(look: Look) -> Verdict | None:
    """Names joined by a separator: combinations outnumber the names they are made of."""
    for separator in SEPARATORS:
        if average(look.known.str.contains(separator, literal=True)) < 0.2:
            continue
        parts = look.known.str.split(separator).explode(empty_as_null=True).str.strip_chars()
        names = parts.n_unique()
        few = names <= MOST_TAGS and names < look.distinct and names <= 0.3 * len(parts)
        if few and average(parts.str.len_chars()) <= 24 and not (parts.str.len_chars() > 64).any():
            return "tags", tr("{names} names joined by {separator}", names=names, separator=separator)
    return None


def choose_target(table: pl.DataFrame, verdicts: dict[str, Verdict]) -> tuple[str | None, str]:
    """By name, else the last column that can be one."""
    if table.width < 2:
        return None, tr("a single column")
    possible = [name for name, (kind, _) in verdicts.items() if kind in ("category", "number", "tags")]
    for wanted in (TARGET_NAMES, LIKELY_TARGETS):
        for word in wanted:
            if found := next((name for name in reversed(possible) if name.strip().lower() == word), None):
                return found, tr("its name says so")
    for word in TARGET_NAMES:
        if len(word) > 1 and (
            found := next((name for name in reversed(possible) if re.search(rf"(^|[_\s\-.]){word}($|[_\s\-.])", name.lower())), None)
        ):
            return found, tr("its name says so")
    if possible:
        return possible[-1], tr("the last column that can be one; name another with --target")
    return None, tr("no column looks like one; name it with --target")


def as_target(series: pl.Series, verdict: Verdict) -> tuple[Verdict, str | None, str]:
    """The target's kind, the task, and why."""
    kind, reason = verdict
    known = series.drop_nulls()
    distinct = known.n_unique() if not isinstance(series.dtype, (pl.List, pl.Array)) else 0
    if kind == "tags":
        return verdict, "classification", tr("any number of names per row")
    if kind == "number":
        if (
            series.dtype.is_numeric()
            and whole(known.drop_nans() if known.dtype.is_float() else known)
            and distinct <= FEW_CLASSES
            and distinct * 5 <= len(known)
        ):
            return (
                ("category", reason),
                "classification",
                tr("{distinct} whole numbers; write regression if their order counts", distinct=distinct),
            )
        return verdict, "regression", tr("{distinct} distinct numbers", distinct=distinct)
    if kind in ("category", "text") or (kind is None and known.dtype == pl.String):
        return ("category", reason), "classification", tr("{distinct} distinct values", distinct=distinct)
    if kind is None and series.dtype.is_numeric() and len(known):
        return ("number", reason), "regression", tr("{distinct} distinct numbers", distinct=distinct)
    return verdict, None, tr("a column of this kind can't be a target: {kind}", kind=kind or reason)
