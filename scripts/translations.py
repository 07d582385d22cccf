"""Every sentence a user sees, held against its Chinese: what is missing, what is stale, where placeholders differ.

translations.py                  check luban/locale/zh.toml; exit code 1 where something is wrong
translations.py --merge FILE …   take over the [messages] of these files, drop what is stale, write zh.toml sorted
"""

from __future__ import annotations

import argparse
import ast
import re
import string
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "luban"
CHINESE = PACKAGE / "locale" / "zh.toml"
CALLS = ("tr", "both", "said")
SUMMARIES = ("tasks", "models", "kinds")  # the first line of these files' docstrings is shown by `luban tasks` and `luban models`
PASSED_ON = (("cli/models.py", "entry.summary"), ("cli/tasks.py", "entry.summary"))  # the only templates that are no literals
HAN = re.compile(r"[\u3400-\u9fff]")


def main() -> int:
    """Check, or merge and then check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merge", nargs="*", type=Path, metavar="FILE", help="files whose [messages] are taken over")
    merged = parser.parse_args().merge
    if merged is not None:
        write(chinese() | {key: value for path in merged for key, value in messages(path).items()})
    found = problems()
    for line in found:
        print(line)
    return 1 if found else 0


def problems() -> list[str]:
    """One line for each thing that is wrong."""
    wanted, known = templates(), chinese()
    out = [f"not a literal: {place}: {call}" for place, call in passed_on() if (place.rsplit(":", 1)[0], call) not in PASSED_ON]
    out += [f"missing: {quoted(key)} = {quoted(key)}  # {place}" for key, place in wanted.items() if key not in known]
    out += [f"stale: {quoted(key)}" for key in known if key not in wanted]
    out += [f"other placeholders: {quoted(key)} = {quoted(text)}" for key, text in known.items() if fields(key) != fields(text)]
    return out + [f"not Chinese: {quoted(key)}" for key, text in known.items() if text == key and needs_words(key)]


def templates() -> dict[str, str]:
    """English template -> the first place that uses it."""
    found = {value: place for place, value in calls() if isinstance(value, str)}
    for folder in SUMMARIES:
        for path in sorted((PACKAGE / folder).glob("[!_]*.py")):
            summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
            found.setdefault(summary, f"{folder}/{path.name}:1")
    return found


def passed_on() -> list[tuple[str, str]]:
    """(place, source) of the templates that are no literals."""
    return [(place, ast.unparse(value)) for place, value in calls() if isinstance(value, ast.expr)]


def calls() -> Iterator[tuple[str, str | ast.expr]]:
    """(file:line, template) of each tr(…), both(…) and said(…), in the order of files; an expression where it is no literal."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = imported(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.func, ast.Name) or node.func.id not in names:
                continue
            first = node.args[0]
            literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
            yield f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}", first.value if literal else first  # type: ignore[union-attr]


def imported(tree: ast.Module) -> set[str]:
    """Which of the calls a file has from luban.messages: another function may have the same name."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "luban.messages"]
    return {alias.asname or alias.name for node in imports for alias in node.names if alias.name in CALLS}


def fields(template: str) -> list[tuple[str, str | None, str | None]]:
    """Name, format and conversion of each placeholder, in any order."""
    try:
        return sorted((name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template) if name is not None)
    except ValueError:
        return [(template, None, None)]


def needs_words(template: str) -> bool:
    """Whether there is anything to translate: two letters in a row outside the placeholders."""
    return bool(re.search(r"[A-Za-z]{2}", re.sub(r"\{[^}]*\}", "", template))) and not HAN.search(template)


def messages(path: Path) -> dict[str, str]:
    """The [messages] of a file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))["messages"]


def chinese() -> dict[str, str]:
    """English template -> Chinese, as shipped."""
    return messages(CHINESE)


def write(known: dict[str, str]) -> None:
    """zh.toml: what is used, sorted without regard to case."""
    wanted = templates()
    lines = [f"{quoted(key)} = {quoted(known[key])}" for key in sorted(known, key=lambda key: (key.casefold(), key)) if key in wanted]
    head = "# English template = Chinese. Checked by scripts/translations.py: same placeholders, none missing, none stale.\n[messages]\n"
    CHINESE.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


def quoted(text: str) -> str:
    """A basic TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


if __name__ == "__main__":
    sys.exit(main())
