"""Small random checkpoints of encoders with decoders, as Marian's and T5's folders are: SentencePiece files written field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from luban.checkpoints import sequences
from luban.generating.restraint import Marks
from luban.models.encoder_decoder import EncoderDecoder
from luban.tasks.text_to_text import BEASTS, COLOURS
from toys.spm import written

LETTERS = [*"abcdefghijklmnopqrstuvwxyz"]
ENGLISH = ["▁", *(f"▁{pair[0]}" for pair in (*COLOURS, *BEASTS)), "▁sees", *LETTERS]
FRENCH = ["▁", *(f"▁{pair[1]}" for pair in (*COLOURS, *BEASTS)), "▁voit", *LETTERS]
MARIAN: dict[str, Any] = {
    "width": 24, "layers": 2, "decoder_layers": 1, "heads": 3, "hidden": 37, "context": 24, "positions": "sinusoidal", "norm": "layer",
    "norm_eps": 1e-5, "pre_norm": False, "activation": "silu", "bias": True, "qk_norm": False, "scaled_vectors": True, "head_bias": True,
}  # fmt: skip
T5: dict[str, Any] = {
    "width": 24, "layers": 2, "heads": 3, "head_dim": 5, "hidden": 37, "context": 24, "positions": "relative", "buckets": 8, "distance": 11,
    "activation": "relu", "qk_norm": False, "scaled_scores": False, "scaled_head": True,
}  # fmt: skip
SPARE = 3  # rows of T5's table that no token has


def spm(marks: list[tuple[str, int]], pieces: list[str]) -> bytes:
    """A SentencePiece file of unigrams: marks with their kinds, then pieces, the longer the likelier."""
    every = [(name, 0.0, kind) for name, kind in marks] + [(piece, -20.0 + len(piece), 1) for piece in pieces]
    return written(every)


def net_of(settings: dict[str, Any], tokens: int) -> EncoderDecoder:
    """With weights away from zero."""
    torch.manual_seed(2)
    net = EncoderDecoder(EncoderDecoder.Config(**settings), tokens).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return net


def write_marian(place: Path) -> EncoderDecoder:
    """Two tokenizers over one table of ids, and marks that ask for a language."""
    marks = [("</s>", 3), ("<unk>", 2), ("<s>", 3)]
    union = list(dict.fromkeys([*ENGLISH, *FRENCH]))
    names = {name: place for place, name in enumerate(["</s>", "<unk>", *union, ">>fra<<", ">>eng<<", "<pad>"])}
    files = {"source.spm": spm(marks, ENGLISH), "target.spm": spm(marks, FRENCH), "vocab.json": json.dumps(names).encode()}
    net = net_of(MARIAN, len(names))
    pad = names["<pad>"]
    sequences.save(place, net, "marian", Marks(start=(pad,), end=(0,), never=(pad,)), files)
    return net


def write_t5(place: Path) -> EncoderDecoder:
    """One tokenizer for both sides."""
    pieces = list(dict.fromkeys([*ENGLISH, *FRENCH, "▁translate", "▁to", "▁french", ":"]))
    files = {"spiece.model": spm([("<pad>", 3), ("</s>", 3), ("<unk>", 2)], pieces)}
    net = net_of(T5, 3 + len(pieces) + SPARE)
    sequences.save(place, net, "t5", Marks(start=(0,), end=(1,), never=(0,)), files)
    return net


WRITE = {"marian": write_marian, "t5": write_t5}
