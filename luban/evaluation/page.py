"""A page that is one file: style and script inside, no network, the script known by its hash, either language behind one switch."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from markupsafe import Markup

from luban.evaluation import figures
from luban.evaluation.svg import tidy
from luban.messages import language

HERE = Path(__file__).parent
FILTERS = ("figure", "round4", "whole", "percent", "short", "duration", "memory", "cut", "said", "answered", "moment")
MOST_BYTES = 2_000_000


def fill(template: str, values: dict[str, Any], *, folder: Path = HERE, styles: tuple[Path, ...] = ()) -> str:
    """The template, from `folder` or beside this file, filled; every value is escaped."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader([folder, HERE]), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    for name in FILTERS:
        environment.filters[name] = getattr(figures, name)
    environment.filters["tidy"] = tidy
    environment.globals.update(t=figures.both, span=figures.span)
    script = (HERE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = Markup("\n".join(path.read_text(encoding="utf-8") for path in (HERE / "report.css", *styles)))
    shell = {"language": language(), "style": style, "script": Markup(script), "script_hash": f"sha256-{digest}"}
    return environment.get_template(template).render(shell | values)
