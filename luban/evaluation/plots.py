"""The charts of a report, each from the figures of `report.json` alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from luban.evaluation.figures import known
from luban.evaluation.metrics import metrics
from luban.evaluation.schema import Bin, Curves, Histogram, LadderRow
from luban.evaluation.svg import Board, Pair, padded, ticks, tidy

MOST_POINTS = 400


def title_of(metric: str) -> Pair:
    """How a metric is called in English and Chinese; an unknown one by its name."""
    found = metrics().get(metric)
    return found.titles if found else (metric, metric)


def thinned(points: Sequence[Sequence[float]], most: int = MOST_POINTS) -> list[Sequence[float]]:
    """Finite points only, evenly thinned; the last one stays."""
    kept = [point for point in points if all(known(value) for value in point)]
    step = -(-len(kept) // most) or 1
    return [*kept[:-1:step], kept[-1]] if kept else []


def learning(points: Sequence[Sequence[float]], what: Pair, labelled_by: str, best_step: int | None, line: str) -> Markup:
    """A curve by step, with the chosen checkpoint marked."""
    points = thinned(points)
    if not points:
        return Markup("")
    steps = [point[0] for point in points]
    board = Board(x=(min(0, steps[0]), max(*steps, best_step or 0, 1)), y=padded([point[1] for point in points]))
    board.axes(("step", "步数"), what)
    if best_step is not None:
        place = board.at_x(best_step)
        board.draw("line", kind="chosen", x1=place, x2=place, y1=board.top, y2=board.height - board.bottom)
        side = "end" if place > board.width * 0.6 else "start"
        near = min(points, key=lambda point: abs(point[0] - best_step))
        height = board.height - board.bottom - 8 if near[1] > sum(board.y) / 2 else board.top + 10
        board.write(("chosen checkpoint", "选定的检查点"), place + (-6 if side == "end" else 6), height, text_anchor=side)
    board.line(points, line)
    for point in points if len(points) <= 40 else ():
        board.dot(*point, kind=f"{line} dot")
    return board.done(labelled_by)


def loss_curve(curves: Curves, labelled_by: str) -> Markup:
    """Training loss by step."""
    return learning(curves["train"], ("training loss", "训练损失"), labelled_by, curves["best_step"], "line-train")


def score_curve(curves: Curves, metric: str, labelled_by: str) -> Markup:
    """Validation score by step."""
    return learning(curves["validation"], title_of(metric), labelled_by, curves["best_step"], "line-score")


def reliability_curve(bins: Sequence[Bin], labelled_by: str) -> Markup:
    """Accuracy by confidence against the diagonal, over how many answers stand behind each point."""
    filled = [part for part in bins if part["count"]]
    if not filled:
        return Markup("")
    board = Board(x=(0, 1), y=(0, 1), height=320)
    most, unit = max(part["count"] for part in filled), [0, 0.2, 0.4, 0.6, 0.8, 1]
    for part in filled:
        board.bar((part["low"], part["high"]), 0.22 * part["count"] / most, "bar-quiet")
    board.axes(("confidence", "置信度"), ("accuracy", "准确率"), x_ticks=unit, y_ticks=unit)
    board.line([(0, 0), (1, 1)], "diagonal")
    points = [(float(part["confidence"] or 0), float(part["accuracy"] or 0), part["count"]) for part in filled]
    board.line([point[:2] for point in points if point[2] >= 0.01 * most], "line-score")  # a few answers make no curve
    for x, y, count in points:
        board.dot(x, y, "line-score dot", 2 + 4 * (count / most) ** 0.5)
    return board.done(labelled_by)


def roc_curve(points: Sequence[Sequence[float]], labelled_by: str) -> Markup:
    """Positives caught by false alarms."""
    board, unit = Board(x=(0, 1), y=(0, 1), height=320), [0, 0.2, 0.4, 0.6, 0.8, 1]
    board.axes(("false positive rate", "假阳性率"), ("true positive rate", "真阳性率"), x_ticks=unit, y_ticks=unit)
    board.line([(0, 0), (1, 1)], "diagonal")
    board.line(thinned(points), "line-score")
    return board.done(labelled_by)


def scatter(points: Sequence[Sequence[float]], labelled_by: str) -> Markup:
    """Answers against the truth; on the diagonal they are right."""
    points = thinned(points, 500)
    if not points:
        return Markup("")
    ends = padded([value for point in points for value in point])
    board = Board(x=ends, y=ends, height=340)
    board.axes(("truth", "真实值"), ("answer", "预测值"))
    board.line([(ends[0], ends[0]), (ends[1], ends[1])], "diagonal")
    for truth, answer in points:
        board.dot(truth, answer, "cloud", 2.6)
    return board.done(labelled_by)


def residual_bars(residuals: Histogram, labelled_by: str) -> Markup:
    """How many answers lie how far above or below the truth."""
    edges, counts = residuals["edges"], residuals["counts"]
    if not counts:
        return Markup("")
    board = Board(x=(edges[0], edges[-1]), y=(0, max(*counts, 1) * 1.06), height=340)
    board.axes(("answer − truth", "预测值 − 真实值"), ("examples", "样本数"))
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        board.bar((low, high), count, "bar")
    if edges[0] < 0 < edges[-1]:
        board.draw("line", kind="chosen", x1=board.at_x(0), x2=board.at_x(0), y1=board.top, y2=board.height - board.bottom)
    return board.done(labelled_by)


@dataclass(frozen=True)
class Scale:
    """The common axis of the ladder's scores, in % of its width."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a score stands; the ends for what lies beyond."""
        return round(min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low))), 2)

    def beyond(self, value: float) -> str:
        """An arrow for a score that lies off the axis."""
        return "‹" if value < self.low else "›" if value > self.high else ""

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels."""
        return [(self.place(tick), tidy(tick)) for tick in ticks(self.low, self.high, most=4)]


def scale_of(ladder: Sequence[LadderRow], metric: str) -> Scale:
    """From the lowest edge to the highest; one model far from all others (the majority) is left off, that they may be told apart."""
    ends = [ends_of(row, metric) for row in ladder]
    ends = sorted(pair for pair in ends if pair)
    low, high = min((pair[0] for pair in ends), default=0.0), max((pair[1] for pair in ends), default=1.0)
    if len(ends) > 2:
        second, last = ends[1][0], max(pair[1] for pair in ends[:-1])
        if high - second < 0.5 * (high - low):
            low = second
        elif last - low < 0.5 * (high - low):
            high = last
    return Scale(*padded([low, high], 0.08))


def ends_of(row: LadderRow, metric: str) -> tuple[float, float] | None:
    """Lowest and highest edge of a model's scores."""
    scores = [split[metric] for split in (row["validation"], row["test"]) if split and metric in split]
    values = [float(edge) for score in scores for edge in (score["value"], score["low"], score["high"]) if edge is not None and known(edge)]
    return (min(values), max(values)) if values else None
