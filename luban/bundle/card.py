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
