"""Causal attention in blocks, against eq. 1 written out in float64 and against torch's own."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.layers import attention, blocked
from luban.layers.attention import attend
from luban.training import compiling

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of eleven, and heads apart, so that few tokens are many blocks."""
    monkeypatch.setattr(blocked, "ROWS", 11)
    monkeypatch.setattr(blocked, "ROOM", 2 * 11 * 29)
    monkeypatch.setattr(blocked, "LEAST", 13)


def parts(steps: int, dtype: torch.dtype = torch.float32, heads: int = 5, kv_heads: int = 5) -> list[Tensor]:
    """(B, H, T, E), as a layer makes them."""
    return [torch.randn(3, steps, count, 7, dtype=dtype).transpose(1, 2).requires_grad_() for count in (heads, kv_heads, kv_heads)]


def written_out(q: Tensor, k: Tensor, v: Tensor, *, scaled: bool = True) -> Tensor:
    """Equation 1 in float64."""
    q, k, v = q.double(), k.double(), v.double()
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = torch.einsum("bhte,bhse->bhts", q, k) / (q.shape[-1] ** 0.5 if scaled else 1)
    seen = torch.arange(q.shape[2])[:, None] >= torch.arange(k.shape[2])
    chances = scores.where(seen, -torch.inf).exp()
    return chances / chances.sum(-1, keepdim=True) @ v


def same_gradients(mine: Tensor, other: Tensor, xs: list[Tensor], **close: float) -> None:
    grad = torch.randn_like(mine)
    found, known = torch.autograd.grad(mine, xs, grad), torch.autograd.grad(other, xs, grad.to(other.dtype))
    for one, two in zip(found, known, strict=True):
        torch.testing.assert_close(one, two.to(one.dtype), **close)  # type: ignore[arg-type]


def sentinel(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each call that went in blocks."""
    found: list[int] = []

    def called(q: Tensor, *rest: Any, **settings: Any) -> Tensor:
        found.append(q.shape[2])
        return blocked.blocked(q, *rest, **settings)

    monkeypatch.setattr(attention, "blocked", called)
    return found


@pytest.mark.parametrize("kept", [1 << 20, 0])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("steps", [1, 7, 11, 12, 29])
def test_it_is_the_equation_and_its_gradients(steps: int, scaled: bool, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "KEPT", kept)
    xs = parts(steps)
    mine, known = blocked.blocked(*xs, scaled=scaled), written_out(*xs, scaled=scaled)
    torch.testing.assert_close(mine, known.float())
    same_gradients(mine, known, xs)


def test_at_full_size_it_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    xs = [torch.randn(2, 520, 3, 64).transpose(1, 2).requires_grad_() for _ in range(3)]
    assert blocked.pays(*xs)
    mine, torchs = attend(*xs, causal=True), F.scaled_dot_product_attention(*xs, is_causal=True)
    torch.testing.assert_close(mine, torchs)
    same_gradients(mine, torchs, xs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", [1 << 20, 0])
def test_gradients_are_those_of_small_steps(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "KEPT", kept)
    xs = [torch.randn(2, 2, 13, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(blocked.blocked, xs)


def test_kept_and_computed_again_are_the_same_to_the_bit_and_so_are_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    xs, found = parts(29), []
    for kept in (1 << 20, 1 << 20, 0):
        monkeypatch.setattr(blocked, "KEPT", kept)
        out = blocked.blocked(*xs)
        found.append([out, *torch.autograd.grad(out.square().sum(), xs)])
    assert all(torch.equal(one, other) for again in found[1:] for one, other in zip(again, found[0], strict=True))


def test_heads_that_share_keys_and_gradients_that_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, xs = sentinel(monkeypatch), parts(17, heads=6, kv_heads=2)
    mine, known = attend(*xs, causal=True), written_out(*xs)
    assert taken == [17]
    torch.testing.assert_close(mine, known.float())
    for one, other in zip(torch.autograd.grad(mine.sum(), xs), torch.autograd.grad(known.sum(), xs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_gradients_of_one_of_the_three(wanted: int) -> None:
    xs = [x if number == wanted else x.detach() for number, x in enumerate(parts(17))]
    same_gradients(attend(*xs, causal=True), written_out(*xs), [xs[wanted]])


def test_what_comes_later_changes_nothing() -> None:
    q, k, v = parts(29)
    later = [x.detach().clone() for x in (k, v)]
    for x in later:
        x[:, :, 15:] = 1e30
    assert torch.equal(blocked.blocked(q, *later)[:, :, :15], blocked.blocked(q, k, v)[:, :, :15])


def test_it_is_taken_only_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, (q, k, v) = sentinel(monkeypatch), parts(17)
    mask = torch.ones(17, 17, dtype=torch.bool).tril()
    with torch.no_grad():
        attend(q, k, v, causal=True)
    attend(q.detach(), k.detach(), v.detach(), causal=True)
    attend(q, k, v, mask=mask[None, None])
    attend(q, k, v)
    attend(q, k, v, causal=True, dropout=0.1)
    attend(*parts(12), causal=True)
    attend(*parts(17, torch.float64), causal=True)
    attend(*parts(17, heads=1, kv_heads=1), causal=True)
    assert taken == []
    attend(q, k, v, causal=True)
    monkeypatch.setattr(blocked, "KEPT", 3 * 5 * (11 * 11 + 6 * 17))  # what 17 tokens keep
    attend(*parts(18), causal=True)
    monkeypatch.setattr(blocked, "LONG", 17)
    attend(q, k, v, causal=True)
    attend(*parts(18), causal=True)
    assert taken == [17, 18, 17]


def test_within_bfloat16_it_is_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, xs = sentinel(monkeypatch), parts(17)
    with torch.autocast("cpu", torch.bfloat16):
        mine = attend(*(x.bfloat16() for x in xs), causal=True)
    assert (taken, mine.dtype) == ([17], torch.float32)
    torch.testing.assert_close(mine, written_out(*(x.bfloat16() for x in xs)).float())
    assert all(grad.dtype == torch.float32 for grad in torch.autograd.grad(mine.sum(), xs))


def test_a_second_derivative_is_refused() -> None:
    xs = parts(17)
    (first,) = torch.autograd.grad(attend(*xs, causal=True).square().sum(), xs[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="mixed_backward"):
        first.sum().backward()


class Twice(nn.Module):
    """Two layers of causal attention, which are compiled as one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(attention.Attention(attention.Shape(width=14, heads=2)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, causal=True)
        return x


@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")
def test_compiled_it_is_the_same_in_one_graph_for_all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._dynamo as dynamo

    net, ran = Twice(), []
    twin = compiling.compiled(net, CPU)
    monkeypatch.setattr(blocked, "parts", lambda q, whole=blocked.parts: ran.append(q.shape[2]) or whole(q))
    dynamo.reset()  # what other tests compiled
    dynamo.utils.counters.clear()
    for length in (29, 17, 22, 13):
        x = torch.randn(3, length, 14, requires_grad=True)
        mine, plain = twin(x), net(x)
        torch.testing.assert_close(mine, plain)
        same_gradients(mine, plain, [*net.parameters()])
        assert ran == 8 * [length]  # two layers forward and backward, compiled and plain
        ran.clear()
    assert dynamo.utils.counters["stats"]["unique_graphs"] == 1  # none broken
