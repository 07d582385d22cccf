"""wrk (a load generator in C) behind the interface of `serving.load`: it leaves the cores to who is measured."""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

SCRIPT = """
local bodies = {%s}
local turn = 0
request = function()
  turn = turn %% #bodies + 1
  return wrk.format("POST", "%s", {["Content-Type"] = "application/json"}, bodies[turn])
end
done = function(summary, latency, requests)
  print("FOUND", summary.requests, summary.duration, summary.errors.status, latency:percentile(50), latency:percentile(99))
end
"""


@dataclass
class Counted:
    """What wrk tells: answers, seconds, what was not answered with 2xx or 3xx, percentiles of the waiting times in seconds."""

    rate: float
    percentiles: dict[float, float]
    statuses: Counter[str] = field(default_factory=Counter)

    def at(self, share: float) -> float:
        """Milliseconds that this share of the answers took at most."""
        return 1000 * self.percentiles[share]


def load(port: int, requests: list[bytes], connections: int, seconds: float) -> Counted:
    """So many connections for so long; what they leave behind unanswered is the caller's to wait for. Raises RuntimeError where wrk fails."""
    path = requests[0].split(b" ")[1].decode()
    bodies = [one.partition(b"\r\n\r\n")[2].decode() for one in requests]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(SCRIPT % (",\n".join(f"[==[{body}]==]" for body in bodies), path), encoding="utf-8")
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "30s",
            "-s",
            str(script),
            f"http://localhost:{port}/",
        ]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((line for line in told.stdout.splitlines() if line.startswith("FOUND")), "")
    if not line:
        raise RuntimeError(told.stdout + told.stderr)
    answered, micros, others, half, most = map(float, line.split()[1:])
    percentiles = {0.5: half / 1e6, 0.99: most / 1e6}
    return Counted((answered - others) / micros * 1e6, percentiles, Counter({"others": int(others)} if others else {}))
