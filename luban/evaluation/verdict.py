"""The verdict: does the network beat the baselines beyond the interval? Said first, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from luban.evaluation.figures import figure, known, span
from luban.evaluation.metrics import Metric, find
from luban.evaluation.schema import LadderRow, Score, Verdict, VerdictKind
from luban.messages import LANGUAGES

SPLITS = {"test": ("test", "测试集"), "validation": ("validation", "验证集")}
SENTENCES = {
    "network_wins": (
        "The network {network} beats every baseline: {metric} {ours_told} on the {split} split, against {theirs} for {baseline}{apart}.",
        "神经网络 {network} 胜过所有基线：{split}{metric} {ours_told}，最强基线 {baseline} 为 {theirs}{apart}。",
    ),
    "baseline_wins": (
        "A baseline beats the network: {baseline} reaches {metric} {theirs_told} on the {split} split, {network} only {ours}{apart}.",
        "基线胜过神经网络：{baseline} 的{split}{metric}为 {theirs_told}，{network} 仅为 {ours}{apart}。",
    ),
    "tie": (
        "The network does not beat the baselines beyond the interval: {network} reaches {metric} {ours_told} on the {split} split, "
        "{baseline} {theirs}{apart}.",
        "神经网络未能明显胜过基线（差距在区间之内）：{network} 的{split}{metric}为 {ours_told}，{baseline} 为 {theirs}{apart}。",
    ),
}
APART = (" (difference {})", "（差值 {}）")
CHOSEN = (" The bundle holds {}.", "部署包中的模型是 {}。")


def verdict(ladder: Sequence[LadderRow], *, metric: str, gain: tuple[float, float] | None = None, level: float = 0.95) -> Verdict:
    """The best network against the best baseline, on the test split where both were scored on it, else on validation.

    `gain` is the paired interval of score(network) - score(baseline) on that split; without it the network wins or loses when
    the baseline's score lies outside the network's interval. The ladder stands from the cheapest to the dearest.
    """
    measure = find(metric)
    rows = [row for row in ladder if metric in (row["validation"] or row["test"] or {}) and not row["error"]]
    network = best([row for row in rows if row["role"] == "network"], measure)
    baseline = best([row for row in rows if row["role"] == "baseline"], measure)
    if network is None or baseline is None:
        return alone(network or baseline, measure, level)
    split = "test" if all(row["test"] and metric in row["test"] for row in (network, baseline)) else "validation"
    ours, theirs = score_of(network, metric, split), score_of(baseline, metric, split)
    kind = compare(ours, theirs, measure, gain)
    return say_verdict(
        kind, network, baseline, next((row for row in rows if row["chosen"]), None), measure, split=split, level=level, gain=gain
    )


def best(rows: list[LadderRow], metric: Metric) -> LadderRow | None:
    """The chosen one, else the best on validation, else none."""
    found: LadderRow | None = None
    for row in rows:
        if row["chosen"]:
            return row
        score, best_score = (judged(r, metric.name) if r else None for r in (row, found))
        if known(score) and (found is None or metric.beats(float(score or 0), float(best_score or 0))):
            found = row
    return found


def judged(row: LadderRow, metric: str) -> float | None:
    """The score that chooses: validation's, or test's where nothing was validated."""
    return (row["validation"] or row["test"] or {})[metric]["value"]


def score_of(row: LadderRow, metric: str, split: str) -> Score:
    """The row's score on a split."""
    found = row["test"] if split == "test" else row["validation"]
    return (found or {})[metric]


def compare(ours: Score, theirs: Score, metric: Metric, gain: tuple[float, float] | None) -> VerdictKind:
    """`network_wins`, `baseline_wins` or `tie`."""
    if gain is None:
        values = (ours["low"], ours["high"], theirs["value"])
        if not all(known(value) for value in values):
            return "tie"
        low, high = float(ours["low"] or 0) - float(theirs["value"] or 0), float(ours["high"] or 0) - float(theirs["value"] or 0)
    else:
        low, high = gain
    if not metric.higher_is_better:
        low, high = -high, -low
    return "network_wins" if low > 0 else "baseline_wins" if high < 0 else "tie"


def alone(row: LadderRow | None, metric: Metric, level: float) -> Verdict:
    """Nothing to compare with."""
    if row is None:
        return {"kind": "only", "text_en": "No model could be scored.", "text_zh": "没有任何模型得到分数。"}
    split = "test" if row["test"] and metric.name in row["test"] else "validation"
    english, chinese = SPLITS[split]
    score = score_of(row, metric.name, split)
    lacking = ("no network was", "没有神经网络") if row["role"] == "baseline" else ("no baseline was", "没有基线模型")
    return {
        "kind": "only",
        "text_en": f"{row['name']} reaches {metric.titles[0]} {told(score, level, 'en')} on the {english} split; "
        f"{lacking[0]} scored to compare it with.",
        "text_zh": f"{row['name']} 在{chinese}上的{name_of(metric, 'zh')}为 {told(score, level, 'zh')}；{lacking[1]}可供比较。",
    }


def name_of(metric: Metric, language: str) -> str:
    """How a sentence calls a metric; Latin letters stand a little apart from Chinese."""
    title = metric.titles[LANGUAGES.index(language)]
    return f" {title} " if language == "zh" and title.isascii() else title


def told(score: Score, level: float, language: str) -> str:
    """A score with its interval."""
    edges = span(score["low"], score["high"])
    if not edges:
        return figure(score["value"])
    percent = f"{100 * level:.3g}"
    shape = "{} ({} % interval {})" if language == "en" else "{}（{}% 区间 {}）"
    return shape.format(figure(score["value"]), percent, edges)


def say_verdict(
    kind: VerdictKind,
    network: LadderRow,
    baseline: LadderRow,
    chosen: LadderRow | None,
    metric: Metric,
    *,
    split: str,
    level: float,
    gain: tuple[float, float] | None,
) -> Verdict:
    """The sentence in both languages."""
    ours, theirs = score_of(network, metric.name, split), score_of(baseline, metric.name, split)
    texts = []
    for place, language in enumerate(LANGUAGES):
        texts.append(
            SENTENCES[kind][place].format(
                network=network["name"],
                baseline=baseline["name"],
                metric=name_of(metric, language),
                split=SPLITS[split][place],
                ours=figure(ours["value"]),
                theirs=figure(theirs["value"]),
                ours_told=told(ours, level, language),
                theirs_told=told(theirs, level, language),
                apart=APART[place].format(span(*gain)) if gain else "",
            )
            + (CHOSEN[place].format(chosen["name"]) if kind != "network_wins" and chosen else "")
        )
    return {"kind": kind, "text_en": texts[0], "text_zh": texts[1]}
