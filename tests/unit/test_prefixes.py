"""Prompts that begin alike are read once; what is said is the same; long prompts are read in parts between the steps of others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_generating import GREEDY, LONG, OWN, PROMPTS, greedily, net

from luban.generating.prefixes import Prefixes, shared
from luban.generating.slots import Slots, generate
from luban.layers.cache import Cache

SYSTEM = list(range(20, 45))
TALKS = [np.array([0, *SYSTEM, *turn]) for turn in ([3, 4], [3, 4, 5, 6, 7], [9], [3, 4, 9, 9, 9])]


def said(work: Slots, prompts: list[np.ndarray], settings: Any = GREEDY) -> list[Any]:
    """One after the other, each to its end."""
    out = []
    for prompt in prompts:
        out.append(work.add(prompt, settings))
        while work.busy:
            work.step()
    return out


@pytest.mark.parametrize("settings", [GREEDY, replace(GREEDY, temperature=0.9, top_p=0.9, seed=3)])
def test_answers_with_a_known_beginning_are_those_without(settings: Any) -> None:
    made = net()
    reusing, plain = said(Slots(made, OWN, slots=2, kept=3), TALKS, settings), said(Slots(made, OWN, slots=2), TALKS, settings)
    assert [found.tokens for found in reusing] == [found.tokens for found in plain]
    for found, wanted in zip(reusing, plain, strict=True):
        np.testing.assert_allclose(found.logs, wanted.logs, rtol=1e-3, atol=1e-4)
    assert [found.reused for found in reusing] == [0, 28, 26, 28]
    assert [found.reused for found in plain] == [0] * 4


def test_the_next_turn_begins_with_the_whole_talk() -> None:
    work = Slots(net(), OWN, slots=2, kept=2)
    (first,) = said(work, [TALKS[0]])
    longer = np.array([*first.prompt, *first.tokens, 5, 6])
    (second,) = said(work, [longer])
    assert second.reused == len(first.prompt) + len(first.tokens) - 1  # the last token was said and never read
    assert second.tokens == generate(net(), OWN, [longer], GREEDY)[0].tokens


def test_a_beginning_at_work_is_shared_too_and_neighbours_change_nothing() -> None:
    made, drawn = net(), replace(GREEDY, temperature=1.0, seed=8)
    work = Slots(made, OWN, slots=3, kept=1)
    answers = [work.add(TALKS[0], drawn)]
    work.step()
    answers += [work.add(prompt, drawn) for prompt in (*TALKS[1:], *PROMPTS)]
    while work.busy:
        work.step()
    assert answers[1].reused == 28
    assert [one.tokens for one in answers] == [generate(made, OWN, [one.prompt], drawn)[0].tokens for one in answers]


def test_prompts_that_come_together_and_begin_alike_are_read_once() -> None:
    made, drawn = net(), replace(GREEDY, temperature=1.0)
    prompt = np.array([0, *(SYSTEM * 2)])
    for kept, reused in ((1, [0, 50, 50]), (0, [0, 0, 0])):
        work = Slots(made, OWN, slots=4, kept=kept)
        answers = [work.add(prompt, replace(drawn, seed=seed)) for seed in range(3)]
        other = work.add(PROMPTS[0], drawn)
        while work.busy:
            work.step()
        assert [one.reused for one in answers] == reused
        assert [one.tokens for one in answers] == [generate(made, OWN, [prompt], one.settings)[0].tokens for one in answers]
        assert other.tokens == generate(made, OWN, [other.prompt], drawn)[0].tokens


def test_the_one_not_used_for_longest_makes_room() -> None:
    cache = Cache(1, 4, 1, 40, 2, like=torch.zeros(1))
    known = Prefixes(2, 2)
    sequences = [np.arange(base, base + 10) for base in (0, 100, 200)]
    known.keep(cache, 0, sequences[0])
    known.keep(cache, 1, sequences[1])
    assert known.find(np.arange(0, 20)) == (2, 10)
    known.keep(cache, 0, sequences[2])  # the second one is older now
    assert sorted(int(tokens[0]) for tokens in known.held.values()) == [0, 200]
    known.keep(cache, 0, np.arange(0, 15))  # goes on from the first
    known.keep(cache, 0, np.arange(0, 12))  # is the beginning of it
    assert sorted(len(tokens) for tokens in known.held.values()) == [10, 15]
    assert known.find(np.arange(0, 10)) == (2, 9)  # one is left to read
    assert known.find(np.arange(500, 520)) == (-1, 0)
    assert shared(np.arange(3), np.array([0, 1, 5])) == 2


def test_a_long_prompt_is_read_in_parts_and_others_speak_between() -> None:
    made = net()
    work = Slots(made, OWN, slots=3, kept=2, part=6)
    short = work.add(PROMPTS[0], GREEDY)
    work.step()
    long = work.add(LONG, GREEDY)
    before = len(short.tokens)
    for _ in range(3):
        work.step()
    late = work.add(PROMPTS[4], GREEDY)
    while not long.tokens:
        work.step()
    assert len(short.tokens) - before >= 5  # seven parts, and a token between each two
    assert len(late.tokens) >= 2  # who came while it was read did not wait for it
    while work.busy:
        work.step()
    assert [one.tokens for one in (short, long, late)] == [greedily(made, one.prompt, 19) for one in (short, long, late)]


def test_who_leaves_while_being_read_is_forgotten() -> None:
    work = Slots(net(), OWN, slots=2, part=6)
    left, stays = work.add(LONG, GREEDY), work.add(PROMPTS[0], GREEDY)
    work.step()
    assert work.reading is left
    work.cancel(left)
    while work.busy:
        work.step()
    assert (left.finish, left.tokens) == ("cancelled", [])
    assert stays.tokens == greedily(net(), PROMPTS[0], 19)


def test_the_likeliest_tokens_are_told_with_their_chances() -> None:
    made = net()
    work = Slots(made, OWN)
    answer = work.add(PROMPTS[1], GREEDY, top=3)
    while work.busy:
        work.step()
    with torch.inference_mode():
        logs = made(torch.tensor([[*PROMPTS[1], *answer.tokens[:-1]]])).log_softmax(-1)[0, len(PROMPTS[1]) - 1 :]
    for place, row in enumerate(answer.tops):
        best = logs[place].topk(3)
        assert [token for token, _ in row] == best.indices.tolist()
        np.testing.assert_allclose([log for _, log in row], best.values.numpy(), rtol=1e-3, atol=1e-4)
        assert row[0] == (answer.tokens[place], pytest.approx(answer.logs[place]))


def test_tokens_are_told_with_their_text() -> None:
    made = net()
    work = Slots(made, OWN)
    answer = work.add(PROMPTS[3], replace(GREEDY, max_tokens=40))
    places: list[int] = []
    while work.busy:
        work.step()
        fresh = list(answer.take_tokens())
        places += fresh
        assert OWN.decode([answer.tokens[k] for k in places]).startswith(answer.text.rstrip("\ufffd")[: len(answer.text)])
    assert places == list(range(len([token for token in answer.tokens if token not in OWN.stops])))
    cut = work.add(PROMPTS[3], replace(GREEDY, max_tokens=40, stop=(answer.text[7:10],)))
    while work.busy:
        work.step()
    assert OWN.decode([cut.tokens[k] for k in cut.take_tokens()]) == cut.text  # what the stop cut away is not told


def test_who_comes_later_is_bound_by_the_same_schema() -> None:
    made, bound = net(), replace(GREEDY, max_tokens=60, json_schema={"enum": ["yes", "no", "天"]})
    work = Slots(made, OWN, slots=2)
    first = work.add(PROMPTS[0], bound)
    work.step()
    work.step()
    late = work.add(PROMPTS[1], bound)
    while work.busy:
        work.step()
    assert {first.text, late.text} <= {'"yes"', '"no"', '"天"'}
    assert late.tokens == generate(made, OWN, [PROMPTS[1]], bound)[0].tokens
