"""A dictionary against a dataclass: each mistake is one coded error with its place and the nearest name."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Lt

from luban import catalog
from luban.data.reading import Reading
from luban.data.splits import Splitting
from luban.errors import RecipeError
from luban.evaluation.settings import Evaluation
from luban.schema import as_dict, field_docs, validate
from luban.training.settings import Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """For tests."""

    rate: Annotated[float, Ge(0), Lt(1)] = 0.5
    """A share."""
    steps: int
    """How many."""
    kind: Literal["red", "green"] = "red"
    widths: tuple[int, ...] = (3,)
    """Of the layers,
    from the first."""
    flag: bool = False
    note: str | None = None


def test_values_are_read_and_defaults_stand() -> None:
    config = validate(Config, {"steps": 3, "widths": [5, 7], "rate": 0}, where="x")
    assert config == Config(steps=3, widths=(5, 7), rate=0.0)
    assert validate(Config, {"steps": 3, "other": 1}, where="x", also=("other",)) == Config(steps=3)


@pytest.mark.parametrize(
    ("values", "code", "place", "near"),
    [
        ({"steps": 1, "rat": 0.1}, "L104", "x.rat", "rate"),
        ({"steps": "1"}, "L105", "x.steps", None),
        ({"steps": 1.5}, "L105", "x.steps", None),
        ({"steps": True}, "L105", "x.steps", None),
        ({"steps": 1, "rate": 1.0}, "L105", "x.rate", None),
        ({"steps": 1, "rate": -0.1}, "L105", "x.rate", None),
        ({"steps": 1, "rate": "0.1"}, "L105", "x.rate", None),
        ({"steps": 1, "kind": "gren"}, "L105", "x.kind", "green"),
        ({"steps": 1, "widths": 5}, "L105", "x.widths", None),
        ({"steps": 1, "widths": [5, "7"]}, "L105", "x.widths", None),
        ({"steps": 1, "flag": 1}, "L105", "x.flag", None),
        ({}, "L106", "x.steps", None),
        ([], "L105", "x", None),
    ],
)
def test_each_mistake_is_one_coded_error(values: Any, code: str, place: str, near: str | None) -> None:
    with pytest.raises(RecipeError) as caught:
        validate(Config, values, where="x")
    assert caught.value.code == code
    assert caught.value.where == place
    assert caught.value.nearest() == near
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(RecipeError, match="L105"):
        validate(Config, {"steps": 1, "rate": value}, where="x")


def test_docs_stand_under_their_fields() -> None:
    assert field_docs(Config) == {"rate": "A share.", "steps": "How many.", "widths": "Of the layers,\nfrom the first."}


def test_settings_as_plain_values() -> None:
    assert as_dict(Config(steps=3)) == {"rate": 0.5, "steps": 3, "kind": "red", "widths": [3], "flag": False}


CONFIGS = [Training, Splitting, Reading, Evaluation] + [
    part.Config
    for folder in catalog.FOLDERS
    for name in catalog.entries(folder)
    for part in [catalog.load(folder, name)]
    if importlib.import_module(f"luban.{folder}.{name}")
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__qualname__)
def test_every_setting_of_the_package_is_described_and_its_default_is_allowed(config: type) -> None:
    docs = field_docs(config)
    undescribed = [field.name for field in fields(config) if not docs.get(field.name)]  # type: ignore[arg-type]
    assert not undescribed
    made = config()
    assert validate(config, as_dict(made), where="x") == made


def test_an_unknown_key_of_a_section_within_a_section_names_the_nearest() -> None:
    from luban.tasks.chat import Chat

    with pytest.raises(RecipeError) as caught:
        validate(Chat.Config, {"generation": {"temperatur": 0.5}}, where="task")
    assert (caught.value.code, caught.value.where, caught.value.nearest()) == ("L104", "task.generation.temperatur", "temperature")
