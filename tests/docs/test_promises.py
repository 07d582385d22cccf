"""The page of promises is the table's, and the runner says what fails."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def test_the_pages_are_current(prove: ModuleType) -> None:
    assert [str(path) for path, text in prove.docs().items() if path.read_text(encoding="utf-8") != text] == [], (
        "run scripts/prove.py --docs"
    )


def test_every_promise_stands_in_both_languages_with_a_proof(prove: ModuleType) -> None:
    for promise in prove.promises():
        assert promise["en"]
        assert promise["zh"]
        assert promise["area"] in prove.WORDS["zh"]
        assert prove.commands_of(promise)


def promised(**proof: Any) -> dict[str, Any]:
    return {"en": "It holds", "area": "data"} | proof


@pytest.fixture
def place(tmp_path: Path, prove: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    (tmp_path / "test_a.py").write_text(
        "import pytest\n\n@pytest.mark.slow\ndef test_a(record_property):\n    record_property('kills', 7)\n\n"
        "def test_b(record_property):\n    record_property('kills', 4)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\njunit_family = xunit1\nmarkers = slow: x\naddopts = -m 'not slow' -p no:randomly\n")
    (tmp_path / "test_c.py").write_text("def test_c():\n    assert 1 == 2\n")
    return tmp_path


def test_slow_tests_run_too_and_what_they_count_is_added_up(place: Path, prove: ModuleType) -> None:
    outcome = prove.prove(promised(tests=["test_a*.py"]))
    assert outcome.passed, outcome.why
    assert dict(outcome.counts) == {"tests": 2, "kills": 11}


@pytest.mark.parametrize(
    ("proof", "why"),
    [
        ({"tests": ["test_c.py"]}, "1 failed"),
        ({"tests": ["test_a.py", "test_none.py"]}, "test_none.py is not there"),
        ({"command": "python -c 'raise SystemExit(\"it broke\")'"}, "it broke"),
    ],
)
def test_what_fails_is_said(proof: dict[str, Any], why: str, place: Path, prove: ModuleType) -> None:
    outcome = prove.prove(promised(**proof))
    assert not outcome.passed
    assert why in outcome.why
    assert f"**failed**: {outcome.why}" in prove.page_of([outcome])
    assert "0 of 1 promises proven" in prove.page_of([outcome])
