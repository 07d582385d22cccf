"""Guessing ahead changes no answer, whatever is guessed; it spares steps where text repeats, and costs next to nothing where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_generating import GREEDY, OWN, PROMPTS, greedily, net
from torch import Tensor, nn

from luban.generating import guessing, slots
from luban.generating.answer import Answer
from luban.generating.guessing import MOST, Costs, Echo, Guessing, Measured, counts_of
from luban.generating.sampling import choose, draw, key_of_prompt
from luban.generating.settings import Generation
from luban.generating.slots import Slots, generate, stream
from luban.layers.attention import attend, shared
from luban.models.gpt import Gpt
from luban.models.kneser_ney import KneserNey, Read

ROUND = np.array([0, *([30, 31, 32, 33, 34] * 4), 30, 31])
ASKED = [*PROMPTS, ROUND]
DRAWN = Generation(temperature=1.0, max_tokens=40, seed=5)
WAYS = {
    "greedy": replace(GREEDY, max_tokens=60),
    "drawn": DRAWN,
    "top_p": replace(DRAWN, top_p=0.7, temperature=0.5),
    "top_k": replace(DRAWN, top_k=3),
    "min_p": replace(DRAWN, min_p=0.2, temperature=0.3),
    "penalised": replace(GREEDY, max_tokens=40, repetition_penalty=1.2),
    "penalised and drawn": replace(DRAWN, repetition_penalty=1.1, temperature=0.4),
    "short": replace(GREEDY, max_tokens=7),
}


class Free(Costs):
    """As if rows cost nothing: all is guessed that can be."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def note(self, rows: int, seconds: float) -> None:
        self.rows.append(rows)

    def of(self, rows: int) -> float:
        return 1.0


class Dear(Costs):
    """As if each row cost as much as the first."""

    def of(self, rows: int) -> float:
        return float(rows)


def gpt2() -> Gpt:
    """Learned positions, norms with a mean, biases, a head of its own."""
    torch.manual_seed(3)
    config = Gpt.Config(
        width=24, layers=2, heads=3, context=97, positions="learned", norm="layer", activation="gelu", bias="all", tied=False
    )
    made = Gpt(config, OWN.num_tokens)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made.eval()


def counts() -> KneserNey:
    """Counts of a text that repeats itself."""
    made = KneserNey(KneserNey.Config(order=4, entries=4096, context=101), OWN.num_tokens)
    rows = torch.from_numpy(OWN.encode(["the cat sat on the mat " * 40])[0].astype(np.int64))[None]
    batch = type("Batch", (), {"tokens": rows[:, :-1], "targets": rows[:, 1:], "segments": None})()
    list(made.solve([batch]))  # type: ignore[list-item]
    return made.eval()


NETS = {"rotary, grouped": net, "learned positions": gpt2, "counts": counts}


def said(made: Any, settings: Generation, *, guesses: int, costs: Costs | None = None, **rooms: Any) -> list[Answer]:
    """Of all prompts, three beside each other: some join while others are at work."""
    work = Slots(made, OWN, slots=3, guessing=Guessing(guesses, costs or Free()), **rooms)
    answers = [work.add(prompt, settings, top=2 * (place == 1)) for place, prompt in enumerate(ASKED)]
    while work.busy:
        work.step()
    return answers


def same(found: Sequence[Answer], wanted: Sequence[Answer]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert (one.tokens, one.finish, one.text) == (other.tokens, other.finish, other.text)
        np.testing.assert_allclose(one.logs, other.logs, rtol=1e-5, atol=1e-5)
        assert [[token for token, _ in place] for place in one.tops] == [[token for token, _ in place] for place in other.tops]
        assert len(one.tops) == (len(one.tokens) if one.top else 0)


def read(made: Any) -> list[int]:
    """Where the rows of each pass from here on are written."""
    passes: list[int] = []
    hidden = made.hidden

    def counted(tokens: Tensor, **given: Any) -> Any:
        passes.append(tokens.numel())
        return hidden(tokens, **given)

    made.hidden = counted
    return passes


@pytest.mark.parametrize("made", NETS)
@pytest.mark.parametrize("way", WAYS)
def test_answers_are_those_without_guesses(way: str, made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "HOPE", 0.0)  # the faintest guess is checked
    monkeypatch.setattr(guessing, "WORTH", 1.0)
    costs = Free()
    same(said(NETS[made](), WAYS[way], guesses=MOST, costs=costs), said(NETS[made](), WAYS[way], guesses=0))
    assert max(costs.rows) > 3  # rows of a pass of three answers: something was guessed


@pytest.mark.parametrize("way", ["greedy", "top_p", "penalised and drawn"])
def test_whatever_is_guessed_the_answer_is_the_same(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = said(net(), WAYS[way], guesses=0)
    known = {one.key: one.tokens for one in plain}
    rng = np.random.default_rng(0)

    def half_right(answers: Sequence[Answer], guessing: Guessing, room: int) -> list[list[int]]:
        """The truth, cut anywhere, and every fourth token another one; also beyond what there is room for in the answer."""
        out = []
        for one in answers:
            truth = [*known[one.key], *([1] * MOST)][len(one.tokens) :][: rng.integers(0, min(room, MOST) + 1)]
            out.append([int(rng.integers(OWN.num_tokens)) if rng.random() < 0.25 else token for token in truth])
        return out

    monkeypatch.setattr(slots, "guesses_of", half_right)
    made = net()
    passes = read(made)
    same(said(made, WAYS[way], guesses=MOST), plain)
    assert len(passes) < sum(len(one.tokens) for one in plain) / 3


def test_the_oracle_reads_at_once_and_draws_one_by_one() -> None:
    made = net()
    for answer in said(net(), WAYS["greedy"], guesses=MOST):
        assert answer.tokens == greedily(made, answer.prompt, 60)
    settings = WAYS["penalised and drawn"]
    for answer in said(net(), settings, guesses=MOST):
        tokens, key = list(answer.prompt), key_of_prompt(settings.seed, answer.prompt)
        for place in range(len(answer.tokens)):
            with torch.inference_mode():
                logits = made(torch.tensor([tokens]))[:, -1]
            tokens.append(int(choose(logits, [settings], [torch.tensor(tokens)], [draw(key, place)])[0]))
        assert answer.tokens == tokens[len(answer.prompt) :]


@pytest.mark.parametrize("make", [net, gpt2])
def test_the_context_ends_an_answer_where_it_did(make: Any) -> None:
    endless = replace(GREEDY, max_tokens=500)
    plain, found = (said(make(), endless, guesses=guesses) for guesses in (0, MOST))
    same(found, plain)
    assert any(one.finish == "length" and len(one.prompt) + len(one.tokens) == make().context for one in found)


def test_stops_end_an_answer_in_the_midst_of_guesses() -> None:
    whole = said(net(), WAYS["greedy"], guesses=0)
    for start in (3, 9, 20):
        stop = replace(WAYS["greedy"], stop=tuple({one.text[start : start + 3] for one in whole if len(one.text) > start + 3}))
        plain, found = (said(net(), stop, guesses=guesses) for guesses in (0, MOST))
        same(found, plain)
        assert any(one.finish == "stop" for one in found)
        assert [one.take() for one in found] == [one.text for one in plain]
        assert [one.take_tokens() for one in found] == [one.take_tokens() for one in plain]


def test_known_beginnings_and_parts_stay_right() -> None:
    rooms = {"kept": 3, "part": 6}
    plain, found = (said(net(), WAYS["greedy"], guesses=guesses, **rooms) for guesses in (0, MOST))
    same(found, plain)
    work = Slots(net(), OWN, slots=2, kept=2, guessing=Guessing(MOST, Free()))
    first = work.add(ROUND, replace(GREEDY, max_tokens=40))
    while work.busy:
        work.step()
    longer = np.array([*first.sequence, 5, 6])
    second = work.add(longer, GREEDY)
    while work.busy:
        work.step()
    assert second.reused == len(first.sequence) - 1  # what was guessed wrong is not taken for read
    assert second.tokens == greedily(net(), longer, 19)


@pytest.mark.parametrize("schema", [{"type": "array", "items": {"enum": ["yes", "no"]}, "minItems": 6}, {"type": "string"}])
def test_answers_bound_by_a_schema_are_the_same(schema: dict[str, Any]) -> None:
    bound = replace(GREEDY, max_tokens=90, json_schema=schema)
    costs = Free()
    same(said(net(), bound, guesses=MOST, costs=costs), said(net(), bound, guesses=0))
    assert max(costs.rows) > 3


def test_streamed_pieces_are_the_answer() -> None:
    endless = replace(GREEDY, max_tokens=60)
    prompt = OWN.encode(["the cat sat on the mat the cat"])[0].astype(np.int64)
    steps = [(found.take(), len(found.tokens)) for found in stream(counts(), OWN, prompt, endless, guessing=Guessing(MOST, Free()))]
    (wanted,) = generate(counts(), OWN, [prompt], endless, guessing=Guessing(0))
    assert "".join(text for text, _ in steps) == wanted.text
    assert len(steps) < len(wanted.tokens) / 2


class Heart(nn.Module):
    """Says a text by heart, whatever it reads: what follows hangs on the place alone."""

    def __init__(self, text: Sequence[int], num_tokens: int) -> None:
        super().__init__()
        self.text, self.num_tokens, self.context = torch.tensor([*text, 0]), num_tokens, len(text)

    def hidden(self, tokens: Tensor, *, cache: Any, first: int = 0) -> Tensor:  # alone: all tokens are there
        """(B, T) -> (B, T, 1) the place of each."""
        return (cache.lengths[first : first + len(tokens), None] + torch.arange(tokens.shape[1]))[..., None]

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V)."""
        return 9.0 * nn.functional.one_hot(self.text[hidden[..., 0] + 1], self.num_tokens).float()

    def cache(self, slots: int, capacity: int) -> Read:
        """Nothing is kept but lengths."""
        return Read(slots, capacity)


def by_heart(text: Sequence[int], prompt: int, costs: Costs) -> tuple[int, int, int]:
    """Tokens said, passes, and rows of all passes after the prompt."""
    made = Heart(text, OWN.num_tokens)
    passes = read(made)
    work = Slots(made, OWN, slots=1, guessing=Guessing(MOST, costs))
    answer = work.add(np.array(text[:prompt]), Generation(temperature=0, max_tokens=len(text)))
    while work.busy:
        work.step()
    assert answer.tokens == list(text[prompt:])
    return len(answer.tokens), len(passes), sum(passes[1:])


def linear(share: float) -> Costs:
    """Each row more costs this share of the first."""
    found = Costs()
    found.of = lambda rows: 1 + share * (rows - 1)  # type: ignore[method-assign]
    return found


def test_text_that_repeats_takes_few_passes() -> None:
    rng = np.random.default_rng(1)
    passage = rng.integers(1, OWN.num_tokens, 90).tolist()
    told, passes, _ = by_heart([*passage, 7, *passage[20:80], 9, 8, *passage[5:50]], 90, linear(0.1))
    assert told == 108
    assert passes < 108 / 4
    told, passes, _ = by_heart([5, 6] * 150, 10, linear(0.1))
    assert passes < told / 8


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_text_that_does_not_repeat_takes_few_rows_more(share: float) -> None:
    rng = np.random.default_rng(2)
    told, passes, rows = by_heart(rng.permutation(np.arange(1, OWN.num_tokens))[:120].tolist(), 10, linear(share))
    assert (passes, rows) == (told, told - 1)  # nothing ever stood there before
    told, passes, rows = by_heart(rng.integers(1, 12, 600).tolist(), 300, linear(share))
    assert passes + share * (rows - passes) < 1.03 * told  # of the time: all stood there before, and is followed by anything


def test_nothing_is_guessed_where_rows_are_dear_or_guesses_are_off() -> None:
    told, passes, rows = by_heart([5, 6] * 100, 10, Dear())
    assert (passes, rows) == (told, told - 1)
    made = net()
    passes_of = read(made)
    (found,) = generate(made, OWN, [ROUND], WAYS["greedy"], guessing=Guessing(0))
    assert passes_of[1:] == [1] * (len(found.tokens) - 1)
    assert found.echo is None


def longest(tokens: list[int], most: int) -> int:
    """How many tokens at the end stood there before, by looking everywhere."""
    sizes = range(min(most, len(tokens) - 1), 0, -1)
    return next((size for size in sizes if any(tokens[k : k + size] == tokens[-size:] for k in range(len(tokens) - size))), 0)


def test_what_is_found_again_is_the_longest_run() -> None:
    rng = np.random.default_rng(3)
    text = [*rng.integers(0, 5, 200).tolist(), *rng.integers(0, 50, 200).tolist()]
    echo = Echo()
    for count, token in enumerate(text, start=1):
        echo.read(token)
        size = longest(text[:count], 3)
        assert min(echo.length, 3) == size
        if size:
            assert text[echo.place - echo.length : echo.place] == text[count - echo.length : count]
            wanted = [text[:count][echo.place + step] for step in range(min(4, count - echo.place))]
            assert echo.guess(4)[: len(wanted)] == wanted


def test_what_reaches_now_goes_round() -> None:
    assert Echo([1, 2, 3, 1, 2, 3, 1]).guess(8) == [2, 3, 1, 2, 3, 1, 2, 3]
    assert Echo([4, 4]).guess(3) == [4, 4, 4]
    assert Echo([1, 2, 3]).guess(5) == []
    assert Echo([1, 2, 3]).chances(5) == []


def test_guesses_that_hold_are_believed_and_others_are_not() -> None:
    good, bad = Echo([1, 2, 3]), Echo([1, 2, 3])
    first = Echo([1, 2, 3, 1]).chances(4)
    assert first == sorted(first, reverse=True)
    for step in range(30):
        good.hear([1, 2, 3][step % 3])
        bad.hear([1, step + 4][step % 2])
    bad.hear(1)
    assert good.chances(4)[-1] > 0.9
    assert bad.chances(1)[0] < first[0] / 3


def test_so_many_are_guessed_that_tokens_a_second_are_most() -> None:
    sure, unsure = [0.9**k for k in range(1, 16)], [0.5**k for k in range(1, 16)]
    rates = {count: sum(0.9**k for k in range(count + 1)) / (1 + 0.2 * count) for count in (0, 1, 2, 3, 4, 5, 7, 9, 12, 15)}
    assert counts_of([sure], linear(0.2)) == [max(rates, key=lambda count: rates[count])]
    assert counts_of([sure], linear(0.05))[0] > counts_of([unsure], linear(0.05))[0] > 0
    assert counts_of([sure], linear(0.95)) == [0]
    assert counts_of([[], []], Free()) == [0, 0]
    assert counts_of([sure[:3]], Free()) == [3]
    mixed = counts_of([sure, unsure, []], linear(0.05))
    assert mixed[0] > mixed[1] > mixed[2] == 0  # no row is read for who guesses less than others


def test_costs_are_those_that_were_measured() -> None:
    costs = Measured()
    assert costs.of(2) > costs.of(1)
    for seconds in (5.0, 1.0, 2.0):
        costs.note(1, seconds)
    assert costs.of(1) == 1.0  # the first ones were slow for another reason
    costs.note(1, 100.0)
    assert costs.of(1) == pytest.approx(1.1)
    assert costs.of(2) == pytest.approx(1.1 * 1.25)  # hoped
    for _ in range(3):
        costs.note(4, 4.1)
    assert costs.of(4) == 4.1
    assert costs.of(3) == pytest.approx(1.1 + (4.1 - 1.1) * 2 / 3)
    costs.note(17, 9.0)
    assert costs.of(24) == costs.of(20) == 9.0
    for _ in range(1100):
        costs.note(1, 1.0)
    assert list(costs.seconds) == [1]  # what was measured long ago is tried again


def test_costs_that_are_usual_never_fall() -> None:
    costs = [Costs().of(rows) for rows in range(1, 200)]
    assert costs == sorted(costs)
    assert (costs[0], costs[2], costs[15], costs[127]) == (1.0, 1.15, 2.9, 6.5)


def test_offline_the_same_is_computed_each_time() -> None:
    first, second = (generate(net(), OWN, ASKED, WAYS["greedy"], slots=2) for _ in range(2))
    assert [one.logs for one in first] == [one.logs for one in second]  # to the bit: no clock decides how far is guessed


@pytest.mark.parametrize("make", NETS.values(), ids=list(NETS))
def test_tokens_that_are_there_are_read_as_each_row_alone(make: Any) -> None:
    made, rows, counts = make(), torch.randint(1, 200, (3, 9)), (5, 2, 4)
    cache = made.cache(5, 40)
    with torch.inference_mode():
        made.hidden(rows, cache=cache, first=1)
        cache.lengths[1:4] = torch.tensor([9, 3, 6])  # of some only so many
        new = torch.randint(1, 200, (3, 5))
        found = made.hidden(new, cache=cache, first=1, there=torch.arange(5) < torch.tensor(counts)[:, None])
        parts = found[0].split(counts)
        for row, (part, count, known) in enumerate(zip(parts, counts, (9, 3, 6), strict=True)):
            whole = torch.cat([rows[row, :known], new[row, :count]])[None]
            torch.testing.assert_close(made.logits(part), made.logits(made.hidden(whole))[0, known:], rtol=1e-4, atol=1e-4)


def test_the_heads_of_a_group_ask_together() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 6, 5, 8), torch.randn(2, 2, 11, 8), torch.randn(2, 2, 11, 8)
    mask = torch.arange(11) <= torch.tensor([[4], [6]])[..., None] + torch.arange(5)[:, None]
    with torch.inference_mode():
        found = attend(q, k, v, mask=mask[:, None])
    score = (q @ shared(k, 3).transpose(-1, -2) / 8**0.5).masked_fill(~mask[:, None], -torch.inf)
    torch.testing.assert_close(found, score.softmax(-1) @ shared(v, 3), rtol=1e-5, atol=1e-6)
