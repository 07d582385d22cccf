"""Weights into a net, all of them and nothing else: what is missing, left over or of another shape is an error that names it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from luban.errors import BundleError
from luban.messages import tr

NAMED = 3  # tensors an error names


@torch.no_grad()
def fill(net: nn.Module, weights: Mapping[str, Tensor], *, where: str, fresh: Collection[str] = ()) -> None:
    """Copy every weight to the parameter of its name; those named `fresh` keep their first weights. Types are converted.

    Raises BundleError L435 for missing or extra tensors, L436 for another shape, L440 for a weight that is not finite.
    """
    own = slots(net)
    if missing := [name for name in own if name not in weights and name not in fresh]:
        raise BundleError("L435", tr("the checkpoint lacks {n} tensors: {names}", n=len(missing), names=some(missing)), where=where)
    if extra := [name for name in weights if name not in own]:
        what = tr("the checkpoint has {n} tensors the model has no place for: {names}", n=len(extra), names=some(extra))
        raise BundleError("L435", what, where=where)
    for name, tensor in weights.items():
        if tensor.shape != own[name].shape:
            received, allowed = tuple(tensor.shape), [tuple(own[name].shape)]
            raise BundleError("L436", tr("a tensor has another shape: {name}", name=name), where=where, received=received, allowed=allowed)
    for name, tensor in weights.items():
        own[name].copy_(tensor)
        if tensor.is_floating_point() and tensor.numel() and not torch.stack(own[name].aminmax()).isfinite().all():
            raise BundleError("L440", tr("a weight is NaN or infinite: {name}", name=name[:80]), where=where)


def slots(net: nn.Module) -> dict[str, Tensor]:
    """Parameters, tied ones once, and the buffers that are saved."""
    parameters = dict(net.named_parameters())
    tied = {id(tensor) for tensor in parameters.values()}
    saved = net.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in saved.items() if name in parameters or id(tensor) not in tied}


def some(names: list[str]) -> str:
    """The first few names."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
