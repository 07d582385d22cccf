"""A small drawing board for charts inside a page: scales, axes, marks. Colours come from the page's style sheet.

Labels are drawn by the reader's own fonts, so Chinese shows wherever the page does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from luban.evaluation.figures import figure

Pair = tuple[str, str]  # English, Chinese


@dataclass
class Board:
    """A chart in the making; data coordinates in, SVG out."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 480
    height: int = 280
    left: int = 52
    right: int = 14
    top: int = 14
    bottom: int = 46
    parts: list[Markup] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self.x
        return round(self.left + (value - low) / ((high - low) or 1) * (self.width - self.left - self.right), 1)

    def at_y(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self.y
        return round(self.height - self.bottom - (value - low) / ((high - low) or 1) * (self.height - self.top - self.bottom), 1)

    def draw(self, shape: str, **attributes: Any) -> None:
        """One SVG element; `kind` is its class."""
        pairs = " ".join(f'{name.replace("kind", "class").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
        self.parts.append(Markup(f"<{shape} {pairs}/>"))

    def write(self, text: str | Pair, x: float, y: float, **attributes: Any) -> None:
        """A label; of a pair the page shows the reader's language."""
        versions = [(text, "")] if isinstance(text, str) else [(text[0], "en"), (text[1], "zh")]
        pairs = "".join(f' {name.replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
        for words, language in versions:
            self.parts.append(Markup(f'<text x="{x}" y="{y}" class="{language}"{pairs}>{escape(words)}</text>'))

    def axes(self, across: Pair, up: Pair, *, x_ticks: Sequence[float] | None = None, y_ticks: Sequence[float] | None = None) -> None:
        """Grid, tick labels and titles."""
        for tick in ticks(*self.y) if y_ticks is None else y_ticks:
            self.draw("line", kind="grid", x1=self.left, x2=self.width - self.right, y1=self.at_y(tick), y2=self.at_y(tick))
            self.write(tidy(tick), self.left - 7, self.at_y(tick) + 4, text_anchor="end")
        for tick in ticks(*self.x, most=6) if x_ticks is None else x_ticks:
            self.write(tidy(tick), self.at_x(tick), self.height - self.bottom + 17, text_anchor="middle")
        self.draw("line", kind="axis", x1=self.left, x2=self.width - self.right, y1=self.height - self.bottom, y2=self.height - self.bottom)
        self.write(across, (self.left + self.width - self.right) / 2, self.height - 8, text_anchor="middle")
        middle = (self.top + self.height - self.bottom) / 2
        self.write(up, 12, middle, text_anchor="middle", transform=f"rotate(-90 12 {middle})")

    def line(self, points: Sequence[Sequence[float]], kind: str) -> None:
        """A line through points."""
        self.draw("polyline", kind=kind, points=" ".join(f"{self.at_x(x)},{self.at_y(y)}" for x, y in points))

    def dot(self, x: float, y: float, kind: str, radius: float = 3) -> None:
        """A point."""
        self.draw("circle", kind=kind, cx=self.at_x(x), cy=self.at_y(y), r=radius)

    def bar(self, x: tuple[float, float], y: float, kind: str, *, base: float = 0.0) -> None:
        """An upright bar between two places."""
        begin, end, top, foot = self.at_x(x[0]), self.at_x(x[1]), self.at_y(y), self.at_y(base)
        self.draw("rect", kind=kind, x=round(begin + 0.5, 1), y=top, width=round(max(end - begin - 1, 0.5), 1), height=round(foot - top, 1))

    def done(self, labelled_by: str) -> Markup:
        """The finished chart."""
        head = f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-labelledby="{escape(labelled_by)}">'
        return Markup(head) + Markup("").join(self.parts) + Markup("</svg>")


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two ends."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * i, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def tidy(value: float) -> str:
    """A tick without needless digits."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    if size >= 1e4:
        return f"{value / 1e3:g}k"
    return f"{value:g}" if size >= 1e-4 or size == 0 else figure(value)


def padded(values: Sequence[float], share: float = 0.06) -> tuple[float, float]:
    """Both ends of the values with some air."""
    low, high = min(values), max(values)
    air = (high - low) * share or abs(high) * share or 1.0
    return low - air, high + air
