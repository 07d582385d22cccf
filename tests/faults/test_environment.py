"""Where a run goes on in another environment it says which part differs, and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from interrupting import at_step

from luban.run import train
from luban.run.folder import environment
from luban.run.interruption import Interrupted
from luban.tasks.regression import Regression


def test_what_decides_the_bits_is_kept() -> None:
    found = environment(3)
    assert found["threads"] == 3
    assert found["ranks"] == 1
    assert {"torch", "numpy", "capability", "flags", "processor", "python", "luban", "cuda"} <= set(found)


def test_the_vectors_of_the_processor_are_named() -> None:
    lines = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if not any(word in lines for word in (" avx", " asimd")):
        pytest.skip("this system does not say what its processor can do")
    assert any(flag.startswith(("avx", "asimd")) for flag in environment(1)["flags"].split())


@pytest.mark.parametrize(("key", "value"), [("threads", 64), ("torch", "1.0"), ("flags", "sse2"), ("ranks", 8)])
def test_another_environment_is_said_and_the_run_goes_on(key: str, value: Any, tmp_path: Path) -> None:
    Regression.demo(None, 90, 0).write_csv(tmp_path / "data.csv")  # type: ignore[arg-type]
    recipe = {
        "task": "regression", "data": str(tmp_path / "data.csv"), "target": "rent", "inputs": {"area": "number"},
        "model": {"kind": "mlp", "size": "tiny"}, "training": {"steps": 6}, "evaluation": {"draws": 20, "baselines": False},
    }  # fmt: skip

    with pytest.raises(Interrupted):
        train(recipe, folder=tmp_path / "run", tell=at_step(3))
    kept = tmp_path / "run" / "environment.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {key: value}))
    report = train(recipe, folder=tmp_path / "run").report
    (said,) = [line for line in report["warnings"] if "W330" in line]
    assert f"({key})" in said
