"""Rules that say which of a checkpoint's tensors is which of ours; both directions read the same table, so what is exported is what was loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from luban.errors import BundleError, RecipeError
from luban.messages import tr

MOST_TOKENS = 4_000_000


@dataclass(frozen=True)
class Rule:
    """One of their tensors, and which of ours it holds, one after the other."""

    theirs: str
    ours: tuple[str, ...]
    turned: bool = False  # theirs maps by x·W, ours by x·Wᵀ
    flat: bool = False  # theirs has an axis of 1 in front


def both(theirs: str, ours: tuple[str, ...] | str, *, turned: bool = False) -> Iterator[Rule]:
    """Weight and bias."""
    names = (ours,) if isinstance(ours, str) else ours
    yield Rule(f"{theirs}.weight", tuple(f"{name}.weight" for name in names), turned)
    yield Rule(f"{theirs}.bias", tuple(f"{name}.bias" for name in names))


def taken(tensors: Mapping[str, Tensor], rules: Iterable[Rule]) -> dict[str, Tensor]:
    """Their tensors under our names; what no rule knows keeps its own name, so that filling a net refuses it."""
    left, found = dict(tensors), {}
    for rule in rules:
        if rule.theirs not in left:
            continue  # missing: said when the net is filled
        tensor = left.pop(rule.theirs)
        tensor = tensor.T if rule.turned and tensor.ndim == 2 else tensor
        tensor = tensor[0] if rule.flat and tensor.ndim == 2 and len(tensor) == 1 else tensor
        parts = tensor.chunk(len(rule.ours)) if len(rule.ours) > 1 else (tensor,)
        found |= dict(zip(rule.ours, parts, strict=False))
    return found | left


def given(tensors: Mapping[str, Tensor], rules: Iterable[Rule]) -> dict[str, Tensor]:
    """Our tensors under their names."""
    found = {}
    for rule in rules:
        parts = [tensors[name] for name in rule.ours]
        tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
        tensor = tensor[None] if rule.flat else tensor
        found[rule.theirs] = (tensor.T if rule.turned else tensor).contiguous()
    return found


@contextmanager
def supported(where: str) -> Iterator[None]:
    """Raises BundleError L438 for a setting that is missing or not supported within."""
    try:
        yield
    except KeyError as error:
        raise BundleError("L438", tr("a setting is missing: {name}", name=str(error)), where=where) from error
    except (ValueError, TypeError, AttributeError, RecipeError) as error:
        raise BundleError("L438", tr("a setting is not supported: {why}", why=str(error)[:120]), where=where) from error


def num_tokens(settings: Mapping[str, Any]) -> int:
    """The size of the vocabulary. Raises KeyError, ValueError."""
    found = settings["vocab_size"]
    if not isinstance(found, int) or not 0 < found <= MOST_TOKENS:
        raise ValueError(f"vocab_size {str(found)[:20]}")
    return found


def check_held(wanted: Any, again: Any, family: str, *, free: Collection[str]) -> None:
    """Raises BundleError L438 where a configuration that was written is not read back, but for what is `free`."""
    for name, value in vars(wanted).items():
        if name not in free and getattr(again, name) != value:
            what = tr("{family} has no such part: {name}", family=family, name=name)
            raise BundleError("L438", what, where="model", received=value, allowed=[getattr(again, name)])


def check_family(settings: Mapping[str, Any], known: Collection[str], where: str) -> str:
    """The family that `config.json` names. Raises BundleError L437 for one that is not known."""
    family = settings.get("model_type")
    if family in known:
        return str(family)
    what, fix = tr("no model here reads this family"), tr("choose a checkpoint of one of these families")
    raise BundleError("L437", what, where=f"{where}: model_type", received=family, allowed=list(known), fix=fix)
