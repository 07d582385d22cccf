"""What an answer hangs on, held against hand calculation: of a linear model the effect of a number is weight × (value - reference)."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import polars as pl
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import luban
from luban.bundle.occlusion import explain, odds
from luban.catalog import load
from luban.cli.explain import bars, command
from luban.errors import DataError
from luban.occluding import WORD, cut, grouped
from luban.recipe import parse

SIMPLE = {"data": "none", "target": "y", "evaluation": {"draws": 20}}


def fitted(recipe: dict[str, Any], table: pl.DataFrame) -> tuple[Any, Any]:
    """A task, and its net as it was built."""
    task = parse(SIMPLE | recipe, name="x").make_task()
    task = type(task)(task.config, json.loads(json.dumps(task.fit(table))))
    torch.manual_seed(0)
    return task, task.build().eval()


def solved(recipe: dict[str, Any], table: pl.DataFrame) -> tuple[Any, Any]:
    """The same, solved over all rows."""
    task, net = fitted(recipe, table)
    columns = task.encode(table)
    from luban.draw import Draw

    batch = task.collate(columns, Draw(0, 0, columns.row, training=False))
    for _ in net.solve([batch]):
        pass
    return task, net


def table(count: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(3, 2, count), rng.normal(-1, 5, count), rng.choice(["x", "y", "z"], count)
    return pl.DataFrame({"a": a, "b": b, "c": c, "y": 2.5 * a - 0.75 * b + 4 * (c == "x") + 1})


def test_of_a_linear_model_the_effect_is_weight_times_distance() -> None:
    data = table()
    task, net = solved({"task": "regression", "model": "linear", "inputs": {"a": "number", "b": "number", "c": "category"}}, data)
    rows = pl.DataFrame({"a": [10.0, "3.5", None], "b": [0.0, 7.0, 1.0], "c": ["x", "y", "x"]}, strict=False)
    found = explain(task, net, rows)
    middle = {name: float(np.quantile(data[name].to_numpy(), 0.5)) for name in ("a", "b")}
    for one, row in zip(found, rows.to_dicts(), strict=True):
        effects = {part["column"]: part["effect"] for part in one["columns"]}
        if row["a"] is not None:
            assert effects["a"] == pytest.approx(2.5 * (float(row["a"]) - middle["a"]), abs=0.05)
        assert effects["b"] == pytest.approx(-0.75 * (row["b"] - middle["b"]), abs=0.05)
        assert effects["c"] == pytest.approx(4.0 if row["c"] == "x" else -2.0, abs=0.05)  # the mean over the two other names
        assert one["value"] == pytest.approx(one["answer"]["number"])
    assert found[0]["columns"][0]["column"] == "a"  # the strongest first
    assert "a" not in {part["column"] for part in found[2]["columns"]}  # what is missing cannot be left out
    (part,) = [part for part in found[0]["columns"] if part["column"] == "a"]
    assert (part["cell"], part["instead"]) == (10.0, pytest.approx(middle["a"], abs=0.2))


def test_log_odds_of_a_linear_classifier_add_up_by_words() -> None:
    words = ["gut", "schlecht", "zimmer", "teuer", "房", "好"]
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(words, 5)) for _ in range(300)]
    data = pl.DataFrame({"t": texts, "y": ["ja" if text.count("gut") + text.count("好") > 1 else "nein" for text in texts]})
    task, net = solved({"task": "classification", "model": "linear", "inputs": {"t": "text"}}, data)
    (one,) = explain(task, net, pl.DataFrame({"t": ["gut zimmer 好 schlecht"]}), "ja")
    parts = {part["text"]: part for part in one["parts"]["t"]}
    assert list(parts) == ["gut", "zimmer", "好", "schlecht"]
    assert one["label"] == "ja"
    assert min(parts["gut"]["effect"], parts["好"]["effect"]) > 0.02
    for text, part in parts.items():
        alone = " ".join(word for word in parts if word != text)
        chances = explain(task, net, pl.DataFrame({"t": [alone]}), "ja")[0]["value"]
        assert one["value"] - chances == pytest.approx(part["effect"], abs=3e-6)
    other = explain(task, net, pl.DataFrame({"t": ["gut zimmer 好 schlecht"]}), "nein")[0]["parts"]["t"]
    assert [part["effect"] for part in other] == pytest.approx([-part["effect"] for part in parts.values()], abs=3e-6)
    with pytest.raises(DataError, match="L283"):
        explain(task, net, pl.DataFrame({"t": ["gut"]}), "vielleicht")


@pytest.mark.parametrize("base", bundles.BASES)
def test_every_kind_is_left_out_and_nothing_falls_out(base: str, tmp_path: Path) -> None:
    model = luban.load(bundles.make(tmp_path / base, base))
    table = pl.DataFrame({name: load("kinds", bundles.COLUMNS[name]).demo(9, 3) for name in bundles.BASES[base]["inputs"]})
    for row, one in zip(table.to_dicts(), model.explain(table), strict=True):
        there = {name for name, cell in row.items() if cell is not None}
        assert {part["column"] for part in one["columns"]} == there
        assert all(math.isfinite(part["effect"]) for part in one["columns"])
        assert "answer" in one
        json.dumps(one, default=str)


def test_parts_of_pictures_series_and_sets() -> None:
    rng = np.random.default_rng(0)
    kinds = {"i": "image", "s": "series", "g": "tags"}

    def png(bright: bool) -> bytes:
        out = io.BytesIO()
        array = np.full((16, 16), 20, np.uint8)
        array[:4, 12:] = 250 if bright else 20
        Image.fromarray(array).save(out, "PNG")
        return out.getvalue()

    data = pl.DataFrame(
        {"i": [png(bool(k % 2)) for k in range(40)], "s": rng.normal(0, 1, (40, 32)).tolist(), "g": ["a|b", "c"] * 20, "y": list(range(40))}
    )
    task, net = fitted({"task": "regression", "model": {"kind": "mlp", "size": "tiny"}, "inputs": kinds}, data)
    (one,) = explain(task, net, data[1:2].drop("y"))
    boxes = one["parts"]["i"]
    assert len(boxes) == 64
    assert boxes[0]["box"] == [0, 0, 0.125, 0.125]
    strongest = {tuple(part["box"]) for part in boxes if abs(part["effect"]) > 0.9 * max(abs(part["effect"]) for part in boxes)}
    assert all(box[0] >= 0.5 and box[1] <= 0.5 for box in strongest)  # about the bright corner, for the rest is as the mean
    assert [(part["from"], part["to"]) for part in one["parts"]["s"]] == [(k, k + 2) for k in range(0, 32, 2)]
    assert [part["tag"] for part in one["parts"]["g"]] == ["c"]


def test_what_cannot_be_read_and_what_cannot_be_explained() -> None:
    task, net = solved({"task": "regression", "model": "linear", "inputs": {"a": "number"}}, table().select("a", "y"))
    found = explain(task, net, pl.DataFrame({"a": ["many", "3"]}))
    assert found[0]["error"].startswith("a: ")
    assert found[1]["columns"]

    class Silent:
        state: Any = {"inputs": {}}

        def __init__(self) -> None:
            self.__dict__ |= {name: getattr(task, name) for name in ("encode", "collate", "predict")}

        def answer(self, prediction: Any) -> pl.DataFrame:
            return pl.DataFrame({"text": ["x"] * len(prediction)})

    with pytest.raises(DataError, match="L282"):
        explain(Silent(), net, pl.DataFrame({"a": [1.0]}))


def test_words_of_many_scripts() -> None:
    assert WORD.findall("It's 很好, naïve-ish! 東京タワー 3.5") == [
        "It's", "很", "好", ",", "naïve-ish", "!", "東", "京", "タ", "ワ", "ー", "3", ".", "5",
    ]  # fmt: skip
    assert [cut("ab cd ef", *span) for span in ((0, 2), (3, 5), (6, 8), (4, 5))] == ["cd ef", "ab ef", "ab cd", "ab c ef"]
    assert [len(group) for group in grouped(10, 4)] == [2, 3, 3, 2]
    assert grouped(0) == []
    assert odds(1.0) == pytest.approx(-odds(0.0)) and odds(1.0) < 14  # noqa: PT018 one fact


def test_on_the_command_line(tmp_path: Path) -> None:
    bundle = bundles.make(tmp_path / "b", "mixed")
    row = {"t": "好 x", "x": 2, "c": "Wien", "d": "2024-01-02", "g": ["new"]}
    found = CliRunner().invoke(command, [str(bundle), json.dumps(row), "--json"])
    (one,) = json.loads(found.output)
    assert {part["column"] for part in one["columns"]} == set(row)
    shown = CliRunner().invoke(command, [str(bundle), json.dumps(row), "--label", "no"]).output
    assert shown.startswith("no: ")
    assert "│" in shown
    assert bars([("a", 1.0), ("好好", -0.5)]) == [
        "  a             +1  " + " " * 20 + "│" + "█" * 20,
        "  好好        -0.5  " + " " * 10 + "█" * 10 + "│",
    ]
