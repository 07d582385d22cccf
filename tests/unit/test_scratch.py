"""Folders for a while: gone when the block ends, and those of killed processes when the next begins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from luban import files
from luban.cli.new import write_recipe
from luban.errors import RecipeError


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    with files.scratch_folder(tmp_path, "plan") as mine:
        host = mine.name.split("-")[1]
        dead, living, other = (
            tmp_path / f".plan-{name}-x" for name in (f"{host}-{gone.pid}", f"{host}-{os.getpid()}", f"000000-{gone.pid}")
        )
        for folder in (dead, living, other):
            folder.mkdir()
            (folder / "file").write_text("x", encoding="utf-8")
        (mine / "file").write_text("x", encoding="utf-8")
    assert not mine.exists()
    with files.scratch_folder(tmp_path, "plan") as again:
        assert set(tmp_path.iterdir()) == {living, other, again}


def test_a_recipe_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "recipe.toml"
    write_recipe("one", place)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RecipeError, match="L196"):
        write_recipe("two", place)
    assert place.read_text(encoding="utf-8") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


def fail(_: int) -> None:
    raise OSError(28, "No space left on device")
