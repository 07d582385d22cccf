"""Tokens per second of generation against transformers' `generate`, on the same random weights, alternately in one run; the same greedy tokens.

python benchmarks/lm/generate.py [--width 768 --layers 12 --heads 12] [--tokens 64] [--prompt 32] [--streams 1 8] [--repeats 3] [--threads 1]

transformers is needed (extra `oracle`). CPU seconds are told beside the clock's, for machines that do other things too.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from luban.checkpoints import gpt as names
from luban.generating.faster import faster
from luban.generating.settings import Generation
from luban.generating.slots import generate
from luban.models.gpt import Gpt
from luban.tokenizing.tokenizer import Tokenizer


class Wide(Tokenizer):
    """Spells nothing: what is measured is the model."""

    @property
    def bytes(self) -> list[bytes]:
        """Nothing for every id."""
        return [b""] * 200_000


def pair(options: argparse.Namespace) -> tuple[Any, Gpt]:
    """Their GPT-2 and ours, with the same weights."""
    import transformers

    torch.manual_seed(0)
    size = {"n_embd": options.width, "n_layer": options.layers, "n_head": options.heads}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**size)).eval()
    config, num_tokens = names.config_of(model.config.to_dict())
    net = Gpt(config, num_tokens)
    net.load_state_dict(names.ours(model.state_dict(), config, "gpt2"))
    return model, net.eval()


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """(result, seconds by the clock, CPU seconds)."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Alternately, as often as asked; the best of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"width": 768, "layers": 12, "heads": 12, "tokens": 64, "prompt": 32, "repeats": 3, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, net = pair(options)
    settings = Generation(temperature=0, max_tokens=options.tokens)
    speak = Wide(form="characters", tokenizer="[]", stops=(), begin=None)
    for streams in options.streams:
        blocked, _ = faster(net, streams)
        light, tried = faster(net, streams, int8=True)
        print(f"{streams} streams: layers by form", dict(Counter(one.form for one in tried)))
        prompts = torch.randint(0, 50_000, (streams, options.prompt), generator=torch.Generator().manual_seed(1))
        rows = [np.array(row) for row in prompts.tolist()]
        ways: dict[str, Callable[[], list[list[int]]]] = {
            "transformers": lambda p=prompts: theirs(model, p, options.tokens),
            "luban": lambda r=rows: [found.tokens for found in generate(net, speak, r, settings)],
            "luban faster": lambda r=rows, n=blocked: [found.tokens for found in generate(n, speak, r, settings)],
            "luban int8": lambda r=rows, light=light: [found.tokens for found in generate(light, speak, r, settings)],
        }
        best: dict[str, tuple[float, float]] = {}
        said: dict[str, list[list[int]]] = {}
        for _ in range(options.repeats):
            for name, work in ways.items():
                said[name], wall, cpu = timed(work)
                best[name] = tuple(map(min, best.get(name, (wall, cpu)), (wall, cpu)))  # type: ignore[assignment]
        total = streams * options.tokens
        for name, (wall, cpu) in best.items():
            ratio = f"{best['transformers'][0] / wall:.2f}x by the clock, {best['transformers'][1] / cpu:.2f}x by CPU time"
            alike = np.mean([one == other for a, b in zip(said[name], said["transformers"]) for one, other in zip(a, b)])
            print(
                f"{streams} streams {name:13} {total / wall:7.1f} tokens/s {total / cpu:7.1f} per CPU s · {ratio} · same tokens {alike:.3f}"
            )


def theirs(model: Any, prompts: torch.Tensor, count: int) -> list[list[int]]:
    """Greedy, with their cache."""
    with torch.inference_mode():
        found = model.generate(
            prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=count, do_sample=False, pad_token_id=0, eos_token_id=None
        )
    return found[:, prompts.shape[1] :].tolist()


if __name__ == "__main__":
    main()
