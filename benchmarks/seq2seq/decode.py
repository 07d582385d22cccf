"""Sources answered per second against transformers' `generate`, on the same random weights, alternately in one run; the same answers.

python benchmarks/seq2seq/decode.py [--width 512 --layers 6 --heads 8 --hidden 2048 --tokens 8000] [--sources 128] [--batch 32] [--beams 1 4]
                                    [--repeats 3] [--threads 1]

A Marian with random weights; the bias of the end is set so that answers are about as long as sources. transformers gets the sources in batches of
`--batch`, padded, as they come; here they are sorted by length and leave when done. Each side is also told in tokens that were kept. transformers is
needed (extra `oracle`). CPU seconds are told beside the clock's, for machines that do other things too.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from luban.checkpoints import marian
from luban.generating.faster import faster
from luban.generating.search import ROWS, Marks, answers
from luban.generating.settings import Search
from luban.models.encoder_decoder import EncoderDecoder

PAD, END, MOST, MEAN = 0, 1, 96, 25
MARKS = Marks(start=(PAD,), end=(END,), never=(PAD,))
Tokens = list[list[int]]


def pair(o: argparse.Namespace) -> tuple[Any, EncoderDecoder]:
    """Their Marian and ours, with the same weights."""
    import transformers

    torch.manual_seed(0)
    size = {
        "d_model": o.width,
        "vocab_size": o.tokens,
        "max_position_embeddings": 256,
        "activation_function": "swish",
        "scale_embedding": True,
    }
    for half in ("encoder", "decoder"):
        size |= {f"{half}_layers": o.layers, f"{half}_attention_heads": o.heads, f"{half}_ffn_dim": o.hidden}
    special = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": PAD, "forced_eos_token_id": None, "init_std": 0.1}
    model = transformers.MarianMTModel(transformers.MarianConfig(**size, **special)).eval()
    config, num_tokens = marian.config_of(model.config.to_dict())
    net = EncoderDecoder(config, num_tokens)
    net.load_state_dict(marian.ours(model.state_dict(), config))
    return model, net.eval()


def set_end(model: Any, net: EncoderDecoder, sources: list[np.ndarray]) -> None:
    """Raise the bias of the end until greedy answers are as long as sources, by halving."""
    low, high = -100.0, 100.0
    some = sources[:16]
    for _ in range(12):
        bias = (low + high) / 2
        net.head_bias.data[END] = bias  # type: ignore[union-attr]
        found = answers(net, some, Search(beams=1, max_tokens=MOST), MARKS)
        long = np.mean([len(one.logs) for (one,) in found]) > MEAN
        low, high = (bias, high) if long else (low, bias)
    model.final_logits_bias[0, END] = net.head_bias.data[END]  # type: ignore[union-attr]


def theirs(model: Any, sources: list[np.ndarray], beams: int, batch: int) -> Tokens:
    """Their answers without padding."""
    found: Tokens = []
    for start in range(0, len(sources), batch):
        part = sources[start : start + batch]
        longest = max(map(len, part))
        tokens = torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in part])
        with torch.inference_mode():
            made = model.generate(
                tokens, attention_mask=(tokens != PAD).long(), num_beams=beams, do_sample=False, max_new_tokens=MOST, bad_words_ids=[[PAD]]
            )
        found += [[token for token in row[1:].tolist() if token not in (PAD, END)] for row in made]
    return found


def own(net: Any, sources: list[np.ndarray], beams: int) -> Tokens:
    """Ours."""
    return [best[0].tokens for best in answers(net, sources, Search(beams=beams, max_tokens=MOST), MARKS)]


def timed(work: Callable[[], Tokens]) -> tuple[Tokens, float, float]:
    """(result, seconds by the clock, CPU seconds)."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Alternately, as often as asked; the best of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    defaults = {
        "width": 512,
        "layers": 6,
        "heads": 8,
        "hidden": 2048,
        "tokens": 8000,
        "sources": 128,
        "batch": 32,
        "repeats": 3,
        "threads": 1,
    }
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    model, net = pair(o)
    generator = np.random.default_rng(1)
    sources = [generator.integers(2, o.tokens, length) for length in generator.integers(4, 2 * MEAN, o.sources)]
    set_end(model, net, sources)
    rows = min(ROWS, o.sources)
    blocked, _ = faster(net, rows)
    light, tried = faster(net, rows, int8=True)
    print(
        f"{sum(p.numel() for p in net.parameters()) / 1e6:.1f} M weights · int8: layers by form", dict(Counter(one.form for one in tried))
    )
    for beams in o.beams:
        compare(o, model, {"luban": net, "luban faster": blocked, "luban int8": light}, sources, beams)


def compare(o: argparse.Namespace, model: Any, nets: dict[str, Any], sources: list[np.ndarray], beams: int) -> None:
    """One line each."""
    ways: dict[str, Callable[[], Tokens]] = {"transformers": lambda: theirs(model, sources, beams, o.batch)}
    ways |= {name: lambda net=net: own(net, sources, beams) for name, net in nets.items()}  # type: ignore[misc]
    best: dict[str, tuple[float, float]] = {}
    said: dict[str, Tokens] = {}
    for _ in range(o.repeats):
        for name, work in ways.items():
            said[name], wall, cpu = timed(work)
            best[name] = tuple(map(min, best.get(name, (wall, cpu)), (wall, cpu)))  # type: ignore[assignment]
    count = sum(len(row) + 1 for row in said["transformers"])
    for name, (wall, cpu) in best.items():
        ratio = f"{best['transformers'][0] / wall:.2f}x by the clock, {best['transformers'][1] / cpu:.2f}x by CPU time"
        alike = np.mean([one == other for one, other in zip(said[name], said["transformers"], strict=True)])
        print(
            f"beams {beams} {name:13} {o.sources / wall:7.2f} sources/s {count / wall:8.1f} tokens/s · {ratio} · same answers {alike:.3f}"
        )


if __name__ == "__main__":
    main()
