"""How scores cut a text into words: mteval-v13a and `zh` as sacreBLEU has them, words or characters for ROUGE.

The first two give the very tokens of sacreBLEU 2 (Post 2018), its oddities kept, so that scores can be set beside published ones.
"""

from __future__ import annotations

import re
from functools import lru_cache

ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
RULES = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
# sacreBLEU compares one character with bounds of two where a plane beyond the first is meant: those ranges are U+2001 … U+2A6D and U+2F81 … U+2FA1
CHINESE = re.compile(
    "([\u3400-\u4db5\u4e00-\u9fa5\u9fa6-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\u2001-\u2a6d\u2f81-\u2fa1\uff00-\uffef\u2e80-\u2eff"
    "\u3000-\u303f\u31c0-\u31ef\u2f00-\u2fdf\u2ff0-\u2fff\u3100-\u312f\u31a0-\u31bf\ufe10-\ufe1f\ufe30-\ufe4f\u2600-\u26ff\u2700-\u27bf"
    "\u3200-\u32ff\u3300-\u33ff])"
)
HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
ROUGE = re.compile(rf"[{HAN}]|[^\W_{HAN}]+")
ANY_HAN = re.compile(rf"[{HAN}]")
FORMS = ("13a", "zh")


@lru_cache(maxsize=2**14)
def words(text: str, form: str) -> tuple[str, ...]:
    """The words that BLEU counts; `form` is "13a" or "zh"."""
    text = text.rstrip()
    if form == "zh":
        return cut(CHINESE.sub(r" \1 ", text.strip()))
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        for entity, character in ENTITIES:
            text = text.replace(entity, character)
    return cut(f" {text} ")


def cut(line: str) -> tuple[str, ...]:
    """Punctuation apart from words, numbers whole."""
    for rule, put in RULES:
        line = rule.sub(put, line)
    return tuple(line.split())


@lru_cache(maxsize=2**14)
def rouge_words(text: str) -> tuple[str, ...]:
    """Runs of letters and digits in lower case, of ASCII those of Google's rouge-score; every Han or kana character is a word."""
    return tuple(ROUGE.findall(text.lower()))


def form_of(texts: list[str]) -> str:
    """ "zh" where half of the characters or more are Han or kana, else "13a"."""
    han = sum(len(ANY_HAN.findall(text)) for text in texts)
    return "zh" if 2 * han >= max(1, sum(len("".join(text.split())) for text in texts)) else "13a"


def signature(metric: str, form: str) -> str:
    """How a score was computed, in sacreBLEU's words; "" for a metric that has no such words."""
    known = {
        "bleu": f"nrefs:1|case:mixed|eff:no|tok:{form}|smooth:exp",
        "chrf": "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no",
        "chrf_plus_plus": "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no",
    }
    if metric.startswith("rouge_"):
        return "F1|case:lower|stem:no|words of letters and digits, every Han or kana character a word"
    return known.get(metric, "")
