"""SentencePiece's pieces against the library sentencepiece on files it trained, and against a file written by hand; damaged ones are refused.

sentencepiece is not needed to run; without it the tests against it are passed over.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_sequence_folders import MARKS, made
from toys.spm import written

from luban.checkpoints import sequences
from luban.errors import BundleError
from luban.language.translators import tokenizers_of
from luban.tokenizing import unigram
from luban.tokenizing.tokenizer import Tokenizer

HAND = (
    ("<unk>", 0.0, 2),
    ("<s>", 0.0, 3),
    ("</s>", 0.0, 3),
    ("▁", -2.0, 1),
    ("▁a", -1.0, 1),
    ("b", -1.5, 1),
    ("a", -3.0, 1),
    ("▁ab", -4.0, 1),
    ("天", -2.0, 1),
)
TEXTS = ["The quick brown fox, 1999!", "  two  spaces ", "ﬁne ½ ＡＢＣ", "你好，世界。", "naïve café", "x", "</s> <unk> ▁", "emoji 🙂 done"]


def opened(pieces: unigram.Pieces) -> Tokenizer:
    """As a checkpoint's."""
    return Tokenizer(form="given", tokenizer=unigram.as_json(pieces), begin=None, stops=(2,))


def test_the_cut_of_the_largest_sum_by_hand() -> None:
    """ab: ▁a·b = -2.5 against ▁ab = -4; what no piece spells is unknown; marks in a text are text."""
    found = opened(unigram.of_spm(written(HAND)))
    assert found.encode(["ab"]).flat().tolist() == [4, 5]
    assert found.encode(["b 天a"]).flat().tolist() == [3, 5, 3, 8, 6]
    assert found.encode(["z"]).flat().tolist() == [3, 0]
    assert 2 not in found.encode(["</s>"]).flat().tolist()
    assert found.decode([4, 5, 3, 8]) == "ab 天"
    assert found.decode([4, 2]) == "a"


def test_what_is_written_is_read_again() -> None:
    pieces = unigram.of_spm(written(HAND))
    assert unigram.of_json(json.loads(unigram.as_json(pieces))) == pieces


def test_bytes_stand_for_themselves() -> None:
    assert unigram.spelling("<0xE4>") == b"\xe4"
    assert unigram.spelling("▁a▁b") == b" a b"


@pytest.mark.parametrize(
    "damaged", [written(HAND)[:-3], written(HAND, kind=2), b"\x0a\xff\xff\xff\xff\x7f", b"", b"\x0f" * 20, b"\x08\x01", written(HAND)[:40]]
)
def test_damaged_files_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"file|kind|tokenizer|unk_id|bytes"):
        unigram.of_spm(damaged)


@pytest.mark.parametrize("change", [
    {"pre_tokenizer": None}, {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Removed", "invert": False}},
    {"normalizer": {"type": "Lowercase"}}, {"model": {"type": "Unigram", "unk_id": 99, "vocab": [["a", 0.0]]}},
])  # fmt: skip
def test_what_else_a_file_asks_for_is_refused(change: dict[str, Any]) -> None:
    described = json.loads(unigram.as_json(unigram.of_spm(written(HAND)))) | change
    with pytest.raises(ValueError, match=r"file|kind|tokenizer|unk_id|bytes"):
        unigram.of_json(described)


@pytest.mark.parametrize("table", ["AAAA", "////////////////////////", "not base64!"])
def test_a_damaged_table_of_characters_is_refused(table: str) -> None:
    pieces = replace(unigram.of_spm(written(HAND)), charsmap=table)
    with pytest.raises(ValueError, match="tokenizer"):
        opened(pieces).encode(["ab"])


def test_marians_two_files_share_one_table_of_numbers(tmp_path: Path) -> None:
    names = {"</s>": 0, "<unk>": 1, "天": 2, "▁": 3, "▁a": 4, "b": 5, "a": 6, "▁ab": 7, "only there": 8, "<pad>": 9}
    _, net = made("marian")
    files = {"source.spm": written(HAND), "target.spm": written(HAND), "vocab.json": json.dumps(names).encode()}
    sequences.save(tmp_path, net, "marian", MARKS, files)
    source, answer = tokenizers_of(tmp_path)
    assert source.encode(["ab 天 z"]).flat().tolist() == [4, 5, 3, 2, 3, 1]
    assert source.num_tokens == 10
    assert answer.decode([4, 5, 9]) == "ab"


def test_missing_files_are_named(tmp_path: Path) -> None:
    _, net = made("marian")
    sequences.save(tmp_path, net, "marian", MARKS, {"source.spm": written(HAND)})
    with pytest.raises(BundleError, match=r"target\.spm"):
        tokenizers_of(tmp_path)
    sequences.save(tmp_path, made("t5")[1], "t5", MARKS, {"spiece.model": written(HAND)[:-2]})
    with pytest.raises(BundleError, match="L442"):
        tokenizers_of(tmp_path)


@pytest.mark.parametrize("spelt", [False, True])
def test_files_are_cut_as_sentencepiece_cuts(spelt: bool, tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece", reason="sentencepiece is the oracle here")
    lines = [
        "the quick brown fox jumps over the lazy dog in nineteen ninety nine",
        "你好世界 天地玄黄 宇宙洪荒",
        "a naive cafe is fine",
    ] * 40
    model = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=400 if spelt else 120, model_type="unigram", byte_fallback=spelt,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=9,
    )  # fmt: skip
    theirs = library.SentencePieceProcessor(model_proto=model.getvalue())
    sequences.save(tmp_path, made("t5")[1], "t5", MARKS)
    own = opened(unigram.of_spm(model.getvalue()))
    for text in (*TEXTS, *lines[:3]):
        ids = theirs.encode(text)
        assert own.encode([text]).flat().tolist() == ids, text
        if 2 not in ids:
            assert own.decode(ids) == theirs.decode(ids)
