"""Bundles made once, and a service over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from running import ANYWHERE, Running, running

from luban.serving.app import Service
from luban.serving.settings import Limits


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One bundle of each base, under its name."""
    place = tmp_path_factory.mktemp("bundles")
    return {base: bundles.make(place / base, base) for base in bundles.BASES}


@pytest.fixture(scope="session")
def served(shelf: dict[str, Path]) -> Iterator[Running]:
    """All of them, with small limits."""
    limits = Limits(body_bytes=300_000, rows=50, characters=5000, pixels=10_000, head_s=1.5, body_s=1.5)
    with running(Service(list(shelf.items()), limits=limits, place=ANYWHERE)) as found:
        yield found
