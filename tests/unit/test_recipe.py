"""Recipes: read, completed, refused with the nearest name, written and read again as they were."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.errors import RecipeError
from luban.recipe import MAX_BYTES, parse, read, to_dict, toml_key, toml_value, write

WHOLE: dict[str, Any] = {"task": "classification", "data": "a.csv", "target": "y", "inputs": {"x": "number"}}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=7)


@given(VALUES)
def test_a_value_written_as_toml_is_read_back(value: Any) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


@given(TEXTS)
def test_a_key_written_as_toml_is_read_back(key: str) -> None:
    assert tomllib.loads(f"{toml_key(key)} = 1") == {key: 1}


def test_a_short_recipe_is_completed() -> None:
    recipe = parse(WHOLE)
    assert recipe.task == {"kind": "classification"}
    assert recipe.inputs == {"x": {"kind": "number"}}
    assert recipe.model == {"kind": "auto", "size": "small"}
    assert recipe.training.seed == 0
    assert recipe.make_task().config.target == "y"


@pytest.mark.parametrize("alias", ["text-classification", "tabular-classification", "sentiment-analysis", "multi-label-classification"])
def test_a_familiar_name_is_the_task_with_its_presets(alias: str) -> None:
    recipe = parse(WHOLE | {"task": alias})
    assert recipe.task["kind"] == "classification"
    assert recipe.make_task().config.target_kind == ("tags" if alias.startswith("multi") else "auto")


WRITTEN = [
    WHOLE,
    WHOLE | {"data": {"train": ["a.csv", "b.csv"], "test": "c.csv"}, "task": {"kind": "classification", "label_smoothing": 0.1}},
    WHOLE | {"model": {"kind": "mlp", "size": "tiny", "hidden": [5, 7], "activation": "tanh", "head": [3]}},
    WHOLE | {"inputs": {"名 前": {"kind": "number", "scale": "none"}, 'q"\\': "category", "": "text"}, "target": "目标\n"},
    WHOLE
    | {
        "model": {"kind": "ngrams", "encoders": {"number": {"kind": "mlp", "numbers": "plain"}, "category": "mlp"}},
        "inputs": {"t": "text", "n": "number", "c": "category"},
    },
    WHOLE | {"training": {"budget": "3 min", "optimizer": "muon", "batch_size": "all", "learning_rate": 1e-7, "stop_loss": 0.1}},
    WHOLE | {"split": {"by": "last", "order": "when", "group": "who", "test": 0.25}, "evaluation": {"folds": 5, "metrics": ["accuracy"]}},
    {"task": "regression", "data": ["a.csv"], "target": "y"},
]


@pytest.mark.parametrize("raw", WRITTEN, ids=range(len(WRITTEN)))
def test_a_recipe_written_and_read_is_the_same(raw: dict[str, Any], tmp_path: Path) -> None:
    recipe = parse(raw, base=tmp_path, name="mine")
    write(recipe, tmp_path / "mine.toml", header="Two\nlines.")
    assert read(tmp_path / "mine.toml") == recipe
    assert parse(to_dict(recipe), base=tmp_path, name="mine") == recipe


@pytest.mark.parametrize(
    ("change", "code", "place", "near"),
    [
        ({"modle": "mlp"}, "L104", "modle", "model"),
        ({"task": "clasification"}, "L102", "task", "classification"),
        ({"task": "text-clasification"}, "L102", "task", "text-classification"),
        ({"task": {}}, "L106", "task.kind", None),
        ({"task": {"kind": "classification", "los": "mse"}}, "L104", "task.los", "loss"),
        ({"task": {"kind": "classification", "loss": "mes"}}, "L105", "task.loss", "mse"),
        ({"task": 3}, "L105", "task", None),
        ({"data": 3}, "L105", "data", None),
        ({"data": ""}, "L105", "data", None),
        ({"data": {"trian": "a.csv"}}, "L104", "data.trian", "train"),
        ({"data": {"test": "a.csv"}}, "L106", "data.train", None),
        ({"target": ""}, "L106", "target", None),
        ({"target": 5}, "L105", "target", None),
        ({"target": "x"}, "L112", "inputs.x", None),
        ({"inputs": ["x"]}, "L105", "inputs", None),
        ({"inputs": {"x": 3}}, "L105", "inputs.x", None),
        ({"inputs": {"x": {"scale": "none"}}}, "L106", "inputs.x.kind", None),
        ({"inputs": {"x": "nmber"}}, "L102", "inputs.x", "number"),
        ({"inputs": {"x": {"kind": "number", "scale": "standrad"}}}, "L105", "inputs.x.scale", "standard"),
        ({"model": "lstm"}, "L109", "model.kind", None),
        ({"model": "fused"}, "L109", "model.kind", None),
        ({"model": {"kind": "mlp", "size": "huge"}}, "L108", "model.size", None),
        ({"model": {"kind": "mlp", "hidden": [3.5]}}, "L105", "model.hidden", None),
        ({"training": {"bugdet": "3 min"}}, "L104", "training.bugdet", "budget"),
        ({"training": {"epochs": 0}}, "L105", "training.epochs", None),
        ({"model": {"kind": "mlp", "hidden": [10**12]}}, "L105", "model.hidden", None),
        ({"model": {"kind": "mlp", "hidden": [1] * 65}}, "L105", "model.hidden", None),
        ({"model": {"kind": "mlp", "encoders": {"nmber": "mlp"}}}, "L104", "model.encoders", "number"),
        ({"model": {"kind": "mlp", "encoders": {"number": {"kind": "mlp", "head": [3]}}}}, "L104", "model.encoders.number", None),
        ({"model": {"kind": "linear", "head": [3]}}, "L104", "model.head", None),
        ({"inputs": {"x": {"kind": "number", "scale": {"a": [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}}}}, "L124", "", None),
        ({"evaluation": {"folds": 1}}, "L125", "evaluation.folds", None),
        ({"training": {"batch_size": "al"}}, "L105", "training.batch_size", None),
        ({"training": {"momentum": 1.5}}, "L105", "training.momentum", None),
        ({"split": {"by": "tme"}}, "L105", "split.by", "time"),
        ({"reading": {"encodin": "utf-8"}}, "L104", "reading.encodin", "encoding"),
    ],
)
def test_each_mistake_names_its_place_and_the_nearest(change: dict[str, Any], code: str, place: str, near: str | None) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(WHOLE | change, name="mine")
    assert caught.value.code == code
    assert place in caught.value.where
    assert caught.value.where.startswith(("mine.toml", "model.", "recipe.toml")) or not place
    if near:
        assert caught.value.nearest() == near


@pytest.mark.parametrize("key", ["task", "data"])
def test_what_must_be_said_is_asked_for(key: str) -> None:
    with pytest.raises(RecipeError, match=f"L106.*{key}.*→"):
        parse({name: value for name, value in WHOLE.items() if name != key})


def test_sets_change_values_and_make_tables() -> None:
    recipe = parse(
        WHOLE,
        sets=(
            "training.epochs=3",
            "model=mlp",
            "model.hidden=[3, 5]",
            "inputs.x.scale=none",
            'target="z"',
            "evaluation.folds=5",
            "data=b.csv",
        ),
    )
    assert recipe.training.epochs == 3
    assert recipe.model == {"kind": "mlp", "size": "small", "hidden": [3, 5]}
    assert recipe.inputs == {"x": {"kind": "number", "scale": "none"}}
    assert (recipe.target, recipe.data, recipe.evaluation.folds) == ("z", "b.csv", 5)
    assert WHOLE["inputs"] == {"x": "number"}, "the caller's dictionary was changed"


@pytest.mark.parametrize("assignment", ["training.epochs", "=3", "data.train.x=3", "training.epohcs=3"])
def test_a_set_that_cannot_be_is_refused(assignment: str) -> None:
    with pytest.raises(RecipeError, match=r"L10[457]"):
        parse(WHOLE, sets=(assignment,))


@pytest.mark.parametrize(
    ("content", "code"), [(b"task = ", "L101"), (b"\xff\xfe\x00", "L101"), (b"#" * (MAX_BYTES + 1), "L101"), (None, "L100")]
)
def test_what_is_no_recipe_is_a_named_error(content: bytes | None, code: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "recipe.toml").write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        read(tmp_path / "recipe.toml")
    assert caught.value.code == code


def test_a_byte_order_mark_and_a_folder_are_fine(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(b'\xef\xbb\xbftask = "regression"\ndata = "a.csv"\ntarget = "y"\n')
    assert read(tmp_path).target == "y"


def test_a_missing_recipe_names_those_beside_it(tmp_path: Path) -> None:
    (tmp_path / "reviews.toml").touch()
    with pytest.raises(RecipeError, match=r"did you mean .*reviews\.toml"):
        read(tmp_path / "review.toml")


WORDS: dict[str, Any] = {"task": "language-modeling", "data": "a.txt"}


@pytest.mark.parametrize(
    ("change", "size"),
    [
        ({"training": {"budget": "1 min"}}, "auto"),
        ({"training": {"budget": "1 min"}, "model": "gpt"}, "auto"),
        ({"training": {"budget": "1 min"}, "model": {"kind": "gpt", "size": "tiny"}}, "tiny"),
        ({"training": {"budget": "1 min"}, "model": {"kind": "gpt", "width": 24, "heads": 2}}, "small"),
        ({"training": {"steps": 9}}, "small"),
        (WHOLE | {"training": {"budget": "1 min"}}, "small"),
    ],
)
def test_a_budget_decides_the_size_of_a_language_model_that_the_recipe_leaves_open(change: dict[str, Any], size: str) -> None:
    assert parse(WORDS | change).model["size"] == size


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, ("muon", "linear")),
        ({"training": {"steps": 9}}, ("muon", "linear")),
        ({"training": {"optimizer": "adamw"}}, ("adamw", "cosine")),
        ({"training": {"learning_rate": 0.002}}, ("adamw", "cosine")),
        ({"training": {"schedule": "constant"}}, ("adamw", "constant")),
        (WHOLE, ("adamw", "cosine")),
    ],
)
def test_a_task_says_how_its_networks_learn_best_and_the_recipe_stands_above_it(change: dict[str, Any], wanted: tuple[str, str]) -> None:
    training = parse(WORDS | change).training
    assert (training.optimizer, training.schedule) == wanted


def test_a_checkpoint_is_trained_further_as_ever(tmp_path: Path) -> None:
    model = {"kind": "gpt", "pretrained": str(tmp_path)}
    recipe = parse(WORDS | {"model": model, "training": {"budget": "1 min"}})
    assert (recipe.training.optimizer, recipe.model.get("size")) == ("adamw", "small")
