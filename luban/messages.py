"""Every message in English and Chinese: the English template is the key, `locale/zh.toml` holds the Chinese.

The language is `LUBAN_LANG` (`en`, `zh`), else the locale's.
"""

from __future__ import annotations

import locale
import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "zh")


def language() -> str:
    """`en` or `zh`, from LUBAN_LANG, else from the locale."""
    asked = os.environ.get("LUBAN_LANG") or os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG")
    asked = asked or locale.getlocale()[0] or "en"
    return "zh" if asked.lower().startswith(("zh", "chinese")) else "en"


def tr(template: str, /, **values: Any) -> str:
    """The template in the reader's language, its fields filled."""
    if language() == "zh":
        template = translations().get(template, template)
    return template.format(**values) if values else template


def both(template: str, /, **values: Any) -> dict[str, str]:
    """The template in both languages, its fields filled: for what is read later by someone else."""
    chinese = translations().get(template, template)
    return {"en": template.format(**values), "zh": chinese.format(**values)}


@cache
def translations() -> dict[str, str]:
    """English template -> Chinese template."""
    path = Path(__file__).with_name("locale") / "zh.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))["messages"]


class Said(str):
    """A sentence in the reader's language that knows its other one too."""

    both: dict[str, str]


def said(template: str, /, **values: Any) -> Said:
    """As `tr`, and a page that someone else reads later can have it in either language."""
    spoken = {}
    for name, form in (("en", template), ("zh", translations().get(template, template))):
        spoken[name] = form.format(**{key: in_both(value)[name] if isinstance(value, Said) else value for key, value in values.items()})
    sentence = Said(spoken[language()])
    sentence.both = spoken
    return sentence


def in_both(text: str) -> dict[str, str]:
    """Either language of a sentence; of a plain string, itself."""
    return text.both if isinstance(text, Said) else {"en": text, "zh": text}
