"""Every key, code, command, model and format is documented, in both languages, and nothing that is not there."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from luban import catalog
from luban.cli.main import luban
from luban.data.readers import suffixes
from luban.recipe import GIVEN

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LANGUAGES = ("en", "zh")
SHARED = {"--json", "--quiet", "--help"}
COMMANDS = luban.list_commands(click.Context(luban))


def page(language: str, name: str) -> str:
    return (DOCS / language / name).read_text(encoding="utf-8")


def pages(language: str) -> set[str]:
    return {path.relative_to(DOCS / language).as_posix() for path in (DOCS / language).rglob("*.md")}


def test_every_key_and_code_is_told_in_both_languages(reference: ModuleType) -> None:
    assert reference.problems() == []


def test_generated_pages_are_current(reference: ModuleType) -> None:
    old = [str(path.relative_to(ROOT)) for path, text in reference.pages().items() if path.read_text(encoding="utf-8") != text]
    assert old == [], "run scripts/reference.py"


def test_a_key_without_chinese_is_found(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    known = reference.chinese()
    changed = known | {"training.seed": ("another text", "…"), "training.gone": ("gone", "…")}
    del changed["training.epochs"]
    monkeypatch.setattr(reference, "chinese", lambda: changed)
    found = "\n".join(reference.problems())
    assert all(word in found for word in ("missing in docs/zh/recipe.toml: training.epochs", "stale", "training.gone", "training.seed"))


def test_a_code_without_text_is_found(reference: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "used_codes", lambda: set(reference.codes()) - {"L100"} | {"L888"})
    assert reference.problems() == ["not in docs/codes/*.tsv: L888", "in docs/codes/*.tsv, but not used: L100"]


def test_codes_in_the_pages_exist(reference: ModuleType) -> None:
    known = set(reference.codes())
    for path in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "README.zh.md"]:
        assert set(re.findall(r"`([LW]\d{3})`", path.read_text(encoding="utf-8"))) <= known, path


def test_both_languages_have_the_same_pages() -> None:
    assert pages("en") == pages("zh")


def test_pages_have_the_same_shape() -> None:
    """As many headings, rows of tables and fences in one language as in the other."""

    def shape(language: str, name: str) -> list[int]:
        return [len(re.findall(pattern, page(language, name), re.MULTILINE)) for pattern in (r"^#+ ", r"^\|", r"^```")]

    assert [name for name in pages("en") if shape("en", name) != shape("zh", name)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_in_the_navigation(language: str) -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [name for name in pages(language) if f"{language}/{name}" not in navigation] == []


@pytest.mark.parametrize("path", [*DOCS.rglob("*.md"), *ROOT.glob("*.md")], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_told(language: str, name: str) -> None:
    text = page(language, "cli.md")
    section = re.search(rf"^## luban {name}\b.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, name
    command = luban.get_command(click.Context(luban), name)
    assert command is not None
    options = {option for parameter in command.params if isinstance(parameter, click.Option) for option in parameter.opts}
    table = set(re.findall(r"^\| `(--[a-z-]+)", section[0], re.MULTILINE))
    assert table == options - SHARED
    assert all(f"`{option}`" in text for option in SHARED)
    assert section[0].splitlines()[0] == " ".join(["## luban", name, *map(argument_of, arguments(command))])


def arguments(command: click.Command) -> list[click.Argument]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Argument)]


def argument_of(argument: click.Argument) -> str:
    name = str(argument.name).upper()
    return name if argument.required else f"[{name}]"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_command_is_told_that_is_not_there(language: str) -> None:
    assert set(re.findall(r"^## luban (\w+)", page(language, "cli.md"), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("folder", "name"), [(folder, name) for folder in ("tasks", "kinds") for name in catalog.entries(folder)])
def test_every_task_and_kind_has_a_page_with_its_keys(reference: ModuleType, language: str, folder: str, name: str) -> None:
    text = page(language, f"{folder}/{name}.md")
    for field in dataclasses.fields(catalog.load(folder, name).Config):
        if folder == "kinds" or field.name not in GIVEN:
            default = reference.default_of(field, reference.WORDS[language])
            assert f"| `{field.name}` | {default} |" in text
    assert all(f"`{alias}`" in text for alias in catalog.entries(folder)[name].aliases)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_model_and_format_is_told(language: str) -> None:
    text = page(language, "models.md")
    assert [name for name, entry in catalog.entries("models").items() if entry.takes and f"| `{name}` |" not in text] == []
    text = page(language, "readers.md")
    assert [suffix for suffix in suffixes() if f"`{suffix.removesuffix('.gz')}`" not in text] == []
