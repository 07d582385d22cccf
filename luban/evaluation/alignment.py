"""Maps of what each token of an answer looked at in its source, as drawings of the report.

S tokens of a source, T of an answer.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

CELL, LABEL, LETTERS = 18, 84, 12  # pixels, pixels, characters
LEAST = 0.02  # share of a look that is drawn


def alignment(found: dict[str, Any]) -> Markup:
    """Rows are the answer, columns the source; the darker, the longer the look."""
    source, answer, weights = found["source"], found["answer"], found["weights"]
    width, height = LABEL + CELL * len(source) + 40, LABEL + CELL * len(answer) + 6
    parts = [Markup('<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" class="alignment">').format(width, height)]
    for column, name in enumerate(source):
        x = LABEL + column * CELL + 12
        label = Markup('<text x="{0}" y="{1}" transform="rotate(-50 {0} {1})"><title>{2}</title>{3}</text>')
        parts.append(label.format(x, LABEL - 6, name, name[:LETTERS]))
    for row, name in enumerate(answer):
        y = LABEL + row * CELL
        label = Markup('<text x="{0}" y="{1}" text-anchor="end"><title>{2}</title>{3}</text>')
        parts.append(label.format(LABEL - 6, y + 13, name, name[:LETTERS]))
        parts += [
            Markup('<rect class="look" x="{0}" y="{1}" width="{2}" height="{2}" style="fill-opacity:{3:.2f}"/>').format(
                LABEL + column * CELL, y, CELL - 1, min(1.0, share)
            )
            for column, share in enumerate(weights[row])
            if share >= LEAST
        ]
    return Markup("").join([*parts, Markup("</svg>")])


def caption(found: dict[str, Any]) -> Markup:
    """Which example it is."""
    return escape("".join(found["source"]).replace("␣", " ").replace("⏹", "").strip()[:120])
