"""Kinds, targets and tasks guessed from data."""

from __future__ import annotations

import datetime as dt
import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from luban.data.inference import guess

N = 211
RNG = np.random.default_rng(0)
SENTENCES = ["这家酒店的服务真的很好", "房间有点小但是很干净", "物流太慢了不推荐购买", "书的内容很有意思值得一读"]


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (3, 5)).save(buffer, "PNG")
    return buffer.getvalue()


COLUMNS = {
    "float": (pl.Series(RNG.normal(size=N)), "number"),
    "age": (pl.Series(RNG.integers(17, 90, N)), "number"),
    "rings": (pl.Series(RNG.integers(0, 9, N)), "number"),
    "zero one": (pl.Series(RNG.integers(0, 2, N)), "category"),
    "dwelling type": (pl.Series(RNG.choice([10, 20, 110, 300], N)), "category"),
    "Clothing ID": (pl.Series(RNG.integers(0, 97, N)), "category"),
    "bool": (pl.Series(RNG.integers(0, 2, N).astype(bool)), "category"),
    "colour": (pl.Series(RNG.choice(["red", "green", "blue"], N)), "category"),
    "城市": (pl.Series(RNG.choice(["北京", "上海", "广州"], N)), "category"),
    "zip": (pl.Series([f"{i % 41:05d}" for i in range(N)]), "category"),
    "answer with comma": (pl.Series(RNG.choice(["none", "yes, in my name"], N)), "category"),
    "english": (pl.Series([f"the {i}th of many small stories" for i in range(N)]), "text"),
    "chinese": (pl.Series([f"{SENTENCES[i % 4]}{i}" for i in range(N)]), "text"),
    "long repeated": (pl.Series([f"{SENTENCES[i % 4] * 5}{i % 61}" for i in range(N)]), "text"),
    "tags": (pl.Series(["|".join(RNG.permutation(["a", "b", "c", "d"])[: 1 + i % 4]) for i in range(N)]), "tags"),
    "标注": (pl.Series(["、".join(RNG.permutation(["甲", "乙", "丙", "丁"])[: 1 + i % 4]) for i in range(N)]), "tags"),
    "tag lists": (pl.Series([["x", "y"][: i % 3] for i in range(N)], dtype=pl.List(pl.String)), "tags"),
    "wave": (pl.Series([[0.5, 1.5, float(i)] for i in range(N)]), "series"),
    "waves": (pl.Series([[[1.0, 2.0]] * (1 + i % 5) for i in range(N)]), "series"),
    "date": (pl.Series([dt.date(2024, 1, 1) + dt.timedelta(i) for i in range(N)]), "date"),
    "iso": (pl.Series([f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)]), "date"),
    "日期": (pl.Series([f"2024年{1 + i % 12}月{1 + i % 28}日" for i in range(N)]), "date"),
    "slashes": (pl.Series([f"2024/{1 + i % 12}/{1 + i % 28} 07:30" for i in range(N)]), "date"),
    "day number": (pl.Series([20240100 + 1 + i % 28 for i in range(N)]), "date"),
    "money": (pl.Series([f"{i + 1},{i:03d}.50" for i in range(N)]), "number"),
    "percent": (pl.Series([f"{i / 7:.1f}%" for i in range(N)]), "number"),
    "dirty number": (pl.Series([str(i * 1.5) if i % 50 else "unknown" for i in range(N)]), "number"),
    "photo": (pl.Series([f"/data/{i}.JPG" for i in range(N)]), "image"),
    "pixels": (pl.Series([picture()] * N), "image"),
    "mostly missing": (pl.Series([float(i) if i % 23 == 0 else None for i in range(N)]), "number"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_kind_of(name: str) -> None:
    series, kind = COLUMNS[name]
    found = guess(pl.DataFrame({name: series, "target": RNG.choice(["p", "q"], N)}))
    assert found.kinds.get(name) == kind, found.ignored.get(name)
    assert found.why[name]
    assert found.target == "target"


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("row", pl.Series(range(1, N + 1))),
        ("shuffled", pl.Series(RNG.permutation(N))),
        ("user_id", pl.Series(range(1000, 1000 + 7 * N, 7))),
        ("userId", pl.Series([f"u{i * 13 + 7}" for i in range(N)])),
        ("key", pl.Series([f"A-{i:05d}" for i in range(N)])),
        ("constant", pl.Series([3] * N)),
        ("constant text", pl.Series(["x"] * N)),
        ("nothing", pl.Series([None] * N, dtype=pl.String)),
        ("noise", pl.Series([b"\0\1\2"] * N)),
        ("structs", pl.Series([[{"a": 1}]] * N)),
        ("sound", pl.Series([f"{i}.wav" for i in range(N)])),
        ("nans", pl.Series([float("nan")] * (N - 1) + [float("inf")])),
    ],
)
def test_ignored_with_a_reason(name: str, series: pl.Series) -> None:
    found = guess(pl.DataFrame({name: series, "label": RNG.choice(["p", "q"], N)}))
    if name == "sound" and "audio" in found.kinds.values():
        pytest.skip("audio is a kind now")
    assert name in found.ignored
    assert found.ignored[name]
    assert name not in found.inputs


def test_names_of_paid_and_valid_are_no_ids() -> None:
    found = guess(pl.DataFrame({"paid": RNG.permutation(N * 3)[:N], "valid": RNG.permutation(N * 5)[:N], "y": [0, 1] * 105 + [1]}))
    assert found.inputs == {"paid": "number", "valid": "number"}


@pytest.mark.parametrize(
    ("target", "kind", "task"),
    [
        (pl.Series([0, 1, 2] * 50), "category", "classification"),
        (pl.Series([float(i % 10) for i in range(150)]), "category", "classification"),
        (pl.Series([str(i % 10) for i in range(150)]), "category", "classification"),
        (pl.Series(["yes", "no"] * 75), "category", "classification"),
        (pl.Series([True, False] * 75), "category", "classification"),
        (pl.Series([["a"], ["a", "b"], []] * 50), "tags", "classification"),
        (pl.Series(RNG.normal(size=150)), "number", "regression"),
        (pl.Series(range(50, 350, 2)), "number", "regression"),
        (pl.Series(range(150)), "number", "regression"),
    ],
)
def test_task_of_the_target(target: pl.Series, kind: str, task: str) -> None:
    found = guess(pl.DataFrame({"x": RNG.normal(size=150), "answer": target}), target="answer")
    assert (found.kinds["answer"], found.task) == (kind, task)
    assert found.task_why


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        (["label", "a", "b"], "label"),
        (["a", "Sentiment", "b"], "Sentiment"),
        (["a", "情感", "b"], "情感"),
        (["price", "a", "b"], "price"),
        (["a", "class_label", "b"], "class_label"),
        (["a", "b", "c"], "c"),
    ],
)
def test_target_of(columns: list[str], wanted: str) -> None:
    found = guess(pl.DataFrame({name: RNG.choice(["p", "q", "r"], N) for name in columns}))
    assert found.target == wanted
    assert wanted not in found.inputs


def test_the_last_column_is_passed_over_when_it_cannot_be_a_target() -> None:
    table = pl.DataFrame(
        {"text": COLUMNS["english"][0], "stars given": COLUMNS["colour"][0], "note": COLUMNS["chinese"][0], "row": range(N)}
    )
    assert guess(table).target == "stars given"


def test_single_columns_and_small_tables() -> None:
    assert guess(pl.DataFrame({"x": [1.5, 2.5]})).target is None
    small = guess(pl.DataFrame({"colour": ["red", "blue", "red"], "y": [1.0, 2.5, 3.5]}))
    assert (small.kinds, small.task) == ({"colour": "category", "y": "number"}, "regression")
    assert guess(pl.DataFrame({"a": [], "b": []}, schema={"a": pl.String, "b": pl.Int64})).kinds == {}
