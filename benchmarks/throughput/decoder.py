"""Training steps of a decoder against the GEMM peak measured in the same run: share of the peak that its products reach.

python benchmarks/throughput/decoder.py [--width 384 --layers 6 --heads 6] [--context 256] [--rows 16] [--tokens 256] [--steps 4] [--rounds 5] [--threads 2] [--compile]

A token of training costs 6 floating-point operations a weight that multiplies (Kaplan et al. 2020, section 2.1), and attention 6·T·D a layer (half
of 12: what follows is never looked at). The peak is that of a square product of 1024. CPU seconds count, so that other work on the machine does not.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from rates import of_peak

from luban.language.causal import nats_of
from luban.models.gpt import Gpt
from luban.training.compiling import compiled


def main() -> None:
    """In turn; medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    defaults = {"width": 384, "layers": 6, "heads": 6, "context": 256, "rows": 16, "tokens": 256, "steps": 4, "rounds": 5, "threads": 2}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--compile", action="store_true", help='as `compile = "on"` has it')
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    net = Gpt(Gpt.Config(width=o.width, layers=o.layers, heads=o.heads, context=o.context), o.tokens)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    tokens = torch.randint(0, o.tokens, (o.rows, o.context + 1))
    driven: Any = compiled(net, torch.device("cpu")) if o.compile else net

    def step() -> None:
        optimizer.zero_grad()
        total, count = nats_of(driven, driven.hidden(tokens[:, :-1]), tokens[:, 1:])
        (total / count).backward()
        optimizer.step()

    weights = sum(parameter.numel() for parameter in net.parameters() if parameter.ndim == 2)
    each = 6 * weights + 6 * o.layers * o.context * o.width
    found = of_peak(step, each * o.rows * o.context, steps=o.steps, rounds=o.rounds, threads=o.threads)
    for title, (ours, most, share) in found.items():
        print(
            f"by {title}: {ours:.1f} of {most:.1f} GFLOP/s = {share:.1%} · {ours * 1e9 / each:.0f} tokens/s · {weights / 1e6:.1f} M weights"
        )


if __name__ == "__main__":
    main()
