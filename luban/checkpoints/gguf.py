"""A GGUF file as a checkpoint folder would say it: settings, tensors in float32 under their Hugging Face names, tokenizer files.

The format is that of ggml's `gguf.md`, version 2 and 3; blocks of 32 weights share a scale, and a least value where they have one (Q4_0 … Q8_0).
Nothing is trusted: every length is held against the file before anything is read.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luban.errors import BundleError
from luban.files import open_plain
from luban.messages import tr
from luban.tokenizing.pre_tokenizers import PRE_TOKENIZERS

MAGIC, VERSIONS, ALIGNMENT = b"GGUF", (2, 3), 32
MOST_ENTRIES = 2_000_000  # of a list, or tensors, or settings
PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # type of a value -> as struct has it
TEXT, LIST = 8, 9
CONTROL, UNUSED = 3, 5  # kinds of tokens
BLOCK = 32


@dataclass
class Cursor:
    """A place in the file."""

    data: mmap.mmap
    at: int = 0
    depth: int = 0

    def take(self, count: int) -> bytes:
        """The next bytes. Raises ValueError beyond the end."""
        if count < 0 or self.at + count > len(self.data):
            raise ValueError(tr("it ends too soon"))
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form: str) -> Any:
        """One plain value."""
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def text(self) -> str:
        """Length and bytes."""
        return self.take(self.number("Q")).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        """One setting."""
        if kind == TEXT:
            return self.text()
        if kind == LIST:
            inner, count = self.number("I"), self.number("Q")
            if count > MOST_ENTRIES or self.depth > 2:
                raise ValueError(tr("a list is too long"))
            if inner in PLAIN:
                size = struct.calcsize(f"<{PLAIN[inner]}")
                return list(struct.unpack(f"<{count}{PLAIN[inner]}", self.take(size * count)))
            self.depth += 1
            found = [self.value(inner) for _ in range(count)]
            self.depth -= 1
            return found
        if kind not in PLAIN:
            raise ValueError(tr("a value of an unknown type: {n}", n=kind))
        return self.number(PLAIN[kind])


@dataclass(frozen=True)
class Held:
    """Where a tensor lies."""

    shape: tuple[int, ...]  # as torch has it: the slowest first
    kind: int
    offset: int


@dataclass
class Gguf:
    """Settings and places of one file."""

    settings: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Held] = field(default_factory=dict)
    begin: int = 0


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, bytes]]:
    """(`config.json`, tensors, tokenizer files by name). Raises BundleError L431, L434, L437, L438."""
    path = Path(path)
    try:
        with open_plain(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = head(data)
            config = config_of(found.settings, path)
            config["tie_word_embeddings"] = "output.weight" not in found.tensors
            names = {name: theirs_of(name) for name in found.tensors}
            tensors = {names[name]: tensor(data, found, held) for name, held in found.tensors.items() if names[name]}
            if config["model_type"] == "llama":
                unturn(tensors, config)
            return config, tensors, tokenizer_files(found.settings)
    except OSError as error:
        raise BundleError("L431", tr("a file is missing, or is a link"), where=str(path), fix=tr("check the path")) from error
    except (ValueError, KeyError, struct.error, TypeError, IndexError, OverflowError) as error:
        why = tr("{name} is missing", name=str(error)) if isinstance(error, KeyError) else str(error)
        raise BundleError(
            "L434", tr("the weights are damaged: {why}", why=why[:100]), where=str(path), fix=tr("download it again")
        ) from error


def head(data: mmap.mmap) -> Gguf:
    """Settings, and where each tensor lies, held against the size of the file."""
    cursor = Cursor(data)
    if cursor.take(4) != MAGIC or cursor.number("I") not in VERSIONS:
        raise ValueError(tr("this is no GGUF of version 2 or 3"))
    num_tensors, num_settings = cursor.number("Q"), cursor.number("Q")
    if max(num_tensors, num_settings) > MOST_ENTRIES:
        raise ValueError(tr("a list is too long"))
    found = Gguf()
    for _ in range(num_settings):
        name = cursor.text()
        found.settings[name] = cursor.value(cursor.number("I"))
    for _ in range(num_tensors):
        name = cursor.text()
        ranks = cursor.number("I")
        if ranks > 4:
            raise ValueError(tr("a tensor of more than four axes"))
        shape = tuple(cursor.number("Q") for _ in range(ranks))[::-1]
        found.tensors[name] = Held(shape, cursor.number("I"), cursor.number("Q"))
    step = int(found.settings.get("general.alignment", ALIGNMENT))
    if not 0 < step <= 4096:
        raise ValueError(tr("an alignment of {n}", n=step))
    found.begin = -(-cursor.at // step) * step
    return found


def tensor(data: mmap.mmap, found: Gguf, held: Held) -> Tensor:
    """One tensor as float32, copied out of the file."""
    if held.kind not in FORMS:
        raise ValueError(tr("weights of type {n} are not read here", n=held.kind))
    size, per, decode = FORMS[held.kind]
    count = math.prod(held.shape)
    if count % per or (held.shape and held.shape[-1] % per):
        raise ValueError(tr("a tensor is not made of whole blocks"))
    begin, length = found.begin + held.offset, count // per * size
    if begin + length > len(data):
        raise ValueError(tr("it ends too soon"))
    raw = np.frombuffer(data[begin : begin + length], np.uint8)
    return torch.from_numpy(np.ascontiguousarray(decode(raw).astype(np.float32, copy=False)).reshape(held.shape))


def halves(raw: np.ndarray) -> np.ndarray:
    """(N, 2) bytes -> (N, 1) float32 of float16."""
    return np.ascontiguousarray(raw).view(np.float16).astype(np.float32)


def plain(dtype: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Weights as they are."""
    return lambda raw: raw.view(dtype).astype(np.float32)


def bfloat16(raw: np.ndarray) -> np.ndarray:
    """The upper half of a float32."""
    return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def nibbles(raw: np.ndarray) -> np.ndarray:
    """(N, 16) bytes -> (N, 32): the low halves, then the high ones."""
    return np.concatenate([raw & 15, raw >> 4], axis=1).astype(np.float32)


def fifth(raw: np.ndarray) -> np.ndarray:
    """(N, 4) bytes -> (N, 32): bit i, as 16."""
    bits = np.ascontiguousarray(raw).view(np.uint32)  # (N, 1)
    return ((bits >> np.arange(BLOCK, dtype=np.uint32)) & 1).astype(np.float32) * 16


def q8_0(raw: np.ndarray) -> np.ndarray:
    """scale · q."""
    blocks = raw.reshape(-1, 34)
    return halves(blocks[:, :2]) * np.ascontiguousarray(blocks[:, 2:]).view(np.int8).astype(np.float32)


def q4_0(raw: np.ndarray) -> np.ndarray:
    """scale · (q - 8)."""
    blocks = raw.reshape(-1, 18)
    return halves(blocks[:, :2]) * (nibbles(blocks[:, 2:]) - 8)


def q4_1(raw: np.ndarray) -> np.ndarray:
    """scale · q + least."""
    blocks = raw.reshape(-1, 20)
    return halves(blocks[:, :2]) * nibbles(blocks[:, 4:]) + halves(blocks[:, 2:4])


def q5_0(raw: np.ndarray) -> np.ndarray:
    """scale · (q - 16)."""
    blocks = raw.reshape(-1, 22)
    return halves(blocks[:, :2]) * (nibbles(blocks[:, 6:]) + fifth(blocks[:, 2:6]) - 16)


def q5_1(raw: np.ndarray) -> np.ndarray:
    """scale · q + least."""
    blocks = raw.reshape(-1, 24)
    return halves(blocks[:, :2]) * (nibbles(blocks[:, 8:]) + fifth(blocks[:, 4:8])) + halves(blocks[:, 2:4])


FORMS: dict[int, tuple[int, int, Callable[[np.ndarray], np.ndarray]]] = {  # type -> bytes of a block, weights in it, how to read it
    0: (4, 1, plain(np.float32)), 1: (2, 1, plain(np.float16)), 30: (2, 1, bfloat16),
    2: (18, BLOCK, q4_0), 3: (20, BLOCK, q4_1), 6: (22, BLOCK, q5_0), 7: (24, BLOCK, q5_1), 8: (34, BLOCK, q8_0),
}  # fmt: skip


def config_of(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """As `config.json` has it. Raises BundleError L437 for another family."""
    family = settings.get("general.architecture")
    if family not in ("llama", "qwen2", "qwen3"):
        what, fix = tr("no model here reads this family"), tr("choose a checkpoint of one of these families")
        raise BundleError("L437", what, where=str(path), received=family, allowed=("llama", "qwen2", "qwen3"), fix=fix)

    def of(name: str) -> Any:
        return settings[f"{family}.{name}"]

    heads, width = of("attention.head_count"), of("embedding_length")
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise ValueError(f"attention.head_count {heads}")
    config = {
        "model_type": family,
        "hidden_size": width,
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": settings.get(f"{family}.attention.head_count_kv", heads),
        "head_dim": settings.get(f"{family}.attention.key_length", width // heads),
        "intermediate_size": of("feed_forward_length"),
        "max_position_embeddings": of("context_length"),
        "rms_norm_eps": float(of("attention.layer_norm_rms_epsilon")),
        "rope_theta": float(settings.get(f"{family}.rope.freq_base", 10_000.0)),
        "vocab_size": len(settings["tokenizer.ggml.tokens"]),
    }
    for ours, theirs in (("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id")):
        config[ours] = settings.get(f"tokenizer.ggml.{theirs}")
    return config


PARTS = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def theirs_of(name: str) -> str:
    """The Hugging Face name of a tensor; its own where there is none, "" for tables that are computed."""
    if name == "rope_freqs.weight":
        return ""
    stem, _, last = name.rpartition(".")
    if stem in WHOLE:
        return f"{WHOLE[stem]}.{last}"
    words = stem.split(".")
    if len(words) == 3 and words[0] == "blk" and words[2] in PARTS:
        return f"model.layers.{words[1]}.{PARTS[words[2]]}.{last}"
    return name


def unturn(tensors: dict[str, Tensor], config: Mapping[str, Any]) -> None:
    """Llama's queries and keys lie in pairs of neighbours there; here the two halves of a head are the pairs."""
    for name, found in tensors.items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config["num_attention_heads"] if "q_proj" in name else config["num_key_value_heads"]
            tensors[name] = found.view(heads, -1, 2, found.shape[-1]).transpose(1, 2).reshape(found.shape).contiguous()


def tokenizer_files(settings: Mapping[str, Any]) -> dict[str, bytes]:
    """`tokenizer.json` and `tokenizer_config.json` of a byte-level BPE. Raises ValueError for any other."""
    kind, pre = settings.get("tokenizer.ggml.model"), settings.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or pre not in PRE_TOKENIZERS:
        raise ValueError(tr("a tokenizer of kind {kind} is not read here", kind=f"{kind}/{pre}"))
    names = settings["tokenizer.ggml.tokens"]
    kinds = settings.get("tokenizer.ggml.token_type", [1] * len(names))
    marks = [
        {"id": id, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": kind == CONTROL}
        for id, (name, kind) in enumerate(zip(names, kinds, strict=True))
        if kind in (CONTROL, 4)
    ]
    merges = [merge.split(" ") for merge in settings["tokenizer.ggml.merges"]]
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": marks, "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZERS[pre], "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": pre == "llama-bpe",
            "vocab": {name: id for id, name in enumerate(names)}, "merges": merges,
        },
    }  # fmt: skip
    about = {
        "chat_template": settings.get("tokenizer.chat_template"),
        "add_bos_token": bool(settings.get("tokenizer.ggml.add_bos_token", False)),
        "bos_token": name_of(names, settings.get("tokenizer.ggml.bos_token_id")),
        "eos_token": name_of(names, settings.get("tokenizer.ggml.eos_token_id")),
    }
    return {"tokenizer.json": json.dumps(whole, ensure_ascii=False).encode(), "tokenizer_config.json": json.dumps(about).encode()}


def name_of(names: list[str], id: Any) -> str | None:
    """A token's name."""
    return names[id] if isinstance(id, int) and 0 <= id < len(names) else None
