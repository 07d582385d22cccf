"""The programs of the page on sequences run, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_programs_run(language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / language / "sequences.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(programs) == 2
    for program in programs:
        exec(compile(program, language, "exec"), {})
    assert re.search(r" 0\.\d+ (stop|length)$", capsys.readouterr().out, re.MULTILINE)
    assert (tmp_path / "t5-tiny" / "model.safetensors").exists()
