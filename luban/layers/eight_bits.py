"""A linear layer in 8 bits: weights by the largest of each row, inputs by the largest of each token, so that a token's answer never depends on its neighbours.

T tokens in, D width in, O width out. y = s_t·s_o·(q_t·q_o) + b with q whole numbers of -127 … 127 (Jacob et al. 2018, eq. 3, its zero points at 0;
Dettmers et al. 2022, section 2.1, for scales by row). Sums of whole numbers are exact: what differs between processors is the rounding of the scales alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 127
TINY = 1e-30
MANY = 16  # tokens from which the product of many is the quicker one
AT_ONCE = 256  # tokens: what is made of more in between would leave the processor's caches
MIDDLE = 128  # of the unsigned numbers that a few tokens are multiplied as

Product = Callable[[Tensor], Tensor]  # (T, D) of -1 … 1, which may be written over -> (T, O)


class Int8Linear(nn.Module):
    """y = Wx + b. Where a processor or a build of torch has no such products, or they are not exact, W is what its numbers stand for, in float32."""

    def __init__(self, width: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.levels: Tensor
        self.scale: Tensor
        self.bias: Tensor | None
        self.register_buffer("levels", torch.empty(outputs, width, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(outputs))
        self.register_buffer("bias", torch.empty(outputs) if bias else None)
        self.made: dict[str, Any] = {}  # forms of W that products read, made when they are first asked for

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None) -> Int8Linear:
        """The layer nearest to a weight."""
        made = cls(weight.shape[1], weight.shape[0], bias=bias is not None)
        whole = weight.detach().float().cpu()
        made.scale = whole.abs().amax(1).clamp(min=TINY) / LEVELS
        made.levels = (whole / made.scale[:, None]).round().clamp(-LEVELS, LEVELS).to(torch.int8)
        made.bias = None if bias is None else bias.detach().float().cpu()
        return made

    @property
    def weight(self) -> Tensor:
        """(O, D) float32, what the numbers stand for."""
        return self.levels.float() * self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., O)."""
        flat = x.reshape(-1, x.shape[-1]).float()
        many = len(flat) >= MANY
        if x.device.type != "cpu" or not len(flat) or not is_exact(many=many):
            return F.linear(x.float(), self.kept("plain", lambda: self.weight), self.bias)
        product = self.product(many=many)
        if len(flat) <= AT_ONCE:
            return self.scaled(flat, product).view(*x.shape[:-1], -1)
        out = flat.new_empty(len(flat), len(self.levels))
        for part, place in zip(flat.split(AT_ONCE), out.split(AT_ONCE), strict=True):
            place.copy_(self.scaled(part, product))
        return out.view(*x.shape[:-1], -1)

    def scaled(self, x: Tensor, product: Product) -> Tensor:
        """(T, D) -> (T, O)."""
        top = torch.maximum(x.amax(1, keepdim=True), x.amin(1, keepdim=True).neg_()).clamp_(min=TINY)
        found = product(x / top).mul_(top)
        return found if self.bias is None else found.add_(self.bias)

    def product(self, *, many: bool) -> Product:
        """As the processor does it best."""
        return self.kept(
            *(("many", lambda: of_many(self.levels, self.scale)) if many else ("few", lambda: of_few(self.levels, self.scale)))
        )

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """Made once, for the numbers that are there now."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def __getstate__(self) -> dict[str, Any]:
        """A copy makes its own forms."""
        return {**self.__dict__, "made": {}}


def of_few(levels: Tensor, scale: Tensor) -> Product:
    """For a few tokens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that its quantised tensors will move elsewhere
        whole = levels.float() * scale[:, None]
        quantised = torch.quantize_per_channel(whole, scale.double(), torch.zeros(len(scale), dtype=torch.int64), 0, torch.qint8)
        packed = torch.ops.quantized.linear_prepack(quantised, None)
    return lambda x: torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(x, 1 / LEVELS, MIDDLE, packed)


def of_many(levels: Tensor, scale: Tensor) -> Product:
    """For many."""
    packed, none = torch.ops.onednn.qlinear_prepack(levels, None), torch.zeros(len(scale), dtype=torch.int32)

    def product(x: Tensor) -> Tensor:
        numbers = x.mul_(LEVELS).round_().to(torch.int8)
        return torch.ops.onednn.qlinear_pointwise(  # type: ignore[no-any-return]
            numbers, 1 / LEVELS, 0, packed, scale, none, None, 1.0, 0, torch.float32, "none", [], ""
        )

    return product


@cache
def is_exact(*, many: bool) -> bool:
    """Whether this processor's product of whole numbers is right where sums are largest; older ones cut them off."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(-LEVELS, LEVELS + 1, (8, 256), generator=generator, dtype=torch.int8)
    levels[:4] = torch.tensor([LEVELS, -LEVELS, LEVELS, -LEVELS], dtype=torch.int8)[:, None]
    numbers = torch.randint(-LEVELS, LEVELS + 1, (MANY if many else 2, 256), generator=generator)
    numbers[0], numbers[1] = LEVELS, -LEVELS
    right = (numbers @ levels.long().T).double() / LEVELS
    try:
        found = (of_many if many else of_few)(levels, torch.ones(8))(numbers / LEVELS)
    except (RuntimeError, NotImplementedError, AttributeError):
        return False  # this processor or build of torch has no such products
    return bool(torch.allclose(found.double(), right, rtol=1e-4, atol=1e-2))
