"""A text and an image classifier under load, ours and peers on the same weights: requests a second and waiting times by connections, one after the other.

python benchmarks/serving_classifiers.py --peers PYTHON [--connections 1,16,64,256] [--seconds 4] [--rounds 3] [--cores 0:1] [--kinds tiny-text,text,image]
    [--json FILE] [--wrk]

The bundles are made here: BERTs of 2 × 128 (its authors' tiny) and 4 × 256 (mini) over wordpieces, and a convolutional net over 32 × 32 pixels, untrained. `--peers PYTHON` names the interpreter of
an environment with transformers, fastapi, uvicorn, litserve and Luban's own requirements (benchmarks/serving_classifier_peers.py). Every service must give the same
chances before it is measured, and is halted while another one is. Ours takes in whatever comes (`wait_s`), as the peers do. `--cores A:B`: services on core A,
the load on core B; without it all share what there is, and `--wrk` (Debian's package of that name) leaves most of it to the services.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import http.client
import io
import json
import os
import random
import socket
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from halting import Halting, free_port
from PIL import Image
from serving import Seen, Service, load, request
from wrk import Counted
from wrk import load as wrk_load

import luban
from luban import recipe
from luban.bundle.fingerprint import fingerprint
from luban.bundle.write import write

START_S = 180.0
PEERS = ("pipeline", "litserve")
ROWS = 64
MODELS = {
    "tiny-text": {"kind": "bert", "width": 128, "layers": 2, "heads": 2, "feed": 512},
    "text": {"kind": "bert", "width": 256, "layers": 4, "heads": 4, "feed": 1024},
    "image": {"kind": "convnet", "size": "small"},
}


def texts() -> list[str]:
    """Reviews of invented words."""
    rng = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "el", "ir", "on", "us")]
    lexicon = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(3000)]
    return [" ".join(rng.choices(lexicon, k=rng.randint(8, 28))) for _ in range(800)]


def pictures() -> list[bytes]:
    """Coloured noise, as PNG."""
    rng, out = np.random.default_rng(1), []
    for _ in range(120):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(file, "PNG")
        out.append(file.getvalue())
    return out


def made(folder: Path, kind: str) -> tuple[Path, list[Any]]:
    """The bundle, and rows to ask."""
    cells: list[Any] = pictures() if kind == "image" else texts()
    text = {"kind": "text", "tokenizer": "wordpiece", "vocabulary": 4000, "max_length": 128}
    inputs = {"cell": {"kind": "image"} if kind == "image" else text}
    found = recipe.parse({"task": "classification", "data": "none", "inputs": inputs, "target": "label", "model": MODELS[kind]}, name=kind)
    table = pl.DataFrame({"cell": cells, "label": [f"label {place % 5}" for place in range(len(cells))]})
    task = found.make_task()
    task = type(task)(task.config, json.loads(json.dumps(task.fit(table))))
    torch.manual_seed(0)
    net = task.build().eval()
    rows = table.drop("label")
    write(folder / kind, found, task, net, report={}, rows=rows[:8], fingerprint=fingerprint(task.encode(table[:50]), []))
    print(f"{kind}: {sum(p.numel() for p in net.parameters()) / 1e6:.1f} million parameters", flush=True)
    return folder / kind, cells[:ROWS]


def written(cell: Any) -> Any:
    """As JSON has it."""
    return cell if isinstance(cell, str) else base64.b64encode(cell).decode()


def ours(cell: Any) -> bytes:
    """A request to the service."""
    value = cell if isinstance(cell, str) else {"base64": written(cell)}
    return request("/v1/predict/bench", json.dumps({"row": {"cell": value}}).encode())


def theirs(cell: Any) -> bytes:
    """A request to a peer."""
    return request("/predict", json.dumps({"inputs": written(cell)}).encode())


def answer(port: int, asked: bytes) -> Any:
    """What one request brings."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    path, body = asked.split(b" ")[1].decode(), asked.partition(b"\r\n\r\n")[2]
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    found = connection.getresponse()
    if found.status != 200:
        raise RuntimeError(found.read())
    value = json.loads(found.read())
    connection.close()
    return value


class Peer(Halting):
    """Another service on the same weights."""

    def __init__(self, python: str, name: str, kind: str, bundle: Path, core: str) -> None:
        self.port = free_port()
        script = str(Path(__file__).with_name("serving_classifier_peers.py"))
        surroundings = os.environ | {"PYTHONPATH": str(Path(luban.__file__).parents[1])}
        self.begin(
            [python, script, name, kind, str(bundle), str(self.port)],
            core,
            lambda: socket.create_connection(("127.0.0.1", self.port), 1).close(),
            patience_s=START_S,
            env=surroundings,
        )


@dataclass
class Measured:
    """One service: how it is asked, what it is told to do before and after, and what was seen by connections."""

    port: int
    requests: list[bytes]
    halt: Callable[[bool], None]
    seen: dict[int, list[Seen | Counted]]


def check_alike(cells: list[Any], service: Service, peers: dict[str, Peer]) -> None:
    """Every peer must give the chances that ours gives."""
    for cell in cells[:8]:
        wanted = answer(service.port, ours(cell))["answer"]["chances"]
        for name, peer in peers.items():
            found = {one["label"]: one["score"] for one in answer(peer.port, theirs(cell))}
            furthest = max(abs(found[label] - chance) for label, chance in wanted.items())
            if furthest > 1e-3:
                raise RuntimeError(f"{name} answers otherwise: {found} for {wanted}")


def compared(asked: argparse.Namespace, services: dict[str, Measured]) -> None:
    """Each in turn at each number of connections, round after round."""
    for _ in range(asked.rounds):
        for connections in map(int, asked.connections.split(",")):
            for measured in services.values():
                measured.halt(False)
                seen: Seen | Counted
                if asked.wrk:
                    answer(measured.port, measured.requests[0])
                    seen = wrk_load(measured.port, measured.requests, connections, asked.seconds)
                    answer(measured.port, measured.requests[0])  # comes once what wrk left behind is computed
                else:
                    seen = asyncio.run(load("127.0.0.1", measured.port, measured.requests, connections, asked.seconds))
                measured.halt(True)
                measured.seen.setdefault(connections, []).append(seen)


def lines_of(kind: str, services: dict[str, Measured]) -> list[dict[str, Any]]:
    """Medians over the rounds, and ours against each."""
    out = []
    for connections in next(iter(services.values())).seen:
        figures = {
            name: [statistics.median(value(seen) for seen in one.seen[connections]) for value in (lambda s: s.rate, lambda s: s.at(0.5), lambda s: s.at(0.99))]
            for name, one in services.items()
        }  # fmt: skip
        for name, (rate, p50, p99) in figures.items():
            others = sum(count for seen in services[name].seen[connections] for status, count in seen.statuses.items() if status != "200")
            line = {"kind": kind, "service": name, "connections": connections, "requests_s": rate, "p50_ms": p50, "p99_ms": p99}
            out.append(line | {"others": others, "luban_faster": figures["luban"][0] / rate if rate else None})
    return out


def measure(asked: argparse.Namespace, kind: str, folder: Path) -> list[dict[str, Any]]:
    """All services of one kind."""
    core, (bundle, cells) = asked.cores.partition(":")[0], made(folder, kind)
    service, peers = Service(bundle, core, "--limit", "wait_s=60", "--limit", "waiting=2048"), {}
    try:
        for name in PEERS if asked.peers else ():
            peers[name] = Peer(asked.peers, name, kind, bundle, core)
        check_alike(cells, service, peers)
        services = {"luban": Measured(service.port, [ours(cell) for cell in cells], service.halt, {})}
        for name, peer in peers.items():
            services[name] = Measured(peer.port, [theirs(cell) for cell in cells], peer.halt, {})
        for one in services.values():
            one.halt(True)
        compared(asked, services)
        return lines_of(kind, services)
    finally:
        for peer in peers.values():
            peer.stop()
        service.halt(False)
        service.stop()


def table(lines: list[dict[str, Any]]) -> str:
    """As Markdown."""
    out = [
        "| kind | connections | service | requests/s | p50 ms | p99 ms | not answered | luban is … times as fast |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in lines:
        figures = f"{one['requests_s']:.0f} | {one['p50_ms']:.1f} | {one['p99_ms']:.1f} | {one['others']} | {one['luban_faster'] or float('nan'):.2f}"
        out.append(f"| {one['kind']} | {one['connections']} | {one['service']} | {figures} |")
    return "\n".join(out)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("connections", "1,16,64,256"), ("cores", ""), ("peers", ""), ("kinds", ",".join(MODELS)), ("json", "")):
        parser.add_argument(f"--{name}", default=value)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wrk", action="store_true")
    asked = parser.parse_args()
    if own := asked.cores.partition(":")[2]:
        os.sched_setaffinity(0, {int(own)})
    with tempfile.TemporaryDirectory() as folder:
        lines = [line for kind in asked.kinds.split(",") for line in measure(asked, kind, Path(folder))]
    print(table(lines))
    if asked.json:
        Path(asked.json).write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
