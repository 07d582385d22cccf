"""A tiny decoder as a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from luban.kinds.text import train_tokenizer
from luban.language import decoders
from luban.models.gpt import Gpt
from luban.tokenizing.tokenizer import Tokenizer

MARKS = ("<|im_start|>", "<|im_end|>")


def tokenizer_json() -> str:
    """A byte-level BPE with the marks of ChatML."""
    learnt = json.loads(train_tokenizer(["say hello to the world 你好 " * 5], 300))
    size = len(learnt["model"]["vocab"])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    learnt["added_tokens"] = [{"id": size + number, "content": mark, **plain} for number, mark in enumerate(MARKS)]
    return json.dumps(learnt)


def folder_of(place: Path, template: str | None = None) -> Path:
    """A Llama of two layers."""
    made = Tokenizer(form="given", tokenizer=tokenizer_json(), begin=None, stops=())
    end = made.id_of(MARKS[1])
    own = Tokenizer(form="given", tokenizer=made.tokenizer, begin=None, stops=(end or 0,))
    torch.manual_seed(0)
    config = Gpt.Config(width=24, layers=2, heads=4, kv_heads=2, context=256, activation="swiglu", qk_norm=False, zero_init=False)
    net = Gpt(config, own.num_tokens + 3)
    folder = place / "checkpoint"
    decoders.save(folder, net, own, "llama")
    about = {"eos_token": MARKS[1], "chat_template": template, "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder
