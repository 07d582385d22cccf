"""A service under load, by a load generator of its own: requests a second and waiting times by connections, overload, drains, nonsense, hours.

python benchmarks/serving.py BUNDLE [--connections 1,16,64,256] [--seconds 5] [--cores 0:1] [--soak MINUTES] [--drains N]
    [--against URL --path /predict --body FILE]

Prints a table. The service runs in a process of its own; `--cores A:B` binds it to core A and the generator to core B. `--against` loads a service
that runs already (a peer) in the same way, in turn with ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Seen:
    """What came back."""

    times: list[float] = field(default_factory=list)  # of what was answered with 200
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / self.seconds

    def at(self, share: float) -> float:
        """Milliseconds that this share of the answers took at most."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: list[bytes], seen: Seen, state: dict[str, float]) -> None:
        self.requests, self.seen, self.state = requests, seen, state
        self.data, self.begun, self.turn = b"", 0.0, 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        """The next request."""
        self.begun = time.perf_counter()
        self.transport.write(self.requests[self.turn % len(self.requests)])  # type: ignore[attr-defined]
        self.turn += 1

    def data_received(self, data: bytes) -> None:
        """An answer is whole when its length has come."""
        self.data += data
        head, split, body = self.data.partition(b"\r\n\r\n")
        if not split:
            return
        lowered = head.lower()
        length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        now, status = time.perf_counter(), head[9:12].decode()
        self.data = b""
        if now > self.state["from"]:
            self.seen.statuses[status] += 1
            if status == "200":
                self.seen.times.append(now - self.begun)
        if now > self.state["until"] or b"connection: close" in lowered:
            self.transport.close()
        else:
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        """The end."""
        if time.perf_counter() < self.state["until"]:
            self.seen.statuses["lost"] += 1
        if not self.done.done():
            self.done.set_result(None)


async def load(host: str, port: int, requests: list[bytes], connections: int, seconds: float, warm: float = 1.0) -> Seen:
    """So many connections for so long, the first moment not counted."""
    loop, seen, begun = asyncio.get_running_loop(), Seen(), time.perf_counter()
    state = {"from": begun + warm, "until": begun + warm + seconds}
    clients = []
    for number in range(connections):
        turned = requests[number % len(requests) :] + requests[: number % len(requests)]
        _, client = await loop.create_connection(lambda turned=turned: Client(turned, seen, state), host, port)
        clients.append(client)
    await asyncio.wait([client.done for client in clients], timeout=warm + seconds + 30)
    seen.seconds = seconds
    return seen


def request(path: str, body: bytes, host: str = "localhost") -> bytes:
    """POST, as JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def requests_of(bundle: Path) -> list[bytes]:
    """The bundle's golden rows."""
    lines = [json.loads(line) for line in (bundle / "golden.jsonl").read_text(encoding="utf-8").splitlines()]
    return [request("/v1/predict/bench", json.dumps({"row": line["input"]}, ensure_ascii=False).encode()) for line in lines]


def as_installed() -> dict[str, str]:
    """The surroundings of a package that was installed: its byte code is kept, as an installation writes it, though not beside these sources."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "luban-benchmarks-pycache")} | kept


class Service:
    """Ours, in a process of its own."""

    def __init__(self, bundle: Path, core: str, *options: str) -> None:
        bind = ["taskset", "-c", core] if core else []
        command = [*bind, sys.executable, "-m", "luban", "serve", f"bench={bundle}", "--port", "0", *options]
        begun = time.perf_counter()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=as_installed())
        line = self.process.stderr.readline()  # type: ignore[union-attr]
        self.start_s, self.port = time.perf_counter() - begun, int(line.rsplit(":", 1)[1])

    @property
    def cpu_s(self) -> float:
        """Processor time so far, which neighbours on the machine change little."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def halt(self, halted: bool) -> None:
        """Stop the process, or let it go on: who is not measured takes no time from who is."""
        self.process.send_signal(signal.SIGSTOP if halted else signal.SIGCONT)

    @property
    def memory_mb(self) -> float:
        """Resident now."""
        line = next(line for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1000

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def row(name: str, connections: int, seen: Seen, cpu_s: float = float("nan")) -> str:
    """One line of the table."""
    each = 1000 * cpu_s / max(1, sum(seen.statuses.values()))
    others = ", ".join(f"{status}: {count}" for status, count in sorted(seen.statuses.items()) if status != "200")
    return f"| {name} | {connections} | {seen.rate:.0f} | {seen.at(0.5):.1f} | {seen.at(0.99):.1f} | {each:.2f} | {others} |"


def table(asked: argparse.Namespace, service: Service) -> None:
    """Requests a second by connections; a peer in turn with ours."""
    print("| service | connections | requests/s | p50 ms | p99 ms | CPU ms each | others |\n|---|---|---|---|---|---|---|")
    ours, rates = requests_of(asked.bundle), []
    for connections in map(int, asked.connections.split(",")):
        before = service.cpu_s
        seen = asyncio.run(load("127.0.0.1", service.port, ours, connections, asked.seconds, 0.0))
        rates.append((seen.rate, seen.at(0.5)))
        print(row("luban", connections, seen, service.cpu_s - before), flush=True)
        if asked.against:
            url = urlsplit(asked.against)
            theirs = [request(asked.path, Path(asked.body).read_bytes())]
            seen = asyncio.run(load(url.hostname or "127.0.0.1", url.port or 80, theirs, connections, asked.seconds))
            print(row(asked.against, connections, seen), flush=True)
    last, best = rates[-1], max(rate for rate, _ in rates)
    print(f"\nthe last line answers {100 * last[0] / best:.0f} % of the best one's requests/s, half of them within {last[1]:.0f} ms")


def soak(asked: argparse.Namespace, service: Service) -> None:
    """Memory while it works for minutes."""
    ours = requests_of(asked.bundle)
    for minute in range(asked.soak):
        seen = asyncio.run(load("127.0.0.1", service.port, ours, 16, 59.0))
        print(f"minute {minute + 1}: {seen.rate:.0f} requests/s, {service.memory_mb:.1f} MB", flush=True)


def drains(asked: argparse.Namespace) -> None:
    """Stops under load: what was lost."""
    total: Counter[str] = Counter()
    for number in range(asked.drains):
        service = Service(asked.bundle, asked.cores.split(":")[0], "--limit", "leave_s=0.3")

        async def under_load(service: Service = service, number: int = number) -> Seen:
            asyncio.get_running_loop().call_later(0.3 + 0.01 * (number % 20), service.process.send_signal, signal.SIGTERM)
            return await load("127.0.0.1", service.port, requests_of(asked.bundle), 16, 5.0, 0.0)

        seen = asyncio.run(under_load())
        code = service.process.wait(60)
        total["answered"] += len(seen.times)
        total["exit 0"] += code == 0
    print(f"{asked.drains} drains: {dict(total)}")


def main() -> None:
    """Measure what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--connections", default="1,16,64,256")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--cores", default="")
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--drains", type=int, default=0)
    parser.add_argument("--against", default="")
    parser.add_argument("--path", default="/predict")
    parser.add_argument("--body", default="")
    asked = parser.parse_args()
    server_core, _, own_core = asked.cores.partition(":")
    if own_core:
        os.sched_setaffinity(0, {int(own_core)})
    if asked.drains:
        drains(asked)
        return
    service = Service(asked.bundle, server_core)
    print(f"ready after {service.start_s:.1f} s with {service.memory_mb:.0f} MB")
    table(asked, service)
    if asked.soak:
        soak(asked, service)
    print(f"{service.memory_mb:.0f} MB at the end; exit code {service.stop()}")


if __name__ == "__main__":
    main()
