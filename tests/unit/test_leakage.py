"""Leaks across splits: each planted, each found; none in the sets in reach that have none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn import datasets

from luban.data.checks import Finding, Subject, checks, examine
from luban.data.splits import Splitting, divide

N = 1009
DATA = Path(__file__).parents[3] / "shared" / "data"


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def splits(table: pl.DataFrame, by: str = "random", **split: object) -> np.ndarray:
    return divide(table, Splitting(by=by, **split), target="y", seed=0)  # type: ignore[arg-type]


def found(
    table: pl.DataFrame, inputs: dict[str, str], parts: np.ndarray | None = None, task: str = "classification", by: str = "random"
) -> list[Finding]:
    return examine(Subject(table, inputs, "y", splits(table) if parts is None else parts, task, by))


def where(findings: list[Finding], code: str) -> list[str]:
    return [finding.where for finding in findings if finding.code == code]


def warned(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings if finding.level != "ok"}


def numbers(count: int = N) -> pl.DataFrame:
    x = rng().normal(size=count)
    return pl.DataFrame({"x": x, "y": np.where(x + rng(4).normal(size=count) > 0, "up", "down")})


# --- target copies


@pytest.mark.parametrize("share", [0.0, 0.005, 0.2])
def test_a_category_that_almost_copies_the_target(share: float) -> None:
    wrong = rng(6).random(N) < share
    table = numbers().with_columns(copy=pl.when(pl.Series(wrong)).then(pl.lit("?")).otherwise(pl.col("y").str.to_uppercase()))
    findings = found(table, {"x": "number", "copy": "category"})
    assert where(findings, "W252") == (["copy"] if share < 0.1 else [])


def test_a_number_that_cuts_the_target() -> None:
    score = pl.when(pl.col("y") == "up").then(pl.lit(5.0)).otherwise(0.0) + pl.Series(rng(5).normal(size=N))
    findings = found(numbers().with_columns(score=score), {"x": "number", "score": "number"})
    assert where(findings, "W252") == ["score"]


def test_a_number_that_means_much_is_no_copy() -> None:
    score = pl.when(pl.col("y") == "up").then(pl.lit(2.0)).otherwise(0.0) + pl.Series(rng(5).normal(size=N))
    assert "W252" not in warned(found(numbers().with_columns(score=score), {"x": "number", "score": "number"}))


def test_a_target_of_regression_in_another_scale() -> None:
    table = pl.DataFrame({"x": rng().normal(size=N), "z": rng().permutation(N) / N}).with_columns(
        y=pl.col("x").exp(), c=pl.Series(rng().integers(0, 40, N))
    )
    table = table.with_columns(name=pl.col("c").cast(pl.String))
    assert where(found(table, {"x": "number", "z": "number", "name": "category"}, task="regression"), "W252") == ["x"]
    by_name = table.with_columns(y=pl.col("c").cast(pl.Float64) * 7)
    assert where(found(by_name, {"z": "number", "name": "category"}, task="regression"), "W252") == ["name"]


@pytest.mark.parametrize(("repeated", "missing", "expected"), [(0, 0, ["order_id", "ticket"]), (5, 7, ["order_id", "ticket"]), (60, 0, [])])
def test_ids_with_gaps_and_a_few_repetitions(repeated: int, missing: int, expected: list[str]) -> None:
    numbers_of = rng().permutation(N * 7)[:N]
    numbers_of[:repeated] = numbers_of[-1]
    table = numbers().with_columns(order_id=pl.Series(numbers_of), ticket=pl.Series([f"T{i}" for i in numbers_of]))
    table = table.with_columns(
        pl.when(pl.int_range(N) >= missing + 100).then("order_id").otherwise(pl.when(pl.int_range(N) < 100).then("order_id"))
    )
    findings = found(table, {"x": "number", "order_id": "number", "ticket": "category"})
    assert where(findings, "W243") == expected


# --- groups, time


def patients() -> pl.DataFrame:
    """Eleven rows of each of 97 patients, who are ill or not."""
    who = np.repeat(np.arange(97), 11)
    ill = rng().random(97) < 0.5
    return pl.DataFrame({"patient": [f"p{i:03d}" for i in who], "x": rng().normal(size=len(who)), "y": np.where(ill[who], "ill", "well")})


@pytest.mark.parametrize("inputs", [{"x": "number"}, {"x": "number", "patient": "category"}])
def test_a_group_in_several_splits(inputs: dict[str, str]) -> None:
    assert where(found(patients(), inputs), "W257") == ["patient"]


def test_a_group_that_is_kept_together_or_tells_nothing() -> None:
    table = patients()
    assert "W257" not in warned(found(table, {"x": "number"}, splits(table, group="patient"), by="random"))
    shuffled = table.with_columns(y=pl.Series(rng().permutation(table["y"].to_numpy())))
    assert "W257" not in warned(found(shuffled, {"x": "number"}))


def test_a_group_of_numbers_to_learn() -> None:
    table = patients().with_columns(y=pl.col("patient").str.slice(1).cast(pl.Float64) + pl.Series(rng().normal(size=97 * 11)))
    assert where(found(table, {"x": "number"}, task="regression"), "W257") == ["patient"]


@pytest.mark.parametrize("kind", ["date", "text that is left out"])
def test_dates_under_a_random_split(kind: str) -> None:
    day = pl.Series(np.datetime64("2024-01-01") + np.arange(N)).cast(pl.Date)
    table = numbers().with_columns(day=day)
    inputs = {"x": "number"} | ({"day": "date"} if kind == "date" else {})
    assert where(found(table, inputs), "W258") == ["day"]
    later = splits(table, "time", order="day")
    assert "W258" not in warned(found(table, inputs, later, by="given"))
    assert "W258" not in warned(found(table.rename({"day": "birth_date"}), {"x": "number"}))


def test_the_quick_checks_are_told_how_the_rows_are_divided() -> None:
    table = numbers().with_columns(day=pl.Series(np.datetime64("2024-01-01") + np.arange(N)).cast(pl.Date))
    parts = splits(table)
    assert "W258" in warned(checks(table, {"x": "number"}, "y", parts, "classification"))
    assert "W258" not in warned(checks(table, {"x": "number"}, "y", parts, "classification", by="last"))


# --- copies of texts and pictures


WORDS = (
    "room breakfast clean staff river price quiet noisy view lobby towel lamp garden street coffee window carpet desk pillow taxi".split()
)
HAN = "房间早餐干净服务河流价格安静吵闹风景大堂毛巾灯花园街道咖啡窗户地毯桌子枕头出租车位置交通方便前台热情"


def sentences(chinese: bool, count: int = 503) -> list[str]:
    draw = rng()
    if chinese:
        return ["".join(draw.choice(list(HAN), 31)) for _ in range(count)]
    return [" ".join(draw.choice(WORDS, 17)) for _ in range(count)]


def texts(chinese: bool) -> tuple[pl.DataFrame, np.ndarray]:
    """Random sentences: 401 train, 51 validate, 51 test."""
    table = pl.DataFrame({"t": sentences(chinese), "y": ["a", "b"] * 251 + ["a"]})
    return table, np.array([0] * 401 + [1] * 51 + [2] * 51, np.int8)


@pytest.mark.parametrize("chinese", [False, True])
def test_texts_that_share_nothing_are_no_copies(chinese: bool) -> None:
    table, parts = texts(chinese)
    assert warned(found(table, {"t": "text"}, parts)) == set()


@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize("k", [1, 7])
def test_copies_in_another_spelling(chinese: bool, k: int) -> None:
    table, parts = texts(chinese)
    written = table["t"].to_list()
    for place in range(k):
        written[452 + place] = f" {written[place].upper()}！ "
    findings = found(table.with_columns(t=pl.Series(written)), {"t": "text"}, parts)
    assert [f.detail.split()[:4] for f in findings if f.code == "W254"] == [[str(k), "rows", "of", "test"]]
    assert "W250" not in warned(findings)


@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize("k", [1, 7])
def test_near_copies(chinese: bool, k: int) -> None:
    table, parts = texts(chinese)
    written = table["t"].to_list()
    for place in range(k):
        changed = written[place] + "而已" if chinese else written[place] + " indeed"
        written[452 + place] = changed
    subject = Subject(table.with_columns(t=pl.Series(written)), {"t": "text"}, "y", parts, "classification")
    (finding,) = [f for f in examine(subject) if f.code == "W255"]
    assert finding.detail.startswith(f"{k} of 102 held-out rows")
    assert {(pair.row, pair.other) for pair in subject.found["near:t"].pairs} == {(452 + place, place) for place in range(k)}


def scene(number: int) -> Image.Image:
    """A picture of soft spots."""
    draw = np.random.default_rng(number)
    small = Image.fromarray(draw.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    return small.resize((96, 80), Image.Resampling.BICUBIC)


def coded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("k", [0, 1, 5])
def test_near_copies_of_pictures(k: int) -> None:
    cells = [coded(scene(i)) for i in range(131)]
    changes = (
        lambda p: coded(p, "JPEG", quality=60), lambda p: coded(p.resize((61, 53))), lambda p: coded(p.point(lambda v: int(v * 0.8) + 9)),
        lambda p: coded(p.convert("L")), lambda p: coded(p.resize((192, 160)), "WEBP", quality=70),
    )  # fmt: skip
    for place in range(k):
        cells[120 + place] = changes[place](scene(place))
    table = pl.DataFrame({"i": cells, "y": ["a", "b"] * 65 + ["a"]})
    subject = Subject(table, {"i": "image"}, "y", np.array([0] * 111 + [2] * 20, np.int8), "classification")
    findings = examine(subject)
    assert [f.detail.split()[0] for f in findings if f.code == "W256"] == ([str(k)] if k else [])
    assert {(pair.row, pair.other) for pair in subject.found["near:i"].pairs} == {(120 + place, place) for place in range(k)}


# --- nothing in clean sets


@pytest.mark.parametrize("name", ["load_iris", "load_wine", "load_breast_cancer", "load_diabetes"])
def test_no_leak_is_claimed_of_clean_tables(name: str) -> None:
    known = getattr(datasets, name)()
    columns = {f"c{i}": known.data[:, i] for i in range(known.data.shape[1])}
    table = pl.DataFrame(columns | {"y": known.target})
    task = "regression" if name == "load_diabetes" else "classification"
    claimed = warned(found(table, dict.fromkeys(columns, "number"), task=task))
    assert claimed <= {"W249"}  # iris: one flower is there twice


def test_no_leak_is_claimed_of_digits() -> None:
    known = datasets.load_digits()
    cells = [coded(Image.fromarray((image * 15).astype(np.uint8))) for image in known.images]
    assert warned(found(pl.DataFrame({"i": cells, "y": known.target}), {"i": "image"})) == set()


REAL = {
    "adult/adult.csv": ("income", {"W249", "W250", "W251"}),
    "reviews-zh/reviews.csv": ("sentiment", {"W254", "W255", "W259"}),
    "german-credit/german_credit.csv": ("creditability", set()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_what_is_claimed_of_real_sets(name: str) -> None:
    from luban import recipe as recipes
    from luban.data.completing import open_source

    if not (DATA / name).is_file():
        pytest.skip("the set is not there")
    target, known = REAL[name]
    source, recipe = open_source(recipes.parse({"task": "classification", "data": name, "target": target}, base=DATA))
    kinds = {column: section["kind"] for column, section in recipe.inputs.items()}
    parts = divide(source.table, Splitting(by="stratified"), target=target, seed=0)
    subject = Subject(source.table, kinds, target, parts, "classification", "stratified")
    assert warned(examine(subject)) == known
