"""What the pages show works: Python runs, recipes validate, commands and their options exist."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from luban import examples, recipe
from luban.cli.main import luban
from luban.tasks.classification import Classification

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
WHOLE = {"task": "classification", "data": "rows.csv", "target": "label"}
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(page:number, text) of each fenced block."""
    for path in PAGES:
        found = re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for number, (name, text) in enumerate(found):
            if name == language:
                yield f"{path.relative_to(ROOT)}:{number}", text


def programs() -> dict[str, str]:
    """Programs that begin by importing Luban; one that stands in both languages runs once."""
    found = {ast.dump(ast.parse(text)): (place, text) for place, text in blocks("python") if text.startswith("import luban")}
    return dict(found.values())


def named(value: str) -> str:
    """The page and number alone."""
    return "" if value.endswith("\n") else value


@pytest.mark.parametrize("place", programs())
def test_python_runs(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples.fetch("iris", "examples/iris")
    rows = Classification(Classification.Config(target="label")).demo(61, 0)
    rows.select("review", sentiment="label").write_csv("reviews.csv")
    Path("reviews.toml").write_text(
        'task = "classification"\ndata = "reviews.csv"\ntarget = "sentiment"\nmodel = "linear"\n', encoding="utf-8"
    )
    exec(compile(programs()[place], place, "exec"), {})
    assert list(Path("runs").glob("*/report.html"))


def test_there_is_python_to_run() -> None:
    assert len(programs()) >= 2


@pytest.mark.parametrize(("place", "text"), [*blocks("toml")], ids=named)
def test_recipes_validate(place: str, text: str) -> None:
    """A whole recipe by itself, a part of one put into the shortest recipe."""
    values = tomllib.loads(text)
    given = {column for column in values.get("inputs", {}) if column == WHOLE["target"]}
    assert not given
    recipe.parse(values if {"task", "data"} <= values.keys() else WHOLE | values)


@pytest.mark.parametrize(("place", "text"), [*blocks("sh"), *blocks("bash")], ids=named)
def test_commands_exist(place: str, text: str) -> None:
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if "luban" in words:
            accept(words[words.index("luban") + 1 :])
        elif words[:1] == ["make"]:
            assert words[1] in TARGETS
        elif words[:1] == ["python"]:
            assert (ROOT / words[1]).is_file()
        elif words:
            assert words[0] in ("source", "pip", "git")


def accept(words: list[str]) -> None:
    """Parse a command line without running it. Raises click.UsageError."""
    context = click.Context(luban, info_name="luban")
    if words[0].startswith("-"):
        assert words[0] in {option for parameter in luban.get_params(context) for option in parameter.opts}
        return
    command = luban.get_command(context, words[0])
    assert command is not None, words[0]
    command.make_context(words[0], words[1:], parent=context)


def test_a_wrong_option_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        accept(["train", "recipe.toml", "--epochs", "3"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_named_in_sentences_exist(path: Path) -> None:
    known = luban.list_commands(click.Context(luban))
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`luban ([a-z]+)", text)) <= set(known)
