"""Muon: momentum, orthogonalised (Jordan et al. 2024); AdamW for what is not a hidden matrix.

Updates are scaled to the size AdamW's have (Liu et al. 2025, eq. 4), so one learning rate serves both.
torch's own orthogonalises in bfloat16 always, which a CPU without such products does 29 times slower, and one with them about 10 times
faster: here the precision is that of the steps, which was chosen by trial.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Groups with `muon=True` hold matrices or kernels; the others are stepped as AdamW. half: orthogonalise in bfloat16."""

    def __init__(
        self, groups: list[dict[str, Any]], *, momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.95), half: bool = False
    ) -> None:
        self.precision = torch.bfloat16 if half else torch.float32
        super().__init__(groups, {"lr": 1e-3, "momentum": momentum, "betas": betas, "eps": 1e-8, "weight_decay": 0.0, "muon": False})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every group."""
        for group in self.param_groups:
            update = self.orthogonal if group["muon"] else self.adaptive
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update(parameter, group)

    def orthogonal(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """Nesterov momentum, then the nearest semi-orthogonal matrix, scaled to a root mean square of 0.2."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])  # type: ignore[arg-type]
        direction = parameter.grad.lerp(state["momentum"], group["momentum"])  # type: ignore[union-attr]
        matrix = orthogonalise(direction.flatten(1), self.precision)
        scale = 0.2 * max(matrix.shape) ** 0.5
        parameter.add_(matrix.view_as(parameter), alpha=-group["lr"] * scale)

    def adaptive(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """AdamW (Loshchilov and Hutter 2019, algorithm 2)."""
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        state["mean"].lerp_(parameter.grad, 1 - beta1)  # type: ignore[arg-type]
        state["square"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)  # type: ignore[arg-type]
        steps = float(state["step"])
        root = (state["square"] / (1 - beta2**steps)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(state["mean"], root, value=-group["lr"] / (1 - beta1**steps))


def orthogonalise(matrix: Tensor, precision: torch.dtype = torch.float32, *, steps: int = 5) -> Tensor:
    """Newton and Schulz's iteration of the fifth order: singular values go to about 1. (M, N) -> (M, N) float32."""
    a, b, c = COEFFICIENTS
    x = (matrix.float() / (matrix.norm() + 1e-7)).to(precision)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).float()
