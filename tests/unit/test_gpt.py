"""The decoder by hand: one head in plain arithmetic, causality, documents apart, and the cache against reading at once."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from luban import pretrained
from luban.errors import RecipeError
from luban.layers.attention import Attention, Shape, attend, recorded, weights
from luban.layers.cache import Cache
from luban.layers.feed_forward import relu2
from luban.layers.norms import RmsNorm, Scaled
from luban.layers.rotary import Stretch, frequencies, rotate, turn
from luban.models.gpt import Gpt

CPU = torch.device("cpu")
KINDS = {
    "rotary": {},
    "learned": {"positions": "learned", "norm": "layer", "activation": "gelu_tanh", "bias": "all", "qk_norm": False, "tied": False},
    "grouped": {"kv_heads": 2, "activation": "swiglu", "head_dim": 6},
    "values": {"value_embeddings": "alternate", "tied": True},
}
every = pytest.mark.parametrize("kind", KINDS)


def net(kind: str) -> Gpt:
    """With weights that are all away from zero."""
    torch.manual_seed(0)
    made = Gpt(Gpt.Config(**({"width": 28, "layers": 3, "heads": 4 if kind == "grouped" else 7, "context": 31} | KINDS[kind])), 37)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made.eval()


def some(rows: int, steps: int) -> torch.Tensor:
    """(rows, steps) tokens."""
    return torch.randint(0, 37, (rows, steps), generator=torch.Generator().manual_seed(rows * steps))


def test_attention_of_two_tokens_by_hand() -> None:
    q = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]]]])
    k = torch.tensor([[[[1.0, 1.0], [0.0, 3.0]]]])
    v = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    later = 1 / (1 + math.exp((2 - 6) / math.sqrt(2)))  # what the second token takes of itself: scores 2 and 6 over √2
    wanted = torch.tensor([[[[1.0, 0.0], [1 - later, later]]]])
    torch.testing.assert_close(attend(q, k, v, causal=True), wanted)
    torch.testing.assert_close(weights(q, k, causal=True) @ v, wanted)


def test_a_pair_is_turned_by_its_angle() -> None:
    by = turn(torch.tensor([[3]]), frequencies(4, 100.0, None, CPU), torch.float32)
    turned = rotate(torch.tensor([[[[1.0, 0.0, 0.0, 1.0]]]]), by)  # pairs (1, 0) and (0, 1) at angles 3 and 3/10
    torch.testing.assert_close(turned, torch.tensor([[[[math.cos(3), -math.sin(0.3), math.sin(3), math.cos(0.3)]]]]))


def test_only_slow_pairs_are_stretched() -> None:
    plain, slow = frequencies(8, 1e6, None, CPU), frequencies(8, 1e6, Stretch(factor=4.0, context=100), CPU)
    assert slow[0] == plain[0]
    torch.testing.assert_close(slow[-1], plain[-1] / 4)


@every
def test_a_token_never_sees_what_follows(kind: str) -> None:
    tokens, made = some(3, 17), net(kind)
    changed = tokens.clone()
    changed[:, 11:] = (changed[:, 11:] + 5) % 37
    before, after = made(tokens), made(changed)
    torch.testing.assert_close(before[:, :11], after[:, :11])
    assert (before[:, 11:] - after[:, 11:]).abs().max() > 1e-3


@every
def test_documents_side_by_side_are_as_if_each_were_alone(kind: str) -> None:
    one, two, made = some(2, 7), some(2, 12), net(kind)
    segments = torch.tensor([[0] * 7 + [1] * 12] * 2)
    together = made(torch.cat([one, two], 1), segments=segments)
    torch.testing.assert_close(together, torch.cat([made(one), made(two)], 1), rtol=1e-4, atol=1e-5)


@every
def test_read_in_pieces_is_as_read_at_once(kind: str) -> None:
    """Prompts of three lengths beside each other, then token by token, in slots that do not begin at the first."""
    made, cache, lengths = net(kind), net(kind).cache(5, 31), [4, 9, 2]
    tokens = some(3, 20)
    with torch.inference_mode():
        whole = made(tokens)
        first = made(tokens[:, :9], cache=cache, first=1)  # padded on the right: what is too much is written over
        for slot, length in enumerate(lengths):
            torch.testing.assert_close(first[slot, :length], whole[slot, :length], rtol=1e-4, atol=1e-5)
            cache.lengths[1 + slot] = length
        for _ in range(6):
            place = cache.lengths[1:4]
            logits = made(tokens.gather(1, place[:, None]), cache=cache, first=1)
            torch.testing.assert_close(logits[:, 0], whole[torch.arange(3), place], rtol=1e-4, atol=1e-5)
            cache.lengths[1:4] += 1
        more = made(tokens[:, 15:20], cache=shifted(made, tokens, 15), first=0)
        torch.testing.assert_close(more, whole[:, 15:20], rtol=1e-4, atol=1e-5)


def shifted(made: Gpt, tokens: torch.Tensor, steps: int) -> object:
    """A cache that has read the first steps, its slots having changed places twice."""
    cache = made.cache(4, 31)
    made(tokens[:, :steps], cache=cache)
    cache.lengths[:3] = steps
    cache.reorder(torch.tensor([2, 0, 1]))
    cache.reorder(torch.tensor([1, 2, 0]))
    cache.move(2, 3)
    cache.clear(2)
    cache.move(3, 2)
    return cache


def test_beams_that_stay_are_not_moved() -> None:
    cache = Cache(1, 4, 1, 5, 2, like=torch.zeros(()))
    for kept in (*cache.keys, *cache.values):
        kept.copy_(torch.randn(kept.shape))
    cache.lengths.copy_(torch.tensor([3, 5, 2, 4]))
    before = [kept.clone() for kept in (*cache.keys, *cache.values)]
    rows = torch.tensor([0, 0, 1])
    cache.reorder(rows)
    assert cache.lengths.tolist() == [3, 3, 5, 4]
    for kept, old in zip((*cache.keys, *cache.values), before, strict=True):
        for slot, row in enumerate(rows.tolist()):
            length = int(cache.lengths[slot])
            assert torch.equal(kept[slot, :, :length], old[row, :, :length])


@pytest.mark.parametrize(
    ("keys", "learning", "wanted"), [(255, True, torch.float32), (256, True, torch.bfloat16), (255, False, torch.bfloat16)]
)
def test_few_keys_are_asked_in_float32_where_learning_is_in_bfloat16(keys: int, learning: bool, wanted: torch.dtype) -> None:
    torch.manual_seed(0)
    parts = [torch.randn(2, 4, keys, 8, dtype=torch.bfloat16, requires_grad=learning) for _ in range(3)]
    seen = torch.rand(2, 1, 1, keys) > 0.3
    with torch.set_grad_enabled(learning), torch.autocast("cpu", torch.bfloat16):
        found = attend(*parts, mask=seen)
    assert found.dtype == wanted
    plain = [part.detach().float().requires_grad_() for part in parts]
    right = attend(*plain, mask=seen)
    torch.testing.assert_close(found.float(), right, atol=0.02, rtol=0.02)
    if wanted == torch.float32:
        assert torch.equal(found, right)
        found.sum().backward()
        right.sum().backward()
        for part, other in zip(parts, plain, strict=True):
            assert torch.equal(part.grad, other.grad.bfloat16())  # type: ignore[union-attr]


def test_maps_are_what_was_attended_to() -> None:
    made = net("grouped")
    with recorded(made) as maps, torch.no_grad():
        made(some(2, 5))
    assert [found.shape for found in maps] == [(2, 4, 5, 5)] * 3
    torch.testing.assert_close(maps[0].sum(-1), torch.ones(2, 4, 5))
    assert not maps[0].triu(1).any()
    assert made.blocks[0].attention.maps is None


def test_value_embeddings_by_hand() -> None:
    """v = W x + g·e[token] in every other layer up to the last, mixed by the layer's own map, head by head."""
    torch.manual_seed(1)
    config = Gpt.Config(width=24, layers=3, heads=6, kv_heads=3, context=9, value_embeddings="alternate", zero_init=False)
    made: Any = Gpt(config, 37).eval()
    assert list(made.values) == ["0", "2"]
    with torch.no_grad():
        for parameter in made.values.parameters():
            parameter.normal_()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    layer, own, tokens = made.blocks[2].attention, made.values["2"], some(2, 5)
    hook = layer.register_forward_hook(lambda module, inputs, found: seen.append((inputs[0], found)))
    with recorded(made) as maps, torch.no_grad():
        made(tokens)
    hook.remove()
    x, found = seen[0]
    mixed = torch.zeros(2, 5, 6, 4)
    for row in range(2):
        for head in range(6):
            group = head // 2
            for at in range(5):
                for before in range(at + 1):
                    value = layer.value.weight[4 * group : 4 * group + 4] @ x[row, before]
                    value = value + own.gate[group] * own.table.weight[tokens[row, before], 4 * group : 4 * group + 4]
                    mixed[row, at, head] += maps[2][row, head, at, before] * value.detach()
    torch.testing.assert_close(found, layer.out(mixed.flatten(2)), rtol=1e-4, atol=1e-5)


def test_value_embeddings_learn_for_the_tokens_that_are_read_and_begin_close_to_nothing() -> None:
    torch.manual_seed(0)
    made: Any = Gpt(Gpt.Config(width=24, layers=2, heads=3, context=9, value_embeddings="all", zero_init=False), 37)
    tokens = torch.tensor([[3, 5, 3, 8]])
    with torch.no_grad():
        with_them = made(tokens)
        plain = Gpt(Gpt.Config(width=24, layers=2, heads=3, context=9, zero_init=False), 37)
        plain.load_state_dict({name: tensor for name, tensor in made.state_dict().items() if not name.startswith("values.")})
        assert 0 < (with_them - plain(tokens)).abs().max() < 0.05
    made(tokens).square().mean().backward()
    for own in made.values.values():
        rows = own.table.weight.grad.abs().sum(1)
        assert set(rows.nonzero()[:, 0].tolist()) <= {3, 5, 8}
        assert (rows[[3, 5, 8]] > 0).all()
        assert (own.gate.grad.abs() > 0).all()


def test_padding_of_another_sequence_is_never_attended_to() -> None:
    torch.manual_seed(0)
    layer, x, other = Attention(Shape(width=12, heads=3)), torch.randn(2, 4, 12), torch.randn(2, 6, 12)
    mask = (torch.arange(6) < 4)[None, None, None]
    torch.testing.assert_close(layer(x, over=layer.asked(other), mask=mask), layer(x, over=layer.asked(other[:, :4])))


def test_heads_that_do_not_divide_are_a_named_error() -> None:
    with pytest.raises(RecipeError, match="L118"):
        Gpt(Gpt.Config(width=30, heads=4), 7)
    with pytest.raises(RecipeError, match="L118"):
        Gpt(Gpt.Config(width=32, heads=4, kv_heads=3), 7)
    with pytest.raises(ValueError, match="even"):
        Gpt.Config(width=33, heads=11)


def test_gradients_in_closed_form_are_the_true_ones() -> None:
    """Against finite differences in float64, and the forward pass without gradients against the one with them."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    gain = torch.randn(6, dtype=torch.float64, requires_grad=True)
    by = turn(torch.tensor([[0, 3, 7], [1, 2, 5]]), frequencies(6, 100.0, None, CPU), torch.float64)
    assert torch.autograd.gradcheck(lambda x, gain: Scaled.apply(x, gain, 1e-3), (x, gain))
    assert torch.autograd.gradcheck(lambda x: rotate(x, by), (x,))
    assert torch.autograd.gradcheck(relu2, (x,))
    layer = RmsNorm(6, 1e-3).double()
    for function in (layer, relu2, lambda x: rotate(x, by)):
        with torch.no_grad():
            plain = function(x)
        torch.testing.assert_close(function(x).detach(), plain)
    torch.testing.assert_close(layer(x), torch.nn.functional.rms_norm(x, (6,), None, 1e-3))


def test_frozen_layers_of_a_checkpoint_do_not_learn() -> None:
    net = Gpt(Gpt.Config(width=12, layers=3, heads=2, context=8, value_embeddings="all"), 31)
    pretrained.prepare(net, pretrained.Adapting(pretrained="folder", adapt="full", freeze=2))
    still = {".".join(name.split(".")[:2]) for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert still == {"embed.weight", "blocks.0", "blocks.1", "values.0", "values.1"}
    assert all(parameter.requires_grad for parameter in net.blocks[2].parameters())
