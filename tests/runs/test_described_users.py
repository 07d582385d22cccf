"""What describes users and items: a stranger answered by columns alone, pictures of goods, and what a bundle keeps of both."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import luban
from luban.columns import Columns
from luban.draw import Draw
from luban.errors import RecipeError
from luban.layers.described import pictured
from luban.recipe import parse
from luban.recommending import content
from luban.tasks.recommendation import Recommendation

TASTES = {"茶": range(12), "coffee": range(12, 24)}


def log(folder: Path) -> None:
    """Users of two tastes, ten goods each of their own taste; a row for each user that says which, as RecBole's files have it."""
    rng, events, users = (
        np.random.default_rng(0),
        ["user_id:token\titem_id:token\ttimestamp:float"],
        ["user_id:token\tdrinks:token\tage:float"],
    )
    for user in range(80):
        taste = ("茶", "coffee")[user % 2]
        users.append(f"u{user}\t{taste}\t{20 + user % 2 * 30 + rng.integers(0, 9)}")
        events += [f"u{user}\ti{item}\t{time}" for time, item in enumerate(rng.permutation(TASTES[taste])[:10])]
    (folder / "log.inter").write_text("\n".join(events) + "\n", encoding="utf-8")
    (folder / "log.user").write_text("\n".join([*users, "cold\tcoffee\t55"]) + "\n", encoding="utf-8")


RECIPE = """
data = "log.*"
model = {kind = "hybrid", size = "tiny"}
[task]
kind = "recommendation"
time = "timestamp"
of_users = ["drinks", "age"]
[inputs]
drinks = "category"
age = "number"
[training]
epochs = 60
[evaluation]
draws = 20
"""


def share(items: list[str], taste: str) -> float:
    """Of the named goods, those of a taste."""
    return float(np.mean([int(name[1:]) in TASTES[taste] for name in items]))


def test_a_stranger_is_answered_by_what_is_said_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log(tmp_path)
    Path("recipe.toml").write_text(RECIPE, encoding="utf-8")
    run = luban.train("recipe.toml")
    model = luban.load(run.bundle)
    rows = [
        {"user_id": "new", "drinks": "茶", "age": 23},
        {"user_id": None, "drinks": "coffee", "age": 54},
        {"user_id": "cold"},
        {"user_id": "u3"},
    ]
    tea, coffee, cold, known = (answer["items"] for answer in model.predict(rows, k=6))
    assert share(tea, "茶") >= 5 / 6
    assert share(coffee, "coffee") >= 5 / 6
    assert share(cold, "coffee") >= 5 / 6  # described in log.user, and never seen taking anything
    assert share(known[:2], "coffee") == 1  # all others of the taste are met
    bare = model.predict([{"user_id": "nobody"}], k=24)[0]["items"]
    assert bare == model.predict([{"user_id": "somebody else"}], k=24)[0]["items"]  # nothing known: what most took


def picture(colour: tuple[int, int, int], seed: int) -> bytes:
    """A PNG of one colour with some noise."""
    noise, buffer = np.random.default_rng(seed).integers(-9, 9, (19, 17, 3)), io.BytesIO()
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def goods() -> pl.DataFrame:
    """Users of red and of blue goods, rows of pictures; of i7 it is broken, i8 is red and nobody took it, i9 has none."""
    events = [(f"u{user}", f"i{2 * item + user % 2}", None) for user in range(30) for item in range(3)]
    events += [("u0", "i9", None), ("u1", "i7", None)]
    told = [(None, f"i{item}", picture([(200, 30, 30), (30, 30, 200)][item % 2], item)) for item in (0, 1, 2, 3, 4, 5, 8)]
    return pl.DataFrame([*events, *told, (None, "i7", b"no picture")], schema=["user_id", "item_id", "photo"], orient="row")


@pytest.mark.parametrize("model", ["content", "mixed", "hybrid"])
def test_pictures_describe_goods(model: str) -> None:
    table, photo = goods(), {"photo": {"kind": "image", "size": [8, 8]}}
    config = Recommendation.Config(inputs=photo, model={"kind": model, "size": "tiny"})
    task = Recommendation(config, Recommendation(config).fit(table))
    task.check_state()
    events = task.encode(table)
    train = task.arrange(events, np.ones(len(events), bool))
    net = task.build()
    task.remember(net, train)
    if not task.objective:
        list(net.solve([task.collate(train, Draw(0, 0, np.arange(len(train)), training=False))]))
    asked = task.arrange(task.encode(pl.DataFrame({"user_id": ["u2", "u3"]})), None)
    batch = net.eval().memory.recalled(task.collate(asked, Draw(0, 0, np.arange(2), training=False)))
    scores = net.model.score(net.model.query(batch, net.memory), 0, task.sizes.items)
    assert scores.isfinite().all()
    if not task.objective:
        red = sorted(f"i{item}" for item in range(10) if item != 6).index("i8")
        assert scores[0, red] > scores[1, red] + 0.1  # red goods were taken by the first


def test_a_picture_that_is_missing_is_of_the_mean_colour_and_comes_back_from_the_state() -> None:
    table, photo = goods(), {"photo": {"kind": "image", "size": [8, 8]}}
    codes = np.array([int(name[1:]) for name in table["item_id"]])
    fitted = content.fit(table, codes, 10, photo)
    pixels = content.content_of(fitted, 10).columns["photo"]
    assert pixels.shape == (10, 3, 8, 8)
    for lacking in (6, 7, 9):
        assert (pixels[lacking] == np.array(fitted["inputs"]["photo"]["fill"])[:, None, None]).all()
    assert pixels[0, 0].mean() > 150 > pixels[1, 0].mean()
    short = {**fitted, "content": {**fitted["content"], "pictures": {}}}
    with pytest.raises(ValueError, match="content"):
        content.content_of(short, 10)


def test_colours_and_edges_are_counted_by_hand() -> None:
    image = np.zeros((1, 3, 8, 8), np.uint8)
    image[0, 0, :, 4:] = 255  # black, then red: one upright edge, that rises to the right
    found = pictured(image).toarray()[0]
    assert np.flatnonzero(found[:64]).tolist() == [0, 48]
    assert found[0] == found[48] == pytest.approx(1 + np.log(32))
    edges = found[64:].reshape(4, 4, 8)
    assert (np.argwhere(edges.sum(2) > 0)[:, 1] == np.tile([1, 2], 4)).all()  # columns 3 and 4 of the pixels
    assert set(np.argwhere(edges > 0)[:, 2]) == {4}


def test_columns_of_users_must_be_inputs() -> None:
    with pytest.raises(RecipeError, match="L166"):
        parse({"task": {"kind": "recommendation", "of_users": ["age"]}, "data": "x.csv", "model": "ease"})


def test_chunks_are_the_whole_where_users_are_described() -> None:
    inputs = {"age": {"kind": "number"}, "title": {"kind": "text", "vocabulary": 300}}
    config = Recommendation.Config(inputs=inputs, of_users=("age",), model={"kind": "hybrid", "size": "tiny"})
    table = Recommendation(config).demo(110, 0)
    task = Recommendation(config, Recommendation(config).fit(table))
    whole, parts = task.encode(table), [task.encode(table[at : at + 7]) for at in range(0, len(table), 7)]
    joined = Columns.join([part.shift(at * 7) for at, part in enumerate(parts)])
    assert np.array_equal(whole["item"], joined["item"])
    assert np.array_equal(whole.row, joined.row)
