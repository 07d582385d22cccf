"""What would make a run fit that does not: the smallest change of each kind, each with a forecast of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from luban import catalog
from luban.columns import Columns, Ragged
from luban.evaluation.ladder import candidates
from luban.planning.forecast import Change, Stage
from luban.planning.rehearsal import Rehearsal, steps_of
from luban.planning.sizing import of_size
from luban.planning.steps import SPARE, Steps, try_steps
from luban.training.budget import batch_size_of
from luban.training.settings import Training

PATIENCE_S = 0.6  # for each change that is tried
DIVISORS = (2, 4, 8, 16, 32, 64)
SHORTEST = 16  # tokens


@dataclass(frozen=True)
class Variation:
    """The run with one key changed."""

    key: str
    value: Any
    task: Any
    examples: Columns
    settings: Training


def changes(rehearsal: Rehearsal, stages: list[Stage], fits: Callable[[int, int | None], bool], *, until: float) -> list[Change]:
    """The cheapest of each kind that fits, those that change no gradient first; what can't be reached is left out."""
    found = [] if rehearsal.steps is None else [tried(kind, rehearsal, stages, fits, until) for kind in kinds(rehearsal, fits)]
    return [change for change in [*found, *without_rungs(rehearsal, stages, fits)] if change is not None]


def tried(
    kind: Iterator[Variation], rehearsal: Rehearsal, stages: list[Stage], fits: Callable[[int, int | None], bool], until: float
) -> Change | None:
    """The first variation of a kind that fits, by a few steps of it."""
    others = [stage for stage in stages if stage.name not in ("train", "settle", "save")]
    for variation in kind:
        if time.perf_counter() > until:
            return None
        steps, epoch, _ = try_steps(
            variation.task, variation.examples, variation.settings, patience=PATIENCE_S, room=rehearsal.room, scale=rehearsal.scale
        )
        seconds = steps_of(steps, epoch.count, variation.settings) * float(steps.cost.seconds(epoch.costs()).mean())
        peak = max([steps.peak_bytes + steps.parts.copies, *(stage.peak_bytes for stage in others)])
        device = device_bytes(rehearsal, steps)
        if fits(peak, device):
            kept = sum(stage.seconds for stage in stages if stage.name != "train")
            return Change(variation.key, variation.value, seconds + kept, peak, device)
    return None


def device_bytes(rehearsal: Rehearsal, steps: Steps) -> int | None:
    """Of the GPU, from what the change saves."""
    if rehearsal.device_bytes is None or rehearsal.steps is None:
        return None
    return int(rehearsal.device_bytes - SPARE * (rehearsal.steps.parts.total - steps.parts.total))


def kinds(rehearsal: Rehearsal, fits: Callable[[int, int | None], bool]) -> list[Iterator[Variation]]:
    """The kinds of change, each from the least to the most."""
    task = next(task for task, role in candidates(rehearsal.recipe, rehearsal.task) if role == "network")
    return [
        accumulated(rehearsal, task, fits),
        shorter(rehearsal, task),
        in_smaller_batches(rehearsal, task, fits),
        smaller(rehearsal, task),
    ]


def promising(rehearsal: Rehearsal, fits: Callable[[int, int | None], bool]) -> Iterator[int]:
    """Divisors of the micro-batch that could suffice, by what its activations hold."""
    if (steps := rehearsal.steps) is None:
        return
    for divisor in DIVISORS:
        saved = int(SPARE * steps.parts.activations * (1 - 1 / divisor))
        device = None if rehearsal.device_bytes is None else rehearsal.device_bytes - saved
        if fits(steps.peak_bytes + steps.parts.copies - saved, device):
            yield divisor


def accumulated(rehearsal: Rehearsal, task: Any, fits: Callable[[int, int | None], bool]) -> Iterator[Variation]:
    """Smaller micro-batches, the same gradient."""
    settings, examples = rehearsal.recipe.training, rehearsal.examples["train"]
    size = batch_size_of(settings, round(len(examples) * rehearsal.scale))
    for divisor in promising(rehearsal, fits):
        pieces = settings.accumulation * divisor
        if pieces <= size:
            yield Variation("training.accumulation", pieces, task, examples, replace(settings, accumulation=pieces))


def in_smaller_batches(rehearsal: Rehearsal, task: Any, fits: Callable[[int, int | None], bool]) -> Iterator[Variation]:
    """Smaller batches: another gradient, more steps."""
    settings, examples = rehearsal.recipe.training, rehearsal.examples["train"]
    size = batch_size_of(settings, round(len(examples) * rehearsal.scale))
    for divisor in promising(rehearsal, fits):
        if size // divisor >= 2 and settings.optimizer != "gd":
            yield Variation("training.batch_size", size // divisor, task, examples, replace(settings, batch_size=size // divisor))


def shorter(rehearsal: Rehearsal, task: Any) -> Iterator[Variation]:
    """Texts and series cut sooner."""
    specs = (task.state or {}).get("inputs", {})
    columns = [column for column, spec in specs.items() if "max_length" in spec]
    examples, settings = rehearsal.examples["train"], rehearsal.recipe.training
    if not columns or examples.size is None:
        return
    length = min(max(specs[column]["max_length"] for column in columns), int(examples.size.max()))
    while (length := length // 2) >= SHORTEST:
        state = task.state | {"inputs": specs | {column: specs[column] | {"max_length": length} for column in columns}}
        key = ", ".join(f"inputs.{column}.max_length" for column in columns)
        yield Variation(key, length, type(task)(task.config, state), cut(examples, columns, length), settings)


def cut(examples: Columns, columns: list[str], length: int) -> Columns:
    """The spans of these columns cut to a length."""
    data, size = dict(examples.data), np.asarray(examples.size).copy()
    for column in columns:
        spans = data[column]
        if isinstance(spans, Ragged):
            lengths = np.minimum(spans.lengths, length)
            size -= spans.lengths - lengths
            data[column] = Ragged(spans.values, spans.starts, lengths)
    return replace(examples, data=data, size=np.maximum(size, 1))


def smaller(rehearsal: Rehearsal, task: Any) -> Iterator[Variation]:
    """The same model in smaller sizes."""
    model = getattr(task.config, "model", {})
    if "kind" not in model:
        return
    names = list(catalog.find("models", model["kind"]).stated.get("SIZES", {}))
    for name in reversed(names[: names.index(model["size"])] if model.get("size") in names else []):
        yield Variation("model.size", name, of_size(task, name), rehearsal.examples["train"], rehearsal.recipe.training)


def without_rungs(rehearsal: Rehearsal, stages: list[Stage], fits: Callable[[int, int | None], bool]) -> list[Change]:
    """No baselines, where they are what does not fit and the recipe names its model."""
    recipe = rehearsal.recipe
    if rehearsal.network is None or recipe.model["kind"] == "auto" or not recipe.evaluation.baselines:
        return []
    kept = [stage for stage in stages if stage.model in ("", rehearsal.network.name)]
    peak = max(stage.peak_bytes for stage in kept)
    if not fits(peak, rehearsal.device_bytes) or len(kept) == len(stages):
        return []
    return [Change("evaluation.baselines", False, sum(stage.seconds for stage in kept), peak, rehearsal.device_bytes)]
