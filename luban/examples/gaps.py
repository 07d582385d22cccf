"""The example debian-gaps: questions with places, made of the Debian FAQ: a sentence with a gap, its section, and the word that stood there.

One in four is asked of a section that does not hold the word. They are made, not asked by anyone, and said to be so.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from luban.data.pages import html
from luban.data.passages import sentences
from luban.examples import packages
from luban.examples.debian_faq import pages, sections
from luban.files import write_whole
from luban.messages import tr

WORD = re.compile(r"[A-Z][A-Za-z]+(?:[ /-][A-Z][A-Za-z]+)*|[a-z]+[-./][a-z0-9./-]*[a-z0-9]|\d[\d.,]*\d|\d")
SHORTEST, MOST_GAPS = 40, 12  # characters of a sentence and a section; gaps of a section


def write(folder: Path) -> None:
    """SQuAD json of sentences with a gap over the English pages."""
    found = pages("debian-faq")
    texts = [answer for _, text in sorted(found.items()) for _, answer, _ in sections(html(text)) if len(answer) >= SHORTEST]
    articles = [{"title": f"section {number}", "paragraphs": [asked(number, texts)]} for number in range(len(texts))]
    if not articles:
        raise packages.damaged("debian-faq", tr("no question is in it"))
    write_whole(folder / "gaps.json", json.dumps({"version": "2.0", "data": articles}, ensure_ascii=False).encode())


def asked(number: int, texts: list[str]) -> dict[str, Any]:
    """A section with its own gaps, and one in four of another section's, whose word it does not hold."""
    text, other = texts[number], texts[(number + 1) % len(texts)]
    rows = []
    for place, (question, word, begin) in enumerate(gapped(text)):
        rows.append(
            {"id": f"{number}-{place}", "question": question, "answers": [{"text": word, "answer_start": begin}], "is_impossible": False}
        )
    away = [question for question, word, _ in gapped(other) if word.lower() not in text.lower()]
    for place, question in enumerate(away[: -(-len(rows) // 3)]):
        rows.append({"id": f"{number}-none-{place}", "question": question, "answers": [], "is_impossible": True})
    return {"context": text, "qas": rows}


def gapped(text: str) -> list[tuple[str, str, int]]:
    """(sentence with a gap, what stood there, where in the text): the longest name, number or command of each sentence that is no first word."""
    found = []
    for begin, end in sentences(text):
        words = [word for word in WORD.finditer(text, begin + 1, end) if text[word.start() - 1] in ' (“"']
        if end - begin < SHORTEST or not words:
            continue
        word = max(words, key=lambda one: (len(one[0]), -one.start()))
        question = " ".join(f"{text[begin : word.start()]}____{text[word.end() : end]}".split())
        found.append((question, word[0], word.start()))
    return found[:MOST_GAPS]
