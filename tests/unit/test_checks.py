"""Each fault planted, each found; nothing found in clean data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from luban.data.checks import Finding, checks
from luban.errors import DataError

N = 997
RNG = np.random.default_rng(1)
SPLITS = np.array([0] * 701 + [1] * 149 + [2] * 147, np.int8)


def clean() -> pl.DataFrame:
    x = RNG.normal(size=N)
    return pl.DataFrame({"x": x, "c": RNG.choice(["a", "b", "c"], N), "y": np.where(x + RNG.normal(size=N) > 0, "up", "down")})


def run(
    table: pl.DataFrame, inputs: dict[str, str] | None = None, splits: np.ndarray = SPLITS, task: str = "classification"
) -> list[Finding]:
    return checks(table, inputs or {"x": "number", "c": "category"}, "y", splits, task)


def codes(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings if finding.level != "ok"}


def the(findings: list[Finding], code: str) -> Finding:
    return next(finding for finding in findings if finding.code == code)


def test_clean_data_has_no_findings_but_ok() -> None:
    findings = run(clean())
    assert codes(findings) == set()
    assert {"splits", "missing", "numbers", "balance", "duplicates", "target copy"} <= {finding.name for finding in findings}


def test_missing() -> None:
    table = clean().with_columns(
        pl.lit(None, pl.Float64).alias("none"),
        pl.when(pl.int_range(N) % 5 == 0).then(pl.col("x")).alias("most"),
        pl.when(pl.int_range(N) >= 7).then(pl.col("y")).alias("y"),
    )
    findings = run(table, {"x": "number", "none": "number", "most": "number"})
    assert the(findings, "W240").where == "none"
    assert {(f.where, f.code) for f in findings if f.code == "W241"} == {("most", "W241"), ("y", "W241")}
    assert any("80%" in f.detail for f in findings)
    assert any("7 rows" in f.detail for f in findings)


def test_a_target_without_values_and_one_class_are_errors() -> None:
    assert the(run(clean().with_columns(pl.lit(None, pl.String).alias("y"))), "L240").level == "error"
    findings = run(clean().with_columns(pl.lit("up").alias("y")))
    assert findings[0].code == "L241"
    with pytest.raises(DataError, match=r"L241.*up"):
        findings[0].emit()


def test_constant_ids_and_many_categories() -> None:
    table = clean().with_columns(pl.lit(3).alias("k"), pl.int_range(N).alias("row"), pl.int_range(N).cast(pl.String).alias("name"))
    findings = run(table, {"x": "number", "k": "number", "row": "number", "name": "category"})
    assert the(findings, "W242").where == "k"
    assert {f.where for f in findings if f.code == "W243"} == {"row", "name"}
    many = pl.DataFrame({"c": [f"k{i % 10_007}" for i in range(20_021)], "y": RNG.choice(["u", "v"], 20_021)})
    findings = checks(many, {"c": "category"}, "y", RNG.integers(0, 3, 20_021), "classification")
    assert "10,007" in the(findings, "W245").detail


def test_nan_and_infinity_are_counted() -> None:
    x = clean()["x"].to_numpy().copy()
    x[[3, 5, 7]], x[[11, 13]] = np.nan, [np.inf, -np.inf]
    finding = the(run(clean().with_columns(pl.Series("x", x))), "W244")
    assert (finding.where, "3 values are NaN" in finding.detail, "2 infinite" in finding.detail) == ("x", True, True)


def test_classes() -> None:
    y = clean()["y"].to_list()
    y[900] = "only in test"
    y[750] = y[751] = "only in validation"
    findings = run(clean().with_columns(pl.Series("y", y)))
    assert "only in test" in the(findings, "W246").detail
    assert {("test" in f.detail, f.detail.split()[0]) for f in findings if f.code == "W248"} == {(True, "1"), (False, "2")}
    assert "0.10%" in the(findings, "W247").detail


def test_duplicates_inside_across_and_in_conflict() -> None:
    table = clean()
    rows = np.arange(N)
    rows[1:8] = 0  # seven copies inside train
    rows[860:871] = np.arange(100, 111)  # eleven test rows from train
    rows[710:713] = np.arange(200, 203)  # three validation rows from train
    table = table[rows].with_columns(pl.when(pl.int_range(N) == 860).then(pl.lit("other")).otherwise(pl.col("y")).alias("y"))
    findings = run(table)
    assert the(findings, "W249").detail.startswith("7 ")
    assert {(f.detail.split()[0], "test" in f.detail) for f in findings if f.code == "W250"} == {("11", True), ("3", False)}
    assert "7.5%" in next(f.detail for f in findings if f.code == "W250" and "test" in f.detail)
    assert the(findings, "W251").detail.startswith("2 ")


def test_equal_pictures_under_other_names_are_duplicates(tmp_path: Path) -> None:
    paths = []
    for number in range(13):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"\x89PNG" + bytes([number % 11]) * 17)
        paths.append(str(path))
    table = pl.DataFrame({"image": paths, "y": ["a", "b"] * 6 + ["a"]})
    findings = checks(table, {"image": "image"}, "y", np.array([0] * 11 + [2] * 2), "classification")
    assert the(findings, "W250").detail.startswith("2 ")


def test_an_input_that_tells_the_target() -> None:
    table = clean().with_columns(pl.col("y").replace_strict({"up": "u1", "down": "d1"}).alias("copy"))
    findings = run(table, {"x": "number", "c": "category", "copy": "category"})
    assert [f.where for f in findings if f.code == "W252"] == ["copy"]
    number = pl.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N)}).with_columns((3 - 2 * pl.col("x")).alias("y"))
    findings = run(number, {"x": "number", "z": "number"}, task="regression")
    assert [f.where for f in findings if f.code == "W252"] == ["x"]


def test_empty_splits() -> None:
    assert the(run(clean(), splits=np.full(N, 2)), "L242").level == "error"
    assert len([f for f in run(clean(), splits=np.zeros(N, np.int8)) if f.code == "W253"]) == 2


def test_lists_bytes_and_multi_label_targets_pass_through() -> None:
    table = pl.DataFrame(
        {
            "s": [[[float(i), 2.0]] for i in range(N)],
            "b": [bytes([i % 251, i // 251]) for i in range(N)],
            "y": [["a"], ["a", "b"]] * 498 + [["a"]],
        }
    )
    assert codes(checks(table, {"s": "series", "b": "image"}, "y", SPLITS, "classification")) == set()


def test_a_warning_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    the(run(clean().with_columns(pl.lit(1.0).alias("x"))), "W242").emit()
    assert "W242 x" in caplog.text
