"""Tables of which a step reads few rows, as factors of users: only these rows are stepped, so a step costs what its rows do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from luban.training.adamw import QuickAdamW


class RowAdamW(QuickAdamW):
    """AdamW in which every row of the groups with `rows=True` is stepped, decays and ages when it has a gradient, and rests when it has none.

    These parameters' gradients are as `by_rows` gives them. A row's own age corrects the bias of its moments, so what it becomes does not
    depend on how often others are read (Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2, row by row).
    """

    def step_group(self, group: dict[str, Any]) -> None:
        """Row by row where the group says so."""
        if not group.get("rows"):
            super().step_group(group)
            return
        for parameter in group["params"]:
            if parameter.grad is not None and parameter.grad.is_sparse:
                self.step_rows(parameter, group)

    def step_rows(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """One step of the rows that have a gradient."""
        state = self.state[parameter] or self.begun(parameter)
        if "age" not in state:  # of a checkpoint from before rows had one
            state["age"] = torch.full((len(parameter),), float(state["step"]), device=parameter.device)
        rows, gradient = parameter.grad.indices()[0], parameter.grad.values()  # type: ignore[union-attr]
        (beta1, beta2), rate = group["betas"], group["lr"]
        age = state["age"].index_select(0, rows) + 1
        mean = state["exp_avg"].index_select(0, rows).lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].index_select(0, rows).mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        for name, found in (("age", age), ("exp_avg", mean), ("exp_avg_sq", square)):
            state[name].index_copy_(0, rows, found)
        root = square.div_((1 - beta2**age)[:, None]).sqrt_().add_(group["eps"])
        step = mean.div_(root).mul_((rate / (1 - beta1**age))[:, None])
        values = parameter.index_select(0, rows).mul_(1 - rate * group["weight_decay"]).sub_(step)
        parameter.index_copy_(0, rows, values)

    def begun(self, parameter: nn.Parameter) -> dict[str, Any]:
        """With an age for every row."""
        state = super().begun(parameter)
        state["age"] = torch.zeros(len(parameter), device=parameter.device)
        return state


def by_rows(gradient: Tensor) -> Tensor:
    """A gradient of rows or of the whole table as that of the rows where it is not zero, each once."""
    if not gradient.is_sparse:
        return gradient.to_sparse(1)
    found = gradient.coalesce()
    some = found.values().flatten(1).any(1)
    if bool(some.all()):
        return found
    shape = tuple(gradient.shape)
    return torch.sparse_coo_tensor(found.indices()[:, some], found.values()[some], shape, is_coalesced=True, check_invariants=False)


def sort_by_rows(parameters: Iterable[nn.Parameter]) -> None:
    """Gradients of tables, those that are there, as `by_rows` gives them."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad = by_rows(parameter.grad)


def make_whole(parameters: Iterable[nn.Parameter]) -> None:
    """Gradients of rows as those of whole tables, zero where no row was read: for other optimizers, and to be added up over ranks."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()
