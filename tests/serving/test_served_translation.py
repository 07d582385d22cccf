"""A translation is served: whole with what it says of itself, and piece by piece."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from running import ANYWHERE, Running, running

import luban
from luban.bundle import format as layout
from luban.serving.app import Service
from luban.tasks.text_to_text import TextToText


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Running:  # type: ignore[misc]
    folder = tmp_path_factory.mktemp("translation")
    TextToText.demo(None, 200, 0).write_csv(folder / "pairs.csv")  # type: ignore[arg-type]
    recipe = {
        "task": {"kind": "translation", "vocabulary": 512, "decoded": 5, "generation": {"beams": 1, "max_tokens": 12}},
        "data": str(folder / "pairs.csv"),
        "model": {"kind": "lstm_attention", "size": "tiny"},
        "training": {"steps": 60, "precision": "float32", "learning_rate": 0.01},
        "evaluation": {"draws": 20, "baselines": False},
    }
    with running(Service([("pairs", luban.train(recipe, folder=folder / "run").bundle)], place=ANYWHERE)) as found:
        yield found


def test_rows_are_translated(served: Running) -> None:
    found = served.ask("POST", "/v1/predict/pairs", {"rows": [{"source": "red cat sees dog"}]})
    assert found.status == 200, found.body
    (answer,) = found.json["answers"]
    assert answer["text"]
    assert 0 < answer["confidence"] <= 1
    empty = served.ask("POST", "/v1/predict/pairs", {"rows": [{"source": ""}]})
    assert empty.status == 422
    assert [(one["row"], one["column"]) for one in empty.json["error"]["details"]] == [(0, "source")]


def test_pieces_are_the_whole(served: Running) -> None:
    asked = {"model": "pairs", "prompt": "red cat sees dog", "max_tokens": 12}
    whole = served.ask("POST", "/v1/completions", asked).json["choices"][0]
    lines = served.ask("POST", "/v1/completions", asked | {"stream": True}).body.decode().split("\n\n")
    pieces = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert "".join(choice["text"] for piece in pieces for choice in piece["choices"]) == whole["text"] != ""
    assert "data: [DONE]" in lines


def test_an_answer_cut_short_says_so(served: Running) -> None:
    found = served.ask("POST", "/v1/completions", {"model": "pairs", "prompt": "red cat sees dog", "max_tokens": 1})
    assert found.json["choices"][0]["finish_reason"] == "length"


def test_several_sources_in_one_request(served: Running) -> None:
    sources = ["red cat sees dog", "green fish sees horse", "black bird sees cat"]
    asked = {"model": "pairs", "max_tokens": 12}
    found = served.ask("POST", "/v1/completions", asked | {"prompt": sources}).json
    apart = [served.ask("POST", "/v1/completions", asked | {"prompt": source}).json for source in sources]
    assert [one["text"] for one in found["choices"]] == [one["choices"][0]["text"] for one in apart]
    assert found["usage"]["prompt_tokens"] == sum(one["usage"]["prompt_tokens"] for one in apart)
    refused = served.ask("POST", "/v1/completions", asked | {"prompt": [[1, 2], [3]]})
    assert (refused.status, refused.json["error"]["param"]) == (400, "prompt")


def test_a_row_says_in_which_language_it_is_to_be_answered(tmp_path: Path) -> None:
    """The column of languages is asked for as the source is; a bundle from before it was, too."""
    frame = TextToText.demo(None, 120, 0)  # type: ignore[arg-type]
    same = pl.int_range(pl.len()) % 2 == 1
    frame = frame.with_columns(
        target=pl.when(same).then(pl.col("source")).otherwise(pl.col("target")),
        tongue=pl.when(same).then(pl.lit("en")).otherwise(pl.lit("fr")),
    )
    frame.write_csv(tmp_path / "pairs.csv")
    recipe = {
        "task": {
            "kind": "translation",
            "vocabulary": 512,
            "decoded": 5,
            "language": "tongue",
            "generation": {"beams": 1, "max_tokens": 12},
        },
        "data": str(tmp_path / "pairs.csv"),
        "inputs": {"source": "text"},
        "target": "target",
        "model": {"kind": "lstm_attention", "size": "tiny"},
        "training": {"steps": 3},
        "evaluation": {"draws": 20, "baselines": False},
    }
    bundle = luban.train(recipe, folder=tmp_path / "run").bundle
    rows = [{"source": "red cat sees dog", "tongue": tongue} for tongue in ("en", "fr")]
    wanted = luban.load(bundle).predict(rows)
    older = shutil.copytree(bundle, tmp_path / "older")
    description = json.loads((older / "luban.json").read_text())
    assert description["signature"]["inputs"] == {"source": "text", "tongue": "category"}
    del description["signature"]["inputs"]["tongue"]
    layout.write_json(older / "luban.json", description | {"format": 2})
    layout.sign(older, 2)
    with running(Service([("pairs", bundle), ("older", older)], place=ANYWHERE)) as served:
        for name in ("pairs", "older"):
            found = served.ask("POST", f"/v1/predict/{name}", {"rows": rows})
            assert [one["text"] for one in found.json["answers"]] == [one["text"] for one in wanted]
            lacking = served.ask("POST", f"/v1/predict/{name}", {"rows": [{"source": "red cat"}]})
            assert lacking.status == 422
