"""Tokenizers of encoders: cut as `tokenizers` itself cuts from the same files, opened and closed, padding always 0; nothing odd is taken over."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from bert_examples import BYTES, chinese, roberta_parts
from hypothesis import given
from hypothesis import strategies as st

from luban.draw import Draw
from luban.kinds.text import Text
from luban.tokenizing import subwords

TEXTS = [
    "good day", "Goodly  undo!", "你好good不", "Café CAFÉ naïve", "", " ", "a\tb\nc\u3000d", "[mask] [CLS] [MASK]!", "bad" * 50, "\u200bday\u0000\ufffd",
    "good[MASK]day", "x" * 101, "Ünï ﬁ １２", "end\x1cof",
]  # fmt: skip
PARTS = {"wordpiece": chinese(), "bytes": roberta_parts()}


def reference(parts: subwords.Parts) -> Any:
    """The tokenizer as its own `tokenizer.json` makes it, but for special names within texts."""
    from tokenizers import Tokenizer

    values = json.loads(subwords.files_of(parts, 31)["tokenizer.json"])
    mask = subwords.SPECIALS[parts.kind]["mask"]
    values["added_tokens"] = [token for token in values["added_tokens"] if token["content"] == mask]
    return Tokenizer.from_str(json.dumps(values))


def ids(parts: subwords.Parts, texts: list[str], most: int = 512) -> list[list[int]]:
    found = subwords.Subwords(parts).encode(texts, most)
    return [found[row].tolist() for row in range(len(found))]


@pytest.mark.parametrize("kind", PARTS)
@given(
    st.lists(
        st.text(alphabet=st.sampled_from("goday bdly你好不!́\t\n[]MASKé \u3000é") | st.characters(codec="utf-8"), max_size=30), max_size=5
    )
)
def test_texts_are_cut_as_the_library_cuts_them(kind: str, texts: list[str]) -> None:
    parts = PARTS[kind]
    expected = [[parts.ours(i) for i in reference(parts).encode(text).ids] for text in texts + TEXTS]
    assert ids(parts, texts + TEXTS) == expected


def test_known_texts_have_the_tokens_one_expects() -> None:
    names = chinese().vocabulary
    for text, wanted in (("Goodly", ["good", "##ly"]), ("你好good", ["你", "好", "good"]), ("CAFÉ", ["[UNK]"]), ("zzz", ["[UNK]"])):
        assert ids(chinese(), [text])[0] == [names["[CLS]"], *(names[name] for name in wanted), names["[SEP]"]]
    assert [roberta_parts().vocabulary[name] for name in ("good", "Ġday")] == [
        roberta_parts().ours(i) for i in ids(roberta_parts(), ["good day"])[0][1:-1]
    ]


@pytest.mark.parametrize("kind", PARTS)
def test_long_texts_are_cut_within_what_closes_them(kind: str) -> None:
    opened = subwords.Subwords(PARTS[kind])
    for most in (2, 3, 5):
        for row in ids(PARTS[kind], TEXTS, most):
            assert len(row) <= most
            assert (row[0], row[-1]) == (opened.opens, opened.closes)
    assert 0 not in {number for row in ids(PARTS[kind], TEXTS) for number in row}, "0 is padding alone"


@pytest.mark.parametrize("kind", PARTS)
def test_decoded_it_is_the_text(kind: str) -> None:
    opened = subwords.Subwords(PARTS[kind])
    assert opened.decode(ids(PARTS[kind], ["good day"])[0]) == "good day"
    if kind == "wordpiece":
        assert opened.decode(ids(PARTS[kind], ["你好 good 不goodly"])[0]) == "你好good不goodly", "no spaces beside Han"
    assert opened.name(opened.mask) == subwords.SPECIALS[kind]["mask"]


@pytest.mark.parametrize("kind", PARTS)
def test_files_there_and_back(kind: str) -> None:
    parts, files = PARTS[kind], subwords.files_of(PARTS[kind], 31)
    assert subwords.of_checkpoint(files) == parts
    plain = {name: content for name, content in files.items() if name != "tokenizer.json"}
    assert subwords.of_checkpoint(plain) == parts
    assert subwords.opened(parts.as_json()).parts == parts  # type: ignore[union-attr]


def test_a_trained_one_is_the_same_again_and_knows_its_texts() -> None:
    texts = [*Text.demo(200, 3).to_list(), "数据 很好 Über-all"]
    one, other = (subwords.train(texts, 300, lowercase=True) for _ in range(2))
    assert one == other
    assert [one.vocabulary[name] for name in subwords.SPECIALS["wordpiece"].values()] == [0, 1, 2, 3, 4]
    unknown = one.vocabulary["[UNK]"]
    assert sum(row.count(unknown) for row in ids(one, texts)) <= 1
    assert 30 < len(one.vocabulary) <= 300


def test_the_kind_reads_texts_by_wordpiece() -> None:
    series = pl.Series("x", [*Text.demo(60, 3).to_list(), None])
    spec = json.loads(json.dumps(Text.fit(series, Text.Config(tokenizer="wordpiece", vocabulary=300))))
    Text.Fitted(**{key: value for key, value in spec.items() if key != "kind"})
    found = Text.encode(series, spec).values
    batch = Text.collate(found, spec, Draw(0, 0, np.zeros(0, np.int64), training=False))
    assert batch[-1].tolist()[:3] == [2, 3, 0], "a missing text is an empty one, opened and closed"
    assert int(batch.max()) < Text.num_tokens(spec)
    assert Text.joints(spec) == (2, 0)


def numbered(names: list[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


SPECIAL = list(subwords.SPECIALS["wordpiece"].values())
BROKEN: dict[str, dict[str, bytes]] = {
    "none": {},
    "no mask": {"vocab.txt": "\n".join([*SPECIAL[:4], "a"]).encode()},
    "twice": {"vocab.txt": "\n".join([*SPECIAL, "a", "a"]).encode()},
    "no utf-8": {"vocab.txt": b"\xff\xfe"},
    "gap": {"tokenizer.json": json.dumps({"model": {"type": "WordPiece", "vocab": numbered(SPECIAL) | {"a": 9}},
            "normalizer": {"type": "BertNormalizer", "lowercase": True, "handle_chinese_chars": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"}}).encode()},
    "unigram": {"tokenizer.json": json.dumps({"model": {"type": "Unigram", "vocab": [["a", 0.5]]}}).encode()},
    "a pattern": {"tokenizer.json": json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []},
                  "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}}}).encode()},
    "a list": {"tokenizer.json": b"[]"},
    "not json": {"tokenizer.json": b"{"},
    "twice in json": {"tokenizer.json": b'{"model": {}, "model": {}}'},
    "a merge of nothing": {"vocab.json": json.dumps(numbered(list(subwords.SPECIALS["bytes"].values()) + list(BYTES))).encode(),
                           "merges.txt": b"q z"},
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_such_tokenizer_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        subwords.of_checkpoint(BROKEN[name])


@pytest.mark.parametrize(
    "change", [{"vocabulary": {"a": 0}}, {"type": "regex"}, {"vocabulary": []}, {"pattern": "(a+)+"}, {"merges": "ab"}]
)
def test_a_spec_from_a_stranger_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Text.Fitted(tokenizer=json.dumps(json.loads(chinese().as_json()) | change), max_length=5, lowercase=False)
