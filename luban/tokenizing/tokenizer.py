"""One object that owns how text becomes tokens and tokens text: the vocabulary, the stop ids, and the template of a conversation.

Five forms: `characters`, `words` and byte-level `bpe`, learnt from the training rows and without loss, `symbols`, which knows nothing else, and
`given`, as a checkpoint brings it.
Of the learnt ones token 0 stands between documents: it begins each and it ends each, and no text can hold it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from luban.columns import Ragged
from luban.errors import RecipeError
from luban.kinds import text as kind
from luban.language.template import Template
from luban.messages import tr
from luban.tokenizing import tokens, unigram, wordlist
from luban.tokenizing.pre_tokenizers import PRE_TOKENIZERS, by_level

END = 0
MARKED = "marked"  # a given vocabulary that finds marks in a text
FIRST_BYTE, LAST_BYTE = 0x80, 0xF4  # bytes that a character beyond ASCII is made of
MOST = 2**62
UNKNOWN = -1
SURROGATES = range(0xD800, 0xE000)


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """A vocabulary as JSON, and what is known of its tokens."""

    form: Literal["characters", "words", "symbols", "bpe", "given"]
    tokenizer: str
    """The vocabulary as JSON: a list of characters or words, or what the library `tokenizers` writes."""
    begin: int | None = END
    """Stands before every document; None = nothing does."""
    stops: tuple[int, ...] = (END,)
    """Each ends an answer; the first is what documents are trained to end with."""
    template: Template | None = None
    """How a conversation is written; None = there is none."""

    def __post_init__(self) -> None:
        """Raises ValueError for a vocabulary that Luban could not have written, or ids outside it."""
        size = self.num_tokens
        if any(not 0 <= id < size for id in (*self.stops, *(() if self.begin is None else (self.begin,)))):
            raise ValueError(tr("a stop id outside the vocabulary"))

    @property
    def num_tokens(self) -> int:
        """Ids run from 0 to this, less one."""
        return len(self.bytes)

    @cached_property
    def bytes(self) -> list[bytes]:
        """What each token stands for, as UTF-8; nothing for those that only mark."""
        return bytes_of(self.form, self.tokenizer)

    @property
    def sizes(self) -> np.ndarray:
        """(V,) bytes of each token."""
        return sizes_of(self.form, self.tokenizer)

    def encode(self, texts: list[str], most: int = MOST) -> Ragged:
        """Ragged int32 ids, at most so many each; marks in a text are text."""
        if self.form == "characters":
            found = encode_characters(texts, self.tokenizer)
            return found if most == MOST else Ragged(found.values, found.starts, np.minimum(found.lengths, most))
        if self.form in ("words", "symbols"):
            found = (wordlist.encode if self.form == "words" else wordlist.encode_symbols)(texts, self.tokenizer)
            return Ragged(found.values, found.starts, np.minimum(found.lengths, most))
        if self.form == "bpe":
            parts = [tokens.encode(chunk, opened(self.form, self.tokenizer), most) for chunk in kind.chunks(texts)]
            return joined(parts)
        library = opened(self.form, self.tokenizer)
        return joined([by_library(library, chunk, most) for chunk in kind.chunks(texts)])

    def decode(self, ids: Iterable[int]) -> str:
        """The text; bytes that are no character become U+FFFD."""
        table = self.bytes
        text = b"".join(table[id] for id in ids).decode("utf-8", "replace")
        return text.removeprefix(" ") if self.form == "given" and of_unigrams(self.tokenizer) else text

    def encode_marked(self, text: str) -> list[int]:
        """The ids of what a template writes: here marks are marks."""
        if self.form != "given":
            return self.encode([text]).flat().tolist()
        found: list[int] = opened(MARKED, self.tokenizer).encode(text, add_special_tokens=False).ids
        return found

    def id_of(self, mark: str) -> int | None:
        """The id of a mark such as `<|im_end|>`, or of a token by its name."""
        if self.form in ("characters", "words", "symbols"):
            return None
        return opened(self.form, self.tokenizer).token_to_id(mark)

    def as_spec(self) -> dict[str, Any]:
        """As a state holds it, beside the column's kind."""
        return {"kind": "text"} | asdict(self) | {"stops": list(self.stops)}


def of_spec(spec: dict[str, Any]) -> Tokenizer:
    """The tokenizer of a state."""
    own = {key: value for key, value in spec.items() if key != "kind"}
    found = own.get("template")
    template = None if found is None else Template(**found | {"roles": tuple(found["roles"])})
    return Tokenizer(**own | {"stops": tuple(own["stops"]), "template": template})


def learn(texts: list[str], form: str, vocabulary: int) -> Tokenizer:
    """From the training texts."""
    if form == "characters":
        return Tokenizer(form="characters", tokenizer=json.dumps(alphabet(texts, vocabulary), ensure_ascii=False))
    if form == "symbols":
        return Tokenizer(form="symbols", tokenizer=json.dumps(wordlist.learn_symbols(texts, vocabulary), ensure_ascii=False))
    if form == "words":
        return Tokenizer(form="words", tokenizer=json.dumps(wordlist.learn(texts, vocabulary), ensure_ascii=False))
    return Tokenizer(form="bpe", tokenizer=kind.train_tokenizer(texts, vocabulary))


def alphabet(texts: list[str], most: int) -> list[str]:
    """Every ASCII character, and the commonest of the others that stand there twice; the rest are written by their bytes."""
    count: Counter[str] = Counter()
    for text in texts:
        count.update(text)
    room = max(0, most - len(FIXED))
    others = [character for character, n in count.items() if ord(character) >= 128 and n > 1]
    return sorted(sorted(others, key=lambda character: (-count[character], character))[:room])


FIXED = [b"", *(bytes([byte]) for byte in (*range(128), *range(FIRST_BYTE, LAST_BYTE + 1)))]  # the first tokens of every alphabet


@lru_cache(maxsize=8)
def characters_of(serialised: str) -> list[str]:
    """The characters beyond ASCII of an alphabet. Raises ValueError for what is none."""
    found = json.loads(serialised)
    good = isinstance(found, list) and all(isinstance(c, str) and len(c) == 1 and ord(c) >= 128 and ord(c) not in SURROGATES for c in found)
    if not good or found != sorted(set(found)) or len(found) > kind.MOST_TOKENS:
        raise ValueError(tr("not a tokenizer of Luban: {why}", why=tr("another kind of tokenizer")))
    return found


@lru_cache(maxsize=4)
def table_of(serialised: str) -> np.ndarray:
    """(1114112,) the id of each character, -1 where it is written by its bytes."""
    table = np.full(0x110000, UNKNOWN, np.int32)
    table[:128] = np.arange(1, 129)
    known = characters_of(serialised)
    table[[ord(character) for character in known]] = np.arange(len(FIXED), len(FIXED) + len(known))
    return table


def encode_characters(texts: list[str], serialised: str) -> Ragged:
    """One id a character; those not in the alphabet by their bytes."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "replace"), np.uint32)
    ids = table_of(serialised)[points]
    ends = np.r_[0, np.cumsum([len(text) for text in texts])]
    unknown = np.flatnonzero(ids == UNKNOWN)
    if not len(unknown):
        return Ragged.of(ids, np.diff(ends))
    spelt = [np.frombuffer(chr(point).encode(), np.uint8).astype(np.int32) - FIRST_BYTE + 129 for point in points[unknown].tolist()]
    width = np.ones(len(ids), np.int64)
    width[unknown] = [len(part) for part in spelt]
    begins = np.r_[0, np.cumsum(width)]
    out = np.repeat(ids, width)
    out[np.repeat(ids == UNKNOWN, width)] = np.concatenate(spelt)
    return Ragged.of(out, np.diff(begins[ends]))


def by_library(library: Any, texts: list[str], most: int) -> Ragged:
    """Through the checkpoint's own tokenizer, without the marks it would add."""
    found = [encoding.ids[:most] for encoding in library.encode_batch_fast(texts, add_special_tokens=False)]
    return Ragged.of(np.fromiter((id for ids in found for id in ids), np.int32), [len(ids) for ids in found])


def joined(parts: list[Ragged]) -> Ragged:
    """Parts one after the other."""
    if not parts:
        return Ragged.of(np.zeros(0, np.int32), [])
    return Ragged.of(np.concatenate([part.flat() for part in parts]), np.concatenate([part.lengths for part in parts]))


@lru_cache(maxsize=8)
def opened(form: str, serialised: str) -> Any:
    """The library's object; marks of a learnt vocabulary are never found in a text. Raises ValueError for what it cannot open."""
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    if form == "bpe":
        vocabulary, merges = kind.vocabulary_of(serialised)
        return kind.around(models.BPE(vocab=vocabulary, merges=merges))
    try:
        found = Library.from_str(json.dumps(bare(json.loads(serialised))))
        found.encode_special_tokens = form != MARKED  # marks in a text are text, but for those that a template writes
        return found
    except ValueError:
        raise
    except BaseException as error:  # a panic of a library written in Rust is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise ValueError(tr("not a tokenizer: {why}", why=str(error)[:80])) from error


def bare(described: Any) -> dict[str, Any]:
    """The description with nothing in it that decides how a text is cut but the name of a known way. Raises ValueError for any other."""
    try:
        model, normalizer = described["model"], described.get("normalizer")
        if model.get("type") == "Unigram":
            return json.loads(unigram.as_json(unigram.of_json(described)))  # type: ignore[no-any-return]
        cut = way_of(described.get("pre_tokenizer"))
        if model.get("type", "BPE") != "BPE" or cut is None or normalizer not in (None, {"type": "NFC"}):
            raise ValueError(tr("not a byte-level BPE that is known here"))
        marks = [{key: mark[key] for key in MARK_KEYS} for mark in described.get("added_tokens", [])]
        core = {"type": "BPE", "vocab": model["vocab"], "merges": model["merges"], "ignore_merges": bool(model.get("ignore_merges"))}
        core |= dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(tr("not a tokenizer: {why}", why=str(error)[:80])) from error
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": marks, "normalizer": normalizer, "pre_tokenizer": cut,
        "post_processor": None, "decoder": by_level(regex=True), "model": core | {"fuse_unk": False, "byte_fallback": False},
    }  # fmt: skip


MARK_KEYS = ("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")


def way_of(pre_tokenizer: Any) -> dict[str, Any] | None:
    """The known way of cutting that a file describes, trifles aside."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: plain(part) for key, part in value.items() if key != "trim_offsets"}
            return {"use_regex": True} | kept if kept.get("type") == "ByteLevel" else kept
        return [plain(part) for part in value] if isinstance(value, list) else value

    return next((way for way in PRE_TOKENIZERS.values() if plain(way) == plain(pre_tokenizer)), None)


@lru_cache(maxsize=8)
def bytes_of(form: str, serialised: str) -> list[bytes]:
    """What each id stands for."""
    if form == "characters":
        return FIXED + [character.encode() for character in characters_of(serialised)]
    if form == "words":
        return wordlist.bytes_of(serialised)
    if form == "symbols":
        return [b"", *(f" {symbol}".encode() for symbol in wordlist.words_of(serialised))]
    library = opened(form, serialised)
    marks = {id for id, added in library.get_added_tokens_decoder().items() if added.special} | ({END} if form == "bpe" else set())
    names = {id: name for name, id in library.get_vocab(with_added_tokens=True).items()}
    if not names or max(names) >= kind.MOST_TOKENS * 4:
        raise ValueError(tr("not a tokenizer: {why}", why=tr("no vocabulary")))
    spell = unigram.spelling if form == "given" and of_unigrams(serialised) else spelling()
    return [b"" if id in marks or id not in names else spell(names[id]) for id in range(max(names) + 1)]


@lru_cache(maxsize=8)
def of_unigrams(serialised: str) -> bool:
    """Whether a given vocabulary holds SentencePiece's pieces, of which the first begins with a space that no text has."""
    return type(opened("given", serialised).model).__name__ == "Unigram"


@lru_cache(maxsize=8)
def sizes_of(form: str, serialised: str) -> np.ndarray:
    """(V,) bytes of each id."""
    return np.array([len(part) for part in bytes_of(form, serialised)], np.int64)


@lru_cache(maxsize=8)
def cuts_as_luban(serialised: str) -> bool:
    """Whether a given vocabulary was learnt by Luban: its byte pairs were learnt from texts that begin with a space."""
    return way_of(json.loads(serialised).get("pre_tokenizer")) == PRE_TOKENIZERS["luban"]


def spelling() -> Any:
    """From a token's name to its bytes."""
    back = {character: byte for byte, character in byte_names()}

    def level(name: str) -> bytes:
        return bytes(back[c] for c in name) if all(c in back for c in name) else name.encode()

    return level


def byte_names() -> Iterator[tuple[int, str]]:
    """Each byte and the printable character that stands for it (Radford et al. 2019, their byte-level vocabulary)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    yield from ((byte, chr(byte)) for byte in plain)
    yield from ((byte, chr(256 + number)) for number, byte in enumerate(others))


def check_fits(tokenizer: Tokenizer, num_tokens: int, where: str) -> None:
    """A net must know every token. Raises RecipeError L272."""
    if tokenizer.num_tokens > num_tokens:
        what = tr("the tokenizer has more tokens than the model knows")
        raise RecipeError("L272", what, where=where, received=tokenizer.num_tokens, allowed=[num_tokens])
