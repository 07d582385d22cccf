"""The scripts that write and check documentation, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    """A file of `scripts/`, imported once under a name of its own."""
    title = f"scripts_{name}"
    if title not in sys.modules:
        spec = importlib.util.spec_from_file_location(title, ROOT / "scripts" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[title] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[title])
    return sys.modules[title]


@pytest.fixture(scope="session")
def translations() -> ModuleType:
    """scripts/translations.py."""
    return script("translations")


@pytest.fixture(scope="session")
def prove() -> ModuleType:
    """scripts/prove.py."""
    return script("prove")


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """scripts/reference.py."""
    return script("reference")
