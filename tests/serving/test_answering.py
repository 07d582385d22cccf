"""A large file is answered in blocks: the same answers as at once, and an interruption costs the block in work."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

import luban
from luban.bundle.model import Model
from luban.cli.predict import command
from luban.run import answering

ROWS = 997


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of few rows, for every file."""
    monkeypatch.setattr(answering, "LARGE", 0)
    monkeypatch.setattr(answering, "BLOCK", 2000)


def table() -> pl.DataFrame:
    cities = [("Wien", "北京", None)[i % 3] for i in range(ROWS)]
    return pl.DataFrame({"x": [str(i / 7) if i % 100 != 50 else "no number" for i in range(ROWS)], "c": cities})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("out", [".csv", ".jsonl", ".parquet"])
@pytest.mark.usefixtures("small")
def test_blocks_answer_as_the_whole(suffix: str, out: str, shelf: dict[str, Path], tmp_path: Path) -> None:
    path, written = tmp_path / f"rows{suffix}", tmp_path / f"answers{out}"
    rows = table()
    {".csv": rows.write_csv, ".jsonl": rows.write_ndjson, ".parquet": rows.write_parquet}[suffix](path)
    result = CliRunner().invoke(command, [str(shelf["boosted"]), str(path), "--out", str(written)], catch_exceptions=False)
    assert result.exit_code == 0
    found = {".csv": pl.read_csv, ".jsonl": pl.read_ndjson, ".parquet": pl.read_parquet}[out](written)
    wanted = luban.load(shelf["boosted"]).answers(rows)
    first = 2 if suffix == ".csv" else 1
    assert found["line"].to_list() == list(range(first, ROWS + first))
    assert found["label"].to_list() == wanted["label"].to_list()
    assert found["error"].is_not_null().to_list() == wanted["error"].is_not_null().to_list()
    assert_frame_equal(found.select("confidence"), wanted.select("confidence"), abs_tol=1e-6)
    if out == ".csv":
        assert {"chances.no", "chances.yes"} <= set(found.columns)
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.usefixtures("small")
def test_an_interruption_costs_one_block(shelf: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole, cut = tmp_path / "rows.parquet", tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    table().write_parquet(path)
    model, bundle = luban.load(shelf["boosted"]), shelf["boosted"]
    assert answering.answer_file(model, bundle, path, whole) == ROWS
    answers, seen = Model.answers, [0]

    def failing(self: Model, rows: pl.DataFrame) -> pl.DataFrame:
        seen[0] += 1
        if seen[0] == 4:
            raise KeyboardInterrupt
        return answers(self, rows)

    monkeypatch.setattr(Model, "answers", failing)
    with pytest.raises(KeyboardInterrupt):
        answering.answer_file(model, bundle, path, cut)
    assert not cut.exists()
    before = len(list((tmp_path / ".cut.parquet.part").glob("0*.parquet")))
    assert before == 3
    assert answering.answer_file(model, bundle, path, cut) == ROWS
    blocks = seen[0] - 4 + before
    assert blocks >= 5
    assert cut.read_bytes() == whole.read_bytes()
    seen[0] = 10**6
    answering.answer_file(model, bundle, path, tmp_path / "other.parquet")
    assert seen[0] - 10**6 == blocks  # nothing is taken from answers to another question


@pytest.mark.usefixtures("small")
def test_kept_blocks_of_another_file_are_not_used(shelf: dict[str, Path], tmp_path: Path) -> None:
    path, out = tmp_path / "rows.csv", tmp_path / "out.parquet"
    table().write_csv(path)
    folder = answering.workplace(out, answering.identity(shelf["boosted"], path))
    pl.DataFrame({"label": ["wrong"]}).write_parquet(folder / "00000000.parquet")
    table().reverse().write_csv(path)
    model = luban.load(shelf["boosted"])
    assert answering.answer_file(model, shelf["boosted"], path, out) == ROWS
    assert "wrong" not in pl.read_parquet(out)["label"].to_list()
