"""The forecast of a run: `plan` before it, a line at its beginning; kept as `plan.json`, held against what it took in its report."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luban.data.completing import as_prepared
from luban.data.prepare import Prepared
from luban.energy import Costs, Energy, cpu_seconds
from luban.errors import LubanError, is_out_of_memory, say
from luban.evaluation.figures import json_ready
from luban.evaluation.ladder import Rung, candidates, metrics_of
from luban.evaluation.metrics import find
from luban.evaluation.report import write_report
from luban.files import scratch_folder, write_whole
from luban.mapped import gather
from luban.messages import tr
from luban.planning import cheaper, devices
from luban.planning.course import follow, reserve_s, warn_spent, warn_tight
from luban.planning.forecast import Forecast, Stage
from luban.planning.machine import MARGIN, Machine, free_memory, this_machine
from luban.planning.memory import bytes_of_columns, highest, resident
from luban.planning.rehearsal import Rehearsal, budget_s, roughly
from luban.planning.sample import Sample, open_sample
from luban.planning.sizing import is_open, with_choice
from luban.recipe import Recipe, given
from luban.run.bundling import bundle_of
from luban.run.clock import Clock, age
from luban.run.folds import dividing, without_test
from luban.run.report import report_of
from luban.run.sizing import chosen
from luban.training.device import choose_device
from luban.training.distributed import world

WHOLE_S = 16.0  # what `plan` takes at most, but for a moment at the end
LEAST_S = 3.0
PLAN = "plan.json"
MOST_LENGTHS = 100_000  # that percentiles are taken from
DEPTH = (0, 5, 25, 50, 75, 95, 100)  # percentiles of the lengths
ALLOWED = 0.04  # share of a run that its own forecast may take
LEAST_OWN_S, MOST_OWN_S = 0.6, 8.0
SHORT_S = 45.0  # a budget of less than so many seconds is no place for a forecast
BEFORE_A_RESULT = ("prepare", "plan", "solve", "settle", "train", "save", "validate")
KEPT = 3  # checkpoints: two, and the best weights


def plan(
    recipe: Recipe | str | Path | dict[str, Any],
    *,
    sets: tuple[str, ...] = (),
    runs: str | Path = "runs",
    device: str | None = None,
    count: int = 1,
    costs: Costs | None = None,
    memory_bytes: int | None = None,
) -> Forecast:
    """The forecast of a recipe. Raises LubanError; that it does not fit is no error."""
    begun, start_s, runs = time.perf_counter(), age(), Path(runs)
    recipe = given(recipe, sets)
    recipe = recipe if costs is None else replace(recipe, costs=costs)
    for name in recipe.evaluation.metrics:
        find(name)
    if device is not None:
        devices.find(device)
    runs.mkdir(parents=True, exist_ok=True)
    sample = open_sample(without_test(recipe), runs / ".prepared")
    recipe, choice = as_prepared(recipe, sample.prepared), None
    if is_open(recipe):
        choice = chosen(recipe, sample.prepared, sample.seconds, scale=sample.scale)
        recipe, prepared = with_choice(recipe, sample.prepared, choice)
        sample = replace(sample, prepared=prepared)
    machine = this_machine(runs, choose_device(recipe.training.device), memory_bytes=memory_bytes)
    patience = max(LEAST_S, WHOLE_S - (time.perf_counter() - begun) - start_s)
    forecast = forecast_of(recipe, sample, machine, runs, patience=patience, start_s=start_s)
    if device is not None:
        forecast = replace(forecast, what_if=devices.what_if(forecast, device, count, recipe.costs))
    forecast = replace(forecast, size=choice)
    return replace(forecast, measured_s=time.perf_counter() - begun)


def begin(recipe: Recipe, prepared: Prepared, folder: Path, names: tuple[str, ...], clock: Clock) -> dict[str, Any] | None:
    """The forecast a run says first and keeps; none where it would cost more than it tells, or where the run only goes on."""
    place = folder / PLAN
    if place.is_file():
        return json.loads(place.read_bytes())
    if world()[1] > 1 or clock.before:
        return None
    if recipe.training.budget is not None and (whole_s := budget_s(recipe, None, torch.get_num_threads())) < SHORT_S:
        if any(role == "network" for _, role in candidates(recipe, prepared.task)):
            warn_spent(clock.seconds, whole_s)
        return None
    try:
        patience = own_s(roughly(recipe, prepared.task, prepared.examples["train"]))
        if not patience:
            return None
        found = of_run(recipe, prepared, folder, patience, clock)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        say(tr("no forecast: its rehearsal ran out of memory"))
        return None
    except LubanError as error:  # what is wrong with the run itself will be said by the run
        say(tr("no forecast: {why}", why=error.line()))
        return None
    write_whole(place, json.dumps(json_ready(found.as_dict()), ensure_ascii=False, indent=1).encode())
    say(line(found))
    warn_tight(found)
    return found.as_dict()


def own_s(train_s: float) -> float:
    """Seconds that a run of so long a training spends on its own forecast."""
    seconds = min(MOST_OWN_S, ALLOWED * train_s)
    return seconds if seconds >= LEAST_OWN_S else 0.0


def of_run(recipe: Recipe, prepared: Prepared, folder: Path, patience: float, clock: Clock) -> Forecast:
    """The forecast of a run that has its data: what it spent till now, and on the forecast itself, is counted."""
    spent, cpu, peak = clock.seconds, cpu_seconds(), highest()
    size = sum(bytes_of_columns(columns) for columns in prepared.examples.values())
    sample = Sample(prepared, 1.0, spent, cpu, peak, 0, size)
    machine = this_machine(folder, choose_device(recipe.training.device))
    forecast = forecast_of(recipe, sample, machine, folder.parent, patience=patience, start_s=0.0)
    itself = Stage("plan", "", clock.seconds - spent, cpu_seconds() - cpu, highest())
    first, *others = [stage for stage in forecast.stages if stage.name != "plan"]
    return replace(forecast, stages=[first, itself, *others], measured_s=itself.seconds)


def line(forecast: Forecast) -> str:
    """The forecast in one line."""
    kwh = forecast.energy.of(forecast.cpu_seconds, forecast.seconds)["kwh"]
    return tr(
        "forecast: {seconds:.0f} s in all, {memory:.2f} GB of memory, {kwh:.2g} kWh",
        seconds=forecast.seconds, memory=forecast.peak_bytes / 1e9, kwh=kwh,
    )  # fmt: skip


def took(forecast: dict[str, Any] | None, clock: Clock, costs: Costs) -> dict[str, Any]:
    """What the run took, and what was forecast."""
    foreseen = None
    if forecast is not None:
        foreseen = {"seconds": forecast["seconds"], "peak_bytes": forecast["peak_bytes"]}
        foreseen |= {key: forecast["energy"][key] for key in ("kwh", "co2_kg", "money")}
    seconds, kwh = clock.seconds, clock.kwh
    actual = {"seconds": seconds, "peak_bytes": highest(), "kwh": kwh}
    actual |= {"co2_kg": kwh * costs.grid_kg, "money": costs.money(seconds, kwh)}
    return {"forecast": foreseen, "actual": actual, "currency": costs.currency}


def kept_back(forecast: dict[str, Any] | None, whole_s: float) -> float:
    """Seconds of a budget that are not for training: what evaluation and report were foreseen to take."""
    stages = [Stage(**stage) for stage in forecast["stages"]] if forecast else []
    return reserve_s(stages, whole_s)


def forecast_of(recipe: Recipe, sample: Sample, machine: Machine, runs: Path, *, patience: float, start_s: float) -> Forecast:
    """Rehearse, and put together what was found."""
    prepared, until = sample.prepared, time.perf_counter() + patience
    names = metrics_of(recipe, prepared.task, prepared.examples["train"])
    with scratch_folder(runs, "plan") as scratch:
        rehearsal = Rehearsal(
            recipe=recipe,
            task=prepared.task,
            examples=prepared.examples,
            scale=sample.scale,
            metric=find(names[0]),
            patience=0.8 * patience,
            room=max(1.0, free_memory() * MARGIN - resident()),
            scratch=scratch,
            judge=lambda rungs, draws: judged(recipe, prepared, rungs, names, draws, scratch),
            keep=lambda rungs, report: keep(recipe, prepared, rungs, report, scratch),
        ).run()
        finished = size_of(scratch / "finished")
    prepare = Stage("prepare", "", sample.seconds, sample.cpu_seconds, sample.peak_bytes, 1 / sample.scale)
    itself = Stage("plan", "", own_s(sum(stage.seconds for stage in rehearsal.stages if stage.name == "train")), 0.0, rehearsal.base_bytes)
    cores = rehearsal.steps.cores if rehearsal.steps else 1.0
    whole_s = budget_s(recipe, rehearsal.watts, cores) if recipe.training.budget else None
    stages = [prepare, itself, *rehearsal.stages, *dividing(recipe, sample)]
    stages, network = follow(stages, rehearsal.network, recipe, whole_s)
    stages, extra = [stage for stage in stages if stage.name != "plan" or stage.seconds], sample.extra_bytes
    stages = [stage if stage.name == "prepare" else replace(stage, peak_bytes=stage.peak_bytes + extra) for stage in stages]
    forecast = Forecast(
        rows=round(prepared.facts["rows"] * sample.scale),
        splits={name: round(count * sample.scale) for name, count in prepared.facts["splits"].items()},
        lengths=lengths(prepared),
        start_s=start_s,
        stages=stages,
        network=network,
        base_bytes=rehearsal.base_bytes + extra,
        device_bytes=rehearsal.device_bytes,
        disk_bytes=sample.disk_bytes + KEPT * rehearsal.saved_bytes + rehearsal.solved_bytes + finished,
        first_result_s=first_result(stages),
        budget_s=whole_s,
        early_stop=network is not None and 0 < recipe.training.patience < recipe.training.validations,
        energy=Energy("counters" if rehearsal.watts else "band", rehearsal.watts, recipe.costs),
        machine=machine,
    )
    if {"memory", "device"} & set(forecast.lacking()):
        forecast = replace(forecast, changes=cheaper.changes(rehearsal, stages, fitting(machine), until=until))
    return forecast


def fitting(machine: Machine) -> Any:
    """Whether bytes of memory and of the GPU are there."""
    return lambda memory, device: not machine.lacking(memory=memory, device=device, disk=0)


def judged(recipe: Recipe, prepared: Prepared, rungs: list[Rung], names: tuple[str, ...], draws: int, scratch: Path) -> dict[str, Any]:
    """The report as the run will make it, with so many draws."""
    few = replace(recipe, evaluation=replace(recipe.evaluation, draws=draws))
    return report_of(few, scratch, prepared, rungs, names, seconds=0.0, threads=1, warnings=[])


def keep(recipe: Recipe, prepared: Prepared, rungs: list[Rung], report: dict[str, Any], scratch: Path) -> None:
    """Report and bundle as the run will write them, elsewhere."""
    place = scratch / "finished"
    bundle_of(rungs[-1], recipe, prepared, report, place / "bundle")
    write_report(report, place)


def lengths(prepared: Prepared) -> dict[str, int] | None:
    """Percentiles of what examples cost: tokens or steps."""
    size = prepared.examples["train"].size
    if size is None:
        return None
    some = gather(size, np.arange(0, len(size), max(1, len(size) // MOST_LENGTHS)))
    return {f"p{p}": int(value) for p, value in zip(DEPTH, np.percentile(some, DEPTH), strict=True)}


def first_result(stages: list[Stage]) -> float:
    """Seconds till the first model is judged, on validation where there is one."""
    first = next((stage.model for stage in stages if stage.model), "")
    return sum(stage.seconds for stage in stages if stage.model in ("", first) and stage.name in BEFORE_A_RESULT)


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
