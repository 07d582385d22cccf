"""Continuing prompts: what the cache gives is what reading at once gives, neighbours change nothing, and every filter is the one of its paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from luban.errors import DataError
from luban.generating.pieces import Pieces
from luban.generating.sampling import at, choose, draw, sample
from luban.generating.settings import Generation
from luban.generating.slots import Slots, generate, stream
from luban.models.gpt import Gpt
from luban.tokenizing import tokenizer
from luban.tokenizing.tokenizer import END, Tokenizer

OWN = tokenizer.learn(["天地玄黄，宇宙洪荒。" * 3 + "the cat sat on the mat " * 5], "characters", 512)
GREEDY = Generation(temperature=0, max_tokens=19)
LONG = np.array([0, *range(20, 60)])
PROMPTS = [np.array([0, 5, 9]), LONG, np.array([0]), np.array([0, 250, 251, 252, 30]), np.array([7, 7])]


def net(context: int = 101) -> Gpt:
    """With weights away from zero."""
    torch.manual_seed(1)
    made = Gpt(Gpt.Config(width=28, layers=2, heads=4, kv_heads=2, head_dim=6, context=context), OWN.num_tokens)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made.eval()


def greedily(made: Gpt, prompt: np.ndarray, count: int) -> list[int]:
    """Without a cache, one by one."""
    tokens = list(prompt)
    for _ in range(count):
        with torch.inference_mode():
            tokens.append(int(made(torch.tensor([tokens]))[0, -1].argmax()))
        if tokens[-1] == END:
            break
    return tokens[len(prompt) :]


@pytest.mark.parametrize("slots", [1, 2, 16])
def test_tokens_from_slots_are_those_without_a_cache(slots: int) -> None:
    made = net()
    answers = generate(made, OWN, PROMPTS, GREEDY, slots=slots)
    for prompt, found in zip(PROMPTS, answers, strict=True):
        assert found.tokens == greedily(made, prompt, 19)
        assert found.finish == ("stop" if found.tokens[-1] == END else "length")
        assert found.text == OWN.decode([t for t in found.tokens if t != END])


def test_an_answer_hangs_on_seed_and_prompt_alone() -> None:
    made, drawn = net(), Generation(max_tokens=23, temperature=1.0, top_p=0.95, seed=5)
    together = [found.tokens for found in generate(made, OWN, PROMPTS, drawn, slots=3)]
    alone = [generate(made, OWN, [prompt], drawn)[0].tokens for prompt in PROMPTS]
    assert together == alone
    assert together != [found.tokens for found in generate(made, OWN, PROMPTS, replace(drawn, seed=6))]


def test_chances_are_the_models_own() -> None:
    made = net()
    found = generate(made, OWN, [PROMPTS[1]], GREEDY)[0]
    with torch.inference_mode():
        logs = made(torch.tensor([[*PROMPTS[1], *found.tokens[:-1]]])).log_softmax(-1)[0, len(PROMPTS[1]) - 1 :]
    np.testing.assert_allclose(found.logs, logs[torch.arange(len(found.tokens)), found.tokens].numpy(), rtol=1e-3, atol=1e-4)


def test_the_context_ends_an_answer() -> None:
    made = net(context=43)
    found = generate(made, OWN, [LONG], replace(GREEDY, max_tokens=500))[0]
    assert len(found.prompt) + len(found.tokens) == 43 or found.finish == "stop"
    with pytest.raises(DataError, match="L271"):
        generate(net(context=41), OWN, [LONG], GREEDY)
    with pytest.raises(DataError, match="L276"):
        generate(made, OWN, [np.zeros(0, np.int64)], GREEDY)


def test_who_comes_later_waits_and_who_leaves_makes_room() -> None:
    made = net()
    work = Slots(made, OWN, slots=2)
    first = [work.add(prompt, GREEDY) for prompt in PROMPTS[:3]]
    work.step()
    late = work.add(PROMPTS[3], GREEDY)
    work.cancel(first[1])
    while work.busy:
        work.step()
    assert first[1].finish == "cancelled"
    assert [found.tokens for found in (first[0], first[2], late)] == [greedily(made, PROMPTS[k], 19) for k in (0, 2, 3)]


def test_streamed_pieces_are_the_answer() -> None:
    made = net()
    pieces = [found.take() for found in stream(made, OWN, PROMPTS[3], replace(GREEDY, max_tokens=40))]
    assert "".join(pieces) == generate(made, OWN, [PROMPTS[3]], replace(GREEDY, max_tokens=40))[0].text


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_characters_come_out_whole_and_stops_stay_in(width: int) -> None:
    data = "天地🙂 the end. STOP and more".encode()
    pieces = Pieces(["STOP", "END"])
    given = [pieces.feed(data[k : k + width]) for k in range(0, len(data), width)]
    assert "".join(given) == "天地🙂 the end. "
    assert pieces.stopped
    assert all("\ufffd" not in part for part in given)
    unstopped = Pieces(["STOPPED"])
    assert (
        "".join(unstopped.feed(data[k : k + width]) for k in range(0, len(data), width)) + unstopped.feed(b"", last=True) == data.decode()
    )
    assert Pieces().feed("天".encode()[:2], last=True) == "\ufffd"


def test_a_stop_string_ends_an_answer() -> None:
    made = net()
    whole = generate(made, OWN, [PROMPTS[0]], replace(GREEDY, max_tokens=40))[0].text
    assert len(whole) > 12
    found = generate(made, OWN, [PROMPTS[0]], replace(GREEDY, max_tokens=40, stop=(whole[7:10],)))[0]
    assert found.text == whole[: whole.index(whole[7:10])]
    assert found.finish == "stop"


def allowed_by(logits: Tensor, one: Generation) -> set[int]:
    """The filters, as their papers have them, one after the other in float64."""
    chance = logits.double().div(one.temperature).softmax(0)
    if one.top_k:
        kept = chance >= chance.topk(min(one.top_k, len(chance))).values[-1]
        chance = torch.where(kept, chance, 0) / chance[kept].sum()
    order = chance.argsort(descending=True)
    before = chance[order].cumsum(0) - chance[order]
    kept = {int(t) for t, b in zip(order, before, strict=True) if b < one.top_p and chance[t] > 0}
    return {t for t in kept if chance[t] >= one.min_p * chance.max()}


@pytest.mark.parametrize("size", [17, 1000])
@pytest.mark.parametrize(
    "one",
    [
        Generation(temperature=0.7, top_k=5),
        Generation(temperature=1.3, top_p=0.6),
        Generation(temperature=1.0, top_k=7, top_p=0.8),
        Generation(temperature=2.0, min_p=0.2),
        Generation(temperature=3.0, top_p=0.99),
        Generation(temperature=1.0, top_k=600, min_p=0.01),
    ],
)
def test_only_what_the_filters_allow_is_drawn_and_all_of_it(one: Generation, size: int) -> None:
    torch.manual_seed(size)
    logits, draws = torch.randn(size) * 2, torch.linspace(1e-6, 1 - 1e-6, 20_001)
    found = sample((logits / one.temperature).expand(len(draws), -1), [one] * len(draws), draws)
    wanted = allowed_by(logits, one)
    assert set(found.tolist()) <= wanted
    share = torch.bincount(found, minlength=size) / len(draws)
    chance = logits.double().div(one.temperature).softmax(0)
    kept = torch.tensor(sorted(wanted))
    torch.testing.assert_close(share[kept].double(), chance[kept] / chance[kept].sum(), atol=2e-4, rtol=0)


def test_rows_of_different_settings_do_not_disturb_each_other() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 700) * 3
    settings = [
        Generation(temperature=0),
        Generation(top_k=3),
        Generation(top_p=0.5, min_p=0.1),
        Generation(repetition_penalty=5.0, temperature=0),
    ]
    seen, draws = [logits[row].topk(4).indices for row in range(4)], [0.3, 0.9, 0.99, 0.5]
    together = choose(logits, settings, seen, draws)
    alone = [choose(logits[row : row + 1], [settings[row]], [seen[row]], [draws[row]]) for row in range(4)]
    assert together.tolist() == [int(found) for found in alone]
    assert int(together[3]) not in seen[3].tolist()


def test_a_draw_finds_its_place() -> None:
    chances = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0]]).expand(4, -1)
    assert at(chances, torch.tensor([1e-9, 0.2499, 0.2501, 1 - 1e-9], dtype=torch.float64)).tolist() == [1, 1, 3, 3]
    found = np.array([draw(3, place) for place in range(4000)])
    assert 0 < found.min() < found.max() < 1
    assert abs(found.mean() - 0.5) < 0.02


def test_only_what_is_allowed_is_said() -> None:
    made, even = net(), torch.arange(OWN.num_tokens) % 2 == 0
    work = Slots(made, OWN, slots=2)
    free, bound = work.add(PROMPTS[0], GREEDY), work.add(PROMPTS[1], GREEDY, allowed=lambda said: even)
    while work.busy:
        work.step()
    assert all(token % 2 == 0 for token in bound.tokens)
    assert free.tokens == greedily(made, PROMPTS[0], 19)


def test_a_given_tokenizer_opens_and_spells() -> None:
    library = tokenizer.opened("bpe", tokenizer.learn(["天地玄黄 the cat"] * 9, "bpe", 512).tokenizer)
    library.add_special_tokens(["<|end|>"])
    own = Tokenizer(form="given", tokenizer=library.to_str(), begin=None, stops=(library.token_to_id("<|end|>"),))
    assert own.decode(own.encode(["天地 the cat"])[0].tolist()) == "天地 the cat"
    assert own.bytes[own.stops[0]] == b""


def test_bytes_that_are_no_character_are_counted_as_they_came() -> None:
    """\\xe5 alone, then half a character, then A: three bytes behind what is held, though each mark for them would take three."""
    pieces = Pieces(["\ufffd\ufffdB"])
    assert pieces.feed(b"x\xe5") == "x"
    assert pieces.pending == 1
    assert pieces.feed(b"\xe5\xa4") == ""
    assert pieces.pending == 3
    assert pieces.feed(b"AB") == "\ufffd\ufffdAB"
    assert pieces.pending == 0
    assert pieces.feed("天".encode()) == "天"
    assert (pieces.held, pieces.sizes) == ("", [])
