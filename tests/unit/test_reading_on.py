"""What documents hold, read on by a bundle of spans and by one of chat; the source stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import luban
from luban.cli.main import luban as command
from luban.errors import RecipeError
from luban.tasks.chat import Chat
from luban.tasks.question_answering import QuestionAnswering

BERT = {"kind": "bert", "size": "tiny", "width": 22, "layers": 1, "heads": 2, "feed": 31, "dropout": 0.0, "attention_dropout": 0.0}
GPT = {"kind": "gpt", "size": "tiny", "width": 28, "layers": 1, "heads": 2, "context": 1024}
QUICK = {"evaluation": {"draws": 20, "baselines": False}}


def trained(folder: Path, name: str, table: pl.DataFrame, **recipe: Any) -> Path:
    """A bundle."""
    table.write_parquet(folder / f"{name}.parquet")
    return luban.train(QUICK | {"data": str(folder / f"{name}.parquet")} | recipe, runs=folder / "runs", folder=folder / name).bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("bundles")
    documents = pl.DataFrame({
        "passage": ["到了 香蕉 near", "and 苹果 里面", "red saw is Oslo"], "document": ["a.md", "b.md", "c.md"], "begin": [100, 200, 300], "end": [110, 210, 315],
    })  # fmt: skip
    asked = pl.DataFrame(
        {
            "question": ["哪种水果 香蕉?", "哪种水果 苹果?", "which town saw?"] * 8,
            "answer": ["到了 香蕉 near", "and 苹果 里面", "red saw is Oslo"] * 8,
        }
    )
    steps = {"steps": 120, "batch_size": 32, "learning_rate": 0.01}
    return {
        "documents": trained(place, "documents", pl.concat([documents, asked], how="diagonal"), task="document-answering", model="bm25"),
        "spans": trained(
            place, "spans", QuestionAnswering.demo(None, 200, 1), task={"kind": "question-answering", "window": 64, "overlap": 9}, model=BERT, training=steps,  # type: ignore[arg-type]
            inputs={"question": {"kind": "text", "max_length": 13}, "context": "text"}, target="answer",
        ),
        "chat": trained(
            place, "chat", Chat.demo(None, 60, 1), task={"kind": "chat", "generation": {"max_tokens": 7}}, model=GPT, target="response",  # type: ignore[arg-type]
            inputs={"prompt": "text"}, training={"steps": 3, "batch_size": 8},
        ),
    }  # fmt: skip


def test_a_span_stands_in_the_passage_it_names(bundles: dict[str, Path]) -> None:
    documents, spans = (luban.load(bundles[name]) for name in ("documents", "spans"))
    found = documents.read_on(spans, [{"question": "哪种水果 香蕉?"}, {"question": "which town saw?"}, {"question": "zzz"}], least=0.0)
    assert [row["document"] for row in found] == ["a.md", "c.md", None]
    for row in found[:2]:
        passage = next(p for p in row["passages"] if p["document"] == row["document"])
        assert row["read"] in ("span", "passage")
        assert passage["passage"][row["begin"] - passage["begin"] : row["end"] - passage["begin"]] == row["answer"]
    assert "span" in {row["read"] for row in found}
    assert found[2]["answer"] is None
    assert found[2]["read"] is None, "where nothing is found the reader is not asked"


def test_generated_words_keep_their_source(bundles: dict[str, Path]) -> None:
    documents, chat = (luban.load(bundles[name]) for name in ("documents", "chat"))
    (row,) = documents.read_on(chat, [{"question": "which town saw?"}], least=0.0, k=1)
    assert row["read"] in ("generated", "passage")
    assert (row["document"], row["begin"]) == ("c.md", 300)


def test_the_command_reads_on(bundles: dict[str, Path]) -> None:
    arguments = [
        "predict",
        str(bundles["documents"]),
        "--text",
        "哪种水果 香蕉?",
        "--reader",
        str(bundles["spans"]),
        "--set",
        "least=0.0",
        "--json",
    ]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout.strip().split("\n")[-1])
    assert row["document"] == "a.md"
    assert row["read"] in ("span", "passage")


def test_bundles_that_do_not_go_together_are_refused(bundles: dict[str, Path]) -> None:
    documents, spans = (luban.load(bundles[name]) for name in ("documents", "spans"))
    for one, other in ((spans, documents), (documents, documents), (spans, spans)):
        with pytest.raises(RecipeError) as caught:
            one.read_on(other, [{"question": "a", "context": "b"}])
        assert caught.value.code == "L198"
