"""AdamW without the choices torch makes before each step."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class QuickAdamW(torch.optim.AdamW):
    """torch's AdamW and its own fused step, without the choices it makes before each: for a small net these take longer than the step."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every group."""
        for group in self.param_groups:
            self.step_group(group)

    def step_group(self, group: dict[str, Any]) -> None:
        """One step of the parameters that have a gradient."""
        parameters = [p for p in group["params"] if p.grad is not None]
        states = [self.state[p] or self.begun(p) for p in parameters]
        steps, (beta1, beta2) = [state["step"] for state in states], group["betas"]
        if not parameters:
            return
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            parameters, [p.grad for p in parameters], [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states], [],
            steps, lr=group["lr"], beta1=beta1, beta2=beta2, weight_decay=group["weight_decay"], eps=group["eps"], amsgrad=False, maximize=False,
        )  # fmt: skip
        torch.autograd.graph.increment_version(parameters)  # the fused step does not: what is kept for a tensor as it was must be told

    def begun(self, parameter: nn.Parameter) -> dict[str, Any]:
        """The state before the first step, as torch keeps it."""
        state = self.state[parameter]
        step = torch.zeros((), device=parameter.device)
        state |= {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        return state
