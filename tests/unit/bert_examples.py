"""Small tokenizers such as checkpoints bring."""

from __future__ import annotations

from luban.tokenizing.subwords import Parts

TOKENS = 97
WORDS = [
    "good",
    "day",
    "bad",
    "##ly",
    "你",
    "好",
    "不",
    "un",
    "##do",
    "naive",
    "!",
    "[",
    "]",
    "mask",
    "cls",
    "a",
    "b",
    "##a",
    "##b",
    "café",
]
BYTES = "abdgoyĠmsk<>/!"


def chinese() -> Parts:
    """WordPiece of a few words, and of spare ones up to the count."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    names += [f"[unused{number}]" for number in range(TOKENS - len(names))]
    return Parts(kind="wordpiece", vocabulary={name: number for number, name in enumerate(names)}, lowercase=True, strip_accents=True)


def roberta_parts() -> Parts:
    """Byte-level pieces, the padding token 1."""
    merges = [("g", "o"), ("go", "o"), ("goo", "d"), ("b", "a"), ("ba", "d"), ("Ġ", "d"), ("Ġd", "a"), ("Ġda", "y")]
    names = ["<s>", "<pad>", "</s>", "<unk>", *BYTES, *(a + b for a, b in merges)]
    names += [f"spare{number}" for number in range(TOKENS - 1 - len(names))]
    vocabulary = {name: number for number, name in enumerate([*names, "<mask>"])}
    return Parts(kind="bytes", vocabulary=vocabulary, merges=tuple(merges))
