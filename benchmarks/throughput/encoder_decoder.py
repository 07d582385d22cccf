"""Training steps of an encoder–decoder against the GEMM peak measured in the same run: share of the peak that its products reach.

python benchmarks/throughput/encoder_decoder.py [--width 384 --layers 4 --heads 6] [--source 48 --answer 48] [--rows 48] [--tokens 8000] [--steps 3] [--rounds 5]
                                        [--threads 2] [--compile]

A token costs 6 floating-point operations a weight that multiplies it (Kaplan et al. 2020, section 2.1): keys and values of the look at the source
count for its tokens, the head for the answer's. Attention costs 12·S·T·D a layer, half where what follows is never looked at. The peak is that of a
square product of 1024. CPU seconds count, so that other work on the machine does not.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from rates import of_peak

from luban.language.answering import loss, pairs_of
from luban.models.encoder_decoder import EncoderDecoder
from luban.training.compiling import compiled


def operations(net: EncoderDecoder, source: int, answer: int) -> float:
    """Of one pair in training."""
    width = net.config.width
    matrices = {name: parameter.numel() for name, parameter in net.named_parameters() if parameter.ndim == 2}
    of_source = sum(n for name, n in matrices.items() if name.startswith("encoder.") or ".cross.key" in name or ".cross.value" in name)
    of_answer = sum(n for name, n in matrices.items() if name.startswith("decoder.")) - sum(
        n for name, n in matrices.items() if ".cross.key" in name or ".cross.value" in name
    )
    head = net.num_tokens * width
    looks = net.config.layers * 12 * source**2 + net.config.decoder_depth * (6 * answer**2 + 12 * source * answer)
    return 6 * (of_source * source + (of_answer + head) * answer) + looks * width


def main() -> None:
    """In turn; medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    defaults = {"width": 384, "layers": 4, "heads": 6, "source": 48, "answer": 48, "rows": 48, "tokens": 8000, "steps": 3, "rounds": 5}
    for name, default in (defaults | {"threads": 2}).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--compile", action="store_true", help='as `compile = "on"` has it')
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    net = EncoderDecoder(EncoderDecoder.Config(width=o.width, layers=o.layers, heads=o.heads), o.tokens)
    driven = compiled(net, torch.device("cpu")) if o.compile else net
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    generator = np.random.default_rng(0)
    sides = [[generator.integers(3, o.tokens, length) for _ in range(o.rows)] for length in (o.source, o.answer - 1)]
    pairs = pairs_of(sides[0], sides[1], start=[1], end=2)

    def step() -> None:
        optimizer.zero_grad()
        total, count = loss(driven, pairs)
        (total / count).backward()
        optimizer.step()

    each = operations(net, o.source, o.answer) * o.rows
    found = of_peak(step, each, steps=o.steps, rounds=o.rounds, threads=o.threads)
    weights = sum(parameter.numel() for parameter in net.parameters()) / 1e6
    for title, (ours, most, share) in found.items():
        speed = ours * 1e9 / each * o.rows * (o.source + o.answer)
        print(f"by {title}: {ours:.1f} of {most:.1f} GFLOP/s = {share:.1%} · {speed:.0f} tokens/s of both sides · {weights:.1f} M weights")


if __name__ == "__main__":
    main()
