"""One thread, one language, fixed seeds: what a test measures depends on nothing around it."""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["LUBAN_LANG"] = "en"

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A run under test may have asked for more."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
