"""Bundles made once, and a service over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from parrot import stand_in
from running import ANYWHERE, Running, running
from untrained import LIMITS, made

from luban.serving.app import Service
from luban.serving.settings import Limits
from luban.tasks.chat import Chat
from luban.tasks.language_modeling import LanguageModeling


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


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    """A task and a net that continues texts."""
    return made(LanguageModeling, "text")


@pytest.fixture(scope="module")
def speaking(shelf: dict[str, Path], pair: tuple[Any, Any]) -> Iterator[Running]:
    """That net under `text`, one that answers messages under `chat`."""
    service = Service([(name, shelf["number"]) for name in ("text", "chat")], place=ANYWHERE, limits=LIMITS)
    stand_in(service, "text", pair[0], "text", [], net=pair[1])
    task, net = made(Chat, "prompt")
    stand_in(service, "chat", task, "messages", [], net=net)
    with running(service) as found:
        yield found
