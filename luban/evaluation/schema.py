"""What `report.json` holds. Each figure can be recomputed from the run folder; a page never computes one.

A score that is not defined is NaN here and null in the file. Everything marked NotRequired may be left out or None.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class BothLanguages(TypedDict):
    """A sentence in both languages; the page shows the reader's."""

    en: str
    zh: str


Text = str | BothLanguages  # a plain str is shown as it is


class Score(TypedDict):
    """A figure and how far it could lie off."""

    value: float | None
    low: float | None
    high: float | None


class RunFacts(TypedDict):
    """What was run."""

    name: str
    task: str
    created: str  # ISO 8601, with the zone
    command: str
    luban_version: str
    seconds: float
    energy_kwh: NotRequired[float | None]


class DataFacts(TypedDict):
    """What it was run on."""

    name: str
    hash: str
    rows: int
    sample: NotRequired[dict[str, int] | None]  # rows checked and fitted on, `of` so many; null = all of them
    splits: dict[str, int]  # train, validation, test -> rows
    rejects: int
    inputs: dict[str, str]  # column -> kind
    target: str
    labels: NotRequired[list[str] | None]
    class_counts: NotRequired[dict[str, int] | None]
    findings: NotRequired[list[Text]]  # what the data check said


class Protocol(TypedDict):
    """How the figures were obtained."""

    split: Text
    metric: str  # the first metric: it chooses
    seed: int
    folds: NotRequired[int | None]
    level: float  # of the intervals
    chosen_by: Text  # who chose what on which split
    test_scored: int  # how many times the test split was scored
    signatures: NotRequired[dict[str, str]]  # metric -> how it is computed, in the words of its field


class LadderRow(TypedDict):
    """One model of the ladder; rows stand from the cheapest to the dearest."""

    name: str
    kind: str
    role: Literal["baseline", "network"]
    parameters: int | None
    fit_seconds: float | None
    fit_rows: NotRequired[int | None]  # a sample of the training rows; null = all of them
    validation: dict[str, Score]
    test: dict[str, Score] | None  # the chosen model, and the baselines scored once
    chosen: bool
    error: Text | None


VerdictKind = Literal["network_wins", "tie", "baseline_wins", "only"]


class Verdict(TypedDict):
    """The first sentence of the report."""

    kind: VerdictKind
    text_en: str
    text_zh: str


class Curves(TypedDict):
    """How the chosen network learnt."""

    train: list[tuple[int, float]]  # step, loss
    validation: list[tuple[int, float]]  # step, score of the first metric
    best_step: int | None


class Confusion(TypedDict):
    """counts[i][j]: examples of label i guessed as j."""

    labels: list[str]
    counts: list[list[int]]


class Pair(TypedDict):
    """A label taken for another, and the share of that label's examples."""

    label: str
    guess: str
    count: int
    share: float


class Bin(TypedDict):
    """Answers of about one confidence."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


class Calibration(TypedDict):
    """The reliability curve."""

    bins: list[Bin]


class Histogram(TypedDict):
    """counts[i] lie between edges[i] and edges[i + 1]."""

    edges: list[float]
    counts: list[int]


class Regression(TypedDict):
    """Truth against answer, and the residuals."""

    points: list[list[float]]  # truth, answer
    residuals: Histogram


class ClassScore(TypedDict):
    """Scores of one class."""

    label: str
    count: int
    precision: float | None
    recall: float | None
    f1: float | None


class Wrong(TypedDict):
    """An example it got wrong; an image is a data URI made by `thumbnail`."""

    row: int
    truth: Any
    answer: Any
    confidence: float | None
    inputs: dict[str, Any]
    quality: NotRequired[float]  # 0 … 1, how near the answer comes


class Alignment(TypedDict):
    """What each token of an answer looked at in its source."""

    row: int
    source: list[str]
    answer: list[str]
    weights: list[list[float]]  # a row for each token of the answer


class SliceScore(TypedDict):
    """A part of the examples with a score of its own."""

    by: Text  # what the parts differ in
    name: Text
    count: int
    score: Score  # of the first metric


class BundleFacts(TypedDict):
    """Where the bundle lies."""

    path: str
    bytes: NotRequired[int | None]


class Took(TypedDict):
    """What a run takes."""

    seconds: float
    peak_bytes: int
    kwh: float | None  # by the processor's counters, else CPU seconds at 7 W a core
    co2_kg: NotRequired[float | None]
    money: NotRequired[float | None]  # at the recipe's prices


class ForecastFacts(TypedDict):
    """What was forecast, where it was, and what it took; memory of the last sitting."""

    forecast: Took | None
    actual: Took
    currency: NotRequired[str]


class Report(TypedDict):
    """The whole report."""

    run: RunFacts
    data: DataFacts
    protocol: Protocol
    ladder: list[LadderRow]
    verdict: Verdict
    curves: NotRequired[Curves | None]
    confusion: NotRequired[Confusion | None]
    calibration: NotRequired[Calibration | None]
    roc: NotRequired[list[list[float]] | None]  # false positive rate, true positive rate
    regression: NotRequired[Regression | None]
    per_class: NotRequired[list[ClassScore]]
    wrong: NotRequired[list[Wrong]]
    alignments: NotRequired[list[Alignment]]
    slices: NotRequired[list[SliceScore]]
    warnings: NotRequired[list[Text]]
    environment: NotRequired[dict[str, Any]]
    bundle: NotRequired[BundleFacts | None]
    forecast: NotRequired[ForecastFacts | None]
    int8: NotRequired[dict[str, Any] | None]  # of a bundle with layers in 8 bits: `run.lighter.Lighter`
    size: NotRequired[dict[str, Any] | None]  # of the model, where the budget decided it: `planning.sizing.Choice`
