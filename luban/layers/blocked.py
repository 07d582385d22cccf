"""Causal attention that learns on a CPU, in blocks of queries whose scores stay in its cache: no key after a block is multiplied with it.

B batch, H heads, T tokens, E width of a head.
Blocks of queries as in Dao et al. 2022, algorithm 1, but with all their keys at once: each step is one of torch's own products, and the softmax
needs no second pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS = 64  # queries of a block: with fewer the products are slow, with more they meet more keys that follow
ROOM = 400_000  # scores of the heads that are computed at once: 1.6 MB
KEPT = 1 << 23  # scores of a call up to which their softmax is kept for the backward pass: 32 MB
LEAST = 512  # tokens from which this is faster than torch's own
LONG = 2048  # tokens from which none gain whose softmax has to be computed again


def pays(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether gradients are asked for, in float32 on a CPU, of so many tokens and heads that they take less time than torch's own."""
    steps = q.shape[2]
    if not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not (q.requires_grad or k.requires_grad or v.requires_grad):
        return False
    if any(x.device.type != "cpu" or x.dtype != torch.float32 for x in (q, k, v)) or q.shape[1] == 1 or k.shape[2] != steps:
        return False
    return steps >= LEAST and (steps < LONG or scores(q) <= KEPT)


def blocked(q: Tensor, k: Tensor, v: Tensor, *, scaled: bool = True) -> Tensor:
    """(B, H, T, E) three times -> (B, H, T, E), softmax(QKᵀ/√E)V, where a token sees those before it and itself."""
    return mixed(q, k, v, q.shape[-1] ** -0.5 if scaled else 1.0, scores(q) <= KEPT)[0]


@torch.library.custom_op("luban::mixed", mutates_args=())
def mixed(q: Tensor, k: Tensor, v: Tensor, scale: float, keep: bool) -> tuple[Tensor, Tensor]:
    """The values mixed and the softmax P of every block, one part after the other; empty where it is not kept."""
    out, kept = mixed_like(q, k, v, scale, keep)
    p_room, later, at = q.new_empty(0 if keep else most(q)), after(q), 0
    for item, heads in parts(q):
        queries, keys, values, into = (x[item, heads] for x in (q, k, v, out))
        for start, end in blocks(q):
            size = (len(queries), end - start, end)
            p = cut(kept if keep else p_room, at if keep else 0, size)
            at += p.numel()
            weigh(p, queries[:, start:end], keys[:, :end], scale, later)
            torch.bmm(p, values[:, :end], out=into[:, start:end])
    return out, kept


@mixed.register_fake
def mixed_like(q: Tensor, k: Tensor, v: Tensor, scale: float, keep: bool) -> tuple[Tensor, Tensor]:
    """What it is written to."""
    return like(q), q.new_empty(scores(q) if keep else 0)


@torch.library.custom_op("luban::mixed_backward", mutates_args=())
def mixed_backward(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v: dV = PᵀdO, dS = P∘(dOVᵀ - rowsum(P∘dOVᵀ)), dQ = dS·K/√E, dK = dSᵀ·Q/√E (appendix B.2)."""
    found = backward_like(grad, q, k, v, kept, scale)
    keep, steps = kept.numel() > 0, q.shape[2]
    p_room, ds_room, later, at = q.new_empty(0 if keep else most(q)), q.new_empty(most(q)), after(q), 0
    for item, heads in parts(q):
        queries, keys, values, grads, dq, dk, dv = (x[item, heads] for x in (q, k, v, grad, *found))
        for start, end in blocks(q):
            size = (len(queries), end - start, end)
            p, ds = cut(kept if keep else p_room, at if keep else 0, size), cut(ds_room, 0, size)
            at += p.numel()
            asked, got, known = queries[:, start:end], grads[:, start:end], keys[:, :end]
            if not keep:
                weigh(p, asked, known, scale, later)
            torch.bmm(got, values[:, :end].mT, out=ds)
            torch._softmax_backward_data(ds, p, -1, p.dtype, grad_input=ds)
            add(dq[:, start:end], ds, known, scale, new=True)
            add(dk[:, :end], ds.mT, asked, scale, new=end == steps)
            add(dv[:, :end], p.mT, got, 1.0, new=end == steps)
    return found


@mixed_backward.register_fake
def backward_like(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """What they are written to."""
    return like(q), like(k), like(v)


def remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """What the backward pass reads."""
    q, k, v, ctx.scale, _ = inputs
    ctx.save_for_backward(q, k, v, output[1])


def gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    """Of q, k and v."""
    return *mixed_backward(grad, *ctx.saved_tensors, ctx.scale), None, None


mixed.register_autograd(gradients, setup_context=remember)


def weigh(p: Tensor, q: Tensor, k: Tensor, scale: float, later: Tensor) -> None:
    """Into p (heads, rows, keys) the softmax of queries (heads, rows, E) over keys (heads, keys, E), the last of which are their own."""
    rows = q.shape[1]
    torch.baddbmm(p, q, k.mT, beta=0, alpha=scale, out=p)
    p[:, :, -rows:].add_(later[:rows, :rows])
    torch._softmax(p, -1, False, out=p)


def add(into: Tensor, a: Tensor, b: Tensor, scale: float, *, new: bool) -> None:
    """The product of a and b to what is there, or in its place."""
    torch.baddbmm(into, a, b, beta=0 if new else 1, alpha=scale, out=into)


def blocks(q: Tensor) -> list[tuple[int, int]]:
    """First query and end of each; the last comes first, with which the gradients of all keys begin."""
    steps = q.shape[2]
    return [(start, min(start + ROWS, steps)) for start in range(0, steps, ROWS)][::-1]


def parts(q: Tensor) -> list[tuple[int, slice]]:
    """An example and so many of its heads that their scores have room; nothing is copied, as it is where examples are joined."""
    step = max(1, ROOM // (min(ROWS, q.shape[2]) * q.shape[2]))
    return [(item, slice(start, start + step)) for item in range(q.shape[0]) for start in range(0, q.shape[1], step)]


def scores(q: Tensor) -> int:
    """Of all blocks: rows times the keys that they see."""
    whole, rest = q.shape[2] // ROWS, q.shape[2] % ROWS
    return q.shape[0] * q.shape[1] * (ROWS * ROWS * (whole * (whole + 1) // 2) + rest * q.shape[2])


def most(q: Tensor) -> int:
    """Scores of the largest block of a part."""
    each = min(ROWS, q.shape[2]) * q.shape[2]
    return min(q.shape[1], max(1, ROOM // each)) * each


def cut(flat: Tensor, at: int, size: tuple[int, int, int]) -> Tensor:
    """So many of a flat tensor, in that shape."""
    return flat[at : at + size[0] * size[1] * size[2]].view(size)


def after(q: Tensor) -> Tensor:
    """(rows, rows) -inf where a key comes after its query, else 0."""
    rows = min(ROWS, q.shape[2])
    return torch.full((rows, rows), -torch.inf, dtype=q.dtype).triu_(1)


def like(x: Tensor) -> Tensor:
    """(B, H, T, E) that lies in memory as (B, T, H, E), so that nothing is moved to join a token's heads."""
    return x.new_empty((x.shape[0], x.shape[2], x.shape[1], x.shape[3])).transpose(1, 2)
