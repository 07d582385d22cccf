"""The size that a budget decides: by how often each goes through the rows, and whether it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luban.errors import RecipeError
from luban.planning import sizing
from luban.planning.choice import Choice, Tried, from_dict
from luban.recipe import parse
from luban.run import sizing as run_sizing
from luban.run import train
from luban.tasks.classification import Classification

RAW = {"task": "classification", "data": "t.csv", "target": "label", "model": {"kind": "mlp", "size": "auto"}}


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Any, Any]:
    from luban.data.completing import as_prepared
    from luban.data.prepare import prepare

    Classification.demo(None, 300, 0).write_csv(tmp_path / "t.csv")  # type: ignore[arg-type]
    recipe = parse(RAW | {"training": {"budget": "20 s"}}, base=tmp_path)
    made = prepare(recipe, tmp_path / "store")
    return as_prepared(recipe, made), made


def speeds(monkeypatch: pytest.MonkeyPatch, step_s: dict[str, float], *, too_large: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    """Steps of a size take as long as told, half of a batch half of it; what was asked for."""
    asked: list[tuple[str, int]] = []

    def attempt(_: Any, size: str, train: Any, settings: Any, trained: float, *__: Any) -> Tried:
        batch = sizing.batch_size_of(settings, len(train))
        asked.append((size, batch))
        seconds = step_s[size] * batch / 100
        return Tried(size, 1, batch, seconds, trained / (seconds * len(train) / batch), sizing.ENOUGH, size not in too_large)

    monkeypatch.setattr(sizing, "attempt", attempt)
    return asked


@pytest.mark.parametrize(
    ("step_s", "too_large", "size"),
    [
        ({"tiny": 0.01, "small": 0.02, "base": 0.1}, (), "base"),
        ({"tiny": 0.01, "small": 0.02, "base": 90.0}, (), "small"),
        ({"tiny": 50.0, "small": 90.0, "base": 900.0}, (), "tiny"),
        ({"tiny": 0.01, "small": 0.02, "base": 0.1}, ("base",), "small"),
        ({"tiny": 0.01, "small": 0.02, "base": 0.1}, ("tiny", "small", "base"), "tiny"),
    ],
)
def test_the_largest_that_is_fast_and_small_enough(
    step_s: dict[str, float], too_large: tuple[str, ...], size: str, prepared: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds(monkeypatch, step_s, too_large=too_large)
    choice = sizing.choose_size(*prepared, whole_s=20, left_s=19)
    assert choice.size == size
    assert from_dict(choice.as_dict()) == choice
    assert all(f"{one.size} " in choice.why() for one in choice.tried)


def test_batches_are_halved_for_more_steps_and_left_alone_where_the_recipe_says(
    prepared: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, made = prepared
    monkeypatch.setattr(sizing, "batch_size_of", lambda settings, _: settings.batch_size or 128)
    speeds(monkeypatch, {"tiny": 0.5, "small": 900.0, "base": 900.0})
    choice = sizing.choose_size(recipe, made, whole_s=20, left_s=20)
    assert (choice.size, choice.batch_size) == ("tiny", 16)  # 17 s - 3 s at 0.64 s a step are 22 steps; at 16 rows, 180
    stated = sizing.replace(recipe, training=sizing.replace(recipe.training, batch_size=64))
    assert sizing.choose_size(stated, made, whole_s=20, left_s=20).batch_size is None


def test_measured_steps_choose_and_the_report_says_why(prepared: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, made = prepared
    choice = sizing.choose_size(recipe, made, whole_s=20, left_s=20)
    assert [one.size for one in choice.tried][:1] == ["tiny"]
    assert all(one.parameters > 0 and one.step_seconds > 0 and one.passes > 0 for one in choice.tried)
    monkeypatch.setattr(run_sizing, "chosen", lambda *_, **__: Choice("tiny", 32, 1.0, choice.tried))
    run = train(recipe, sets=(), runs=tmp_path / "runs")
    assert run.report["size"]["size"] == "tiny"
    assert run.recipe.model["size"] == "tiny"
    assert run.recipe.training.batch_size == 32
    assert 'size = "tiny"' in (run.folder / "recipe.toml").read_text(encoding="utf-8")
    monkeypatch.setattr(run_sizing, "chosen", lambda *_, **__: pytest.fail("chosen again"))
    (run.folder / "report.json").unlink()
    assert train(recipe, runs=tmp_path / "runs").recipe.model["size"] == "tiny"


def test_a_solved_model_has_nothing_to_try(prepared: tuple[Any, Any]) -> None:
    recipe, made = prepared
    linear = parse(RAW | {"model": {"kind": "linear", "size": "auto"}, "training": {"budget": "20 s"}}, base=recipe.base)
    task = type(made.task)(sizing.replace(made.task.config, model={"kind": "linear", "size": "small"}), made.task.state)
    choice = sizing.choose_size(linear, sizing.replace(made, task=task), whole_s=20, left_s=20)
    assert (choice.size, choice.tried) == ("small", [])


def lawful(size: str, left: float, *, fits: bool = True) -> Tried:
    return Tried(size, 1, 16, 0.1, 0.5, 4.0, fits, left)


def test_by_a_law_of_scaling_it_is_the_size_that_leaves_least_to_learn() -> None:
    mini, small, medium, base = lawful("mini", 2.0), lawful("small", 1.8), lawful("medium", 1.9), lawful("base", 1.7, fits=False)
    assert not sizing.is_beyond([mini])
    assert not sizing.is_beyond([mini, small])
    assert sizing.is_beyond([mini, small, medium])
    assert sizing.is_beyond([mini, small, base])
    assert sizing.best_of([mini, small, medium]) is small
    assert sizing.best_of([mini, small, base]) is small
    assert sizing.best_of([base]) is base
    choice = Choice("small", None, 9.0, [mini, small, medium])
    assert from_dict(choice.as_dict()) == choice
    assert "small 0.5 (1.800)" in choice.why()


@pytest.fixture
def told(tmp_path: Path) -> tuple[Any, Any]:
    from luban.data.completing import as_prepared
    from luban.data.prepare import prepare

    (tmp_path / "tale.txt").write_text("".join(f"On day {n} the cat sees tree {n % 7}. " for n in range(900)), encoding="utf-8")
    task = {"kind": "language-modeling", "tokenizer": "characters"}
    recipe = parse({"task": task, "data": "tale.txt", "training": {"budget": "20 s", "threads": 1}}, base=tmp_path)
    made = prepare(recipe, tmp_path / "store")
    return as_prepared(recipe, made), made


@pytest.mark.parametrize(("trained_s", "sizes"), [(0.01, ("mini",)), (1e7, ("base", "large"))])
def test_little_time_goes_to_few_weights_and_much_to_many(
    trained_s: float, sizes: tuple[str, ...], told: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps take as long as their weights; the law is the task's own."""
    recipe, made = told
    weights = {"mini": 0.6e6, "small": 1.8e6, "medium": 4.8e6, "base": 10.7e6, "large": 85e6}
    law, text = type(made.task).traits.scaling, 1e8

    def attempt(_: Any, size: str, train: Any, settings: Any, trained: float, *__: Any) -> Tried:
        seen = trained * 1.8e10 / weights[size]  # tokens: 10,000 a second of `small`
        return lawful(size, law.left(weights=weights[size], seen=seen, different=text))

    monkeypatch.setattr(sizing, "attempt", attempt)
    monkeypatch.setattr(sizing, "smaller_batch", lambda *_: None)
    assert sizing.choose_size(recipe, made, whole_s=trained_s, left_s=trained_s).size in sizes


@pytest.mark.parametrize(("trained_s", "rows"), [(10.0, 8), (60.0, 16), (130.0, None)])
def test_batches_of_long_rows_are_halved_for_a_thousand_steps(trained_s: float, rows: int | None, told: tuple[Any, Any]) -> None:
    """A step of 32 rows takes 0.1 s: 600 in a minute, 1,200 of half the rows, and in ten seconds never so many."""
    recipe, made = told
    tried = Tried("small", 1, 32, 0.1, 1.0, 4.0, True, 1.0)
    assert sizing.smaller_batch(made.task, tried, made.examples["train"], recipe.training, trained_s, 0.0, 1.0) == rows


def test_steps_of_a_language_model_are_measured(told: tuple[Any, Any]) -> None:
    recipe, made = told
    assert sizing.is_open(recipe), "a budget and no word of a size"
    found = sizing.attempt(made.task, "mini", made.examples["train"], recipe.training, 9.0, 0.3, 1.0)
    text = sum(made.examples["train"].size)
    law = type(made.task).traits.scaling
    assert found.left == pytest.approx(law.left(weights=found.parameters, seen=found.passes * text, different=text))
    once = sizing.replace(recipe.training, epochs=0.5)
    assert sizing.attempt(made.task, "mini", made.examples["train"], once, 9.0, 0.3, 1.0).left == pytest.approx(
        law.left(weights=found.parameters, seen=0.5 * text, different=text)
    )
    assert sizing.smallest_batch(made.examples["train"]) == 8, "rows of 256 tokens"


def test_sizes_that_read_other_rows_are_left_out() -> None:
    assert sizing.sizes_of("gpt") == ["mini", "small", "medium", "base", "large"]
    assert sizing.sizes_of("mlp") == ["tiny", "small", "base"]


@pytest.mark.parametrize("training", [{}, {"epochs": 3}, {"steps": 10}])
def test_without_a_budget_it_is_refused(training: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="L130"):
        parse(RAW | {"training": training})


def test_an_encoder_has_no_size_of_its_own_choice() -> None:
    model = {"kind": "auto", "encoders": {"a": {"kind": "mlp", "size": "auto"}}}
    with pytest.raises(RecipeError, match="L108"):
        parse(RAW | {"inputs": {"a": "number"}, "model": model, "training": {"budget": "9 s"}})


def test_several_processes_are_refused(prepared: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_sizing, "world", lambda: (0, 2))
    with pytest.raises(RecipeError, match="L131"):
        run_sizing.sized(*prepared, tmp_path, None)  # type: ignore[arg-type]
