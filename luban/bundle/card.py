"""The model card: what it is, what it was trained on, how it scored; with the front matter that model hubs read."""

from __future__ import annotations

from typing import Any

PIPELINES = {"text": "text-classification", "image": "image-classification"}


def card(description: dict[str, Any], report: dict[str, Any]) -> str:
    """Markdown in both languages."""
    signature, data = description["signature"], report.get("data", {})
    front = ["---", "library_name: luban", f"pipeline_tag: {pipeline(description)}", "tags:", "- luban", f"- {description['task']}", "---"]
    verdict = report.get("verdict", {})
    lines = [
        *front,
        f"# {plain(description['name'])}",
        "",
        verdict.get("text_en", ""),
        "",
        verdict.get("text_zh", ""),
        "",
        "## Inputs · 输入",
        "",
        *(f"- `{plain(name)}`: {kind}" for name, kind in signature["inputs"].items()),
        *(f"- `{plain(name)}`: {role}" for role, name in signature.get("columns", {}).items()),
        "",
        f"Target · 目标: `{plain(str(signature['target']))}`" if signature["target"] else "",
        "",
        "## Scores · 分数",
        "",
        *score_table(report),
        "",
        *eight_bits(report.get("int8")),
        "## Data · 数据",
        "",
        f"{data.get('rows', '?')} rows, splits {data.get('splits', {})}, SHA-256 `{data.get('hash', '?')}`, {data.get('rejects', 0)} rejects.",
        "",
        "## Use · 使用",
        "",
        "```python",
        "import luban",
        'model = luban.load("bundle")',
        "model.predict([{" + ", ".join(f'"{plain(name)}": …' for name in asked_of(signature)) + "}])",
        "```",
    ]
    return "\n".join(lines) + "\n"


def asked_of(signature: dict[str, Any]) -> list[str]:
    """The columns that a question names: the inputs, or the first column that the task reads by itself."""
    return list(signature["inputs"]) or list(signature.get("columns", {}).values())[:1]


def score_table(report: dict[str, Any]) -> list[str]:
    """One line a model and metric, with intervals."""
    lines = ["| model | metric | validation | test |", "|---|---|---|---|"]
    for row in report.get("ladder", []):
        for metric, score in row["validation"].items() or {}:
            test = (row.get("test") or {}).get(metric)
            name = f"**{row['name']}**" if row["chosen"] else row["name"]
            lines.append(f"| {name} | {metric} | {shown(score)} | {shown(test)} |")
    return lines


def eight_bits(found: dict[str, Any] | None) -> list[str]:
    """What layers in 8 bits gained and cost; nothing where there are none."""
    if not found:
        return []
    before, after = found["rows_per_second"]
    small, smaller = (count / 1e6 for count in reversed(found["weight_bytes"]))
    return [
        "## 8 bits · 8 位",
        "",
        f"{len(found['layers'])} of {found['num_layers']} linear layers in 8 bits, chosen by trial on {plain(found['machine'])}: "
        f"{before:.1f} → {after:.1f} rows/s, weights {smaller:.2f} → {small:.2f} MB. Scores on {found['rows_scored']} rows:",
        "",
        "| metric | before | after | change (95 %) |",
        "|---|---|---|---|",
        *(
            f"| {name} | {number(score['before'])} | {number(score['after'])} | {number(score['low'], '+')} … {number(score['high'], '+')} |"
            for name, score in found["scores"].items()
        ),
        "",
    ]


def number(value: float | None, sign: str = "") -> str:
    """Four digits, or a dash."""
    return "–" if value is None else f"{value:{sign}.4f}"


def shown(score: dict[str, Any] | None) -> str:
    """A score with its interval."""
    if not score or score["value"] is None:
        return "–"
    edges = f" [{score['low']:.4f}, {score['high']:.4f}]" if score.get("low") is not None else ""
    return f"{score['value']:.4f}{edges}"


def pipeline(description: dict[str, Any]) -> str:
    """The hub's name for the task."""
    kinds = set(description["signature"]["inputs"].values())
    if description["task"] == "classification" and len(kinds) == 1 and kinds <= set(PIPELINES):
        return PIPELINES[kinds.pop()]
    return f"tabular-{description['task']}"


def plain(text: str) -> str:
    """One line without what Markdown would read."""
    return " ".join(text.split()).replace("`", "'").replace("|", "/")
