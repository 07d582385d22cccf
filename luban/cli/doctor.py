"""luban doctor: the machine, the libraries, and what would be missed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import click

from luban.cli.output import as_json_option, quiet_option, show, table
from luban.messages import language, tr

EXTRAS = {"openpyxl": ("xlsx", tr("reading .xlsx")), "usearch": ("index", tr("recommending among millions of items"))}


@click.command("doctor", help=tr("Look at this machine: processor, memory, devices, libraries, extras, write access."))
@as_json_option
@quiet_option
def command(as_json: bool) -> None:
    """Look around. Exit code 0 whatever is found: it tells, it does not judge."""
    import torch

    from luban import cores
    from luban.run.folder import environment

    facts = environment(cores.allowed())
    facts |= {
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9, 1),
        "bfloat16_products": bool(
            getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
            or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        ),
        "mps": torch.backends.mps.is_available(),
        "language": language(),
        "can_write_here": can_write(Path()),
        "pip": importlib.util.find_spec("pip") is not None,
    }
    for module, (extra, what) in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        facts[f"extra_{extra}"] = (
            importlib.metadata.version(module) if found else tr("missing ({what}): pip install luban[{extra}]", what=what, extra=extra)
        )
    show(
        facts,
        table([[key, value] for key, value in facts.items()], [tr("what"), tr("found")]),
        as_json=as_json,
        following="luban example digits",
    )


def can_write(folder: Path) -> bool:
    """Whether a file can be made there."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
