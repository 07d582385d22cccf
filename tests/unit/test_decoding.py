"""What helpers decode is what this process decodes, whatever becomes of them; none outlives it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from luban import cores, decoding, memory
from luban.decoding import POOL, Helper, Pixels, Shared, decode_all, decoded

SIZE = (9, 7)


def png(seed: int) -> bytes:
    """Grey noise."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(seed).integers(0, 256, (11, 13), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """No test finds or leaves a helper."""
    POOL.close()
    yield
    POOL.close()


@pytest.fixture
def cells(tmp_path: Path) -> list[Any]:
    """As tables hold pictures, some of them at fault, among the first, in the middle and at the end."""
    found: list[Any] = [png(seed) for seed in range(60)]
    path = tmp_path / "图 \udcff.png"  # a name that is no UTF-8
    path.write_bytes(png(99))
    found[20:24] = [str(path), {"bytes": png(7), "path": "x.png"}, {"bytes": None, "path": str(path)}, str(tmp_path / "lost.png")]
    found[2], found[30], found[31], found[-1] = b"no picture", None, b"", found[-1][:40]
    return found


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers are started for any work."""
    for name, value in {"LOOKED": 8, "WORTH_S": 0.0, "SMALL_S": 9.0, "PIECE_S": 1e-4}.items():
        monkeypatch.setattr(decoding, name, value)
    monkeypatch.setattr(cores, "allowed", lambda: 3)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is slow: helpers get their share."""

    def here(self: Shared, part: list[Any]) -> Pixels:
        time.sleep(0.02)
        return decoded(part, SIZE, 1)

    monkeypatch.setattr(Shared, "here", here)


def same(found: Pixels, wanted: Pixels) -> None:
    """Pixels and reasons."""
    assert np.array_equal(found[0], wanted[0])
    assert found[1] == wanted[1]


def children() -> list[int]:
    """Processes that this one began."""
    return [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]


@pytest.mark.parametrize("channels", [1, 3])
def test_helpers_change_nothing(cells: list[Any], channels: int, eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, ask = threading.Event(), Helper.ask

    def counted(self: Helper, part: list[Any], *rest: Any) -> Pixels:
        asked.set()
        return ask(self, part, *rest)

    def here(self: Shared, part: list[Any]) -> Pixels:
        assert asked.wait(60)  # the other pieces are left to helpers
        return decoded(part, SIZE, channels)

    monkeypatch.setattr(Helper, "ask", counted)
    monkeypatch.setattr(Shared, "here", here)
    before = children()
    found = decode_all(cells, SIZE, channels)
    same(found, decoded([decoding.bare(cell) for cell in cells], SIZE, channels))
    assert set(found[1]) == {2, 23, 30, 31, 59}
    assert asked.is_set()
    POOL.close()
    assert children() == before


@pytest.mark.parametrize("after", [0, 2])
def test_what_a_helper_left_is_decoded_here(
    cells: list[Any], after: int, eager: None, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, asked = Helper.ask, 0

    def dying(self: Helper, part: list[Any], *rest: Any) -> Pixels:
        nonlocal asked
        if asked == after:
            self.process.kill()
        asked += 1
        return ask(self, part, *rest)

    monkeypatch.setattr(cores, "allowed", lambda: 2)
    monkeypatch.setattr(Helper, "ask", dying)
    same(decode_all(cells, SIZE, 1), decoded([decoding.bare(cell) for cell in cells], SIZE, 1))


def test_nonsense_of_a_helper_leaves_nothing_black(cells: list[Any], eager: None, patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Helper, "ask", lambda *_: (np.zeros((2, 2)), {}))
    same(decode_all(cells, SIZE, 1), decoded([decoding.bare(cell) for cell in cells], SIZE, 1))


def test_a_forked_process_has_helpers_of_its_own() -> None:
    with POOL.borrowed() as one:
        pass
    POOL.forget()  # as a forked process does
    with POOL.borrowed() as other:
        assert other is not one
        assert other.ask([None], SIZE, 1)[1]
    POOL.close()
    one.close()


@pytest.mark.parametrize(("free", "helpers"), [(300_000_000, 0), (500_000_000, 2), (10**10, 4), (10**12, 4)])
def test_helpers_are_as_many_as_cores_and_memory_allow(free: int, helpers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed", lambda: 4)
    monkeypatch.setattr(memory, "free", lambda: free)
    assert decoding.most_helpers() == helpers


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/python"])
def test_where_none_can_be_started_all_is_decoded_here(
    cells: list[Any], program: str, eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = decoded([decoding.bare(cell) for cell in cells], SIZE, 1)
    monkeypatch.setattr(sys, "executable", program)
    POOL.close()
    same(decode_all(cells, SIZE, 1), wanted)


def test_an_interruption_ends_the_helpers(cells: list[Any], eager: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(self: Shared, part: list[Any]) -> Pixels:
        raise KeyboardInterrupt

    POOL.close()
    before = children()
    monkeypatch.setattr(Shared, "here", here)
    with pytest.raises(KeyboardInterrupt):
        decode_all(cells, SIZE, 1)
    POOL.close()
    assert children() == before


def test_a_free_helper_serves_again_and_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    POOL.close()
    monkeypatch.setattr(decoding, "IDLE_S", 0.3)
    before = children()
    with POOL.borrowed() as one:
        pass
    with POOL.borrowed() as other:
        assert other is one
        assert other.ask([None], SIZE, 1)[0].shape == (1, 1, *SIZE)
    until = time.monotonic() + 10
    while children() != before and time.monotonic() < until:
        time.sleep(0.05)
    assert children() == before


def test_little_work_is_not_shared(cells: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed", lambda: 8)
    monkeypatch.setattr(decoding, "LOOKED", 8)
    monkeypatch.setattr(decoding, "POOL", None)  # would fail
    same(decode_all(cells, SIZE, 1), decoded([decoding.bare(cell) for cell in cells], SIZE, 1))
    assert decode_all([], SIZE, 1)[0].shape == (0, 1, *SIZE)


def test_a_helper_does_not_run_the_program_again_and_ends_with_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"  # without a guard of its main part
    program.write_text(
        "import time; from pathlib import Path; from luban.decoding import POOL\n"
        "print('once', flush=True)\n"
        "with POOL.borrowed() as helper:\n"
        "    helper.ask([b''], (4, 4), 1)\n"
        "    print(*[p.read_text() for p in Path('/proc/self/task').glob('*/children')], flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the user stands in for the library')")
    paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-P", str(program)], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ | paths
    ) as main:
        assert main.stdout is not None
        assert main.stdout.readline() == "once\n"
        pid = int(main.stdout.readline())
        main.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_a_helper_reads_what_it_is_told() -> None:
    with POOL.borrowed() as helper:
        array, faults = helper.ask([png(3), None], (11, 13), 1)
        assert np.array_equal(array[0, 0], np.random.default_rng(3).integers(0, 256, (11, 13), np.uint8))
        assert list(faults) == [1]
