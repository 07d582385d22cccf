"""Whether a net fits into this machine, found before a byte of it is taken."""

from __future__ import annotations

from typing import Any

from luban.capabilities import Bounds
from luban.errors import RecipeError
from luban.memory import available
from luban.messages import tr
from luban.outline import outline

COPIES = 4  # of a trained weight: itself, its gradient, two moments of the optimizer


def check_capacity(task: Any) -> None:
    """Raises RecipeError L126 for a net whose weights, gradients and moments are more than the memory of machine or container."""
    try:
        net = outline(task)
        needed = sum(p.nbytes for p in net.parameters()) * COPIES + sum(b.nbytes for b in net.buffers())
    except RuntimeError as error:  # more elements than torch can count
        raise too_large(str(error)[:80]) from error
    if isinstance(task, Bounds):
        task.check_capacity(available())
    if needed > (most := available()):
        raise too_large(tr("{needed:.3g} GB of {most:.3g} GB", needed=needed / 1e9, most=most / 1e9))


def too_large(why: str) -> RecipeError:
    """The net can't be built here."""
    fix = tr("choose smaller widths, fewer layers or fewer buckets under [model]")
    return RecipeError("L126", tr("the model does not fit into this machine's memory: {why}", why=why), where="model", fix=fix)
