"""Optimizers by name, with parameter groups: matrices decay, biases and norms do not; each architecture its own rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from luban.errors import TrainingError
from luban.messages import tr
from luban.training.adamw import QuickAdamW
from luban.training.muon import Muon
from luban.training.rowwise import RowAdamW
from luban.training.settings import Training

DEFAULT_RATE = {"adamw": 1e-3, "adam": 1e-3, "sgd": 0.05, "gd": 0.1, "muon": 5e-3}
DEFAULT_DECAY = {"adamw": 0.01, "adam": 0.0, "sgd": 5e-4, "gd": 0.0, "muon": 0.05}
RATES = {"adamw": "learning_rate", "adam": "learning_rate", "muon": "muon_rate"}  # what an architecture may state
BY_ROW = ("adamw", "adam")  # they step the rows of a table that have a gradient, where its module says so
THIN = 32  # orthogonalising a matrix with a shorter side gains nothing: first and last layers


def build(net: nn.Module, settings: Training, part: str = "", *, half: bool = False) -> torch.optim.Optimizer:
    """The optimizer of one part of the net; "" = all. half: its products may be of bfloat16. Raises TrainingError L310 where nothing can be trained."""
    groups = parameter_groups(net.get_submodule(part), settings)
    if not groups:
        raise TrainingError(
            "L310", tr("no parameter can be trained"), where=part or "model", fix=tr("choose another model, or unfreeze a part")
        )
    if settings.optimizer in BY_ROW:
        on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
        adamw = RowAdamW if any(group["rows"] for group in groups) else QuickAdamW if on_cpu else torch.optim.AdamW
        return adamw(groups, betas=(0.9, 0.999 if settings.optimizer == "adam" else 0.99), fused=True)
    if settings.optimizer == "muon":
        return Muon(groups, momentum=settings.momentum, half=half)
    momentum = settings.momentum if settings.optimizer == "sgd" else 0.0
    return DecoupledSGD(groups, lr=0.1, momentum=momentum)


def load() -> None:
    """What torch loads with its first optimizer, while there is memory: a package half loaded when memory ends can't be loaded again."""
    import torch._dynamo  # noqa: F401  # pyright: ignore[reportUnusedImport]


class DecoupledSGD(torch.optim.SGD):
    """SGD whose weight decay is decoupled, as everywhere else here (Loshchilov and Hutter 2019, algorithm 1)."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Shrink, then step."""
        for group in self.param_groups:
            if decay := group["decoupled_decay"]:
                torch._foreach_mul_(group["params"], 1 - group["lr"] * decay)
        super().step(closure)


def parameter_groups(module: nn.Module, settings: Training) -> list[dict[str, Any]]:
    """Groups by (rate, decay, hidden matrix or not, stepped by rows or not), in the order of the parameters."""
    groups: dict[tuple[float, float, bool, bool], list[nn.Parameter]] = {}
    for owner, parameter in owned_parameters(module):
        matrix = parameter.ndim >= 2
        rate = settings.learning_rate or getattr(owner.rates, RATES.get(settings.optimizer, ""), None) or DEFAULT_RATE[settings.optimizer]
        stated = getattr(owner.rates, "weight_decay", None) if settings.optimizer in ("adamw", "muon") else None
        decay = settings.weight_decay if settings.weight_decay is not None else stated
        decay = DEFAULT_DECAY[settings.optimizer] if decay is None else decay
        hidden = settings.optimizer == "muon" and is_hidden(owner.module, parameter)
        rows = settings.optimizer in BY_ROW and is_rowwise(owner.module, parameter)
        groups.setdefault((rate, decay if matrix else 0.0, hidden, rows), []).append(parameter)
    return [group_of(settings, key, parameters) for key, parameters in groups.items()]


def group_of(settings: Training, key: tuple[float, float, bool, bool], parameters: list[nn.Parameter]) -> dict[str, Any]:
    """One group as torch has them; `base_rate` is what the schedule multiplies."""
    rate, decay, hidden, rows = key
    group: dict[str, Any] = {"params": parameters, "lr": rate, "base_rate": rate}
    if settings.optimizer == "muon":
        group["muon"] = hidden
    if settings.optimizer in BY_ROW:
        group["rows"] = rows
    decoupled = "decoupled_decay" if settings.optimizer in ("sgd", "gd") else "weight_decay"
    return group | {decoupled: decay}


def is_hidden(module: nn.Module, parameter: nn.Parameter) -> bool:
    """Whether a parameter maps one hidden vector to another."""
    if parameter.ndim < 2 or isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return False
    return min(parameter.shape[0], parameter[0].numel()) >= THIN


def is_rowwise(module: nn.Module, parameter: nn.Parameter) -> bool:
    """Whether a module says that a step reads few rows of this table."""
    return any(getattr(module, name) is parameter for name in getattr(module, "rowwise", ()))


class Owner:
    """The module that holds a parameter, and the nearest one above it that states its rates."""

    def __init__(self, module: nn.Module, rates: nn.Module) -> None:
        self.module, self.rates = module, rates


def owned_parameters(module: nn.Module, rates: nn.Module | None = None) -> list[tuple[Owner, nn.Parameter]]:
    """Trainable parameters with their owners, each once."""
    rates = module if rates is None or hasattr(module, "learning_rate") else rates
    found = [(Owner(module, rates), p) for p in module.parameters(recurse=False) if p.requires_grad]
    for child in module.children():
        found += owned_parameters(child, rates)
    seen: set[int] = set()
    return [(owner, p) for owner, p in found if not (id(p) in seen or seen.add(id(p)))]
