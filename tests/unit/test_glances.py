"""Answers are dear: which rows judge a network that rewrites, and how they are answered between its steps, at last, and in a rehearsal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from luban.columns import Columns
from luban.draw import Draw
from luban.evaluation.ladder import looked_at
from luban.evaluation.metrics import find
from luban.generating.settings import Search
from luban.predicting import marks_of
from luban.rewriting.batch import Answers
from luban.rewriting.judging import asked_of
from luban.tasks.text_to_text import TextToText
from luban.training.device import choose_threads

CHRF, LOSS = find("chrf"), find("nats_per_token")


@pytest.fixture(scope="module")
def told() -> tuple[TextToText, dict[str, Columns]]:
    config = TextToText.Config(
        inputs={"source": {"kind": "text"}}, target="target", decoded=3, tokenizer="characters", generation=Search(beams=3, best=2, max_tokens=40),
        model={"kind": "encoder_decoder", "width": 16, "layers": 1, "heads": 2, "context": 64},
    )  # fmt: skip
    task = TextToText(config)
    table = pl.DataFrame({"source": [f"pair {n} of many" for n in range(30)], "target": ["ab" * (1 + n % 4) for n in range(30)]})
    task = TextToText(config, task.fit(table))
    examples = task.encode(table)
    return task, {"validation": examples.take(np.arange(25)), "test": examples.take(np.arange(25, 30))}


def answers(task: TextToText, examples: Columns) -> Answers:
    torch.manual_seed(0)
    batch = task.collate(examples, Draw(0, 0, np.arange(len(examples)), training=False))
    return task.predict(task.build().eval(), batch)


def test_a_few_rows_judge_between_steps_and_more_at_last(told: tuple[TextToText, dict[str, Columns]]) -> None:
    task, examples = told
    between, last = (looked_at(task, examples, CHRF, last=last) for last in (False, True))
    assert (len(between), len(last)) == (3, 15)
    assert set(between.row) < set(last.row)
    again = looked_at(task, {**examples, "validation": examples["validation"].take(np.arange(25)[::-1].copy())}, CHRF, last=False)
    assert set(again.row) == set(between.row)


def test_where_no_test_split_follows_all_are_judged_at_last(told: tuple[TextToText, dict[str, Columns]]) -> None:
    task, examples = told
    assert len(looked_at(task, {**examples, "test": examples["test"].take(np.arange(0))}, CHRF, last=True)) == 25


def test_a_loss_asks_for_no_answer(told: tuple[TextToText, dict[str, Columns]]) -> None:
    task, examples = told
    looked = looked_at(task, examples, LOSS, last=False)
    assert len(looked) == 25
    found = answers(task, looked)
    assert not found.decoded.any()
    assert found.known is not None


def test_between_steps_one_answer_is_followed_and_at_last_as_many_as_asked(told: tuple[TextToText, dict[str, Columns]]) -> None:
    task, examples = told
    between, last = (looked_at(task, examples, CHRF, last=last) for last in (False, True))
    assert len(answers(task, between).lengths) == 3
    assert len(answers(task, last).lengths) == 2 * 15
    greedy = TextToText(replace(task.config, generation=Search(beams=1, max_tokens=40)), task.state)
    assert torch.equal(answers(task, between).tokens, answers(greedy, between.take(np.arange(3))).tokens)


def test_a_rehearsal_answers_at_the_lengths_of_the_targets(told: tuple[TextToText, dict[str, Columns]]) -> None:
    task, examples = told
    last = looked_at(task, examples, CHRF, last=True)
    batch = task.collate(task.as_learnt(last), Draw(0, 0, np.arange(len(last)), training=False))
    settings = asked_of(batch, task.config.generation)
    assert settings.max_ratio == pytest.approx(int((batch.targets >= 0).sum()) / int(batch.known.sum()))  # type: ignore[operator]
    assert int(answers(task, task.as_learnt(last)).lengths.max()) <= settings.max_ratio * int(batch.known.sum(1).max()) + 1
    assert len(marks_of(task, task.build().eval(), task.as_learnt(last))) == 15


def test_threads_are_chosen_without_an_answer(told: tuple[TextToText, dict[str, Columns]], monkeypatch: pytest.MonkeyPatch) -> None:
    task, examples = told
    monkeypatch.setattr(TextToText, "predict", lambda *_: pytest.fail("answered"))
    threads = torch.get_num_threads()
    try:
        batch = task.collate(examples["validation"], Draw(0, 0, np.arange(25), training=True))
        assert choose_threads(None, task, task.build(), batch) == 1
    finally:
        torch.set_num_threads(threads)
