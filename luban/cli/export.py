"""luban export BUNDLE --to service | huggingface: what it takes to run the bundle elsewhere, or its transformer as others open it."""

from __future__ import annotations

from pathlib import Path

import click

from luban.cli.output import as_json_option, quiet_option, show
from luban.messages import tr


@click.command(
    "export",
    help=tr(
        "Write what runs the bundle elsewhere: `service` (Dockerfile, compose file, systemd unit, Kubernetes manifest), `huggingface` (checkpoint)."
    ),
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(["service", "huggingface"]), required=True, help=tr("What to write."))
@click.option("--out", type=click.Path(path_type=Path), help=tr("The folder; left out, FORMAT-NAME."))
@click.option("--name", default="", help=tr("Name of the model in the service's addresses; left out, the bundle's own."))
@click.option("--label", default="", help=tr("Name of image, unit and deployment; left out, made from the name."))
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65_535), help=tr("Port the service listens on."))
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help=tr("A name the service is called by; can be repeated."))
@click.option("--base", default="python:3.11-slim", show_default=True, help=tr("Image to build on."))
@as_json_option
@quiet_option
def command(
    bundle: Path, form: str, out: Path | None, name: str, label: str, port: int, hosts: tuple[str, ...], base: str, as_json: bool
) -> None:
    """Write it. Raises BundleError, RecipeError L185, L186."""
    from luban.serving import deployment
    from luban.serving.hosted import name_of

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
