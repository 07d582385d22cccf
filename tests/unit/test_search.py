"""Searching for answers: what is found is what looking at every answer finds, neighbours change nothing, and each bound holds."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from luban.errors import DataError
from luban.generating.beams import BLOCK, largest
from luban.generating.restraint import begun, favour, forbid_repeats, kept_of, within
from luban.generating.search import Hypothesis, Marks, answers, stream
from luban.generating.settings import Search
from luban.models.encoder_decoder import EncoderDecoder

PAD, BEGIN, END, TOKENS = 0, 1, 2, 7
MARKS = Marks(start=(BEGIN,), end=(END,), never=(PAD, BEGIN))
GREEDY = Search(beams=1, max_tokens=13)


def net(tokens: int = TOKENS, context: int = 61, seed: int = 1, scale: float = 0.3) -> EncoderDecoder:
    """With weights away from zero."""
    torch.manual_seed(seed)
    made = EncoderDecoder(EncoderDecoder.Config(width=24, layers=2, heads=2, context=context), tokens)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return made.eval()


def sources(count: int = 9, tokens: int = TOKENS) -> list[np.ndarray]:
    """Of one to 17 tokens, in no order of length."""
    generator = np.random.default_rng(3)
    return [generator.integers(3, tokens, 1 + (7 * n) % 17) for n in range(count)]


def chances(made: Any, source: np.ndarray, said: list[int]) -> Tensor:
    """(T + 1, V) logarithms of what follows the start and each token of an answer, without a cache."""
    tokens = torch.from_numpy(source)[None]
    with torch.inference_mode():
        return made(tokens, torch.ones_like(tokens, dtype=torch.bool), torch.tensor([[BEGIN, *said]]))[0].log_softmax(-1)


def every_answer(made: Any, source: np.ndarray, longest: int, power: float) -> list[tuple[float, list[int]]]:
    """Score and tokens of each answer of at most so many tokens, the end counted, best first."""
    found = []
    for length in range(1, longest + 1):
        for said in itertools.product(range(3, TOKENS), repeat=length):
            for ended in (True, False):
                body = list(said[: length - 1]) if ended else list(said)
                if (ended and said[-1] != 3) or (not ended and length < longest):
                    continue  # each ended body once; only the longest may stop unended
                whole = [*body, END] if ended else body
                log = chances(made, source, whole)
                found.append((float(sum(log[place, token] for place, token in enumerate(whole))) / len(whole) ** power, whole))
    return sorted(found, key=lambda one: -one[0])


def said_by(found: Hypothesis) -> list[int]:
    """With its end."""
    return [*found.tokens, *([END] if found.finish == "stop" else [])]


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_enough_beams_find_the_best_of_all_answers(power: float) -> None:
    """With as many beams as there are answers none is lost, so the best few are those of a full enumeration."""
    made = net()
    asked = sources(3)
    found = answers(made, asked, Search(beams=256, best=5, max_tokens=4, length_penalty=power), MARKS)
    for source, best in zip(asked, found, strict=True):
        wanted = every_answer(made, source, 4, power)[:5]
        assert [said_by(one) for one in best] == [tokens for _, tokens in wanted]
        assert [one.score for one in best] == pytest.approx([score for score, _ in wanted], abs=1e-4)


def greedily(made: Any, source: np.ndarray, most: int) -> list[int]:
    """Without a cache, one by one, over what may be said."""
    said: list[int] = []
    while len(said) < most and END not in said:
        log = chances(made, source, said)[-1].clone()
        log[[PAD, BEGIN]] = -torch.inf
        said.append(int(log.argmax()))
    return said


def test_greedy_answers_are_those_without_a_cache() -> None:
    made, asked = net(31), sources(40, 31)
    found = answers(made, asked, GREEDY, MARKS)
    assert {one.finish for (one,) in found} == {"stop", "length"}
    for source, (one,) in zip(asked, found, strict=True):
        assert said_by(one) == greedily(made, source, 13)
        log = chances(made, source, said_by(one))
        assert one.logs == pytest.approx([float(log[n, token]) for n, token in enumerate(said_by(one))], abs=1e-4)
        assert one.score == pytest.approx(sum(one.logs) / len(one.logs), abs=1e-5)
        assert one.confidence == pytest.approx(np.exp(np.mean(one.logs)), abs=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_neighbours_change_nothing(beams: int) -> None:
    made, asked, settings = net(31), sources(23, 31), Search(beams=beams, best=beams, max_tokens=13)
    together = answers(made, asked, settings, MARKS)
    for source, found in zip(asked, together, strict=True):
        (alone,) = answers(made, [source], settings, MARKS)
        assert [one.tokens for one in found] == [one.tokens for one in alone]
        assert [one.score for one in found] == pytest.approx([one.score for one in alone], abs=1e-4)


def test_answers_come_best_first_and_no_two_are_alike() -> None:
    for found in answers(net(31), sources(9, 31), Search(beams=4, best=4, max_tokens=13), MARKS):
        assert len(found) == 4
        assert len({(tuple(one.tokens), one.finish) for one in found}) == 4
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        for one in found:
            assert one.score == pytest.approx(one.log_chance / len(one.logs), abs=1e-5)


def test_what_is_streamed_is_the_greedy_answer() -> None:
    made = net(31)
    for source in sources(5, 31):
        ((whole,),) = answers(made, [source], GREEDY, MARKS)
        found = list(stream(made, source, replace(GREEDY, beams=4), MARKS))
        assert [token for token, _ in found] == whole.tokens
        assert [log for _, log in found] == pytest.approx(whole.logs[: len(found)], abs=1e-5)


@pytest.mark.parametrize("beams", [1, 4])
def test_lengths_are_kept(beams: int) -> None:
    asked = sources(9, 31)
    settings = Search(beams=beams, min_tokens=3, min_ratio=0.5, max_ratio=0.75, spare=4, max_tokens=11)
    for source, (one,) in zip(asked, answers(net(31, seed=2), asked, settings, MARKS), strict=True):
        most = min(11, int(0.75 * len(source)) + 4)
        assert min(most, max(3, -(-len(source) // 2))) <= len(one.tokens) <= len(one.logs) <= most


@pytest.mark.parametrize("beams", [1, 4])
def test_no_run_of_tokens_stands_twice(beams: int) -> None:
    made, asked = net(), sources(9)
    free = answers(made, asked, Search(beams=beams, max_tokens=40, min_tokens=20), MARKS)
    bound = answers(made, asked, Search(beams=beams, max_tokens=40, min_tokens=20, no_repeat=3), MARKS)

    def runs(one: Hypothesis) -> list[tuple[int, ...]]:
        return [tuple(one.tokens[n : n + 3]) for n in range(len(one.tokens) - 2)]

    assert any(len(runs(one)) > len(set(runs(one))) for (one,) in free)
    for (one,) in bound:
        assert len(runs(one)) == len(set(runs(one)))


def test_what_may_never_be_said_is_not() -> None:
    made, asked = net(), sources(9)
    assert any(3 in one.tokens for (one,) in answers(made, asked, GREEDY, MARKS))
    for (one,) in answers(made, asked, GREEDY, replace(MARKS, never=(PAD, BEGIN, 3))):
        assert not {PAD, BEGIN, 3} & set(one.tokens)


def test_each_source_may_begin_in_its_own_way() -> None:
    made, asked = net(31), sources(4, 31)
    starts = [[BEGIN, 5], [BEGIN, 6], [BEGIN, 5], [BEGIN, 7]]
    found = answers(made, asked, GREEDY, MARKS, starts=starts)
    for source, start, (one,) in zip(asked, starts, found, strict=True):
        ((alone,),) = answers(made, [source], GREEDY, replace(MARKS, start=tuple(start)))
        assert one.tokens == alone.tokens
        assert [token for token, _ in stream(made, source, GREEDY, MARKS, start=start)] == one.tokens


@pytest.mark.parametrize("beams", [1, 4])
def test_numbers_of_the_source_are_kept_where_asked(beams: int) -> None:
    """What each answer begins with anyway is made the first token of a number, which then must be gone on with."""
    made, asked = net(31), sources(9, 31)
    settings = Search(beams=beams, max_tokens=30, min_tokens=1)
    plain = answers(made, asked, settings, MARKS)
    numbers = [[[one.tokens[0], 12, 13]] for (one,) in plain]
    assert answers(made, asked, settings, MARKS, keep=numbers) == plain
    assert not all(within(one.tokens, number[0]) for (one,), number in zip(plain, numbers, strict=True))
    kept = answers(made, asked, replace(settings, keep=50.0), MARKS, keep=numbers)
    for (one,), (number,), source in zip(kept, numbers, asked, strict=True):
        assert within(one.tokens, number)
        log = chances(made, source, said_by(one))
        assert one.logs == pytest.approx([float(log[n, token]) for n, token in enumerate(said_by(one))], abs=1e-4)  # the model's own


def test_spans_begun_and_said_by_hand() -> None:
    assert begun([5, 1, 2], [1, 2, 3]) == 2
    assert begun([5, 1, 2, 3], [1, 2, 3]) == 0
    assert begun([1, 1], [1, 1, 1]) == 2
    assert within([5, 1, 2, 3], [1, 2, 3])
    assert not within([1, 2], [1, 2, 3])
    kept = [kept_of([[1, 3], [4], []]), kept_of([[1, 3]])]
    logits = torch.zeros(2, 5)
    favour(logits, torch.tensor([[4, 1], [1, 3]]), kept, 2.0, (0,), 5)
    assert logits.tolist() == [[-2, 0, 0, 2, 0], [0, 0, 0, 0, 0]]
    logits = torch.arange(5.0).repeat(2, 1)  # an end that is the last of five is no candidate of four
    favour(logits, torch.zeros(2, 0, dtype=torch.int64), kept, 2.0, (0,), 4)
    assert logits.tolist() == [[0, 1, 2, 3, 4]] * 2


def test_repeats_by_hand() -> None:
    logits = torch.zeros(2, 5)
    forbid_repeats(logits, torch.tensor([[1, 2, 3, 1, 2], [4, 4, 4, 4, 3]]), 3)
    assert logits[0].isinf().nonzero()[:, 0].tolist() == [3]
    assert logits[1].isinf().sum() == 0


def test_the_largest_are_found_in_blocks() -> None:
    x = torch.randn(5, 40 * BLOCK + 17, generator=torch.Generator().manual_seed(1))
    x[2, -3] = 9.0
    value, place = largest(x, 8)
    assert torch.equal(value.sort(descending=True).values, x.topk(8).values)
    assert torch.equal(x.gather(1, place), value)


def test_what_cannot_be_answered_is_refused() -> None:
    with pytest.raises(DataError, match="L680"):
        answers(net(context=16), [np.full(17, 3)], GREEDY, MARKS)
    with pytest.raises(DataError, match="L681"):
        answers(net(), sources(2), GREEDY, MARKS, starts=[[1], [1, 2]])
    with pytest.raises(DataError, match="L681"):
        answers(net(context=17), sources(2), GREEDY, replace(MARKS, start=()))


def test_no_sources_no_answers_and_the_context_ends_an_answer() -> None:
    assert answers(net(), [], GREEDY, MARKS) == []
    ((one,),) = answers(net(context=9), [np.array([3])], Search(beams=2, max_tokens=50, min_tokens=50), MARKS)
    assert len(one.tokens) == 8
    assert one.finish == "length"
    ((one,),) = answers(net(), [np.zeros(0, np.int64)], GREEDY, MARKS)
    assert one.logs
