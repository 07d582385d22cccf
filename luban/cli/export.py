"""luban export BUNDLE --to service | huggingface | int8: what it takes to run the bundle elsewhere, its transformer as others open it, or it in 8 bits."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from luban.cli.output import as_json_option, quiet_option, show, table
from luban.errors import RecipeError
from luban.messages import tr


@click.command(
    "export",
    help=tr(
        "Write what runs the bundle elsewhere: `service` (Dockerfile, compose file, systemd unit, Kubernetes manifest), `huggingface` (checkpoint), "
        "`int8` (a bundle with layers in 8 bits, where that is quicker on this machine)."
    ),
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["service", "huggingface", "int8"]), required=True, help=tr("What to write."))
@click.option("--out", type=click.Path(path_type=Path), help=tr("The folder; left out, FORMAT-NAME."))
@click.option("--data", help=tr("With int8: rows with the target to score on; left out, the run's validation rows."))
@click.option("--name", default="", help=tr("Name of the model in the service's addresses; left out, the bundle's own."))
@click.option("--label", default="", help=tr("Name of image, unit and deployment; left out, made from the name."))
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65_535), help=tr("Port the service listens on."))
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help=tr("A name the service is called by; can be repeated."))
@click.option("--base", default="python:3.11-slim", show_default=True, help=tr("Image to build on."))
@as_json_option
@quiet_option
def command(
    bundle: Path,
    form: str,
    out: Path | None,
    data: str | None,
    name: str,
    label: str,
    port: int,
    hosts: tuple[str, ...],
    base: str,
    as_json: bool,
) -> None:
    """Write it. Raises BundleError, RecipeError L185, L186, L199."""
    from luban.serving import deployment
    from luban.serving.hosted import name_of

    if data and form != "int8":
        raise RecipeError("L199", tr("rows to score on belong to --to int8"), where="luban export --data", fix=tr("leave it out"))
    if form == "int8":
        in_eight_bits(bundle, out or Path(f"int8-{deployment.label_of(name or name_of(bundle))}"), data, as_json=as_json)
        return
    if form == "huggingface":
        from luban.run.exchange import to_checkpoint

        folder = out or Path(f"huggingface-{deployment.label_of(name or name_of(bundle))}")
        family = to_checkpoint(bundle, folder)
        files = sorted(path.name for path in folder.iterdir())
        show({"folder": str(folder), "files": files, "family": family}, [str(folder / file) for file in files], as_json=as_json)
        return
    folder = out or Path(f"service-{deployment.label_of(name or name_of(bundle))}")
    key = deployment.write(bundle, folder, name=name, label=label, port=port, hosts=hosts, base=base)
    files = sorted(path.name for path in folder.iterdir())
    lines = [*(str(folder / file) for file in files), "", tr("the first key, shown once: {key}", key=key)]
    show(
        {"folder": str(folder), "files": files, "key": key}, lines, as_json=as_json, following=f"docker compose -f {folder}/compose.yaml up"
    )


def in_eight_bits(bundle: Path, folder: Path, data: str | None, *, as_json: bool) -> None:
    """Write the bundle, and show what it gains and costs."""
    import luban
    from luban.data.reading import read
    from luban.run.lighter import folder_of, to_int8

    rows = None
    if data:
        model = luban.load(folder_of(bundle))
        rows = read(data, model.reading, base=Path(), used=[*model.signature["inputs"], model.signature.get("target") or ""]).table
    found = to_int8(bundle, folder, rows)
    speed, size = found.rows_per_second, [count / 1e6 for count in found.weight_bytes]
    lines = [
        str(folder),
        "",
        tr("{n} of {m} linear layers in 8 bits", n=len(found.layers), m=found.num_layers),
        *table(
            [
                [tr("rows a second"), f"{speed[0]:.1f}", f"{speed[1]:.1f}", f"{speed[1] / speed[0]:.2f} ×"],
                [tr("weights, MB"), f"{size[0]:.2f}", f"{size[1]:.2f}", f"{size[1] / size[0]:.2f} ×"],
                *([name, number(one["before"]), number(one["after"]), change(one)] for name, one in found.scores.items()),
            ],
            [tr("{n} rows", n=found.rows_scored), tr("before"), tr("after"), tr("change")],
        ),
    ]
    show({"folder": str(folder)} | asdict(found), lines, as_json=as_json, following=f"luban predict {folder} …")


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "–" if value is None else f"{value:.4f}"


def change(found: dict[str, float | None]) -> str:
    """The difference and its interval."""
    if found["before"] is None or found["after"] is None:
        return "–"
    edges = f" [{found['low']:+.4f}, {found['high']:+.4f}]" if found["low"] is not None and found["high"] is not None else ""
    return f"{found['after'] - found['before']:+.4f}{edges}"
