"""One fork-server for all tests of faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from killing import Ask, fork_server


@pytest.fixture(scope="session")
def ask() -> Iterator[Ask]:
    with fork_server() as ask:
        yield ask
