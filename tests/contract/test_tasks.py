"""What every task promises, and the engine with it: the catalog's tasks under many models, and toys of unlike methods."""

from __future__ import annotations

import json
import multiprocessing
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import ranks
import torch
from cases import (
    CASES,
    MIXED,
    RENT,
    STEPPED,
    Case,
    arrays,
    batch_of,
    flat,
    fresh,
    gradients,
    learn,
    loss_of,
    prepare,
    ready,
    score,
    tensors,
    trained,
)
from torch import nn

from luban import catalog
from luban.capabilities import Solves
from luban.columns import Columns
from luban.data.prepare import prepare as prepare_files
from luban.data.splits import TEST, TRAIN
from luban.draw import Draw
from luban.errors import RecipeError
from luban.evaluation.metrics import find
from luban.predicting import answers_of, marks_of
from luban.recipe import parse
from luban.schema import validate
from luban.training.loop import Trainer

every = pytest.mark.parametrize("case", CASES.values(), ids=str)
stepped = pytest.mark.parametrize("case", STEPPED.values(), ids=str)
overfitting = pytest.mark.parametrize("case", [case for case in STEPPED.values() if case.overfits], ids=str)
supervised = pytest.mark.parametrize("case", [case for case in CASES.values() if getattr(case.task.config, "target", "")], ids=str)
by_chance = pytest.mark.parametrize("case", [case for case in CASES.values() if case.chance], ids=str)


# --- rows to examples


@every
def test_fits_and_its_state_is_json(case: Case) -> None:
    task = case.task
    state = task.fit(case.table(case.rows))
    assert json.loads(json.dumps(state)) == json.loads(json.dumps(ready(case).task.fit(case.table(case.rows)))), "fit draws on chance"
    assert task.state is None, "fit has a side effect"


@supervised
def test_a_state_of_its_own_is_accepted_and_another_refused(case: Case) -> None:
    task = ready(case).task
    state = json.loads(json.dumps(task.state))
    type(task)(task.config, state).check_state()
    for wrong in (None, {}, [], state | {"more": 1}, state | {"inputs": {}}, state | {"target": {"kind": "text"}}):
        with pytest.raises(RecipeError):
            type(task)(task.config, wrong).check_state()


@every
@pytest.mark.parametrize("cut", [7, 29])
def test_encoding_in_chunks_is_encoding_the_whole(case: Case, cut: int) -> None:
    made = ready(case)
    whole = made.task.encode(made.frame)
    bounds = [0, 1, *range(cut, len(made.frame), cut), len(made.frame)]  # a chunk of one row among them
    parts = [made.task.encode(made.frame[start:end]).shift(start) for start, end in pairwise(bounds)]
    for one, other in zip(arrays(whole), arrays(Columns.join(parts)), strict=True):
        np.testing.assert_array_equal(one, other)


@every
def test_an_example_knows_its_row(case: Case) -> None:
    made = ready(case)
    for part, examples in enumerate(made.examples):
        assert len(examples)
        assert (made.parts[examples.row] == part).all(), "an example stands for a row of another split"


@every
def test_a_batch_collated_twice_in_another_thread_is_equal(case: Case) -> None:
    made, rows = ready(case), np.array([5, 0, 3, 7])
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(batch_of(made, rows, training=True))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other, here in zip(*(tensors(batch) for batch in [*found, batch_of(made, rows, training=True)]), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(one, here, rtol=0, atol=0, equal_nan=True)


# --- losses and steps


@stepped
def test_losses_are_finite_and_move_every_part_they_name(case: Case) -> None:
    gradient = gradients(ready(case), np.arange(13), 1)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


@stepped
@pytest.mark.parametrize("micro", [2, 3, 5])
def test_micro_batches_change_no_gradient(case: Case, micro: int) -> None:
    whole, cut = gradients(ready(case), np.arange(13), 1), gradients(ready(case), np.arange(13), micro)
    assert (whole - cut).norm() <= 1e-6 * whole.norm()


@overfitting
def test_eight_rows_are_learnt_by_heart(case: Case) -> None:
    made = ready(case)
    few = type(made)(case, made.task, made.frame, made.parts, (made.examples[0].take(np.arange(8)), *made.examples[1:]))
    before = loss_of(few, fresh(few).eval(), np.arange(8))
    net = learn(few, case.training(batch_size="all", steps=240, learning_rate=0.01))
    after = loss_of(few, net, np.arange(8))
    least = 0.5 * getattr(case.task.config, "label_smoothing", 0.0)
    assert after < 0.35 * before + least * np.log(4)


@every
def test_training_improves_on_rows_never_seen(case: Case) -> None:
    made = ready(case)
    after = score(made, trained(case))
    assert after >= case.floor
    if not case.chance:
        assert after > score(made, fresh(made))


@every
def test_the_same_seed_gives_the_same_net(case: Case) -> None:
    settings = case.training(steps=4)
    one, other = (learn(ready(case), settings) for _ in range(2))
    assert torch.equal(flat(one), flat(other))


@stepped
def test_another_seed_gives_another_net(case: Case) -> None:
    one, other = (learn(ready(case), case.training(steps=2, seed=seed)) for seed in (0, 1))
    assert not torch.equal(flat(one), flat(other))


@every
def test_validation_and_test_rows_are_never_read_in_training(case: Case) -> None:
    made, settings = ready(case), case.training(steps=4)
    poisoned = prepare(case, poison(made.frame, made.parts), made.parts)
    assert json.dumps(poisoned.task.state) == json.dumps(made.task.state)
    assert torch.equal(flat(learn(made, settings)), flat(learn(poisoned, settings)))


def poison(frame: pl.DataFrame, parts: np.ndarray) -> pl.DataFrame:
    """Every cell of the held-out rows replaced, but for columns of users, series and time, which place a row."""
    kept, columns = parts == TRAIN, []
    for name in frame.columns:
        column = frame[name]
        if name in ("user", "series", "time"):
            columns.append(column)
        elif column.dtype.is_numeric():
            columns.append(pl.Series(name, np.where(kept, column.to_numpy(), 1e6)).set(column.is_null() & pl.Series(kept), None))
        else:
            donor = (column.filter(pl.Series(kept)) if kept.any() else column).drop_nulls()[0]
            odd = "毒 poison" if column.dtype == pl.String and name not in ("label", "listed") else donor
            cells = [cell if keep else odd for cell, keep in zip(column.to_list(), kept, strict=True)]
            columns.append(pl.Series(name, cells, dtype=column.dtype))
    return pl.DataFrame(columns)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_prepared_from_files_nothing_of_the_held_out_rows_reaches_training(task: str, tmp_path: Path) -> None:
    frame = next(case for case in CASES.values() if case.name.startswith(task)).table(61)
    target, inputs = ("label", MIXED) if task == "classification" else ("rent", RENT)
    found = []
    for held_out in (frame[31:], poison(frame, np.full(61, TEST))[31:]):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        for name, part in (("train", frame[:31]), ("validation", held_out[:17]), ("test", held_out[17:])):
            part.write_csv(folder / f"{name}.csv")
        data = {name: f"{name}.csv" for name in ("train", "validation", "test")}
        made = prepare_files(parse({"task": task, "data": data, "target": target, "inputs": inputs}, base=folder), folder / "store")
        found.append((json.dumps(made.task.state, sort_keys=True), arrays(made.examples["train"])))
        assert [len(made.examples[name]) for name in data] == [31, 17, 13]
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)


FROZEN = ("classification-convnet", "classification-resnet", "classification-mlp", "contrastive")


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_parts_do_not_move(name: str) -> None:
    case, made = CASES[name], ready(CASES[name])
    part = "left" if name == "contrastive" else "encoders.0"

    class Frozen(type(made.task)):
        def build(self) -> nn.Module:
            net = super().build()
            net.get_submodule(part).requires_grad_(False)
            return net

    trainer = Trainer(Frozen(made.task.config, made.task.state), made.examples[0], case.training(steps=3, weight_decay=0.1, ema=0.9))
    before = {key: value.clone() for key, value in trainer.net.state_dict().items()}
    after = trainer.run().finish().state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved
    assert not any(key.startswith(part) for key in moved)


@pytest.mark.parametrize("names", [("classification-lstm", "classification-tags", "gan", "contrastive", "forecasting")])
def test_two_ranks_are_two_micro_batches(names: tuple[str, ...], tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=ranks.work, args=(rank, 2, names, str(tmp_path))) for rank in range(2)]
    for worker in workers:
        worker.start()
    try:
        expected = {name: ranks.alone(name) for name in names}
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0, "a rank failed, or waits for one that went another way"
    finally:
        for worker in workers:
            worker.kill()
    for name in names:
        found = [torch.load(tmp_path / f"{name}-{rank}.pt") for rank in range(2)]
        for key, value in expected[name].items():
            for rank in range(2):
                difference = (found[rank][key] - value).norm() / value.norm()
                assert difference <= (1e-6 if key != "weights" else 1e-4), (name, key, rank)


# --- resume


RESUMED = [
    STEPPED[name]
    for name in ("language-gpt", "classification-lstm", "classification-convnet", "regression-mlp", "gan", "forecasting", "contrastive")
]


@pytest.mark.parametrize("case", RESUMED, ids=str)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_a_resumed_run_is_the_uninterrupted_one(case: Case, optimizer: str, tmp_path: Path) -> None:
    settings = case.training(
        steps=9, accumulation=2, ema=0.9, optimizer=optimizer, learning_rate=0.01, schedule="cosine", validations=3, patience=9, l2=0.1
    )
    whole = trainer(case, settings, tmp_path / "whole").run()
    for stop in (2, 5, None):
        torch.rand(17)  # another process would stand elsewhere in its generator
        parts = trainer(case, settings, tmp_path / "parts").run(until=stop)
    assert parts.progress.step == 9
    assert torch.equal(flat(whole.net), flat(parts.net))
    assert torch.equal(flat(whole.finish()), flat(parts.finish()))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert logs[0].count('"losses"') == 9


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_a_resumed_run_stops_early_where_the_uninterrupted_one_does(stop: int, tmp_path: Path) -> None:
    case = STEPPED["classification-mlp"]
    settings = case.training(steps=20, validations=10, patience=3)
    scores = [0.1, 0.3, 0.2, 0.2, 0.2, 0.9, 0.9, 0.9, 0.9, 0.9]  # at steps 2, 4, …: the third without gain is at step 10

    def run(folder: str, until: int | None) -> Trainer:
        made = trainer(case, settings, tmp_path / folder)
        made.validate = lambda net: scores[made.progress.step // 2 - 1]
        return made.run(until=until)

    whole = run("whole", None)
    run("parts", stop)
    parts = run("parts", None)
    assert whole.progress.step == parts.progress.step == 10
    assert parts.progress.best_step == 4
    assert torch.equal(flat(whole.finish()), flat(parts.finish()))


def test_a_finished_run_takes_no_further_step(tmp_path: Path) -> None:
    case = STEPPED["classification-mlp"]
    first = trainer(case, case.training(steps=3), tmp_path).run()
    again = trainer(case, case.training(steps=3), tmp_path).run()
    assert again.progress.step == 3
    assert torch.equal(flat(first.finish()), flat(again.finish()))


def trainer(case: Case, settings: Any, folder: Path) -> Trainer:
    """With validation by the case's own score."""
    made = ready(case)
    return Trainer(made.task, made.examples[0], settings, folder=folder, validate=lambda net: score(made, net))


# --- answers and marks


@every
def test_saved_is_loaded(case: Case) -> None:
    made, net = ready(case), trained(case)
    again = type(made.task)(made.task.config, json.loads(json.dumps(made.task.state)))
    twin = again.build()
    twin.load_state_dict({key: value.clone() for key, value in net.state_dict().items()}, strict=True)
    one, other = answers_of(made.task, net, made.frame)[0], answers_of(again, twin, made.frame)[0]
    assert one.equals(other)


@every
def test_batch_size_changes_no_answer(case: Case) -> None:
    made, net = ready(case), trained(case)
    for_all = [tensors(made.task.predict(net.eval(), batch_of(made, np.arange(len(made.examples[1])), training=False, part=1)))]
    for size in (1, 3):
        chunks = [np.arange(len(made.examples[1]))[i : i + size] for i in range(0, len(made.examples[1]), size)]
        parts = [tensors(made.task.predict(net, batch_of(made, rows, training=False, part=1))) for rows in chunks]
        for whole, *pieces in zip(for_all[0], *parts, strict=True):
            torch.testing.assert_close(torch.cat(pieces), whole, rtol=1e-5, atol=1e-5)


@every
def test_the_order_of_rows_changes_no_answer(case: Case) -> None:
    if case.by_place:
        pytest.skip("what it makes belongs to no row")
    made, net = ready(case), trained(case)
    order = np.random.default_rng(1).permutation(len(made.frame))
    answers, _, rows = answers_of(made.task, net, made.frame)
    shuffled, _, places = answers_of(made.task, net, made.frame[order])
    assert sorted(order[places]) == sorted(rows)
    shuffled = shuffled[np.argsort(order[places])]
    assert alike(answers[np.argsort(rows)].to_dicts(), shuffled.to_dicts())


def alike(one: Any, other: Any) -> bool:
    """Equal, numbers to 1e-5."""
    if isinstance(one, float):
        return bool(np.isclose(one, other, rtol=1e-5, atol=2e-6))
    if isinstance(one, dict):
        return all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(alike(a, b) for a, b in zip(one, other, strict=True))
    return one == other


@every
def test_neighbours_change_no_marks(case: Case) -> None:
    made, net = ready(case), trained(case)
    whole = marks_of(made.task, net, made.examples[1])
    half = np.arange(0, len(made.examples[1]), 2)
    if case.by_place:
        half = np.arange(len(half))
    part = marks_of(made.task, net, made.examples[1].take(half), batch_size=2)
    for name, values in whole.data.items():
        np.testing.assert_allclose(np.asarray(part[name], float), np.asarray(values, float)[half], rtol=1e-5, atol=1e-5)


@every
def test_answers_are_json_one_for_each_example(case: Case) -> None:
    made = ready(case)
    answers, rejects, rows = answers_of(made.task, trained(case), made.frame)
    assert len(answers) == len(rows)
    assert not rejects
    assert json.loads(json.dumps(answers.to_dicts(), allow_nan=False)) == answers.to_dicts()


@supervised
def test_rows_without_a_target_are_answered_the_same(case: Case) -> None:
    made, net, target = ready(case), trained(case), case.task.config.target
    known, _, _ = answers_of(made.task, net, made.frame)
    for table in (made.frame.drop(target), made.frame.with_columns(pl.lit(None, dtype=made.frame[target].dtype).alias(target))):
        answers, rejects, rows = answers_of(made.task, net, table)
        assert not rejects
        assert rows.tolist() == list(range(len(made.frame)))
        assert answers.equals(known)


def test_deployed_without_targets_each_series_gets_what_follows() -> None:
    made = ready(CASES["forecasting"])
    answers, _, rows = answers_of(made.task, trained(made.case), made.frame)
    last = made.frame.with_row_index().sort("time").group_by("series").agg(pl.col("index").last()).sort("series")["index"]
    assert rows.tolist() == last.to_list()
    ends = made.frame.sort("time").group_by("series").agg(pl.col("value").last()).sort("series")["value"].to_numpy()
    assert np.abs(np.stack(answers["forecast"].to_list())[:, 0] - ends).max() < 1.0
    short, _, _ = answers_of(made.task, trained(made.case), pl.DataFrame({"series": [9, 9], "time": [0, 1], "value": [3.0, 4.0]}))
    assert len(short) == 1


def test_deployed_a_new_user_gets_items_not_met_before() -> None:
    made = ready(CASES["item-knn"])
    history = pl.DataFrame({"user": [10**6] * 4, "item": ["i03", "i04", "i05", "never seen"], "time": [0, 1, 2, 3]})
    answers, _, _ = answers_of(made.task, trained(made.case), history)
    assert len(answers) == 1
    assert not {"i03", "i04", "i05"} & set(answers["items"][0])
    assert set(answers["items"][0]) <= {f"i{k:02d}" for k in (0, 1, 2, 6, 7, 8, 9)}


@by_chance
def test_a_net_that_says_the_same_of_all_does_not_beat_chance(case: Case) -> None:
    made = ready(case)
    net = fresh(made)
    with torch.no_grad():
        for value in [*net.parameters(), *net.buffers()]:
            value.zero_()
    assert case.chance is not None
    assert case.chance(marks_of(made.task, net, made.examples[1])) <= 0


# --- recipes and capabilities


@every
def test_an_unknown_setting_names_the_nearest(case: Case) -> None:
    name = sorted(validate(case.task.Config, {}, where="x").__dataclass_fields__)[-1]
    with pytest.raises(RecipeError) as caught:
        validate(case.task.Config, {name + "s": 1}, where="task")
    assert caught.value.code == "L104"
    assert caught.value.nearest() == name


WHOLE = {
    "language_modeling": {},
    "masked_language_modeling": {},
    "text_embedding": {},
    "question_answering": {"target": "y", "inputs": {"a": "text", "b": "text"}},
    "chat": {"target": "y", "inputs": {"a": "text"}},
    "document_answering": {"inputs": {"a": "text"}},
    "text_to_text": {"target": "y", "inputs": {"a": "text"}},
}  # what the recipe of each task needs, where it is not a target and inputs
NETWORK = {
    "language_modeling": "gpt",
    "chat": "gpt",
    "text_to_text": "encoder_decoder",
    "masked_language_modeling": "bert",
    "text_embedding": "lstm",
    "question_answering": "bert",
    "document_answering": "rank_fusion",
}  # a model of each task, where it is not mlp


@pytest.mark.parametrize("task", sorted({*catalog.entries("tasks")} - {"recommendation"}))  # its names: test_recommendation.py
@pytest.mark.parametrize(
    ("change", "near"),
    [
        ({"taks": 1}, "task"),
        ({"training": {"epoch": 3}}, "epochs"),
        ({"model": {"kind": "mlp", "hiden": [3]}}, "hidden"),
        ({"model": {"kind": "mpl"}}, "mlp"),
        ({"model": {"kind": "mlp", "size": "smal"}}, "small"),
        ({"inputs": {"a": {"kind": "numbr"}}}, "number"),
        ({"inputs": {"a": {"kind": "number", "scal": "none"}}}, "scale"),
        ({"split": {"validaton": 0.2}}, "validation"),
        ({"evaluation": {"fold": 3}}, "folds"),
    ],
)
def test_an_unknown_key_of_a_recipe_names_the_nearest(task: str, change: dict[str, Any], near: str) -> None:
    whole = {"task": task, "data": "a.csv", **WHOLE.get(task, {"target": "y", "inputs": {"a": "number"}})}
    parse(whole)
    if change.get("model", {}).get("kind") == "mlp":
        change = {"model": change["model"] | {"kind": NETWORK.get(task, "mlp")}}
    if task in ("language_modeling", "chat", "text_to_text") and near == "scale":
        pytest.skip("a column of text has no settings of its own here")
    if task in ("masked_language_modeling", "question_answering") and near == "hidden":
        change, near = {"model": {"kind": "bert", "withd": 64}}, "width"
    if task == "document_answering" and near == "hidden":
        change, near = {"model": {"kind": "rank_fusion", "smoothin": 6.0}}, "smoothing"
    with pytest.raises(RecipeError) as caught:
        parse(whole | change)
    assert caught.value.nearest() == near
    assert near in str(caught.value)


@pytest.mark.parametrize(
    ("change", "near"),
    [
        ({"task": {"kind": "recommendation", "usre": "a"}}, "user"),
        ({"training": {"epoch": 3}}, "epochs"),
        ({"model": {"kind": "ease", "penaltie": 3.0}}, "penalty"),
        ({"model": {"kind": "eese"}}, "ease"),
        ({"model": {"kind": "ials", "size": "smal"}}, "small"),
        ({"split": {"by": "ratoi"}}, "ratio"),
        ({"evaluation": {"metrics": ["ndgc_at_10"]}}, "ndcg_at_10"),
    ],
)
def test_an_unknown_key_of_a_recommender_names_the_nearest(change: dict[str, Any], near: str) -> None:
    whole = {"task": "recommendation", "data": "a.csv"}
    parse(whole)
    with pytest.raises(RecipeError) as caught:
        found_metrics(parse(whole | change))
    assert caught.value.nearest() == near


def found_metrics(recipe: Any) -> list[Any]:
    """The metrics it names."""
    return [find(name) for name in recipe.evaluation.metrics]


@every
def test_solved_nets_are_told_by_their_one_method(case: Case) -> None:
    assert isinstance(fresh(ready(case)), Solves) == case.solved


@every
def test_draws_in_evaluation_do_not_know_the_epoch(case: Case) -> None:
    made, rows = ready(case), np.arange(5)
    first, later = (made.task.collate(made.examples[0].take(rows), Draw(0, epoch, rows, training=False)) for epoch in (0, 3))
    for one, other in zip(tensors(first), tensors(later), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
