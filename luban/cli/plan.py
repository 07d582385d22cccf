"""luban plan RECIPE: what the run will take, measured on a rehearsal of it; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luban.cli.output import as_json_option, quiet_option, show, table
from luban.cli.progress import clock
from luban.messages import language, tr

if TYPE_CHECKING:
    from luban.planning.forecast import Forecast, Stage


@click.command("plan", help=tr("Forecast time, memory, disk, energy and money from a rehearsal of a few seconds; nothing is trained."))
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help=tr("Change a key of the recipe, such as training.epochs=3."))
@click.option("--run", "folder", type=click.Path(path_type=Path), help=tr("The run's folder; left out, runs/NAME."))
@click.option("--device", metavar="NAME", help=tr("What if the network were trained there: an estimate from a table."))
@click.option("--count", type=click.IntRange(1, 4096), default=1, help=tr("So many of these devices."))
@click.option(
    "--memory-gb", type=click.FloatRange(min=0, min_open=True), help=tr("Whether it fits a machine of so much memory, not this one.")
)
@click.option("--grid", "grid_kg", type=click.FloatRange(min=0), help=tr("kg CO₂ a kWh; left out, the world's average."))
@click.option("--price-kwh", type=click.FloatRange(min=0), help=tr("Price of a kWh."))
@click.option("--price-hour", type=click.FloatRange(min=0), help=tr("Price of an hour of this machine."))
@click.option("--currency", help=tr("The prices' currency, shown beside them."))
@as_json_option
@quiet_option
def command(recipe: Path, sets: tuple[str, ...], folder: Path | None, device: str | None, count: int, **options: Any) -> None:
    """Plan."""
    from dataclasses import replace

    from luban.recipe import read
    from luban.run.forecasting import plan

    given = {key: options[key] for key in ("price_kwh", "price_hour", "currency", "grid_kg") if options[key] is not None}
    costs = replace(read(recipe, sets).costs, **given)
    memory = None if options["memory_gb"] is None else int(options["memory_gb"] * 1e9)
    runs = folder.parent if folder else Path("runs")
    forecast = plan(recipe, sets=sets, runs=runs, device=device, count=count, costs=costs, memory_bytes=memory)
    show(forecast.as_dict(), lines(forecast), as_json=options["as_json"], following=f"luban train {recipe}")


def lines(forecast: Forecast) -> list[str]:
    """Whether it fits, first; then sums, stages, memory, and what else was asked."""
    out = [
        verdict(forecast),
        *([forecast.size.why()] if forecast.size else []),
        "",
        *table(sums(forecast), [tr("what"), tr("forecast"), tr("how")]),
    ]
    out += [
        "",
        *table([stage_row(stage) for stage in forecast.stages], [tr("stage"), tr("model"), tr("time"), tr("memory"), tr("measured")]),
    ]
    if forecast.network is not None:
        out += ["", *table(memory_rows(forecast), [tr("memory of a training step"), tr("bytes"), tr("how")])]
    if forecast.changes:
        header = [tr("what would make it fit"), tr("time"), tr("memory")]
        out += ["", *table([[f"{c.key} = {toml(c.value)}", clock(c.seconds), amount(c.peak_bytes)] for c in forecast.changes], header)]
    return out + (["", *elsewhere(forecast.what_if)] if forecast.what_if else [])


def verdict(forecast: Forecast) -> str:
    """The first line."""
    time, memory = clock(forecast.seconds + forecast.start_s), amount(forecast.peak_bytes)
    names = {"memory": tr("memory"), "device": tr("memory of the GPU"), "disk": tr("disk")}
    if lacking := forecast.lacking():
        machine = forecast.machine
        has = {"memory": machine.memory_bytes, "device": machine.device_bytes, "disk": machine.disk_bytes}
        what = ", ".join(f"{names[name]} ({amount(has[name])})" for name in lacking)
        line = tr("It does NOT fit: too little {what}. It would take {time} and {memory}.", what=what, time=time, memory=memory)
        return click.style(line, fg="red", bold=True)
    return click.style(tr("It fits: {time}, {memory} of memory.", time=time, memory=memory), bold=True)


def sums(forecast: Forecast) -> list[list[str]]:
    """The sums of the run."""
    energy, network = forecast.energy.of(forecast.cpu_seconds, forecast.seconds), forecast.network
    band = tr("the processor's counters") if forecast.energy.watts else tr("CPU seconds at 3, 7 and 15 W a core: a band, not measured")
    end = tr("it may end sooner: training stops when validation no longer improves") if forecast.early_stop else ""
    if forecast.budget_s is not None:
        end = tr("the budget is {budget}", budget=clock(forecast.budget_s))
    splits = ", ".join(f"{name} {count:,}" for name, count in forecast.splits.items())
    rows = [
        [tr("time"), clock(forecast.seconds + forecast.start_s), end],
        [tr("first result"), clock(forecast.first_result_s + forecast.start_s), tr("the first model judged")],
        [
            tr("memory"),
            amount(forecast.peak_bytes),
            tr("resident at its highest; {free} can be had", free=amount(forecast.machine.memory_bytes)),
        ],
        [
            tr("disk"),
            amount(forecast.disk_bytes),
            tr("prepared data, checkpoints, bundle; {free} are free", free=amount(forecast.machine.disk_bytes)),
        ],
        [tr("energy"), f"{energy['kwh']:.2g} kWh ({energy['kwh_low']:.2g} … {energy['kwh_high']:.2g})", band],
        ["CO₂", f"{1000 * energy['co2_kg']:.2g} g", tr("{grid} kg a kWh", grid=forecast.energy.costs.grid_kg)],
    ]
    if energy["money"] is not None:
        rows.append([tr("money"), f"{forecast.energy.costs.currency}{energy['money']:.2g}", ""])
    rows.append([tr("rows"), f"{forecast.rows:,}", splits])
    if forecast.lengths:
        rows.append(
            [
                tr("lengths"),
                " ".join(f"{value}" for value in forecast.lengths.values()),
                tr("percentiles {names}", names=" ".join(forecast.lengths)),
            ]
        )
    return rows + (network_rows(forecast) if network else [])


def network_rows(forecast: Forecast) -> list[list[str]]:
    """What is known of the network."""
    network = forecast.network
    if network is None:
        return []
    trained = tr("{n} are trained", n=f"{network.trained:,}")
    if network.of_encoders:
        rest = network.parameters - network.of_encoders
        trained += " · " + tr("{encoders} in the encoders, {head} in the head", encoders=f"{network.of_encoders:,}", head=f"{rest:,}")
    return [
        [tr("parameters"), f"{network.parameters:,}", trained],
        [tr("steps"), f"{network.steps:,}", tr("{epochs:.3g} epochs, {size} examples a step, {ms:.3g} ms each", epochs=network.epochs, size=network.batch_size, ms=1000 * network.step_seconds)],
        [tr("arithmetic"), f"{forecast.flops:.3g} FLOP", tr("{n:.3g} a step: products and convolutions, forward and backward", n=network.flops_per_step)],
        [tr("device"), network.device, tr("threads: {threads}, {precision}", threads=network.threads, precision=network.precision)],
    ]  # fmt: skip


def stage_row(stage: Stage) -> list[str]:
    """One stage."""
    names = {
        "prepare": tr("data"), "plan": tr("this forecast"), "solve": tr("solve"), "settle": tr("choose threads and precision"), "train": tr("train"), "save": tr("checkpoints"),
        "validate": tr("validate"), "judge": tr("last validation"), "score": tr("test"), "divide": tr("data of folds"), "folds": tr("folds"), "report": tr("report and bundle"),
    }  # fmt: skip
    how = tr("whole") if stage.share >= 1 else tr("{share:.2g} % of it", share=100 * stage.share)
    return [names[stage.name], stage.model, clock(stage.seconds), amount(stage.peak_bytes), how]


def memory_rows(forecast: Forecast) -> list[list[str]]:
    """What a step holds, by its use; activations by the part of the net."""
    parts = forecast.network.parts  # type: ignore[union-attr]
    rows = [
        [tr("weights"), amount(parts.weights), tr("counted")],
        [tr("gradients"), amount(parts.gradients), tr("counted")],
        [tr("optimizer"), amount(parts.optimizer), tr("counted")],
        [tr("copies of the weights"), amount(parts.copies), tr("the best so far, and an average where asked for")],
        [tr("activations"), amount(parts.activations), tr("saved for the backward pass of the largest micro-batch")],
        [tr("data"), amount(parts.data), tr("training examples, encoded")],
    ]
    groups = sorted(parts.groups.items(), key=lambda item: -item[1])[:6]
    return rows + [["  " + name, amount(count), ""] for name, count in groups]


def elsewhere(found: dict[str, Any]) -> list[str]:
    """What the table of devices says."""
    fits = tr("fits") if found["fits"] else tr("does not fit")
    return [
        tr(
            "What if {count} × {device}: {time} in all, training {train}; {memory} on each ({fits}); {kwh:.2g} kWh, about ${usd:.2g}",
            count=found["count"], device=found["device"], time=clock(found["seconds"]), train=clock(found["train_seconds"]),
            memory=amount(found["device_bytes"]), fits=fits, kwh=found["kwh"], usd=found["usd"],
        ),
        "  " + found["assumption"][language()],
    ]  # fmt: skip


def toml(value: Any) -> str:
    """A value as the recipe has it."""
    from luban.recipe import toml_value

    return toml_value(value)


def amount(count: int | None) -> str:
    """Bytes as people read them."""
    from luban.evaluation.figures import memory

    return memory(count)
