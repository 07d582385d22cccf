"""SentencePiece's unigram pieces, as T5 and Marian have them: read from `tokenizer.json` or an `.spm` file; nothing in either decides more than scores.

Kudo 2018, section 3.2: a text is cut into the pieces whose scores, logarithms of their chances, have the largest sum. A space is written ▁.
An `.spm` file is a protocol buffer (sentencepiece_model.proto); only the fields named here are read.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luban import strict_json
from luban.messages import tr

SPACE = "▁"
MOST_PIECES = 4_000_000
PIECE, TRAINER, NORMALIZER = 1, 2, 3  # fields of ModelProto
NORMAL, UNKNOWN, DEFINED, BYTE = 1, 2, 4, 6  # kinds of pieces
UNIGRAM = 1
NORMALIZERS = ("Precompiled", "Strip", "Replace")
BYTES = re.compile(r"<0x([0-9A-F]{2})>")
Scored = tuple[str, float]


@dataclass(frozen=True)
class Pieces:
    """What decides how a text is cut."""

    scored: tuple[Scored, ...]
    """Each piece with its score, by id."""
    unknown: int
    """Stands for what no piece spells."""
    spelt: bool = False
    """What no piece spells is written by its bytes."""
    charsmap: str = ""
    """SentencePiece's table of characters that become others, base64; empty = none."""
    special: tuple[int, ...] = ()
    """Marks, which stand for no text."""


def of_spm(data: bytes) -> Pieces:
    """From a SentencePiece file. Raises ValueError for a damaged one, or one whose pieces are no unigrams."""
    scored: list[Scored] = []
    kinds: list[int] = []
    settings: dict[int, dict[int, Any]] = {TRAINER: {}, NORMALIZER: {}}
    for number, value in fields(data):
        if number == PIECE:
            piece = dict(fields(whole(value)))
            scored.append((whole(piece.get(1, b"")).decode(), as_float(piece.get(2, b"\0\0\0\0"))))
            kinds.append(as_int(piece.get(3, NORMAL)))
        elif number in settings:
            settings[number] = dict(fields(whole(value)))
        if len(scored) > MOST_PIECES:
            raise ValueError(tr("not a tokenizer: {why}", why=tr("no vocabulary")))
    if as_int(settings[TRAINER].get(3, UNIGRAM)) != UNIGRAM or UNKNOWN not in kinds:
        raise ValueError(tr("another kind of tokenizer: {kind}", kind="SentencePiece"))
    table = whole(settings[NORMALIZER].get(2, b""))
    special = [place for place, kind in enumerate(kinds) if kind not in (NORMAL, DEFINED, BYTE)]
    return Pieces(unreached(scored, special), kinds.index(UNKNOWN), BYTE in kinds, base64.b64encode(table).decode(), tuple(special))


def unreached(scored: Sequence[Scored], special: Sequence[int]) -> tuple[Scored, ...]:
    """The same with names for the marks that no text holds: what looks like one in a text is text."""
    away, floor = set(special), least(scored)
    return tuple((f"\0{place}", floor) if place in away else one for place, one in enumerate(scored))


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a message: an int, or bytes. Raises ValueError where it is damaged."""
    place = 0
    while place < len(data):
        key, place = varint(data, place)
        form = key & 7
        if form == 0:
            value, place = varint(data, place)
        elif form in (1, 5, 2):
            size, place = varint(data, place) if form == 2 else ({1: 8, 5: 4}[form], place)
            value, place = data[place : place + size], place + size
            if place > len(data):
                raise ValueError(tr("the file ends in the middle of a field"))
        else:
            raise ValueError(tr("the file ends in the middle of a field"))
        yield key >> 3, value


def varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place behind it. Raises ValueError."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        value |= (data[place] & 0x7F) << shift
        place += 1
        if data[place - 1] < 0x80:
            return value, place
    raise ValueError(tr("the file ends in the middle of a field"))


def whole(value: Any) -> bytes:
    """A field of bytes. Raises ValueError for a number."""
    if isinstance(value, bytes):
        return value
    raise ValueError(tr("a field of the file is of another kind"))


def as_int(value: Any) -> int:
    """A field that is a number. Raises ValueError for bytes."""
    if isinstance(value, int):
        return value
    raise ValueError(tr("a field of the file is of another kind"))


def as_float(value: Any) -> float:
    """A field of four bytes. Raises ValueError."""
    if len(whole(value)) == 4 and abs(found := float(struct.unpack("<f", value)[0])) < 1e30:
        return found
    raise ValueError(tr("a field of the file is of another kind"))


def of_json(described: Mapping[str, Any]) -> Pieces:
    """From what `tokenizers` writes. Raises ValueError, KeyError, TypeError for another kind."""
    model = described["model"]
    cutters = parts_of(described.get("pre_tokenizer"), "pretokenizers")
    normal = parts_of(described.get("normalizer"), "normalizers")
    spaces = [part for part in cutters if part["type"] == "Metaspace"]
    first = spaces and spaces[0].get("prepend_scheme", "always" if spaces[0].get("add_prefix_space", True) else "never") != "never"
    if model["type"] != "Unigram" or not first or any(part["type"] not in ("Metaspace", "WhitespaceSplit") for part in cutters):
        raise ValueError(tr("another kind of tokenizer: {kind}", kind=str(model["type"])[:20]))
    if any(part["type"] not in NORMALIZERS for part in normal):
        raise ValueError(tr("another kind of tokenizer: {kind}", kind=", ".join(str(part["type"])[:20] for part in normal)))
    table = next((part["precompiled_charsmap"] for part in normal if part["type"] == "Precompiled"), "") or ""
    scored = [(str(piece), float(score)) for piece, score in model["vocab"]]
    special = []
    for mark in sorted(described.get("added_tokens", []), key=lambda mark: mark["id"]):
        if mark["id"] > len(scored) + MOST_PIECES or mark["id"] < 0:
            raise ValueError(tr("not a tokenizer: {why}", why=tr("no vocabulary")))
        scored += [(f"\0{place}", least(scored)) for place in range(len(scored), mark["id"] + 1)]
        special += [mark["id"]] if mark.get("special") else []
    unknown = model["unk_id"]
    if not isinstance(unknown, int) or not 0 <= unknown < len(scored):
        raise ValueError(tr("not a tokenizer: {why}", why="unk_id"))
    return Pieces(unreached(scored, special), unknown, bool(model.get("byte_fallback")), table, tuple(special))


def parts_of(value: Any, name: str) -> list[dict[str, Any]]:
    """The parts of a sequence, or the one that there is."""
    if value is None:
        return []
    return list(value[name]) if value["type"] == "Sequence" else [value]


def least(scored: Sequence[Scored]) -> float:
    """The lowest score: what is added never changes what an unknown character costs."""
    return min((score for _, score in scored), default=0.0)


def placed(pieces: Pieces, names: Mapping[str, int], unknown: str = "<unk>") -> Pieces:
    """The pieces under the numbers of Marian's `vocab.json`; the other side's hold a place where no text can reach. Raises ValueError."""
    count = len(names)
    if sorted(names.values()) != list(range(count)) or unknown not in names:
        raise ValueError(tr("the file does not hold a table of names"))
    own = {piece: score for place, (piece, score) in enumerate(pieces.scored) if place not in pieces.special}
    floor = least([(piece, score) for piece, score in own.items() if piece in names] or pieces.scored)
    scored: list[Scored] = [(f"\0{place}", floor) for place in range(count)]
    for piece, place in names.items():
        if piece in own:
            scored[place] = (piece, own[piece])
    special = tuple(place for place in range(count) if scored[place][0][:1] == "\0")
    return Pieces(tuple(scored), names[unknown], False, pieces.charsmap, special)


def table_of(data: bytes) -> dict[str, int]:
    """Marian's `vocab.json`. Raises ValueError."""
    found = strict_json.loads(data)
    if not isinstance(found, dict) or not all(isinstance(value, int) for value in found.values()):
        raise ValueError(tr("the file does not hold a table of names"))
    return found


def as_json(pieces: Pieces) -> str:
    """As `tokenizers` reads it, and `of_json` again; marks in a text are text."""
    normal: list[dict[str, Any]] = [{"type": "Precompiled", "precompiled_charsmap": pieces.charsmap}] if pieces.charsmap else []
    normal += [
        {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    ]
    space = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    model = {"type": "Unigram", "unk_id": pieces.unknown, "vocab": pieces.scored, "byte_fallback": pieces.spelt}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    marks = [{"id": place, "content": pieces.scored[place][0], **plain} for place in pieces.special]
    described = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": marks, "normalizer": {"type": "Sequence", "normalizers": normal},
        "pre_tokenizer": space, "post_processor": None, "decoder": space, "model": model,
    }  # fmt: skip
    return json.dumps(described, ensure_ascii=False)


def spelling(name: str) -> bytes:
    """What a piece stands for."""
    if found := BYTES.fullmatch(name):
        return bytes([int(found[1], 16)])
    return name.replace(SPACE, " ").encode()
