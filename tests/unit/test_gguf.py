"""GGUF: blocks by hand, a whole file against the folder it says the same as, and every way a file can lie about itself."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from decoder_examples import tokenizer_json

import luban
from luban import pretrained
from luban.checkpoints import gguf
from luban.errors import BundleError
from luban.language import decoders
from luban.models.gpt import Gpt
from luban.tokenizing import tokenizer

WIDTH, HEADS, KEYS, HIDDEN = 32, 4, 2, 64


def text(value: str) -> bytes:
    """Length and bytes."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def setting(name: str, value: Any) -> bytes:
    """Of a type found by its value."""
    if isinstance(value, bool):
        return text(name) + struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return text(name) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return text(name) + struct.pack("<If", 6, value)
    if isinstance(value, str):
        return text(name) + struct.pack("<I", 8) + text(value)
    if isinstance(value[0], str):
        return text(name) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    return text(name) + struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)


def write(path: Path, settings: dict[str, Any], tensors: dict[str, np.ndarray]) -> Path:
    """A file of float32 tensors."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(settings))
    out += b"".join(setting(name, value) for name, value in settings.items())
    offset = 0
    for name, array in tensors.items():
        out += (
            text(name) + struct.pack("<I", array.ndim) + struct.pack(f"<{array.ndim}Q", *array.shape[::-1]) + struct.pack("<IQ", 0, offset)
        )
        offset += -(-array.nbytes // 32) * 32
    out += b"\0" * (-len(out) % 32)
    for array in tensors.values():
        out += array.astype(np.float32).tobytes() + b"\0" * (-array.nbytes % 32)
    path.write_bytes(out)
    return path


def settings() -> dict[str, Any]:
    """Of a tiny Llama with the vocabulary of the examples."""
    described = json.loads(tokenizer_json())
    vocabulary = described["model"]["vocab"]
    names = [name for name, _ in sorted(vocabulary.items(), key=lambda item: item[1])] + [
        mark["content"] for mark in described["added_tokens"]
    ]
    return {
        "general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 64, "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": HIDDEN, "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KEYS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": names,
        "tokenizer.ggml.token_type": [1] * len(vocabulary) + [3, 3], "tokenizer.ggml.eos_token_id": len(names) - 1,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in described["model"]["merges"]],
    }  # fmt: skip


def tensors(num_tokens: int) -> dict[str, np.ndarray]:
    """Random, with queries and keys in pairs of neighbours, as llama.cpp has them."""
    rng = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) * 0.3).astype(np.float32)

    found = {"token_embd.weight": matrix(num_tokens, WIDTH), "output_norm.weight": matrix(WIDTH) + 1}
    for n in range(2):
        shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH // 2, WIDTH), "attn_v": (WIDTH // 2, WIDTH), "attn_output": (WIDTH, WIDTH)}
        shapes |= {"ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH), "ffn_down": (WIDTH, HIDDEN)}
        found |= {f"blk.{n}.{name}.weight": matrix(*shape) for name, shape in shapes.items()}
        found |= {f"blk.{n}.{name}.weight": matrix(WIDTH) + 1 for name in ("attn_norm", "ffn_norm")}
    return found


def test_a_file_is_read_as_the_folder_it_could_be(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", settings(), tensors(len(settings()["tokenizer.ggml.tokens"])))
    spec, rest = decoders.adopt({"kind": "gpt", "pretrained": str(path)})
    net = Gpt(pretrained.speaker_of({"kind": "gpt", "pretrained": str(path)}, rest["architecture"]), rest["num_tokens"])
    decoders.load(net, {"kind": "gpt", "pretrained": str(path)})
    assert spec["stops"] == [rest["num_tokens"] - 1]
    assert tokenizer.of_spec(spec).num_tokens == rest["num_tokens"]
    theirs = tensors(rest["num_tokens"])["blk.1.attn_q.weight"].reshape(HEADS, 4, 2, WIDTH)  # heads of 8: 4 pairs
    ours = net.blocks[1].attention.query.weight.detach().view(HEADS, 2, 4, WIDTH).transpose(1, 2).numpy()
    np.testing.assert_array_equal(ours, theirs)
    assert torch.isfinite(net(torch.arange(9)[None])).all()


def half(value: float) -> bytes:
    """Two bytes."""
    return np.float16(value).tobytes()


BLOCKS = {  # by the format's own text: low halves of the bytes are the first sixteen weights
    "q8_0": (half(0.5) + bytes(range(32)), 0.5 * np.arange(32)),
    "q4_0": (half(2) + bytes(k | (15 - k) << 4 for k in range(16)), 2.0 * (np.r_[np.arange(16), 15 - np.arange(16)] - 8)),
    "q4_1": (half(2) + half(-3) + bytes(k | (15 - k) << 4 for k in range(16)), 2.0 * np.r_[np.arange(16), 15 - np.arange(16)] - 3),
    "q5_0": (half(1) + struct.pack("<I", 0xFFFF0000) + bytes(k | k << 4 for k in range(16)), np.r_[np.arange(16) - 16, np.arange(16)]),
    "q5_1": (half(1) + half(0.25) + struct.pack("<I", 1) + bytes(16), np.r_[16.25, np.full(31, 0.25)]),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_by_hand(name: str) -> None:
    raw, wanted = BLOCKS[name]
    found = getattr(gguf, name)(np.frombuffer(raw * 2, np.uint8))
    np.testing.assert_array_equal(found, np.stack([wanted, wanted]))


def test_halves_of_floats() -> None:
    values = np.array([1.5, -2.0, 3.140625], np.float32)
    np.testing.assert_array_equal(gguf.bfloat16((values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)), values)


@pytest.mark.parametrize("cut", [0, 3, 11, 24, 100, 3000, -1, -40])
def test_a_cut_file_is_a_named_error(cut: int, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.gguf", settings(), tensors(len(settings()["tokenizer.ggml.tokens"]))).read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:cut])
    with pytest.raises(BundleError, match=r"L43[14]"):
        gguf.read(tmp_path / "cut.gguf")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"general.architecture": "mamba"}, "L437"),
        ({"tokenizer.ggml.model": "llama"}, "L434"),
        ({"tokenizer.ggml.pre": "unheard-of"}, "L434"),
        ({"llama.attention.head_count": 5}, "L434"),
        ({"general.alignment": 0}, "L434"),
    ],
)
def test_a_file_of_another_kind_is_a_named_error(change: dict[str, Any], code: str, tmp_path: Path) -> None:
    path = write(tmp_path / "odd.gguf", settings() | change, {})
    with pytest.raises(BundleError, match=code):
        gguf.read(path)
    with pytest.raises(BundleError, match="L431"):
        gguf.read(tmp_path / "nowhere.gguf")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    held = tensors(len(settings()["tokenizer.ggml.tokens"]))
    del held["blk.1.ffn_up.weight"]
    path = str(write(tmp_path / "lacking.gguf", settings(), held))
    _, rest = decoders.adopt({"kind": "gpt", "pretrained": path})
    net = Gpt(pretrained.speaker_of({"kind": "gpt", "pretrained": path}, rest["architecture"]), rest["num_tokens"])
    with pytest.raises(BundleError, match=r"L435.*blocks.1.feed.up.weight"):
        decoders.load(net, {"kind": "gpt", "pretrained": path})


def test_a_recipe_goes_on_from_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", settings(), tensors(len(settings()["tokenizer.ggml.tokens"])))
    (tmp_path / "tale.txt").write_text("say hello to the world 你好\n" * 40, encoding="utf-8")
    recipe = {
        "task": {"kind": "language-modeling", "generation": {"max_tokens": 3}},
        "data": str(tmp_path / "tale.txt"),
        "model": {"kind": "gpt", "pretrained": str(path)},
        "training": {"steps": 2, "batch_size": 4, "validations": 1, "precision": "float32", "threads": 1},
        "evaluation": {"draws": 10},
    }
    run = luban.train(recipe, folder=tmp_path / "run")
    path.unlink()
    assert luban.load(run.bundle).predict([{"text": "say"}])[0]["tokens"] <= 3
    with pytest.raises(BundleError, match="L431"):
        luban.train(recipe, folder=tmp_path / "other")
