"""luban serve BUNDLE...: the bundles as a service, with a page to try them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from luban.cli.output import quiet_option
from luban.errors import RecipeError
from luban.messages import tr


@click.command("serve", help=tr("Answer over HTTP, with a page to try the bundles; this machine only, unless there are keys."))
@click.argument("bundles", nargs=-1, metavar="BUNDLE...")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help=tr("Address to listen on; another than this machine's own wants --keys.")
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65_535), help=tr("Port; 0 takes any that is free."))
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help=tr("A name the service is called by; can be repeated."))
@click.option("--allow-origin", "origins", multiple=True, metavar="URL", help=tr("An origin whose pages may ask; can be repeated."))
@click.option(
    "--keys", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help=tr("The keys that open the service, as hashes.")
)
@click.option("--new-key", metavar="NAME", help=tr("Add a key to the file of --keys, show it once, and end."))
@click.option("--per-minute", default=0, type=click.IntRange(min=0), help=tr("Requests a minute of the new key; 0 = no limit."))
@click.option(
    "--watch",
    default=0,
    type=click.IntRange(min=0),
    metavar="SECONDS",
    help=tr("Look for newer versions of the bundles so often; 0 = only on SIGHUP."),
)
@click.option("--threads", default=0, type=click.IntRange(min=0), help=tr("Threads that compute one batch; 0 = by the size of the models."))
@click.option(
    "--limit", "limits", multiple=True, metavar="KEY=VALUE", help=tr("Change a limit, such as body_bytes=1000000; can be repeated.")
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=tr("Log batches for `luban monitor`: times and bins, no rows and no answers."),
)
@click.option(
    "--log-bytes",
    default=100_000_000,
    show_default=True,
    type=click.IntRange(min=100_000),
    help=tr("Bytes the log may take; older lines make room."),
)
@click.option("--log-payload", is_flag=True, help=tr("Log rows and answers too."))
@quiet_option
def command(bundles: tuple[str, ...], keys: Path | None, new_key: str | None, per_minute: int, **asked: Any) -> None:
    """Serve, or add a key. Raises RecipeError, BundleError, MachineError."""
    from luban.serving import keys as keyring

    if new_key is not None:
        if keys is None:
            raise RecipeError("L184", tr("--new-key wants --keys FILE"), where="luban serve")
        click.echo(keyring.add(keys, new_key, per_minute))
        return
    if not bundles:
        raise RecipeError("L184", tr("no bundle was named"), where="luban serve", fix="luban serve runs/NAME/bundle")
    raise SystemExit(run(bundles, keyring.read(keys) if keys else {}, **asked))


def run(
    bundles: tuple[str, ...], keys: dict[str, Any], *, host: str, port: int, hosts: tuple[str, ...], origins: tuple[str, ...],
    watch: int, threads: int, limits: tuple[str, ...], log: Path | None, log_bytes: int, log_payload: bool,
) -> int:  # fmt: skip
    """The exit code."""
    with uncollected():
        from luban.schema import validate
        from luban.serving import server
        from luban.serving.app import Service
        from luban.serving.prediction_log import PredictionLog
        from luban.serving.settings import Place, limits_of

        place = validate(Place, {"host": host, "port": port, "allowed_hosts": list(hosts), "allowed_origins": list(origins)}, where="serve")
        server.check_exposure(place, keys)
        written = PredictionLog(log, most_bytes=log_bytes, payload=log_payload) if log is not None else None
        named_bundles = [named(text) for text in bundles]
        service = Service(named_bundles, limits=limits_of(limits), place=place, keys=keys, watch_s=watch, threads=threads, log=written)
    models = ", ".join(service.shelf.models)
    return server.serve(service, ready=lambda url: click.echo(tr("{models} at {url}", models=models, url=url), err=True))


@contextmanager
def uncollected() -> Iterator[None]:
    """What is loaded until the service is ready stays: looking through it again and again for garbage is a tenth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def named(text: str) -> tuple[str, Path]:
    """`NAME=BUNDLE`, or the bundle alone, which then goes by its own name."""
    name, sign, path = text.partition("=")
    return (name, Path(path)) if sign and not Path(text).exists() else ("", Path(text))
