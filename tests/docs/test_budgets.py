"""Luban is light: what starting it imports, and what installing it asks for."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "polars",
    "pydantic",
    "numpy",
    "sklearn",
    "PIL",
    "tokenizers",
    "rich",
    "jinja2",
    "fastapi",
    "uvicorn",
    "prometheus_client",
)
CORE = {
    "annotated-types", "click", "fastapi", "httptools", "jinja2", "markupsafe", "numpy", "pillow", "polars", "prometheus-client", "pydantic", "rich", "safetensors",
    "scikit-learn", "scipy", "threadpoolctl", "tokenizers", "torch", "uvicorn",
}  # fmt: skip


def imported_by(program: str) -> set[str]:
    """Top-level modules a fresh process holds after the program."""
    end = "\nimport sys; print('\\n'.join({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", program + end], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


def test_import_is_light() -> None:
    found = imported_by("import luban")
    assert "luban" in found
    assert found.isdisjoint(HEAVY)


def test_help_is_light() -> None:
    found = imported_by("from luban.cli.main import run\nassert run(['--help'], False) == 0")
    assert "click" in found
    assert found.isdisjoint(HEAVY)


def test_the_core_asks_for_these_packages_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {requirement.split(">")[0] for requirement in project["dependencies"]} == CORE
