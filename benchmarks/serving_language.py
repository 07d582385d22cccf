"""A language model under load: tokens a second of many streams against one, time to the first token, time to start; peers on the same weights in turn.

python benchmarks/serving_language.py [--layers 12 --width 768] [--streams 1,8] [--tokens 64] [--rounds 3] [--cores 0:1] [--peers PYTHON]

The bundle is made here: a Llama of random weights and a tokenizer learnt from invented words (12 × 768: 91 million parameters). `--peers PYTHON` names the
interpreter of an environment with transformers, fastapi, uvicorn and litserve (benchmarks/serving_peers.py); they are loaded with the same checkpoint.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch
from halting import Halting, free_port
from serving import Service

from luban import recipe
from luban.bundle.fingerprint import fingerprint
from luban.bundle.write import write
from luban.language import decoders

START_S = 180.0
STARTS = 3
PEERS = ("pipeline", "litserve")


def words(count: int, seed: int) -> str:
    """Invented words."""
    rng = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "el", "ir", "on", "us")]
    return " ".join("".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(count))


def made(folder: Path, asked: argparse.Namespace) -> tuple[Path, Path]:
    """The bundle, and the same weights as a checkpoint folder."""
    shape = {"kind": "gpt", "width": asked.width, "layers": asked.layers, "heads": asked.heads, "context": 1024, "activation": "swiglu"}
    section = shape | {"qk_norm": False, "zero_init": False}
    given = {"task": {"kind": "language-modeling", "vocabulary": 8192}, "data": "none", "inputs": {"text": "text"}, "model": section}
    found = recipe.parse(given, name="random")
    table = pl.DataFrame({"text": [words(100, seed) for seed in range(600)]})
    task = found.make_task()
    task = type(task)(task.config, json.loads(json.dumps(task.fit(table))))
    torch.manual_seed(0)
    net = task.build().eval()
    write(folder / "bundle", found, task, net, report={}, rows=table[:4], fingerprint=fingerprint(task.encode(table[:50]), []))
    decoders.save(folder / "checkpoint", net, task.tokenizer, "llama")  # type: ignore[arg-type]
    print(f"{sum(p.numel() for p in net.parameters()) / 1e6:.0f} million parameters, {task.tokenizer.num_tokens} tokens known", flush=True)
    return folder / "bundle", folder / "checkpoint"


def asked_of(port: int, path: str, body: dict[str, Any]) -> tuple[int, int, float, float]:
    """(tokens, tokens of the prompt, seconds to the first event, seconds) of one answer; streamed where the body says so."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    begun = time.perf_counter()
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(answer.read())
    first, usage = 0.0, {}
    if not body.get("stream"):
        usage = json.loads(answer.read())["usage"]
    while body.get("stream") and (line := answer.readline()):
        if line.startswith(b"data: {"):
            first = first or time.perf_counter() - begun
            usage = json.loads(line[6:]).get("usage") or usage
    connection.close()
    return usage["completion_tokens"], usage["prompt_tokens"], first, time.perf_counter() - begun


class Load:
    """So many streams at once, each with a prompt of its own."""

    def __init__(self, port: int, path: str, tokens: int, *, stream: bool) -> None:
        self.port, self.path, self.tokens, self.stream, self.seed = port, path, tokens, stream, 1000

    def body(self, count: int) -> dict[str, Any]:
        """A prompt of about so many words, never the same."""
        self.seed += 1
        body = {"model": "bench", "prompt": words(count, self.seed), "max_tokens": self.tokens, "seed": self.seed, "temperature": 0.8}
        return body | ({"stream": True, "stream_options": {"include_usage": True}} if self.stream else {})

    def rate(self, streams: int) -> float:
        """Tokens a second of all together."""
        found: list[int] = []

        def one(body: dict[str, Any]) -> None:
            found.append(asked_of(self.port, self.path, body)[0])

        threads = [threading.Thread(target=one, args=(self.body(12),)) for _ in range(streams)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(found) / (time.perf_counter() - begun)

    def first(self, count: int) -> tuple[int, float]:
        """(tokens of the prompt, seconds to the first token)."""
        _, prompt, first, _ = asked_of(self.port, self.path, self.body(count))
        return prompt, first


class Peer(Halting):
    """Another service on the same checkpoint."""

    def __init__(self, python: str, name: str, checkpoint: Path, core: str) -> None:
        self.port = free_port()
        script = str(Path(__file__).with_name("serving_peers.py"))
        once = {"prompt": words(3, 0), "max_tokens": 1}
        command = [python, script, name, str(checkpoint), str(self.port)]
        self.start_s = self.begin(command, core, lambda: asked_of(self.port, "/generate", once), patience_s=START_S)


def started(bundle: Path, core: str) -> Service:
    """Started several times, as an installed package starts, whose byte code is there; the last one stays."""
    seconds, spent = [], []
    for turn in range(1 + STARTS):
        service = Service(bundle, core)
        if turn:
            seconds.append(service.start_s)
            spent.append(service.cpu_s)
        if turn < STARTS:
            service.stop()
    found = f"{statistics.median(seconds):.2f} s (least {min(seconds):.2f}), {statistics.median(spent):.2f} s of processor"
    print(f"ready after {found}, with {service.memory_mb:.0f} MB; median of {STARTS} starts", flush=True)
    return service


def compared(asked: argparse.Namespace, loads: dict[str, Load], halts: dict[str, Callable[[bool], None]]) -> None:
    """Every service in turn, round after round, the others halted; medians."""
    streams = [int(count) for count in asked.streams.split(",")]
    rates: dict[tuple[str, int], list[float]] = {}
    for _ in range(asked.rounds):
        for name, load in loads.items():
            for other, halt in halts.items():
                halt(not name.startswith(other))
            for count in streams:
                rates.setdefault((name, count), []).append(load.rate(count))
    for halt in halts.values():
        halt(False)
    print("| service | streams | tokens/s | against one |\n|---|---|---|---|")
    for (name, count), found in rates.items():
        one = statistics.median(rates[name, streams[0]])
        print(f"| {name} | {count} | {statistics.median(found):.1f} | {statistics.median(found) / one:.2f} |", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("layers", 12), ("width", 768), ("heads", 12), ("tokens", 64), ("rounds", 3), ("prompt_words", 112)):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    for name, value in (("streams", "1,8"), ("cores", ""), ("peers", "")):
        parser.add_argument(f"--{name}", default=value)
    asked = parser.parse_args()
    core, _, own = asked.cores.partition(":")
    if own:
        os.sched_setaffinity(0, {int(own)})
    with tempfile.TemporaryDirectory() as folder:
        bundle, checkpoint = made(Path(folder), asked)
        service = started(bundle, core)
        peers: dict[str, Peer] = {}
        try:
            load = Load(service.port, "/v1/completions", asked.tokens, stream=True)
            load.rate(1)
            spent = service.cpu_s
            firsts = [load.first(asked.prompt_words) for _ in range(5)]
            prompt, first = (statistics.median(values) for values in zip(*firsts, strict=True))
            cost = (service.cpu_s - spent) / 5
            said = f"{1000 * first:.0f} ms ({cost:.2f} s of processor with the rest of the answer)"
            print(f"first token after {said} for a prompt of {prompt:.0f} tokens (median of 5)", flush=True)
            for name in PEERS if asked.peers else ():
                peers[name] = Peer(asked.peers, name, checkpoint, core)
            whole = Load(service.port, "/v1/completions", asked.tokens, stream=False)
            theirs = {name: Load(peer.port, "/generate", asked.tokens, stream=False) for name, peer in peers.items()}
            halts = {"luban": service.halt} | {name: peer.halt for name, peer in peers.items()}
            compared(asked, {"luban, streamed": load, "luban, whole": whole} | theirs, halts)
        finally:
            for peer in peers.values():
                peer.stop()
            print(f"{service.memory_mb:.0f} MB at the end; exit code {service.stop()}", flush=True)


if __name__ == "__main__":
    main()
