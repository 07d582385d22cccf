"""A bundle with layers in 8 bits: those where a trial on this machine says that it pays; what it gains, and what it costs in score, is measured and said."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from luban import recipe as recipes
from luban.bundle import eight_bits as bits
from luban.bundle import format as layout
from luban.bundle import golden
from luban.bundle.model import Model, load
from luban.bundle.write import rewrite
from luban.columns import Columns
from luban.data.prepare import ROW, prepare
from luban.errors import BundleError, LubanError
from luban.evaluation.intervals import paired_interval
from luban.evaluation.ladder import defined, usable
from luban.evaluation.metrics import find
from luban.generating.faster import GAIN, times
from luban.layers.eight_bits import Int8Linear
from luban.messages import tr
from luban.predicting import answers_of
from luban.run.folder import RECIPE, processor
from luban.run.folds import without_test

MOST_SCORED = 2000  # rows
FIRST, MOST_TIMED, SHORT_S = 8, 256, 0.5  # rows that are answered against the clock: a few, or more where these are quickly done
ROUNDS = 3
NAME = "int8"


@dataclass(frozen=True, kw_only=True)
class Lighter:
    """What 8 bits brought here."""

    layers: list[str]
    """Those in 8 bits."""
    num_layers: int
    """Linear layers of the net, a head that is the table of tokens among them."""
    rows_per_second: tuple[float, float]
    """Answered before and after, at their best of a few rounds."""
    rows_timed: int
    """That were answered at a time."""
    weight_bytes: tuple[int, int]
    """Before and after."""
    scores: dict[str, dict[str, float | None]]
    """Of each metric `before`, `after`, and between `low` and `high` what it changes (95 %, by rows)."""
    rows_scored: int
    machine: str


def to_int8(bundle: str | Path, place: str | Path, rows: pl.DataFrame | None = None) -> Lighter:
    """Write it to `place`. `rows` hold the target; left out, the validation rows of the run the bundle lies in.

    Raises BundleError L447 … L449, DataError L201, L227; then nothing is written.
    """
    folder, place = folder_of(Path(bundle)), Path(place)
    if place.exists():
        raise BundleError("L447", tr("something stands there already"), where=str(place), fix=tr("choose another with --out FOLDER"))
    model = load(folder)
    if bits.is_light(model.net):
        raise BundleError("L448", tr("the layers are in 8 bits already"), where=str(folder), fix=tr("leave it as it is"))
    asked = rows_of(folder) if rows is None else rows
    asked = asked[np.unique(np.linspace(0, len(asked) - 1, MOST_SCORED).astype(int)).tolist()] if len(asked) > MOST_SCORED else asked
    timed = asked.drop(model.signature.get("target") or "", strict=False)
    lighter, layers, num_layers, count = lightened(model, timed)
    if not layers:
        fix = tr("leave it as it is, or try on the machine that will serve it")
        raise BundleError("L448", tr("on this machine no layer is quicker in 8 bits"), where=str(folder), received=processor(), fix=fix)
    before, after = judged(model, lighter, asked)
    found = Lighter(
        layers=layers,
        num_layers=num_layers,
        rows_per_second=speeds(model, lighter, timed[:count]),
        rows_timed=count,
        weight_bytes=(bytes_of(model.net), bytes_of(lighter.net)),
        scores=scores_of(model, before, after),
        rows_scored=len(before),
        machine=processor(),
    )
    rewrite(place, lighter, model.report | {NAME: asdict(found)}, golden_of(folder, lighter))
    return found


def folder_of(bundle: Path) -> Path:
    """The bundle, or that of a run."""
    inside = bundle / "bundle"
    return inside if (inside / layout.MANIFEST).is_file() and not (bundle / layout.MANIFEST).is_file() else bundle


def rows_of(bundle: Path) -> pl.DataFrame:
    """The validation rows of the run that a bundle lies in. Raises BundleError L449 where they cannot be had."""
    fix = tr("name rows that hold the target: --data FILE")
    try:
        values, base = json.loads((bundle.parent / RECIPE).read_text(encoding="utf-8"))
        recipe = recipes.parse(values, base=Path(base), name=bundle.parent.name)
        prepared = prepare(without_test(recipe), bundle.parent.parent / ".prepared")
    except (OSError, ValueError, LubanError) as error:
        why = error.line() if isinstance(error, LubanError) else str(error)
        what = tr("the rows to score on cannot be had: {why}", why=why[:120])
        raise BundleError("L449", what, where=str(bundle), fix=fix) from error
    kept = prepared.examples["validation"].row
    found: pl.DataFrame = prepared.raw.filter(pl.col(ROW).is_in(pl.Series(np.asarray(kept)).implode())).drop(ROW).collect()
    if not len(found):
        raise BundleError("L449", tr("the rows to score on cannot be had: {why}", why=tr("no validation rows")), where=str(bundle), fix=fix)
    return found


def lightened(model: Model, rows: pl.DataFrame) -> tuple[Model, list[str], int, int]:
    """(the model with layers in 8 bits where a trial says that it pays, which, of how many, rows that are answered at a time)."""
    with bits.counted(model.net) as calls:
        begun = time.perf_counter()
        answers_of(model.task, model.net, rows[:FIRST])
        count = FIRST if time.perf_counter() - begun > SHORT_S else MOST_TIMED
        if count > FIRST:
            answers_of(model.task, model.net, rows[:count])
    net, every = copy.deepcopy(model.net), bits.layers_of(model.net)
    tokens, measured = bits.typical(calls), dict[tuple[int, ...], bool]()
    layers = []
    for name, (weight, bias) in every.items():
        if name not in tokens:
            continue  # never called by itself: its weights are read in another way
        key = (*weight.shape, tokens[name])
        if key not in measured:
            measured[key] = pays(weight, bias, tokens[name])
        if measured[key]:
            bits.put(net, name, Int8Linear.of(weight, bias))
            layers.append(name)
    made = Model(model.description, model.task, net, model.report, model.fingerprint)
    return made, layers, len(every), min(count, len(rows))


@torch.inference_mode()
def pays(weight: torch.Tensor, bias: torch.Tensor | None, tokens: int) -> bool:
    """Whether 8 bits are quicker here for so many tokens at a time."""
    seconds = times(weight, bias, tokens, ("int8",))
    return seconds.get("int8", float("inf")) < GAIN * seconds["plain"]


def speeds(before: Model, after: Model, rows: pl.DataFrame) -> tuple[float, float]:
    """Rows a second of both, turn by turn."""
    found = [float("inf")] * 2
    for _ in range(ROUNDS):
        for place, model in enumerate((before, after)):
            found[place] = min(found[place], seconds_of(lambda model=model: answers_of(model.task, model.net, rows)))  # type: ignore[misc]
    return len(rows) / found[0], len(rows) / found[1]


def seconds_of(work: Callable[[], Any]) -> float:
    """That it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def judged(before: Model, after: Model, rows: pl.DataFrame) -> tuple[Columns, Columns]:
    """The marks of both on the same rows."""
    return before.marks(rows), after.marks(rows)


def scores_of(model: Model, before: Columns, after: Columns) -> dict[str, dict[str, float | None]]:
    """Each metric before and after, and within what bounds it changed."""
    found: dict[str, dict[str, float | None]] = {}
    for name in usable(model.task.metrics, before):
        metric = find(name)
        low, high = paired_interval(metric, after, before)
        values = {"before": metric(before), "after": metric(after), "low": low, "high": high}
        found[name] = {key: defined(float(value)) for key, value in values.items()}
    return found


def bytes_of(net: torch.nn.Module) -> int:
    """Of the weights on the disk."""
    return sum(tensor.nbytes for tensor in net.state_dict().values())


def golden_of(folder: Path, model: Model) -> list[dict[str, Any]]:
    """The golden rows with the new answers: those that a machine without such products answers alike."""
    lines = layout.open_files(folder).lines("golden.jsonl", golden.NUMBER_OF_ROWS)
    if not lines:
        return []
    rows = golden.as_table([line["input"] for line in lines])
    found, plain = (golden.golden_lines(model.task, net, rows) for net in (model.net, bits.plain(model.net)))
    return [line for line, other in zip(found, plain, strict=True) if golden.alike(line["answer"], other["answer"], golden.LOOSE / 2)]
