"""What kind of thing a question asks for, by its own word for it, in English and Chinese: the slices of a report."""

from __future__ import annotations

import re

from luban.messages import both

KINDS = (  # the first that matches
    ("why", "为什么", r"\bwhy\b|为什么|为何|怎么会|原因"),
    ("how many", "多少", r"\bhow (?:many|much|long|old|far|often|tall|big|large)\b|多少|几[个年月日天次人岁]|多[大长久高远]"),
    ("how", "怎么", r"\bhow\b|怎么|怎样|如何"),
    ("who", "谁", r"\bwho(?:se|m)?\b|谁|何人|哪位|什么人"),
    ("when", "何时", r"\bwhen\b|what (?:year|day|month|time|date)\b|何时|什么时候|哪一?年|哪天|几时|时间"),
    ("where", "哪里", r"\bwhere\b|哪里|哪儿|何处|什么地方|哪个(?:国家|城市|省)|哪国"),
    ("which", "哪个", r"\bwhich\b|哪"),
    ("what", "什么", r"\bwhat\b|什么|啥|何"),
    ("yes or no", "是否", r"^(?:is|are|was|were|do|does|did|can|could|should|will|has|have)\b|是否|吗|能不能|可不可以|是不是"),
)
PATTERNS = [re.compile(pattern) for _, _, pattern in KINDS]
OTHER = len(KINDS)


def kind_of(question: str) -> int:
    """The number of its kind."""
    text = question.lower().strip()
    return next((number for number, pattern in enumerate(PATTERNS) if pattern.search(text)), OTHER)


def name_of(kind: int) -> dict[str, str]:
    """In both languages."""
    return both("other") if not 0 <= kind < OTHER else {"en": KINDS[kind][0], "zh": KINDS[kind][1]}
