"""Spans: windows, offsets, long documents, no answer, bad rows; readers; and a run from SQuAD json to a bundle."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from cases import CASES, ready, trained
from tokenizers.pre_tokenizers import ByteLevel
from toys import checkpoint

import luban
from luban import catalog
from luban.answering import contexts, examples, spans
from luban.answering.windows import Plan, windows
from luban.columns import Ragged
from luban.draw import Draw
from luban.errors import DataError, LubanError, RecipeError
from luban.predicting import answers_of, marks_of
from luban.recipe import parse
from luban.tasks.question_answering import QuestionAnswering
from luban.tokenizing import subwords

MIXED = "Ｌｕ Ban（鲁班，前507年）built a café\u0301 😀 bird；木鸟飞了三天。\n\tEnd"
INPUTS = {"question": {"kind": "text", "vocabulary": 300, "max_length": 13}, "context": {"kind": "text", "vocabulary": 300}}
TINY = {"kind": "bert", "size": "tiny", "width": 22, "layers": 1, "heads": 2, "feed": 31}


def task_for(table: pl.DataFrame, **settings: Any) -> QuestionAnswering:
    """Fitted."""
    settings = {"inputs": INPUTS, "target": "answer", "model": TINY, "window": 37, "overlap": 11} | settings
    task = QuestionAnswering(QuestionAnswering.Config(**settings))
    return QuestionAnswering(task.config, json.loads(json.dumps(task.fit(table))))


def rows(*cells: tuple[Any, ...], columns: tuple[str, ...] = ("question", "context", "answer")) -> pl.DataFrame:
    return pl.DataFrame([dict(zip(columns, row, strict=True)) for row in cells], infer_schema_length=None)


@pytest.mark.parametrize("kind", ["wordpiece", "bytes"])
def test_every_token_knows_its_characters_in_any_script(kind: str) -> None:
    if kind == "wordpiece":
        pieces = subwords.Subwords(subwords.train([MIXED] * 3, 300, lowercase=True))
    else:
        names = [*subwords.SPECIALS["bytes"].values(), *sorted(ByteLevel.alphabet())]
        pieces = subwords.Subwords(subwords.Parts(kind="bytes", vocabulary={name: n for n, name in enumerate(names)}))
    (cut,) = contexts.cut_all([MIXED], pieces)
    assert (cut.begin < cut.end).all()
    covered = {place for a, b in zip(cut.begin, cut.end, strict=True) for place in range(a, b)}
    assert "".join(MIXED[p] for p in range(len(MIXED)) if p not in covered).strip() == ""
    for answer in ("鲁班", "507", "木鸟飞了三天", "café\u0301", "😀", "Ｌｕ Ban"):
        begin = MIXED.index(answer)
        first, last = contexts.tokens_of(cut, begin, begin + len(answer))
        assert MIXED[cut.begin[first] : cut.end[last]] == answer, answer
    assert pieces.encode([MIXED], 10_000)[0][1:-1].tolist() == cut.tokens.tolist()


@pytest.mark.parametrize(("length", "room", "step"), [(0, 5, 3), (4, 5, 3), (5, 5, 3), (6, 5, 3), (103, 11, 7), (1000, 300, 172)])
def test_windows_cover_every_token_and_an_answer_is_whole_in_one(length: int, room: int, step: int) -> None:
    plan, texts = Plan(room, step), Ragged.of(np.arange(7, 7 + length, dtype=np.int32), [length])
    for first in range(0, max(1, length), 3):
        last = min(length - 1, first + room - step)
        goal = (np.array([first if length else -1]), np.array([last]))
        made = windows(texts, plan.all(texts.lengths), plan, goal, (1, 2))
        seen = {int(t) for row in made.context for t in row if t >= 7}
        assert seen == set(range(7, 7 + length))
        assert (made.context[:, 0] == 1).all()
        assert ((made.context == 2).sum(1) == 1).all()
        whole = made.start >= 0
        assert whole.any() == (length > 0)
        for number in np.flatnonzero(whole):
            assert made.context[number, 1 + made.start[number]] == 7 + first
            assert made.context[number, 1 + made.end[number]] == 7 + last
        assert (made.begin[1:] + made.length[1:] > made.begin[:-1] + made.length[:-1]).all(), "a window that adds nothing"


def test_windows_drawn_in_training_hold_the_answer_at_least_half_of_the_time() -> None:
    plan, lengths = Plan(20, 12), np.full(2000, 500)
    first = np.full(2000, 333)
    owner, begin = plan.drawn(lengths, first, first + 2, Draw(0, 0, np.arange(2000), training=True))
    share = ((begin <= 333) & (begin + 20 > 335)).mean()
    assert 0.48 < share < 0.60
    assert len(set((begin // 12).tolist())) == plan.count(lengths)[0], "a window is never read"
    assert (owner == np.arange(2000)).all()


def test_the_best_span_is_the_best_of_all_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, able = torch.randn(5, 23, 2, generator=generator), torch.rand(5, 23, generator=generator) < 0.7
    best = spans.best_spans(scores, able, 4)
    for row in range(5):
        pairs = {
            (i, j): float(scores[row, i, 0].double() + scores[row, j, 1].double())
            for i in range(23)
            for j in range(i, min(23, i + 4))
            if able[row, i] and able[row, j]
        }
        top = max(pairs, key=pairs.__getitem__)
        assert (int(best.first[row]), int(best.last[row])) == top
        assert float(best.score[row]) == pytest.approx(pairs[top])
        assert float(best.null[row]) == pytest.approx(float(scores[row, 0].double().sum()))


def test_over_windows_the_best_span_and_the_lowest_null_count() -> None:
    best = spans.Best(
        torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64),
        torch.tensor([3.0, 0.5, 9.0], dtype=torch.float64),
        torch.zeros(3).long(),
        torch.zeros(3).long(),
    )
    window, score = spans.by_question(best, torch.tensor([0, 0, 1]), 2)
    assert window.tolist() == [1, 2]
    assert score.tolist() == [4.5, -7.0]


def test_answers_are_words_of_the_text_at_the_place_they_say() -> None:
    case = CASES["answering-bert"]
    made = ready(case)
    answers, _, places = answers_of(made.task, trained(case), made.frame)
    said = 0
    for answer, row in zip(answers.to_dicts(), places, strict=True):
        text = made.frame["context"][int(row)]
        if answer["answer"] is None:
            assert answer["begin"] is None
            continue
        said += 1
        assert text[answer["begin"] : answer["end"]] == answer["answer"]
    assert said > len(answers) / 3


class Pointing(torch.nn.Module):
    """Begins and ends its answer at some tokens, wherever they stand."""

    def __init__(self, net: Any, tokens: torch.Tensor) -> None:
        super().__init__()
        self.net, self.trust, self.tokens = net, net.trust, tokens

    def forward(self, question: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(W, T, 2) and (W, T), as the net has them, and far more for these tokens."""
        scores, place = self.net(question, context)
        there = torch.isin(context.gather(1, place.clamp(min=0)), self.tokens) & (place >= 0)
        return scores + 1000.0 * there[..., None], place


def tokens_of(task: Any, text: str) -> torch.Tensor:
    """Of a context."""
    columns = task.encode(pl.DataFrame({"question": ["哪种水果?"], "context": [text], "answer": [""]}))
    return task.collate(columns, Draw(0, 0, np.arange(1), training=False)).context.unique()


def test_a_document_of_a_hundred_thousand_words_is_answered_at_its_place() -> None:
    case = CASES["answering-bert"]
    made = ready(case)
    words = np.random.default_rng(0).choice(list(examples.FILLERS), 100_000).tolist()
    words[76_543] = "到了 香蕉 there"
    text = " ".join(words)
    table = pl.DataFrame({"question": ["哪种水果?"], "context": [text], "answer": ["香蕉"]})
    fruit, others = tokens_of(made.task, "香蕉"), tokens_of(made.task, " ".join(examples.FILLERS))
    net = Pointing(trained(case), fruit[~torch.isin(fruit, others)])
    (answer,) = answers_of(made.task, net, table)[0].to_dicts()
    assert answer["answer"] is not None
    assert text[answer["begin"] : answer["end"]] == answer["answer"]
    assert abs(answer["begin"] - text.index("香蕉")) < 60
    columns = made.task.encode(table)
    drawn = made.task.collate(columns, Draw(0, 0, np.arange(1), training=True))
    assert drawn.context.shape[0] == 1, "one window a step, however long the text"


def test_rows_that_cannot_be_used_are_named_and_the_others_kept() -> None:
    good = ("who?", "Lu Ban built it", "Lu Ban")
    task = task_for(rows(good, good))
    table = rows(
        good,
        ("", "text", "text"),
        ("who?", "  ", ""),
        ("who?", "Lu Ban built it", "Mozi"),
        ("who?", "Lu Ban", None),
        ("who?", "Lu Ban", ""),
        ("who?", "\u200b", "\u200b"),
    )
    columns = task.encode(table)
    assert [(r.row, r.column) for r in columns.rejects] == [(1, "question"), (2, "context"), (3, "answer"), (6, "answer")]
    assert "does not stand in the context" in columns.rejects[2].reason
    assert columns.row.tolist() == [0, 4, 5]
    assert columns[examples.SAID].tolist() == [contexts.THERE, contexts.UNKNOWN, contexts.NONE]
    assert len(task.arrange(columns, np.ones(3, bool))) == 2


def test_places_are_held_against_the_text() -> None:
    columns = ("question", "context", "answer", "answer_start")
    task = task_for(rows(("q", "ab ab cd", "ab", 3), columns=columns))
    found = task.encode(rows(("q", "ab ab cd", "ab", 3), ("q", "ab ab cd", "ab", 1), ("q", "ab ab cd", "ab", None), columns=columns))
    assert [r.row for r in found.rejects] == [1]
    assert found[examples.FIRST][0] > found[examples.FIRST][1] == 0


def test_the_threshold_and_the_chance_come_from_the_validation_rows() -> None:
    case = CASES["answering-bert"]
    made = ready(case)
    net = made.task.build()
    net.load_state_dict(trained(case).state_dict())
    before = marks_of(made.task, net, made.examples[1])
    made.task.calibrate(net, before)
    after = marks_of(made.task, net, made.examples[1])
    assert np.mean(after["f1"]) >= np.mean(before["f1"])
    worth = [
        np.where(np.asarray(before["score"]) > t, before["best_f1"], ~np.asarray(before["answerable"])).mean()
        for t in (-1e29, *np.asarray(before["score"]))
    ]
    assert np.mean(after["f1"]) >= max(worth) - 1e-9
    assert (np.asarray(after["sure"]) <= 1).all()


def test_what_a_recipe_may_not_say() -> None:
    def code(**change: Any) -> str:
        with pytest.raises(RecipeError) as caught:
            parse({"task": "question-answering", "data": "a.csv", "target": "answer", "inputs": {"q": "text", "c": "text"}} | change)
        return caught.value.code

    assert code(inputs={"q": "text"}) == "L256"
    assert code(inputs={"q": "text", "c": "number"}) == "L256"
    assert code(inputs={"q": "text", "c": {"kind": "text", "tokenizer": "bytes"}}) in ("L256", "L257")
    assert code(model="lstm") == "L109"
    assert code(task={"kind": "question-answering", "overlap": 200}) == "L255"


def test_questions_without_a_text_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question,answer\nWho?,Lu Ban\n" * 20, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        luban.train({"task": "question-answering", "data": str(tmp_path / "q.csv")}, runs=tmp_path / "runs")
    assert caught.value.code == "L258"


@pytest.mark.parametrize("name", [e.name for e in catalog.entries("models").values() if e.role == "reader"])
def test_readers_score_each_token_and_padding_changes_nothing(name: str) -> None:
    model = catalog.load("models", name)
    net = model(model.Config(), 50)
    for buffer in net.buffers():
        buffer.uniform_(0, 1)
    tokens = torch.randint(1, 50, (3, 17), generator=torch.Generator().manual_seed(0))
    columns = (torch.arange(17) >= 6).long().expand(3, -1)
    whole = net(tokens, columns)
    assert whole.shape == (3, 17, 2)
    padded = net(
        torch.cat([tokens, torch.zeros(3, 5, dtype=torch.int64)], 1), torch.cat([columns, torch.zeros(3, 5, dtype=torch.int64)], 1)
    )
    torch.testing.assert_close(padded[:, :17], whole)


def test_from_squad_json_to_a_bundle_that_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paragraphs = []
    for row in QuestionAnswering.demo(None, 160, 1).to_dicts():  # type: ignore[arg-type]
        answers = [{"text": row["answer"], "answer_start": row["context"].index(row["answer"])}] if row["answer"] else []
        question = {"id": str(len(paragraphs)), "question": row["question"], "answers": answers, "is_impossible": not answers}
        paragraphs.append({"context": row["context"], "qas": [question]})
    paragraphs[7]["qas"][0]["answers"] = [{"text": "nowhere", "answer_start": 0}]
    paragraphs[7]["qas"][0]["is_impossible"] = False
    data = {"version": "v2.0", "data": [{"title": f"t{n}", "paragraphs": paragraphs[n::20]} for n in range(20)]}
    (tmp_path / "train.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    recipe = {
        "task": {"kind": "question-answering", "window": 64, "overlap": 16},
        "data": str(tmp_path / "train.json"),
        "model": TINY | {"dropout": 0.0},
    }
    recipe |= {"training": {"steps": 60, "batch_size": 32, "learning_rate": 0.01}, "evaluation": {"draws": 20}}
    run = luban.train(recipe, runs=tmp_path / "runs")
    report = run.report
    assert [row["name"] for row in report["ladder"]] == ["word_overlap", "bert"]
    assert report["calibration"]["bins"]
    assert {"answer"} <= {part["by"]["en"] for part in report["slices"]}
    assert report["data"]["rejects"] == 1
    assert all(set(w) == {"row", "truth", "answer", "confidence", "inputs"} for w in report["wrong"])
    model = luban.load(run.bundle)
    asked = {"question": "which town?", "context": "and Oslo 有 小猫 the red"}
    answer = model.predict([asked])[0]
    assert answer["answer"] is None or asked["context"][answer["begin"] : answer["end"]] == answer["answer"]
    marked = model.predict([asked, {"question": "", "context": "x"}])
    assert marked[1]["answer"] is None
    assert "empty" in marked[1]["error"]
    scores = model.evaluate(
        pl.DataFrame(
            [{**asked, "answers": ["Oslo"]}, {"question": "哪种水果?", "context": "小猫 the", "answers": []}],
            schema_overrides={"answers": pl.List(pl.String)},
        )
    )
    assert set(scores) >= {"answer_f1", "exact_match"}
    trust = model.net.get_submodule("trust")
    assert float(trust.get_buffer("threshold")) != 0.0, "calibrated on validation, kept in the bundle"


def test_a_pretrained_encoder_is_fine_tuned(tmp_path: Path) -> None:
    table = QuestionAnswering.demo(None, 60, 2)  # type: ignore[arg-type]
    table.write_parquet(tmp_path / "data.parquet")
    recipe = {
        "task": {"kind": "question-answering", "window": 32, "overlap": 7},
        "data": str(tmp_path / "data.parquet"),
        "target": "answer",
    }
    recipe |= {
        "inputs": {"question": {"kind": "text", "max_length": 9}, "context": "text"},
        "model": {"kind": "bert", "pretrained": checkpoint.tiny()},
    }
    recipe |= {"training": {"steps": 3, "batch_size": 8}, "evaluation": {"draws": 20, "baselines": False}}
    run = luban.train(recipe, runs=tmp_path / "runs")
    assert luban.load(run.bundle).predict([{"question": "which town?", "context": "Oslo"}])


def test_a_question_of_mixed_scripts_with_half_a_character_is_no_crash() -> None:
    case = CASES["answering-bert"]
    made = ready(case)
    table = pl.DataFrame({"question": ["哪种 fruit\u0000?", "which \u202e?"], "context": [MIXED + "\u0000香蕉", "🏳️‍🌈" * 50]})
    try:
        answers = answers_of(made.task, trained(case), table)[0].to_dicts()
    except LubanError as error:
        pytest.fail(str(error))
    assert len(answers) == 2


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="luban")
