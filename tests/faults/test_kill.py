"""kill -9 at random instants of a whole run, the same command again: weights, log, scores and choice are the uninterrupted run's, bit by bit.

Twenty kills a task, shared by its models and at least six of each; hundreds of each model in the slow suite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from families import FAMILIES, TOYS
from killing import Ask, killed

NAMES = [*(family.name for family in FAMILIES), *TOYS]
KILLS, FEWEST = 20, 6
TASKS = {family.name: family.kind for family in FAMILIES}


def kills_of(name: str) -> int:
    """A model's share of its task's kills."""
    models = [*TASKS.values()].count(TASKS.get(name, "")) or 1
    return max(FEWEST, math.ceil(KILLS / models))


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_comes_to_the_same_bits(name: str, ask: Ask, tmp_path: Path, record_property: Callable[[str, Any], None]) -> None:
    killed(ask, name, tmp_path, kills=kills_of(name), seed=0, note=record_property)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_hundreds_of_kills_come_to_the_same_bits(
    name: str, seed: int, ask: Ask, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    killed(ask, name, tmp_path, kills=KILLS, seed=seed, note=record_property)
