"""Train on a csv ten times larger than the memory allowed: peak memory of every stage, and throughput.

`python benchmarks/memory.py --memory "1 GB" --times 10` prints a Markdown table, and ends with exit code 1 where more was held than allowed; `--folder`
names a place with room for three times the file. Where this user may make control groups the run is shut into one of that size, files' pages counted:
the system itself ends what needs more.
The texts are English and Chinese words of log-normal length; one word in eight tells the label.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from luban.memory import CGROUP, bytes_of, groups

HINTS = (["excellent", "推荐", "lovely", "满意", "works"], ["awful", "后悔", "broken", "退货", "noisy"])
RECIPE = """
task = "classification"
data = "texts.csv"
target = "label"
[inputs]
text = "text"
[model]
kind = "ngrams"
[training]
memory = "{memory}"
steps = {steps}
validations = 2
[evaluation]
draws = 50
"""
FRAME = "import sys; from luban.cli.main import main; main(sys.argv[1:])"


def words(rng: np.random.Generator) -> np.ndarray:
    """20,000 made-up words, half of them Chinese, as frequent as words are."""
    letters, han = list("etaoinshrdlucmfwypvbgk"), [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
    latin = ["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(10_000)]
    chinese = ["".join(rng.choice(han, rng.integers(1, 4))) for _ in range(10_000)]
    return np.array([word for pair in zip(latin, chinese, strict=True) for word in pair], object)


def generate(path: Path, size: int, seed: int = 0) -> int:
    """A csv of about `size` bytes, 50 MB of rows again and again under another number; its rows."""
    body, count = rows_of(np.random.default_rng(seed), min(size, 50_000_000))
    rows = number = 0
    with path.open("wb") as file:
        file.write(b"text,label\n")
        while file.tell() < size:
            file.write(body.replace(b"LOT", str(number).encode()))
            rows, number = rows + count, number + 1
    return rows


def rows_of(rng: np.random.Generator, size: int) -> tuple[bytes, int]:
    """Rows of about so many bytes, and their number."""
    known = words(rng)
    share = 1 / np.arange(3, len(known) + 3)
    lines: list[bytes] = []
    written = 0
    while written < size:
        label, length = int(rng.integers(0, 2)), int(np.clip(rng.lognormal(4.3, 0.7), 3, 2000))
        drawn = known[rng.choice(len(known), length, p=share / share.sum())]
        drawn[::8] = rng.choice(HINTS[label if rng.random() < 0.9 else 1 - label], len(drawn[::8]))
        lines.append(f'"LOT {" ".join(drawn)}",{"good" if label else "bad"}\n'.encode())
        written += len(lines[-1])
    return b"".join(lines), len(lines)


class Watch(threading.Thread):
    """Samples the memory of a process by the stage it is in."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True)
        self.process, self.stage, self.begun = process, "start", time.monotonic()
        self.peaks: dict[str, list[float]] = {}  # stage -> resident, anonymous, seconds

    def run(self) -> None:
        """Every 20 ms until the process ends."""
        last = time.monotonic()
        while self.process.poll() is None:
            now, (resident, anonymous) = time.monotonic(), held_by(self.process.pid)
            peak = self.peaks.setdefault(self.stage, [0.0, 0.0, 0.0])
            peak[:] = max(peak[0], resident), max(peak[1], anonymous), peak[2] + now - last
            last = now
            time.sleep(0.02)


def held_by(process: int) -> tuple[float, float]:
    """Resident and anonymous megabytes."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    facts = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "RssAnon"))}
    return int(facts.get("VmRSS", 0)) / 1e3 * 1.024, int(facts.get("RssAnon", 0)) / 1e3 * 1.024


class Cell:
    """A control group that holds so many bytes and not one more, where this user may make one."""

    LIMITS = ("memory.max", "memory.swap.max"), ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
    PEAKS = "memory.peak", "memory.max_usage_in_bytes"

    def __init__(self, limit: int) -> None:
        places = [*groups(CGROUP, "0::"), *groups(CGROUP / "memory", ":memory:")]
        self.folder = next((made for place in places if (made := self.make(place, limit))), None)

    def make(self, place: Path, limit: int) -> Path | None:
        """One below another, or None."""
        folder = place / f"luban-{os.getpid()}"
        try:
            folder.mkdir()
            for name, swap in self.LIMITS:
                if (folder / name).exists():
                    (folder / name).write_text(str(limit))
                    if (folder / swap).exists():
                        (folder / swap).write_text("0" if swap == "memory.swap.max" else str(limit))
                    return folder
            folder.rmdir()
        except OSError:
            if folder.is_dir():
                folder.rmdir()
        return None

    def enter(self) -> None:
        """Put this process there."""
        if self.folder is not None:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def leave(self) -> str:
        """Take the group away; what the system counted at most."""
        if self.folder is None:
            return "no control group could be made: sampled only"
        peaks = [int((self.folder / name).read_text()) for name in self.PEAKS if (self.folder / name).exists()]
        self.folder.rmdir()
        return f"shut into a control group, files' pages counted: at most {max(peaks, default=0) / 1e6:.0f} MB"


def train(folder: Path, memory: str, steps: int, cell: Cell) -> tuple[Watch, list[str]]:
    """`luban train` in a process of its own; what it said."""
    (folder / "recipe.toml").write_text(RECIPE.format(memory=memory, steps=steps), encoding="utf-8")
    command = [sys.executable, "-c", FRAME, "train", "recipe.toml"]
    environment = os.environ | {"LUBAN_LANG": "en", "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, preexec_fn=cell.enter
    )
    watch, said = Watch(process), []
    watch.start()
    for line in process.stderr or ():
        said.append(line.rstrip())
        watch.stage = next((stage for mark, stage in STAGES.items() if mark in line), watch.stage)
        print(f"{time.monotonic() - watch.begun:7.1f} s  {line.rstrip()}", file=sys.stderr)
    if process.wait():
        raise SystemExit("\n".join(said[-5:]))
    return watch, said


STAGES = {
    "preparing the data": "prepare",
    "forecast:": "majority",
    "majority:": "linear",
    "  linear:": "train",
    "evaluating": "evaluate",
    "writing bundle": "bundle",
}


def main() -> None:
    """Generate, train, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", default="1 GB", help="what the recipe allows")
    parser.add_argument("--times", type=float, default=10, help="size of the file, over the memory allowed")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder, size = Path(name), int(asked.times * bytes_of(asked.memory))
        rows = generate(folder / "texts.csv", size)
        cell = Cell(bytes_of(asked.memory))
        try:
            watch, said = train(folder, asked.memory, asked.steps, cell)
        finally:
            counted = cell.leave()
        report = json.loads(next(folder.glob("runs/*/report.json")).read_text(encoding="utf-8"))
    print(f"\n{size / 1e9:.2f} GB of csv, {rows:,} rows, {asked.memory} allowed, {report['data'].get('sample')}\n")
    print("| stage | seconds | peak resident MB | of it anonymous MB |\n|---|---:|---:|---:|")
    for stage, (resident, anonymous, seconds) in watch.peaks.items():
        print(f"| {stage} | {seconds:.0f} | {resident:.0f} | {anonymous:.0f} |")
    print(f"\n{counted}\n" + "\n".join(line for line in said if "MB/s" in line or "W21" in line))
    most = max(resident for resident, _, _ in watch.peaks.values())
    if most * 1e6 > bytes_of(asked.memory):
        sys.exit(f"{most:.0f} MB were held, {asked.memory} allowed")


if __name__ == "__main__":
    main()
