"""The catalog: files are found by name, read without running them, and without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from luban import catalog
from luban.errors import RecipeError

HEAVY = ("torch", "sklearn", "scipy", "tokenizers", "PIL", "matplotlib", "pydantic", "polars", "numpy")


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh process has loaded after the code."""
    script = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import luban") == set()


def test_listing_everything_loads_nothing_heavy() -> None:
    code = (
        "from luban import catalog\n"
        "for folder in catalog.FOLDERS:\n"
        "    for entry in catalog.entries(folder).values():\n"
        "        entry.summary, entry.role, entry.takes, entry.aliases\n"
        "catalog.task_aliases(), catalog.find('models', 'lstm'), catalog.models_for('text')"
    )
    assert loaded_by(code) == set()


@pytest.mark.parametrize("folder", catalog.FOLDERS)
def test_every_file_says_what_it_is_and_has_its_class(folder: str) -> None:
    for name, entry in catalog.entries(folder).items():
        assert entry.summary.startswith(f"{name.replace('_', ' ')}: ") or entry.summary.startswith(f"{name}: "), name
        assert catalog.load(folder, name).__name__.lower() == name.replace("_", "")


def test_models_state_their_role_and_kinds_that_there_are() -> None:
    kinds = set(catalog.entries("kinds"))
    for entry in catalog.entries("models").values():
        assert entry.role in ("encoder", "predictor", "causal", "recommender", "reader", "retriever", "seq2seq", "rewriter")
        assert set(entry.takes) <= kinds
        assert set(entry.stated.get("SIZES", {"tiny": 0, "small": 0, "base": 0})) >= {"tiny", "small", "base"}


def test_what_is_stated_is_what_the_file_holds() -> None:
    import importlib

    for folder in catalog.FOLDERS:
        for name, entry in catalog.entries(folder).items():
            module = importlib.import_module(f"luban.{folder}.{name}")
            assert {key: getattr(module, key) for key in entry.stated} == entry.stated


def test_every_kind_has_a_model() -> None:
    for kind in catalog.entries("kinds"):
        assert catalog.models_for(kind)


@pytest.mark.parametrize(
    ("folder", "name", "near"), [("tasks", "regresion", "regression"), ("models", "transfomer", "transformer"), ("kinds", "txt", "text")]
)
def test_an_unknown_name_gives_the_nearest(folder: str, name: str, near: str) -> None:
    with pytest.raises(RecipeError) as caught:
        catalog.find(folder, name, where="here")
    assert caught.value.code == "L102"
    assert caught.value.nearest() == near


def test_aliases_lead_to_tasks() -> None:
    for name, _ in catalog.task_aliases().values():
        assert name in catalog.entries("tasks")


@pytest.mark.parametrize("name", ["../tasks/regression", "__init__", "os", ""])
def test_no_name_reaches_other_code(name: str) -> None:
    with pytest.raises(RecipeError, match="L102"):
        catalog.load("models", name)
