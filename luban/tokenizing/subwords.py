"""Tokenizers of encoders: WordPiece, and the byte-level pieces of RoBERTa; trained, or taken from a checkpoint part by part.

A text becomes: a token that opens it, its pieces, a token that closes it. Token 0 is always the padding: where a checkpoint has it elsewhere,
the two numbers change places. Nothing of a file decides how a text is cut but the vocabulary and a few switches; no pattern is taken over.
WordPiece: Schuster and Nakajima 2012; Devlin et al. 2019. Byte-level pieces: Radford et al. 2019, section 2.2.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from luban import strict_json
from luban.columns import Ragged
from luban.messages import tr
from luban.tokenizing import tokens

MOST_TOKENS = 1_000_000
LONGEST_WORD = 100  # characters; a longer one is unknown, as in BERT
SPECIALS = {
    "wordpiece": {"pad": "[PAD]", "unknown": "[UNK]", "opens": "[CLS]", "closes": "[SEP]", "mask": "[MASK]"},
    "bytes": {"pad": "<pad>", "unknown": "<unk>", "opens": "<s>", "closes": "</s>", "mask": "<mask>"},
}
BESIDE_HAN = re.compile(r"(?<=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]) | (?=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef])")
CJK = r"\u{3400}-\u{4dbf}\u{4e00}-\u{9fff}\u{f900}-\u{faff}\u{20000}-\u{2a6df}\u{2a700}-\u{2ceaf}\u{2f800}-\u{2fa1f}"
WORDS = {True: rf"[{CJK}]|[^\s{CJK}]+", False: r"\S+"}  # by whether Han characters stand alone
LEAST_LETTERS = 100
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f]")
FLAGS = ("lowercase", "strip_accents", "han_alone")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What decides how a text is cut; JSON."""

    kind: Literal["wordpiece", "bytes"]
    vocabulary: dict[str, int]
    merges: tuple[tuple[str, str], ...] = ()
    """Of byte-level pieces, in their order."""
    lowercase: bool = False
    strip_accents: bool = False
    han_alone: bool = True
    """Every Han character is a word."""
    space_first: bool = False
    """A text begins as if a space stood before it."""

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be a tokenizer."""
        if not 5 <= len(self.vocabulary) <= MOST_TOKENS or sorted(self.vocabulary.values()) != list(range(len(self.vocabulary))):
            raise ValueError(tr("the tokens are not numbered one after the other"))
        if missing := [name for name in SPECIALS[self.kind].values() if name not in self.vocabulary]:
            raise ValueError(tr("the vocabulary lacks {token}", token=missing[0]))
        if any(len(pair) != 2 or not {*pair, pair[0] + pair[1]} <= self.vocabulary.keys() for pair in self.merges):
            raise ValueError(tr("a merge speaks of tokens that are not there"))

    def special(self, role: str) -> int:
        """The number of a special token, in the file's own numbering."""
        return self.vocabulary[SPECIALS[self.kind][role]]

    @property
    def pad(self) -> int:
        """The padding's number in the file."""
        return self.special("pad")

    def ours(self, number: int) -> int:
        """A token's number with us: the padding is 0. Its own inverse."""
        return {self.pad: 0, 0: self.pad}.get(number, number)

    def as_json(self) -> str:
        """One text; `opened` reads it."""
        listed = dict(sorted(self.vocabulary.items(), key=lambda item: item[1]))  # the library's order is by chance
        values: dict[str, Any] = {"type": self.kind, "vocabulary": listed, **{name: getattr(self, name) for name in FLAGS}}
        if self.kind == "bytes":
            values |= {"merges": [" ".join(pair) for pair in self.merges], "space_first": self.space_first}
        return json.dumps(values, ensure_ascii=False)


class Subwords:
    """A tokenizer at work."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.tokenizer = parts, build(parts)
        self.opens, self.closes, self.mask, self.unknown = (
            parts.ours(parts.special(role)) for role in ("opens", "closes", "mask", "unknown")
        )

    def __len__(self) -> int:
        return len(self.parts.vocabulary)

    def encode(self, texts: list[str], most: int) -> Ragged:
        """Ragged int32 token ids, opened and closed, at most `most` each."""
        room = max(0, most - 2)
        if self.parts.kind == "wordpiece":
            inner = tokens.encode(texts, self.tokenizer, room, cut=WORDS[self.parts.han_alone])
        else:
            found = [encoding.ids[:room] for encoding in self.tokenizer.encode_batch_fast(texts)]
            inner = Ragged.of(np.fromiter((i for row in found for i in row), np.int32), [len(row) for row in found])
        return self.enclosed(Ragged(exchanged(inner.values, self.parts.pad), inner.starts, inner.lengths), most)

    def enclosed(self, inner: Ragged, most: int) -> Ragged:
        """Each span between the token that opens a text and the one that closes it."""
        if most < 2:
            return inner
        lengths = inner.lengths + 2
        out = np.empty(int(lengths.sum()), np.int32)
        ends = np.cumsum(lengths)
        edge = np.zeros(len(out), bool)
        edge[ends - lengths], edge[ends - 1] = True, True
        out[ends - lengths], out[ends - 1] = self.opens, self.closes
        out[~edge] = inner.flat()
        return Ragged.of(out, lengths)

    def decode(self, ids: list[int]) -> str:
        """The text of some tokens, those that open, close, hide or fill left out."""
        away = {0, self.opens, self.closes, self.mask}
        text = self.tokenizer.decode([self.parts.ours(i) for i in ids if i not in away], skip_special_tokens=False)
        return BESIDE_HAN.sub("", text) if self.parts.kind == "wordpiece" else text

    def name(self, number: int) -> str:
        """The token of a number, as the vocabulary writes it."""
        return self.tokenizer.id_to_token(self.parts.ours(number)) or ""


def exchanged(values: np.ndarray, pad: int) -> np.ndarray:
    """Numbers with 0 and the padding's exchanged."""
    if pad == 0:
        return values
    return np.where(values == 0, pad, np.where(values == pad, 0, values)).astype(np.int32)


def build(parts: Parts) -> Any:
    """A `tokenizers.Tokenizer` made of the parts alone."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

    names = SPECIALS[parts.kind]
    if parts.kind == "wordpiece":
        model = models.WordPiece(vocab=parts.vocabulary, unk_token=names["unknown"], max_input_chars_per_word=LONGEST_WORD)
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=parts.han_alone, strip_accents=parts.strip_accents, lowercase=parts.lowercase
        )
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
        mask = AddedToken(names["mask"], lstrip=False, normalized=False, special=True)
    else:
        tokenizer = Tokenizer(models.BPE(vocab=parts.vocabulary, merges=list(parts.merges), unk_token=None))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=parts.space_first)
        tokenizer.decoder = decoders.ByteLevel()
        mask = AddedToken(names["mask"], lstrip=True, normalized=False, special=True)
    tokenizer.add_special_tokens([mask])  # the one special token that a text may hold: what is asked for
    return tokenizer


@lru_cache(maxsize=16)
def opened(serialised: str) -> Subwords | None:
    """The tokenizer of a spec, opened once; None for one that is not of this file. Raises ValueError for a broken one."""
    if not serialised.startswith('{"type"'):
        return None
    return Subwords(parse(json.loads(serialised)))


def parse(values: Any) -> Parts:
    """Parts from JSON such as `as_json` writes. Raises ValueError for any other."""
    from luban.errors import RecipeError
    from luban.schema import validate

    try:
        given = {key: value for key, value in values.items() if key != "type"} | {"kind": values["type"]}
        given["merges"] = [merge.split(" ") for merge in given.get("merges", [])]
        return validate(Parts, given, where="tokenizer")
    except (RecipeError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(tr("not a tokenizer of Luban: {why}", why=str(error)[:100])) from error


def train(texts: list[str], vocabulary: int, *, lowercase: bool) -> Parts:
    """WordPiece learnt from texts, the same each time; Han characters stand alone, accents stay."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    names = list(SPECIALS["wordpiece"].values())
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase)
    letters = alphabet(texts, normalizer, most=max(LEAST_LETTERS, vocabulary // 2))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[*names, *letters, *(f"##{letter}" for letter in letters if goes_on(letter))],  # or their order would be by chance
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    words = (HAN.sub(" ", text) for text in texts)  # a Han character has nothing to merge with
    tokenizer.train_from_iterator(words, trainer, length=len(texts))
    return Parts(kind="wordpiece", vocabulary=tokenizer.get_vocab(with_added_tokens=True), lowercase=lowercase)


def alphabet(texts: list[str], normalizer: Any, most: int) -> list[str]:
    """The commonest characters, in the order of their numbers."""
    raw: Counter[str] = Counter()
    for text in texts:
        raw.update(text)
    counts: Counter[str] = Counter()
    for letter, count in raw.items():
        counts.update(dict.fromkeys(normalizer.normalize_str(letter), count))
    common = sorted((letter for letter in counts if not letter.isspace()), key=lambda letter: (-counts[letter], letter))
    return sorted(common[:most])


def goes_on(letter: str) -> bool:
    """Whether a word can hold it elsewhere than at its beginning: Han and punctuation are words by themselves."""
    alone = unicodedata.category(letter).startswith("P") or (letter.isascii() and not letter.isalnum())
    return not alone and not HAN.fullmatch(letter)


def of_checkpoint(files: Mapping[str, bytes]) -> Parts:
    """The parts of a checkpoint's tokenizer. Raises ValueError for one that is neither WordPiece nor byte-level."""
    switches = table(files.get("tokenizer_config.json", b"{}"))
    if "tokenizer.json" in files:
        return of_tokenizer_json(table(files["tokenizer.json"]))
    if "vocab.txt" in files:
        lines = files["vocab.txt"].decode("utf-8").split("\n")
        names = [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
        if len(set(names)) < len(names):
            raise ValueError(tr("a name stands twice"))
        lowercase, strip = switches.get("do_lower_case", True) is True, switches.get("strip_accents")
        han = switches.get("tokenize_chinese_chars", True) is True
        vocabulary = {name: number for number, name in enumerate(names)}
        return Parts(
            kind="wordpiece",
            vocabulary=vocabulary,
            lowercase=lowercase,
            strip_accents=lowercase if strip is None else strip is True,
            han_alone=han,
        )
    if {"vocab.json", "merges.txt"} <= files.keys():
        vocabulary = table(files["vocab.json"]) | table(files.get("added_tokens.json", b"{}"))
        lines = [
            line.rstrip("\r")
            for line in files["merges.txt"].decode("utf-8").split("\n")
            if line.strip() and not line.startswith("#version")
        ]
        space = switches.get("add_prefix_space", False) is True
        return Parts(kind="bytes", vocabulary=vocabulary, merges=tuple(pair(line) for line in lines), space_first=space)
    raise ValueError(tr("no tokenizer: neither tokenizer.json nor vocab.txt"))


def of_tokenizer_json(values: dict[str, Any]) -> Parts:
    """The parts of a `tokenizer.json`. Raises ValueError for what is cut in another way."""
    try:
        model, normalizer, cutter = values["model"], values.get("normalizer") or {}, values.get("pre_tokenizer") or {}
        added = {token["content"]: token["id"] for token in values.get("added_tokens", [])}
        vocabulary = model["vocab"] | added
        kind = (model.get("type", "BPE" if "merges" in model else "WordPiece"), normalizer.get("type"), cutter.get("type"))
        if kind == ("WordPiece", "BertNormalizer", "BertPreTokenizer"):
            lowercase, strip = normalizer["lowercase"], normalizer.get("strip_accents")
            plain = model.get("continuing_subword_prefix", "##") == "##" and normalizer.get("clean_text", True)
            if not plain:
                raise ValueError(tr("a switch of the tokenizer is set otherwise"))
            strip = lowercase if strip is None else strip
            return Parts(
                kind="wordpiece",
                vocabulary=vocabulary,
                lowercase=lowercase,
                strip_accents=strip,
                han_alone=normalizer["handle_chinese_chars"],
            )
        if kind == ("BPE", None, "ByteLevel"):
            merges = tuple(pair(merge) if isinstance(merge, str) else tuple(merge) for merge in model["merges"])
            return Parts(kind="bytes", vocabulary=vocabulary, merges=merges, space_first=cutter.get("add_prefix_space", False))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(tr("tokenizer.json is not such as tokenizers writes: {why}", why=type(error).__name__)) from error
    raise ValueError(tr("another kind of tokenizer: {kind}", kind=", ".join(str(part) for part in kind)))


def table(data: bytes) -> dict[str, Any]:
    """A table in strict JSON. Raises ValueError."""
    value = strict_json.loads(data)
    if isinstance(value, dict):
        return value
    raise ValueError(tr("the file does not hold a table of names"))


def pair(line: str) -> tuple[str, str]:
    """The two parts of a merge. Raises ValueError."""
    first, _, second = line.partition(" ")
    if not first or not second or " " in second:
        raise ValueError(tr("a merge speaks of tokens that are not there"))
    return first, second


def files_of(parts: Parts, max_length: int) -> dict[str, bytes]:
    """The parts as the files of a checkpoint."""
    names, tokenizer = SPECIALS[parts.kind], build(parts)
    tokenizer.add_special_tokens([name for role, name in names.items() if role != "mask"])
    tokenizer.post_processor = enclosing(parts)
    keys = {"pad": "pad_token", "unknown": "unk_token", "opens": "cls_token", "closes": "sep_token", "mask": "mask_token"}
    special = {keys[role]: name for role, name in names.items()}
    config: dict[str, Any] = {**special, "model_max_length": max_length}
    if parts.kind == "wordpiece":
        config |= {"do_lower_case": parts.lowercase, "strip_accents": parts.strip_accents, "tokenize_chinese_chars": parts.han_alone}
        config["tokenizer_class"] = "BertTokenizer"
        listed = "".join(f"{name}\n" for name, _ in sorted(parts.vocabulary.items(), key=lambda item: item[1]))
        plain = {"vocab.txt": listed.encode()}
    else:
        special |= {"bos_token": names["opens"], "eos_token": names["closes"]}
        config |= {"add_prefix_space": parts.space_first, "tokenizer_class": "RobertaTokenizer"}
        merges = "#version: 0.2\n" + "".join(f"{' '.join(merge)}\n" for merge in parts.merges)
        plain = {"vocab.json": json.dumps(parts.vocabulary, ensure_ascii=False).encode(), "merges.txt": merges.encode()}
    files = {"tokenizer_config.json": config, "special_tokens_map.json": special}
    written = {name: (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode() for name, value in files.items()}
    return {"tokenizer.json": tokenizer.to_str(pretty=True).encode(), **written, **plain}


def enclosing(parts: Parts) -> Any:
    """What opens and closes a text, or a pair of texts, in the words of `tokenizers`."""
    from tokenizers import processors

    names = SPECIALS[parts.kind]
    opens, closes = ((names[role], parts.special(role)) for role in ("opens", "closes"))
    if parts.kind == "bytes":
        return processors.RobertaProcessing(sep=closes, cls_token=opens, trim_offsets=True, add_prefix_space=parts.space_first)
    return processors.TemplateProcessing(
        single=f"{opens[0]} $A {closes[0]}", pair=f"{opens[0]} $A {closes[0]} $B:1 {closes[0]}:1", special_tokens=[opens, closes]
    )
