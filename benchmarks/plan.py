"""How far forecasts lie off: for each recipe of `benchmarks/plan` the forecast, then the run itself in a fresh process.

python benchmarks/plan.py [NAME …] [--data FOLDER] [--out FILE]

Time is what the command takes on the wall, its start included; memory is the kernel's mark of the most that was resident. Needs an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

HERE = Path(__file__).parent / "plan"
RUN = "import sys; from luban.cli.main import run; from luban.planning.memory import highest; code = run(sys.argv[2:], False)\n"
RUN += "open(sys.argv[1], 'w').write(str(highest())); sys.exit(code)"


def main() -> None:
    """Print a table; write JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes; left out, all")
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data", help="where the sets lie")
    parser.add_argument("--out", type=Path, help="JSON; figures of other recipes in it are kept")
    given = parser.parse_args()
    names = given.names or sorted(path.stem for path in HERE.glob("*.toml"))
    found: dict[str, Any] = json.loads(given.out.read_text()) if given.out and given.out.is_file() else {}
    for name in names:
        found[name] = compare(name, given.data.absolute())
        print(row(name, found[name]), flush=True)
        if given.out:
            given.out.write_text(json.dumps(found, indent=1))
    print("\n" + "\n".join(table(found)))


def compare(name: str, data: Path) -> dict[str, float]:
    """Forecast and actual of one recipe."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made(place)
        text = (HERE / f"{name}.toml").read_text(encoding="utf-8").replace("DATA", str(data)).replace("MADE", str(place))
        (place / f"{name}.toml").write_text(text, encoding="utf-8")
        recipe, begun = str(place / f"{name}.toml"), time.perf_counter()
        forecast = json.loads(command(place, "plan", recipe, "--json"))
        plan_s = time.perf_counter() - begun
        begun = time.perf_counter()
        command(place, "train", recipe, "--quiet")
        seconds, peak = time.perf_counter() - begun, int((place / "peak").read_text())
        report = json.loads((place / "runs" / name / "report.json").read_text(encoding="utf-8"))
    foreseen = forecast["seconds"] + forecast["start_s"]
    return {
        "plan_s": plan_s, "forecast_s": foreseen, "actual_s": seconds, "time_off": foreseen / seconds - 1,
        "forecast_bytes": forecast["peak_bytes"], "actual_bytes": peak, "memory_off": forecast["peak_bytes"] / peak - 1,
        "stages": {f"{s['name']} {s['model']}".strip(): s["seconds"] for s in forecast["stages"]},
        "fits": {line["name"]: line["fit_seconds"] for line in report["ladder"]},
    }  # fmt: skip


def command(place: Path, *words: str) -> str:
    """What `luban` prints, in a process of its own."""
    environment = os.environ | {"LUBAN_LANG": "en", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(place / "peak"), *words], cwd=place, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def made(place: Path) -> None:
    """Sets that no folder of data is needed for."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 12))
    columns = {f"x{i}": x[:, i] for i in range(12)}
    pl.DataFrame(columns | {"y": np.where(x[:, :3].sum(1) + rng.normal(size=40_000) > 0, "a", "b")}).write_csv(place / "table.csv")
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * rng.normal(size=40_000)
    pl.DataFrame(columns | {"y": y}).write_csv(place / "regression.csv")
    lengths = rng.integers(20, 120, 6000)
    phase = rng.random(6000) < 0.5
    waves = [
        (np.sin(np.arange(n) * (0.2 if p else 0.3)) + rng.normal(0, 0.5, n)).round(3).tolist() for n, p in zip(lengths, phase, strict=True)
    ]
    (place / "series.jsonl").write_text(
        "".join(json.dumps({"wave": w, "y": "slow" if p else "fast"}) + "\n" for w, p in zip(waves, phase, strict=True))
    )


def row(name: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    return (
        f"| {name} | {found['forecast_s']:.1f} | {found['actual_s']:.1f} | {100 * found['time_off']:+.0f} % "
        f"| {found['forecast_bytes'] / 1e6:.0f} | {found['actual_bytes'] / 1e6:.0f} | {100 * found['memory_off']:+.0f} % | {found['plan_s']:.1f} |"
    )


def table(found: dict[str, Any]) -> list[str]:
    """All recipes, the median and the worst."""
    lines = ["| recipe | forecast s | actual s | off | forecast MB | actual MB | off | plan took s |", "|---|---|---|---|---|---|---|---|"]
    lines += [row(name, figures) for name, figures in sorted(found.items())]
    for title, pick in (("median", statistics.median), ("worst", max)):
        times, memories = (100 * pick(abs(figures[key]) for figures in found.values()) for key in ("time_off", "memory_off"))
        longest = pick(figures["plan_s"] for figures in found.values())
        lines.append(f"| {title} | | | {times:.0f} % | | | {memories:.0f} % | {longest:.1f} |")
    return lines


if __name__ == "__main__":
    main()
