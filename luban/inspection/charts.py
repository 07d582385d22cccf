"""The small charts of the columns, each from the figures of `data-report.json` alone."""

from __future__ import annotations

import datetime
from typing import Any

from markupsafe import Markup

from luban.evaluation.figures import round4
from luban.evaluation.svg import Board, Pair

WIDTH, HEIGHT = 320, 116
DAY_S = 86_400


def of_column(column: dict[str, Any], labelled_by: str) -> Markup | None:
    """The column's histogram: of its numbers, its days, or its lengths."""
    if found := column.get("histogram"):
        return bars(found, [round4(edge) for edge in ends(found)], labelled_by)
    if found := column.get("dates"):
        return bars(found, [day(edge) for edge in ends(found)], labelled_by)
    if found := column.get("lengths"):
        unit: Pair = ("characters", "字符") if column["kind"] == "text" else ("steps or items", "步或项")
        return bars(found, [round4(edge) for edge in ends(found)], labelled_by, unit=unit)
    return None


def ends(found: dict[str, Any]) -> tuple[float, float]:
    """The least and the largest value, which stand in the outermost bins."""
    return found["least"], found["most"]


def day(seconds: float) -> str:
    """A date."""
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return moment.date().isoformat()


def bars(found: dict[str, Any], labels: list[str], labelled_by: str, *, unit: Pair = ("", "")) -> Markup:
    """Bars over a base line, the two ends named below."""
    edges, counts = found["edges"], found["counts"]
    board = Board(x=(edges[0], edges[-1]), y=(0, max(*counts, 1)), width=WIDTH, height=HEIGHT, left=2, right=2, top=4, bottom=20)
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            board.bar((low, high), count, "bar")
    foot = board.height - board.bottom
    board.draw("line", kind="axis", x1=board.left, x2=board.width - board.right, y1=foot, y2=foot)
    board.write(labels[0], board.left, board.height - 5)
    board.write(labels[1], board.width - board.right, board.height - 5, text_anchor="end")
    if unit[0]:
        board.write(unit, board.width / 2, board.height - 5, text_anchor="middle")
    return board.done(labelled_by)
