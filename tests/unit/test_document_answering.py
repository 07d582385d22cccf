"""Answers from documents: sources, spans, what is not found, bad rows; from a folder to a bundle."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from cases import CASES, ready, trained
from toys import checkpoint

import luban
from luban import catalog
from luban.answering.calibration import logistic, logistic_fit
from luban.answering.library import Library, best_sentence, holds
from luban.columns import Ragged
from luban.errors import DataError, LubanError, RecipeError
from luban.predicting import answers_of, marks_of
from luban.recipe import parse, read
from luban.retrieving import bm25, terms
from luban.retrieving.latent import directions
from luban.retrieving.lexical import sizes_of
from luban.run.forecasting import plan

TOOLS = ("saw", "plane", "chisel", "hammer", "drill", "锯子", "刨子", "墨斗", "凿子", "曲尺")
WOODS = ("oak", "beech", "pine", "松木", "竹子")


def folder(place: Path, *, questions: bool = True) -> Path:
    """Ten documents of five sections, and a question on each section."""
    (place / "docs").mkdir(parents=True)
    rows = []
    for number, tool in enumerate(TOOLS):
        parts = []
        for at, wood in enumerate(WOODS):
            fact = (
                f"The {tool} for {wood} has number {number}{at}. It hangs on the wall."
                if tool.isascii()
                else f"{wood}用的{tool}是第{number}{at}号。它挂在墙上。"
            )
            parts.append(f"## {wood}\n\n{fact}\n")
            rows.append((f"Which {tool} is for {wood}?" if tool.isascii() else f"{wood}用哪把{tool}？", fact))
        (place / "docs" / f"{number}.md").write_text(f"# {tool}\n\n" + "\n".join(parts), encoding="utf-8")
    if questions:
        pl.DataFrame(rows, schema=["question", "answer"], orient="row").write_csv(place / "questions.csv")
    return place


def recipe_of(place: Path, **change: Any) -> dict[str, Any]:
    recipe = {"task": "document-answering", "data": [str(place / "docs"), str(place / "questions.csv")], "model": "rank_fusion"}
    return recipe | {"split": {"validation": 0.4, "test": 0.4}, "evaluation": {"draws": 20}} | change


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = folder(tmp_path_factory.mktemp("library"))
    return luban.train(recipe_of(place), runs=place / "runs"), place


def test_answers_come_with_their_source_and_stand_there(run: Any) -> None:
    made, place = run
    assert [row["name"] for row in made.report["ladder"]] == ["bm25", "rank_fusion"]
    assert made.scores["passage_recall_at_5"]["value"] > 0.9
    model = luban.load(made.bundle)
    for asked, document, wood in (("Which chisel is for beech?", "2.md", "beech"), ("竹子用哪把曲尺？", "9.md", "竹子")):
        (answer,) = model.predict([{"question": asked}], least=0.0)
        assert answer["document"] == document
        assert answer["heading"].endswith(f"› {wood}")
        text = (place / "docs" / document).read_text(encoding="utf-8")
        assert text[answer["begin"] : answer["end"]] == answer["answer"]
        assert len(answer["passages"]) == 3
        for passage in answer["passages"]:
            whole = (place / "docs" / passage["document"]).read_text(encoding="utf-8")
            assert whole[passage["begin"] : passage["end"]] == passage["passage"]


def test_a_sentence_is_a_span_of_its_document_too(run: Any) -> None:
    made, place = run
    (answer,) = luban.load(made.bundle).predict([{"question": "Which drill is for oak?"}], form="sentence", least=0.0, k=1)
    text = (place / "docs" / answer["document"]).read_text(encoding="utf-8")
    assert answer["answer"] == text[answer["begin"] : answer["end"]] == "The drill for oak has number 40."
    assert len(answer["passages"]) == 1


def test_what_the_documents_do_not_hold_is_not_found(run: Any) -> None:
    model = luban.load(run[0].bundle)
    strange = model.predict([{"question": q} for q in ("Who won the cup?", "今天天气如何？", "zzz", "？！", "🙂")])
    assert [answer["answer"] for answer in strange] == [None] * 5
    assert all(answer["document"] is None and answer["confidence"] < 0.5 for answer in strange)
    known = model.predict([{"question": f"Which {tool} is for {wood}?"} for tool in TOOLS[:5] for wood in WOODS[:3]])
    assert np.mean([answer["answer"] is not None for answer in known]) > 0.6
    assert all(answer["confidence"] == 0.0 for answer in strange[2:]), "no term is shared: nothing can be said"


def test_trust_is_learnt_from_questions_asked_again_without_their_documents() -> None:
    case = CASES["searching-rank_fusion"]
    made, net = ready(case), ready(case).task.build()
    net.load_state_dict(trained(case).state_dict())
    marks = marks_of(made.task, net, made.examples[1])
    found = np.asarray(marks["rank"]) >= 0
    assert (np.asarray(marks["without"])[found] != np.asarray(marks["evidence"])[found]).any(1).all(), "the documents were not held out"
    made.task.calibrate(net, marks)
    after = marks_of(made.task, net, made.examples[1])
    worth = lambda m, t: (np.asarray(m["right"]) & (np.asarray(m["sure"]) > t)).sum() + (np.asarray(m["doubt"]) <= t).sum()  # noqa: E731
    best = max(worth(after, t) for t in (0.0, *np.asarray(after["sure"]), *np.asarray(after["doubt"])))
    threshold = float(net.get_buffer("threshold"))
    assert worth(after, threshold) == best


def test_the_curve_over_several_kinds_of_evidence_is_the_most_likely() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(300, 3)) * [1, 5, 0.1]
    right = (rng.random(300) < logistic(evidence @ [1.0, 0.2, 3.0] - 0.5)).astype(float)
    slopes, offset = logistic_fit(evidence, right)
    scaled = (evidence - evidence.mean(0)) / evidence.std(0)
    good, bad = right.sum(), (1 - right).sum()
    soft = np.where(right > 0.5, (good + 1) / (good + 2), 1 / (bad + 2))
    oracle = LogisticRegression(C=1.0, tol=1e-10).fit(np.r_[scaled, scaled], np.r_[np.ones(300), np.zeros(300)], np.r_[soft, 1 - soft])
    np.testing.assert_allclose(slopes * evidence.std(0), oracle.coef_[0], rtol=1e-4)
    np.testing.assert_allclose(offset + slopes @ evidence.mean(0), oracle.intercept_[0], rtol=1e-4, atol=1e-5)
    turned, _ = logistic_fit(-evidence, right)
    assert (turned == 0).all(), "evidence that speaks the other way counts for nothing"


def test_directions_are_the_largest_singular_ones() -> None:
    from scipy.sparse import csr_array

    rng = np.random.default_rng(1)
    matrix = rng.random((40, 6)) @ rng.random((6, 90)) + 0.01 * rng.random((40, 90))
    left, size, _ = directions(csr_array(matrix), 6)
    np.testing.assert_allclose(size, np.linalg.svd(matrix, compute_uv=False)[:6], rtol=1e-6)
    np.testing.assert_allclose(np.abs(left.T @ left), np.eye(6), atol=1e-8)
    _, size, _ = directions(csr_array(np.outer(np.ones(20), np.ones(9))), 5)
    assert (size[1:] == 0).all()


def test_which_passage_is_right() -> None:
    assert holds("It was built by the Duke, in 1403.", ("Built by Duke",))
    assert not holds("It was rebuilt by dukes.", ("built by Duke",))
    assert holds("鲁班造锯，", ("造锯",))
    assert holds("a part of a longer answer", ("It is a part of a longer answer, you know",))
    assert not holds("is", ("It is a part",))
    assert not holds("anything", ())


def test_the_best_sentence_shares_the_rarest_words() -> None:
    text = "The saw is old. The blade is thin. 锯子很旧。刀片很薄。"
    index = bm25.postings(
        Ragged.of(
            np.concatenate([terms.keys(t, "words") for t in text.split(". ")]), [len(terms.keys(t, "words")) for t in text.split(". ")]
        )
    )
    rarity = lambda keys: index.idf()[index.places(keys)[1]]  # noqa: E731
    for question, answer in (("which blade?", "The blade is thin."), ("刀片怎么样", "刀片很薄。"), ("nothing", "The saw is old.")):
        begin, end = best_sentence(text, terms.keys(question, "words"), rarity)
        assert text[begin:end] == answer


def test_documents_alone_can_be_asked(tmp_path: Path) -> None:
    place = folder(tmp_path, questions=False)
    made = luban.train(recipe_of(place, data=str(place / "docs"), model="bm25"), runs=tmp_path / "runs")
    (answer,) = luban.load(made.bundle).predict([{"question": "Which hammer is for pine?"}])
    assert answer["document"] == "3.md"


def test_questions_without_documents_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "questions.csv").write_text("question,answer\nWhat?,That\n" * 9, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        luban.train(recipe_of(tmp_path, data=str(tmp_path / "questions.csv")), runs=tmp_path / "runs")
    assert caught.value.code == "L259"


def test_bad_documents_and_questions_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = folder(tmp_path)
    (place / "docs" / "empty.md").write_bytes(b"")
    (place / "docs" / "raw.txt").write_bytes("第一行。\n".encode() * 20 + b"\xff\xfe\x80 half\n")
    (place / "docs" / "long.txt").write_text("The mallet strikes wood and rests. " * 17_000, encoding="utf-8")
    with (place / "questions.csv").open("a", encoding="utf-8") as file:
        file.write('"  ",nothing\n\n' + "Which mallet is 混合 mixed?,It is not in any passage\n" * 40)
    with caplog.at_level(logging.WARNING, logger="luban"):
        made = luban.train(recipe_of(place, reading={"reject_limit": 0.2}, model="bm25"), runs=tmp_path / "runs")
    codes = {getattr(r, "luban", {}).get("code") for r in caplog.records}
    assert {"W261", "W205", "W262"} <= codes
    rejects = (made.folder / "rejects.jsonl").read_text(encoding="utf-8")
    assert "not UTF-8" in rejects
    assert "it is empty" in rejects
    model = luban.load(made.bundle)
    answer, empty = model.predict([{"question": "What does the mallet strike?"}, {"question": " "}], least=0.0)
    assert answer["document"] == "long.txt"
    assert empty["answer"] is None
    assert empty["error"] is not None


def test_what_a_recipe_may_not_say() -> None:
    def code(**change: Any) -> str:
        with pytest.raises(RecipeError) as caught:
            parse({"task": "document-answering", "data": "docs"} | change)
        return caught.value.code

    assert code(inputs={"q": "number"}) == "L256"
    assert code(inputs={"q": "text", "c": "text"}) == "L256"
    assert code(model="lstm") == "L109"
    assert code(inputs={"answer": "text"}, target="answer") == "L112"
    assert code(task={"kind": "document-answering", "form": "poem"}) == "L105"


def test_buffers_of_a_stranger_are_refused() -> None:
    case = CASES["searching-rank_fusion"]
    made = ready(case)

    def spoilt(name: str, value: float) -> Library:
        net = made.task.build()
        net.load_state_dict({key: tensor.clone() for key, tensor in trained(case).state_dict().items()})
        net.get_buffer(name).view(-1)[-1] = value
        return net

    spoilt("threshold", 0.5).check_buffers()
    for name, value in (
        ("starts", 10**9),
        ("search.words.starts", -3),
        ("search.words.passages", 10**6),
        ("places", -5),
        ("offset", float("nan")),
    ):
        with pytest.raises(ValueError, match=r"passages|places|trust|postings"):
            spoilt(name, value).check_buffers()


def test_the_plan_of_such_a_run_is_made(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "recipe.toml").write_text(
        'task = "document-answering"\ndata = ["docs", "questions.csv"]\nmodel = "rank_fusion"\n', encoding="utf-8"
    )
    assert plan(read(place / "recipe.toml"), runs=place / "runs")


def test_strange_questions_crash_nothing() -> None:
    case = CASES["searching-bm25"]
    made = ready(case)
    strange = ["\u0000", "\u202eoak", "a" * 100_000, "松 " * 20_000, "🏳️‍🌈", "ﬁne Ｏａｋ"]
    try:
        answers = answers_of(made.task, trained(case), pl.DataFrame({"question": strange}))[0]
    except LubanError as error:
        pytest.fail(str(error))
    assert len(answers) == len(strange)
    assert torch.isfinite(torch.tensor(answers["confidence"].to_list())).all()


@pytest.mark.parametrize("name", [e.name for e in catalog.entries("models").values() if e.role == "retriever"])
def test_retrievers_score_every_passage_and_a_part_of_a_collection_leaves_room(name: str) -> None:
    model = catalog.load("models", name)
    texts = ["the saw cuts", "a plane smooths", "锯子锯木头", "", "hammers hammer nails"]
    keys = {cut: [terms.keys(text, cut) for text in texts] for cut in model.CUTS}
    passages = {cut: Ragged.of(np.concatenate(part), [len(k) for k in part]) for cut, part in keys.items()}
    net = model(model.Config(), {cut: sizes_of(part) for cut, part in passages.items()})
    net.index(passages)
    net.check()
    for question, right in (("which saw?", 0), ("木头", 2), ("nails", 4)):
        scores, evidence = net.search({cut: terms.keys(question, cut) for cut in model.CUTS})
        assert scores.shape == (5,)
        assert evidence.shape == (5, net.evidence_dim)
        assert int(np.argmax(scores)) == right
        assert scores[3] <= 0
    nothing, evidence = net.search({cut: np.zeros(0, np.int64) for cut in model.CUTS})
    assert (nothing == 0).all()
    assert (evidence == 0).all()
    net.index({cut: part.take(np.arange(2)) for cut, part in passages.items()})
    net.check()
    scores, _ = net.search({cut: terms.keys("saw", cut) for cut in model.CUTS})
    assert int(np.argmax(scores)) == 0


def test_vectors_of_a_checkpoint_vote_and_travel_in_the_bundle(tmp_path: Path) -> None:
    place = folder(tmp_path)
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint.tiny(), copy)
    made = luban.train(recipe_of(place, model={"kind": "rank_fusion", "pretrained": str(copy)}), runs=tmp_path / "runs")
    shutil.rmtree(copy)
    model = luban.load(made.bundle)
    vectors = model.net.get_buffer("vectors")
    assert vectors.shape == (50, 22)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(50))
    tokens = model.task.encode(pl.DataFrame({"question": ["Which saw is for oak?"]}))["\x00tokens"]
    own = model.net.encoder({"question": torch.from_numpy(tokens.pad(0).astype(np.int64))}).detach().numpy()[0]
    question = {"words": terms.keys("zz", "words"), "pieces": terms.keys("zz", "pieces"), "tokens": tokens.flat()}
    scores, evidence = model.net.find(question)
    np.testing.assert_allclose(evidence[:, 3], vectors.numpy() @ own / np.linalg.norm(own), rtol=1e-4, atol=1e-5)
    assert int(np.argmax(scores)) == int(np.argmax(evidence[:, 3])), "no term is known: the vectors alone decide"
    with pytest.raises(RecipeError) as caught:
        parse({"task": "document-answering", "data": "docs", "model": {"kind": "bm25", "pretrained": "x"}})
    assert caught.value.code == "L109"
