"""How families cut text before its bytes are merged: what `tokenizer.json` says of them, by the name GGUF gives them."""

from __future__ import annotations

from typing import Any

from luban.kinds.text import HAN

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def by_level(*, regex: bool) -> dict[str, Any]:
    """Bytes as printable characters; `regex` cuts as GPT-2 does."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}


def split(pattern: str) -> dict[str, Any]:
    """Each match by itself."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def row(*parts: dict[str, Any]) -> dict[str, Any]:
    """One after the other."""
    return {"type": "Sequence", "pretokenizers": list(parts)}


PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "luban": row(split(HAN), by_level(regex=True)),
    "gpt-2": by_level(regex=True),
    "smollm": row({"type": "Digits", "individual_digits": True}, by_level(regex=True)),
    "qwen2": row(split(rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{REST}"), by_level(regex=False)),
    "llama-bpe": row(split(rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{REST}"), by_level(regex=False)),
}
