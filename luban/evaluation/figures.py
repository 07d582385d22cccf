"""Figures as people read them: the digits that matter, units, one language beside the other."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

NOTHING = "–"


def both(english: Any, chinese: Any) -> Markup:
    """Both languages; the page shows one of them."""
    return Markup('<span class="en" lang="en">{}</span><span class="zh" lang="zh-Hans">{}</span>').format(english, chinese)


def known(value: Any) -> bool:
    """Whether there is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def figure(value: Any) -> str:
    """A score or quantity with the digits that matter."""
    if not known(value):
        return NOTHING
    size = abs(value)
    if size >= 1e7:
        return f"{value:.3g}"
    if size >= 1000:
        return f"{value:,.0f}"
    if 0 < size < 0.001:
        return f"{value:.2g}"
    return f"{value:.{1 if size >= 100 else 2 if size >= 10 else 3}f}"


def round4(value: Any) -> str:
    """A quantity in the user's unit: four digits, thousands set apart."""
    if not known(value):
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def span(low: Any, high: Any) -> str:
    """An interval; empty when it is not known."""
    return f"{figure(low)}\N{NO-BREAK SPACE}–\N{NO-BREAK SPACE}{figure(high)}" if known(low) and known(high) else ""


def whole(value: Any) -> str:
    """A count with thousands set apart."""
    return f"{value:,.0f}" if known(value) else NOTHING


def percent(value: Any) -> str:
    """A share."""
    if not known(value):
        return NOTHING
    return f"{100 * value:.1f} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"


def short(value: Any) -> str:
    """A large count in thousands or millions."""
    if not known(value):
        return NOTHING
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f}"


def duration(seconds: Any) -> Markup:
    """Seconds, minutes or hours."""
    if not known(seconds):
        return Markup(NOTHING)
    if seconds < 60:
        amount = f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"
        return both(f"{amount} s", f"{amount} 秒")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return both(f"{minutes} min {rest} s", f"{minutes} 分 {rest} 秒")
    hours, minutes = divmod(minutes, 60)
    return both(f"{hours} h {minutes} min", f"{hours} 小时 {minutes} 分")


def memory(count: Any) -> str:
    """Bytes."""
    if not known(count):
        return NOTHING
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def said(value: Any, limit: int = 300) -> Any:
    """A sentence: in both languages if it was given as {"en": …, "zh": …}, else as it is; cut to `limit` characters."""
    if isinstance(value, dict) and {"en", "zh"} <= value.keys():
        return both(cut(value["en"], limit), cut(value["zh"], limit))
    return cut(value, limit)


def cut(value: Any, limit: int = 300) -> str:
    """A text of at most `limit` characters."""
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def answered(value: Any) -> str:
    """A label, or a quantity with the digits that matter."""
    if isinstance(value, list | tuple):
        value = ", ".join(str(part) for part in value) or NOTHING
    return figure(value) if isinstance(value, float) else cut(value, 60)


def moment(created: Any) -> str:
    """Date and minute of an ISO 8601 time."""
    return cut(created, 40)[:16].replace("T", " ")


def json_ready(value: Any) -> Any:
    """What JSON can hold: NaN and infinities become null, arrays lists, anything strange its text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): json_ready(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
