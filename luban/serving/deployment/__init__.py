"""A bundle with what it takes to run it elsewhere: Dockerfile, compose file, systemd unit, Kubernetes manifest; every value checked, then quoted."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

import luban
from luban.bundle.model import load
from luban.errors import RecipeError
from luban.files import whole_folder
from luban.messages import tr
from luban.serving import keys
from luban.serving.hosted import name_of, place_of

HERE = Path(__file__).parent
LABEL = re.compile(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?")
HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*")
IMAGE = re.compile(r"[a-z0-9]+([._/:-][a-z0-9]+)*")
FILES = {
    "Dockerfile": "Dockerfile.in",
    "compose.yaml": "compose.in",
    "luban-{label}.service": "systemd.in",
    "kubernetes.yaml": "kubernetes.in",
}
MEMORY_MB = 600  # libraries


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What is written into the files."""

    name: str
    """Name of the model in the service's addresses."""
    label: str
    """Name of image, service and unit: a DNS label."""
    port: int = 8000
    hosts: tuple[str, ...] = ()
    base: str = "python:3.11-slim"
    memory_mb: int = 2000

    def __post_init__(self) -> None:
        """Raises RecipeError L185 for a value that the files could read otherwise."""
        wrong = [
            value
            for value, form in ((self.label, LABEL), (self.base, IMAGE), *((h, HOST) for h in self.hosts))
            if not form.fullmatch(value)
        ]
        if wrong or not 1 <= self.port <= 65_535 or not self.name.isprintable() or len(self.name) > 100:
            what = tr("this cannot stand in a deployment's files")
            raise RecipeError(
                "L185", what, where="luban export", received=(wrong or [self.port if self.name.isprintable() else self.name])[0]
            )

    @property
    def arguments(self) -> list[str]:
        """Of `luban serve`, but for keys and bundle."""
        allowed = [part for host in self.hosts for part in ("--allow-host", host)]
        return ["--host", "0.0.0.0", "--port", str(self.port), *allowed]

    def values(self) -> dict[str, str]:
        """Placeholders and what stands in their place, quoted for the file."""
        command = ["luban", "serve", f"{self.name}=/srv/bundle", "--keys", "/run/secrets/keys.toml", *self.arguments]
        unit = ["serve", f"{self.name}=/opt/luban/{self.label}/bundle", "--keys", "\0", *self.arguments]
        return {
            "command": json.dumps(command),
            "compose": json.dumps(command).replace("$", "$$"),  # compose puts variables in
            "arguments": json.dumps(command).replace("$(", "$$("),  # and so does Kubernetes
            "unit": " ".join('"${CREDENTIALS_DIRECTORY}/keys.toml"' if part == "\0" else of_systemd(part) for part in unit),
            "label": self.label,
            "port": str(self.port),
            "base": self.base,
            "version": luban.__version__,
            "memory_mb": str(self.memory_mb),
            "description": of_systemd(f"Luban: {self.name}").strip('"'),
        }


def of_systemd(text: str) -> str:
    """One argument of a unit's command: quoted, with nothing to be expanded."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def label_of(name: str) -> str:
    """A DNS label out of a name; `model` where nothing is left of it."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:50].rstrip("-")
    return label or "model"


def write(bundle: Path, out: Path, *, name: str, label: str, port: int, hosts: tuple[str, ...], base: str) -> str:
    """Write the folder, which holds a copy of the bundle; the first key, which is never seen again. Raises LubanError.

    The bundle is opened first, which answers its golden rows.
    """
    load(bundle)
    name = name or name_of(bundle)
    size_mb = sum(path.stat().st_size for path in place_of(bundle).iterdir()) // 10**6
    deployment = Deployment(
        name=name, label=label or label_of(name), port=port, hosts=hosts, base=base, memory_mb=2 * MEMORY_MB + 4 * size_mb
    )
    if out.exists():
        raise RecipeError("L186", tr("the folder is there already"), where=str(out), fix=tr("choose another with --out, or remove it"))
    with whole_folder(out) as beside:
        shutil.copytree(place_of(bundle), beside / "bundle")
        for target, source in FILES.items():
            text = Template((HERE / source).read_text(encoding="utf-8")).substitute(deployment.values())
            (beside / target.format(label=deployment.label)).write_text(text, encoding="utf-8")
        (beside / ".dockerignore").write_text("keys.toml\n", encoding="utf-8")
        return keys.add(beside / "keys.toml", "first", 0)
