"""Bad input is a coded error or a named warning in one line with the fix, never a traceback; nothing is dropped silently."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import luban
from luban.cli import main as cli
from luban.errors import LubanError

ROWS = 120


def table(rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    good = rng.random(rows) < 0.5
    return pl.DataFrame(
        {"x": np.where(good, 1.0, -1.0) + rng.normal(0, 0.5, rows), "c": rng.choice(["a", "b"], rows), "y": np.where(good, "yes", "no")}
    )


def recipe(data: str = "data.csv", **changes: object) -> dict[str, object]:
    base = {"task": "classification", "data": data, "target": "y", "model": "linear", "evaluation": {"draws": 20}}
    return base | changes


def run(folder: Path, frame: pl.DataFrame | str | bytes | None, changes: dict[str, object] | None = None) -> luban.run.Run:
    """Write data.csv and train on it."""
    from luban import recipe as recipes
    from luban.run import train

    if isinstance(frame, pl.DataFrame):
        frame.write_csv(folder / "data.csv")
    elif frame is not None:
        (folder / "data.csv").write_bytes(frame if isinstance(frame, bytes) else frame.encode())
    return train(recipes.parse(recipe(**(changes or {})), base=folder), runs=folder / "runs")


def error(folder: Path, frame: pl.DataFrame | str | bytes | None, **changes: object) -> LubanError:
    with pytest.raises(LubanError) as caught:
        run(folder, frame, changes)
    line = caught.value.line()
    assert "\n" not in line
    assert line.startswith(caught.value.code)
    return caught.value


def codes(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {record.luban["code"] for record in caplog.records if hasattr(record, "luban")}


def rejects(run: luban.run.Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run.folder / "rejects.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("luban"), "propagate", True)
    caplog.set_level(logging.INFO, "luban")


def test_missing_file(tmp_path: Path) -> None:
    assert error(tmp_path, None).code == "L200"


def test_missing_column_names_the_nearest(tmp_path: Path) -> None:
    found = error(tmp_path, table(), target="yy")
    assert (found.code, found.nearest()) == ("L201", "y")
    assert error(tmp_path, table(), inputs={"xx": "number"}).code == "L201"


@pytest.mark.parametrize(("content", "code"), [("", "L202"), ("x,y\n", "L214")])
def test_empty_file(tmp_path: Path, content: str, code: str) -> None:
    assert error(tmp_path, content).code == code


def test_one_class_only(tmp_path: Path) -> None:
    found = error(tmp_path, table().with_columns(y=pl.lit("yes")))
    assert found.code == "L241"
    assert found.fix


def test_all_missing_column_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = run(tmp_path, table().with_columns(empty=pl.lit(None, pl.String)), {"inputs": {"x": "number", "empty": "category"}})
    assert "W240" in codes(caplog)
    assert any("empty" in line for line in done.report["warnings"])


def test_unreadable_image_is_a_reject(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from luban.kinds.image import Image

    pictures = Image.demo(ROWS, 0).to_list()
    for place, picture in enumerate(pictures):
        (tmp_path / f"{place}.png").write_bytes(picture if place != 7 else b"no picture")
    frame = pl.DataFrame({"image": [f"{i}.png" for i in range(ROWS)], "y": ["yes", "no"] * (ROWS // 2)})
    done = run(tmp_path, frame, {"inputs": {"image": "image"}})
    (reject,) = rejects(done)
    assert (reject["line"], reject["column"]) == (9, "image")
    assert "W205" in codes(caplog)
    assert sum(done.report["data"]["splits"].values()) == ROWS - 1


def test_ragged_csv_lines_are_rejects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = table(500).write_csv().splitlines()
    lines.insert(11, "1,2")
    done = run(tmp_path, "\n".join(lines) + "\n")
    assert [r["line"] for r in rejects(done)] == [12]
    assert "W205" in codes(caplog)


def test_too_many_rejects_is_an_error(tmp_path: Path) -> None:
    lines = table().write_csv().splitlines()
    assert error(tmp_path, "\n".join([*lines, "1,2", "3", "4"]) + "\n").code == "L215"


def test_mixed_types_in_a_number_column_are_rejects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = table(200).with_columns(pl.col("x").cast(pl.String))
    frame[5, "x"] = "lots"
    done = run(tmp_path, frame, {"inputs": {"x": "number"}})
    (reject,) = rejects(done)
    assert (reject["line"], reject["column"]) == (7, "x")
    assert "lots" in str(reject["reason"])


def test_label_seen_only_in_test_counts_as_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table().write_csv(tmp_path / "train.csv")
    table(40).with_columns(y=pl.when(pl.int_range(40) < 10).then(pl.lit("new")).otherwise("y")).write_csv(tmp_path / "test.csv")
    done = run(tmp_path, None, {"data": {"train": "train.csv", "test": "test.csv"}, "inputs": {"x": "number"}})
    assert "W231" in codes(caplog)
    assert done.report["data"]["splits"]["test"] == 40
    assert done.scores["accuracy"]["value"] <= 0.75


def test_nan_and_infinite_numbers_are_missing_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = table()
    frame[3, "x"], frame[4, "x"] = float("nan"), float("inf")
    run(tmp_path, frame, {"inputs": {"x": "number"}})
    assert "W244" in codes(caplog)


def test_a_column_of_a_million_categories_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = 20_000
    frame = table(rows).with_columns(id=pl.Series([f"u{i}" for i in range(rows)]))
    done = run(tmp_path, frame, {"inputs": {"x": "number", "id": "category"}})
    assert codes(caplog) & {"W245", "W243", "W210"}
    assert len(json.loads((done.bundle / "state.json").read_text())["inputs"]["id"]["names"]) == 10_000


def test_duplicate_rows_across_splits_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, pl.concat([table(60), table(60)]), {"inputs": {"x": "number"}})
    assert "W250" in codes(caplog)


def test_unwritable_run_folder(tmp_path: Path) -> None:
    from luban import recipe as recipes
    from luban.run import train

    table().write_csv(tmp_path / "data.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(LubanError) as caught:
        train(recipes.parse(recipe(), base=tmp_path), folder=tmp_path / "file" / "run")
    assert caught.value.code == "L330"


@pytest.mark.parametrize(
    ("changes", "code", "nearest"),
    [
        ({"trianing": {}}, "L104", "training"),
        ({"training": {"bugdet": "1 min"}}, "L104", "budget"),
        ({"training": {"epochs": "three"}}, "L105", None),
        ({"training": {"budget": "soon"}}, "L114", None),
        ({"model": "linaer"}, "L102", "linear"),
        ({"model": {"kind": "linear", "size": "smal"}}, "L108", "small"),
        ({"inputs": {"x": "numbr"}}, "L102", "number"),
        ({"task": "clasification"}, "L102", "classification"),
        ({"evaluation": {"metrics": ["acuracy"]}}, "L150", "accuracy"),
        ({"inputs": {"y": "category"}}, "L112", None),
        ({"model": "convnet", "inputs": {"x": "number"}}, "L109", None),
        ({"split": {"by": "time", "order": "x", "group": "c"}}, "L116", None),
        ({"split": {"by": "random", "order": "x"}}, "L116", None),
        ({"training": {"stop_loss": float("inf")}}, "L105", None),
        ({"model": {"kind": "mlp", "dropout": 1.5}, "inputs": {"x": "number"}}, "L105", None),
    ],
)
def test_recipe_mistakes(tmp_path: Path, changes: dict[str, object], code: str, nearest: str | None) -> None:
    found = error(tmp_path, table(), **changes)
    assert (found.code, found.nearest()) == (code, nearest)


def test_changed_data_is_not_mixed_into_a_run_that_began(tmp_path: Path) -> None:
    done = run(tmp_path, table(120))
    assert run(tmp_path, None).folder == done.folder
    assert error(tmp_path, table(140)).code == "L333"


def test_folds_over_data_that_brings_its_own_split(tmp_path: Path) -> None:
    table().write_csv(tmp_path / "train.csv")
    table(40).write_csv(tmp_path / "test.csv")
    assert error(tmp_path, None, data={"train": "train.csv", "test": "test.csv"}, evaluation={"folds": 3}).code == "L117"


def test_a_file_of_the_same_dialect_can_be_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = table().write_csv(include_header=False, separator=";")
    asked = {"reading": {"header": False, "delimiter": ";"}, "target": "column_3"}
    done = run(tmp_path, content, asked)
    lines = content.splitlines()
    (tmp_path / "new.csv").write_text("\n".join([*lines[:150], "1;a;no;more", *lines[:120]]) + "\n")
    assert cli.run(["predict", str(done.bundle), str(tmp_path / "new.csv"), "--json"], as_json=True) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["line"] for answer in answers] == [i for i in range(1, 242) if i != 121]


def test_a_target_that_cannot_be_read_does_not_spoil_the_answer(tmp_path: Path) -> None:
    frame = table().with_columns(y=pl.col("x") * 2)
    done = run(tmp_path, frame, {"task": "regression"})
    (answer,) = luban.load(done.bundle).predict([{"x": 1.0, "c": "a", "y": "TBD"}])
    assert answer["number"] == pytest.approx(2, abs=0.5)


def test_baselines_are_judged_by_their_own_chances(tmp_path: Path) -> None:
    asked = {"task": {"kind": "classification", "loss": "mse_logits"}, "model": {"kind": "mlp", "size": "tiny"}, "training": {"steps": 3}}
    done = run(tmp_path, table(), asked)
    majority = next(row for row in done.report["ladder"] if row["name"] == "majority")
    assert 0.6 < majority["test"]["log_loss"]["value"] < 0.8


def test_bundle_of_another_format(tmp_path: Path) -> None:
    done = run(tmp_path, table())
    manifest = json.loads((done.bundle / "MANIFEST.json").read_text())
    (done.bundle / "MANIFEST.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(LubanError) as caught:
        luban.load(done.bundle)
    assert caught.value.code == "L402"


def test_the_command_line_prints_one_line_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in [(["train", "no.toml"], 2), (["trian"], 2), (["predict", str(tmp_path), "x.csv"], 5), (["new", "no.csv"], 3)]:
        assert cli.run(arguments, as_json=False) == code
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 1, said
        assert "Traceback" not in said


def test_errors_speak_chinese(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUBAN_LANG", "zh")
    assert any("\u4e00" <= c <= "\u9fff" for c in error(tmp_path, None).line())
