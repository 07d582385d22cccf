"""A log of users and items: from a recipe that `luban new` wrote to a bundle that answers."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

import luban
from luban.cli.main import luban as command
from luban.errors import DataError, RecipeError
from luban.tasks.recommendation import Recommendation

TOLD = {"title": {"kind": "text", "vocabulary": 300}}


def log(folder: Path, *, told: bool = False) -> pl.DataFrame:
    """The demo's users, and a row for each item's title where wanted."""
    config = Recommendation.Config(time="time", inputs=TOLD if told else {})
    table = Recommendation(config).demo(1100, 0)
    if told:
        about = table.unique("item_id").select(
            pl.lit(None, pl.String).alias("user_id"), "item_id", pl.lit(None, pl.Int64).alias("time"), "title"
        )
        table = pl.concat([table.with_columns(title=pl.lit(None, pl.String)), about])
    table.write_parquet(folder / "log.parquet")
    return table


def invoke(*arguments: str, input: str | None = None) -> str:
    """What a command prints."""
    done = CliRunner().invoke(command, arguments, input=input, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_from_a_log_to_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = log(tmp_path)
    facts = json.loads(invoke("new", "log.parquet", "--json"))
    assert facts["columns"] == {"user": "user_id", "item": "item_id", "time": "time"}
    assert {finding["code"] for finding in json.loads(invoke("check", "recipe.toml", "--json"))["findings"]} <= {"", "W278"}
    run = luban.train("recipe.toml", sets=("model=ease", "model.penalty=5.0", "evaluation.draws=20"))
    assert run.scores["recall_at_10"]["value"] > 0.8
    assert [row["name"] for row in run.report["ladder"]] == ["popularity", "ease"]
    assert {part["by"]["en"] for part in run.report["slices"]} == {"user's history", "item's age"}
    assert "last" in run.report["protocol"]["split"]["en"]
    user = table["user_id"][0]
    bundle = str(run.bundle)
    answer = json.loads(invoke("predict", bundle, "-", "--set", "k=3", input=json.dumps({"user_id": user}) + "\n"))
    assert answer["user_id"] == user
    assert len(answer["items"]) == 3
    invoke("predict", bundle, "log.parquet", "--out", "lists.parquet")
    assert pl.read_parquet("lists.parquet").height == table["user_id"].n_unique()
    invoke("predict", bundle, "log.parquet", "--out", "lists.csv")
    assert "|" in Path("lists.csv").read_text(encoding="utf-8")


def test_a_bundle_answers_ids_and_histories_and_refuses_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = log(tmp_path, told=True)
    task = {"kind": "recommendation", "time": "time"}
    recipe = {"task": task, "data": "log.parquet", "inputs": TOLD, "model": {"kind": "mixed", "size": "tiny"}, "evaluation": {"draws": 20}}
    model = luban.load(luban.train(recipe).bundle)
    user = table["user_id"][0]
    (known,) = model.predict([{"user_id": user}], k=4)
    assert len(known["items"]) == len(known["because"]) == 4
    (stranger,) = model.predict([{"user_id": "nobody"}], reasons=0)
    assert set(stranger["because"]) == {""}
    (near,) = model.predict([{"item_id": ["i10"]}], find="similar_items", k=2)
    assert len(near["items"]) == 2
    (friends,) = model.predict([{"user_id": user}], find="similar_users")
    assert user not in friends["users"]
    with pytest.raises(RecipeError) as caught:
        model.predict([{"user_id": user}], model="ease")
    assert caught.value.code == "L104"
    with pytest.raises(DataError) as refused:
        model.predict([{"title": "x"}])
    assert refused.value.code == "L286"
    scores = model.evaluate(table.filter(pl.col("user_id").is_not_null()).tail(100), draws=20)
    assert set(scores) >= {"ndcg_at_10", "coverage_at_10"}


@pytest.mark.parametrize("by", ["time", "ratio", "last_one"])
def test_every_split_of_a_log_trains(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log(tmp_path)
    recipe = {"task": {"kind": "recommendation", "time": "time"}, "data": "log.parquet", "model": "popularity", "split": {"by": by}}
    run = luban.train(recipe | {"evaluation": {"draws": 20}})
    assert run.scores["ndcg_at_10"]["value"] >= 0


def test_one_event_a_user_trains_and_is_never_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"user_id": range(50), "item_id": [n % 7 for n in range(50)]}).write_csv("log.csv")
    run = luban.train({"task": "recommendation", "data": "log.csv", "model": {"kind": "ease", "size": "small"}})
    assert run.scores == {}
    assert "W275" in caplog.text
    assert luban.load(run.bundle).predict([{"user_id": 3}])[0]["items"]


def test_a_missing_time_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [1, 2, 1, 3], "t": [1, None, 2, 3]}).write_csv("log.csv")
    with pytest.raises(DataError) as caught:
        luban.train({"task": {"kind": "recommendation", "time": "t"}, "data": "log.csv", "split": {"by": "time"}})
    assert caught.value.code == "L222"
