"""The recommender as a whole: answers, filters, strangers, rejects, and columns that describe items."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from luban.columns import Ragged
from luban.data.prepare import parts_of
from luban.data.splits import Splitting, divide
from luban.draw import Draw
from luban.errors import DataError, RecipeError
from luban.predicting import answers_of
from luban.recipe import parse
from luban.recommending import catalogue, ids
from luban.tasks.recommendation import Recommendation

# --- the whole


def small(**settings: object) -> tuple[Recommendation, torch.nn.Module]:
    """EASE on the demo's users."""
    config = Recommendation.Config(
        user="user", item="item", time="time", model={"kind": "ease", "size": "tiny", "penalty": 5.0}, **settings
    )
    table = Recommendation(config).demo(1100, 0)
    task = Recommendation(config, Recommendation(config).fit(table))
    examples = task.arrange(task.encode(table), None)
    net = task.build()
    task.remember(net, examples)
    with torch.no_grad():
        list(net.solve([task.collate(examples, Draw(0, 0, np.arange(len(examples)), training=False))]))
    return task, net.eval()


def test_an_id_is_answered_as_its_history_is() -> None:
    task, net = small()
    name = task.demo(1100, 0)["user"][0]
    history = task.demo(1100, 0).filter(pl.col("user") == name).sort("time")["item"].to_list()
    by_id, _, _ = answers_of(task, net, pl.DataFrame({"user": [name]}))
    by_list, _, _ = answers_of(task, net, pl.DataFrame({"item": [history]}))
    assert by_id["items"].to_list() == by_list["items"].to_list()
    assert not set(history) & set(by_id["items"][0])
    assert all(reason in history for reasons in by_id["because"][0] for reason in reasons.split(", "))


def test_a_stranger_without_history_gets_what_most_took() -> None:
    task, net = small()
    counts = task.demo(1100, 0).unique(["user", "item"])["item"].value_counts(sort=True)
    answers, _, _ = answers_of(task, net, pl.DataFrame({"user": ["nobody"]}))
    taken = dict(counts.iter_rows())
    found = [taken[name] for name in answers["items"][0]]
    assert found == counts["count"].head(10).to_list()
    assert set(answers["because"][0]) == {""}


def test_who_met_every_item_gets_none() -> None:
    task, net = small()
    answers, _, _ = answers_of(task, net, pl.DataFrame({"item": [[f"i{k:02d}" for k in range(31)]]}))
    assert answers["items"].to_list() == [[]]


def test_filters_neighbours_and_lengths() -> None:
    task, net = small(only=("i03", "i04", "strange"), without=("i04",), k=3)
    answers, _, _ = answers_of(task, net, pl.DataFrame({"item": [["i01"]]}))
    assert answers["items"].to_list() == [["i03"]]
    empty = Recommendation(Recommendation.Config(**{**vars(task.config), "only": ("strange",)}), task.state)
    with pytest.raises(RecipeError) as caught:
        answers_of(empty, net, pl.DataFrame({"item": [["i01"]]}))
    assert caught.value.code == "L162"
    near = Recommendation(Recommendation.Config(**{**vars(task.config), "find": "similar_items", "only": (), "without": ()}), task.state)
    found = answers_of(near, net, pl.DataFrame({"item": [["i15"]]}))[0]["items"][0].to_list()
    assert set(found) <= {f"i{k:02d}" for k in (12, 13, 14, 16, 17, 18)}


def test_rows_without_user_or_item_are_refused() -> None:
    task, _ = small()
    with pytest.raises(DataError) as caught:
        task.encode(pl.DataFrame({"person": ["a"]}))
    assert caught.value.code == "L286"


def test_records_that_lack_something_are_rejects() -> None:
    config = Recommendation.Config(user="u", item="i", time="t", weight="w", lowest=1.0, highest=5.0)
    table = pl.DataFrame(
        {
            "u": ["a", None, "b", "b", "c", "c", "d"],
            "i": [1, 2, None, 3, 4, 5, 6],
            "t": [1.0, 2.0, 3.0, None, 5.0, 6.0, 7.0],
            "w": [3.0, 3.0, 3.0, 3.0, 9.0, None, 5.0],
        }
    )
    task = Recommendation(config, Recommendation(config).fit(table))
    found = task.encode(table)
    assert found.row.tolist() == [0, 6]
    assert [(reject.row, reject.column) for reject in found.rejects] == [(1, "u"), (2, "i"), (3, "t"), (4, "w"), (5, "w")]


def test_a_matrix_larger_than_memory_is_refused_with_another_model() -> None:
    task, _ = small()
    task.check_capacity(10**6)
    with pytest.raises(RecipeError) as caught:
        task.check_capacity(1000)
    assert caught.value.code == "L161"
    assert "ials" in caught.value.fix


def test_nothing_liked_is_an_error() -> None:
    config = Recommendation.Config(user="u", item="i", weight="w", at_least=4.0)
    with pytest.raises(DataError) as caught:
        Recommendation(config).fit(pl.DataFrame({"u": [1, 2], "i": [1, 2], "w": [1.0, 2.0]}))
    assert caught.value.code == "L287"


def test_a_pair_of_the_same_user_and_item_lies_in_memory_once() -> None:
    task, net = small()
    table = task.demo(1100, 0)
    assert task.state["pairs"] == table.unique(["user", "item"]).height == int(net.memory.starts[-1])
    assert isinstance(task.arrange(task.encode(table), None)["history"], Ragged)


# --- descriptions


TOLD = {"title": {"kind": "text", "vocabulary": 300}}


def shop() -> pl.DataFrame:
    """Three customers, four products that were bought, one that is only described."""
    events = [("a", 1, 1.0), ("a", 2, 2.0), ("b", 1, 1.0), ("b", 3, 3.0), ("c", 3, 1.0), ("c", 4, 2.0)]
    words = {1: "red cup", 2: "red cup large", 3: "blue plate", 4: "blue plate small", 5: "red cup small"}
    table = pl.DataFrame(events, schema=["user", "item", "time"], orient="row").with_columns(title=pl.lit(None, pl.String))
    rows = [(None, item, None, title) for item, title in words.items()]
    return pl.concat([table, pl.DataFrame(rows, schema=table.schema, orient="row")])


def keeper(kind: str, **model: object) -> Recommendation:
    """Fitted on the shop."""
    config = Recommendation.Config(user="user", item="item", time="time", inputs=TOLD, model={"kind": kind, "size": "tiny", **model})
    return Recommendation(config, json.loads(json.dumps(Recommendation(config).fit(shop()))))


def test_a_row_without_a_user_only_describes_its_item() -> None:
    task = keeper("content")
    rows = task.encode(shop())
    assert rows.row.tolist() == list(range(6))
    assert not rows.rejects
    assert task.described(shop()).tolist() == [False] * 6 + [True] * 5
    assert task.state["items"]["count"] == 5
    assert catalogue.counts(task.state).tolist() == [2, 1, 2, 1, 0]
    assert catalogue.ages(task.state)[4] == catalogue.COLD


def test_without_inputs_a_row_without_a_user_is_a_reject() -> None:
    config = Recommendation.Config(user="user", item="item", time="time", model={"kind": "ease", "size": "small"})
    task = Recommendation(config, Recommendation(config).fit(shop()))
    assert [reject.reason for reject in task.encode(shop()).rejects] == ["no user"] * 5


@pytest.mark.parametrize("kind", ["content", "mixed"])
def test_an_item_that_nobody_took_is_named_by_its_description(kind: str) -> None:
    task = keeper(kind)
    examples = task.arrange(task.encode(shop()), None)
    net = task.build()
    task.remember(net, examples)
    torch.manual_seed(0)
    with torch.no_grad():
        list(net.solve([task.collate(examples, Draw(0, 0, np.arange(3), training=False))]))
    answers, _, _ = answers_of(task, net.eval(), pl.DataFrame({"item": [[1, 2]]}))
    assert answers["items"][0][0] == 5


def test_descriptions_belong_to_no_split() -> None:
    recipe = parse(
        {
            "task": {"kind": "recommendation", "user": "user", "item": "item", "time": "time"},
            "data": "x",
            "inputs": TOLD,
            "model": "content",
        }
    )
    parts = parts_of(replace(recipe, split=replace(recipe.split, by="time", validation=0.2, test=0.3)), shop(), None)
    assert parts.tolist() == [0, 1, 0, 2, 0, 1] + [0] * 5


def test_what_a_model_needs_is_said_before_anything_is_read() -> None:
    def refused(change: dict[str, object]) -> str:
        with pytest.raises(RecipeError) as caught:
            parse({"task": "recommendation", "data": "x"} | change)
        return caught.value.code

    assert refused({"model": "content"}) == "L163"
    assert refused({"model": "content", "inputs": {"photo": "boxes"}}) == "L164"
    assert refused({"model": "mlp"}) == "L109"
    assert refused({"task": {"kind": "recommendation", "user": "a", "item": "a"}}) == "L160"
    assert refused({"task": {"kind": "recommendation", "at_least": 4.0}}) == "L106"
    assert refused({"task": {"kind": "recommendation", "k": 0}}) == "L105"


def test_inputs_that_a_model_does_not_read_are_said(caplog: pytest.LogCaptureFixture) -> None:
    parse({"task": "recommendation", "data": "x", "model": "ease", "inputs": TOLD})
    assert "W109" in caplog.text


def test_a_state_of_another_recipe_is_refused() -> None:
    task = keeper("content")
    task.check_state()
    wrong = [{"inputs": {}}, {"pairs": 0}, {"counts": ids.pack_numbers(np.full(5, -1))}, {"ages": ids.pack_numbers(np.full(5, 9))}]
    for change in (*wrong, {"content": {"size": 3, "packed": task.state["content"]["packed"]}}):
        with pytest.raises((RecipeError, ValueError)):
            Recommendation(task.config, task.state | change).check_state()


def test_a_time_written_as_text_is_ordered_by_time() -> None:
    table = pl.DataFrame({"u": [1] * 5, "t": ["12/1/2009 7:45", "2/1/2010 9:00", "1/15/2010 8:00", "11/30/2010 8:00", "3/1/2010 10:00"]})
    parts = divide(table, Splitting(by="last_one", group="u", order="t"), target=None, seed=0)
    assert parts.tolist() == [0, 0, 0, 2, 1]
