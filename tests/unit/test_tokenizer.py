"""Text to tokens and back without loss, whatever stands in it; nothing in a text becomes a mark."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luban.kinds.text import PAD
from luban.tokenizing import tokenizer
from luban.tokenizing.tokenizer import END, Tokenizer

TEXTS = ["the cat sat on the mat\n" * 5, "天地玄黄，宇宙洪荒。" * 5, "naïve café 🙂 🙂"]
CHARACTERS = tokenizer.learn(TEXTS, "characters", 4096)
BPE = tokenizer.learn(TEXTS, "bpe", 600)
both = pytest.mark.parametrize("learnt", [CHARACTERS, BPE], ids=["characters", "bpe"])


@both
@given(texts=st.lists(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=40), max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back(learnt: Tokenizer, texts: list[str]) -> None:
    found = learnt.encode(texts)
    assert [learnt.decode(found[row].tolist()) for row in range(len(texts))] == texts
    assert [int(learnt.sizes[found[row]].sum()) for row in range(len(texts))] == [len(text.encode()) for text in texts]


@both
def test_marks_in_a_text_are_text(learnt: Tokenizer) -> None:
    found = learnt.encode([f"a{PAD}b", f"\x0b{PAD}"])
    assert END not in found.flat()
    assert learnt.decode(found[0].tolist()) == f"a{PAD}b"


@both
def test_text_is_cut_where_asked(learnt: Tokenizer) -> None:
    whole, cut = learnt.encode(TEXTS), learnt.encode(TEXTS, 3)
    assert cut.lengths.tolist() == [3, 3, 3]
    np.testing.assert_array_equal(cut[1], whole[1][:3])


@both
def test_a_spec_is_json_and_comes_back(learnt: Tokenizer) -> None:
    assert tokenizer.of_spec(json.loads(json.dumps(learnt.as_spec()))) == learnt


def test_characters_have_one_token_and_rare_ones_their_bytes() -> None:
    assert CHARACTERS.encode(["天 ï 嗨"]).lengths.tolist() == [1 + 1 + 2 + 1 + 3]  # ï stands there once, 嗨 never
    assert CHARACTERS.num_tokens == 1 + 128 + 117 + len(set(TEXTS[1]) | {"🙂"})


def test_half_a_character_is_no_text() -> None:
    assert CHARACTERS.decode(CHARACTERS.encode(["\ud800"]).flat().tolist()) == "?"
    assert CHARACTERS.decode(CHARACTERS.encode(["嗨"]).flat().tolist()[:2]) == "\ufffd"


@pytest.mark.parametrize(
    "wrong", ["[]x", '["a"]', '["天", "天"]', '["天地"]', '{"a": 1}', '["天", "地"]'.replace("天", "龙").replace("地", "一")]
)
def test_an_alphabet_from_elsewhere_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 of json, or ours
        Tokenizer(form="characters", tokenizer=wrong)


@both
def test_a_stop_outside_the_vocabulary_is_refused(learnt: Tokenizer) -> None:
    with pytest.raises(ValueError, match="stop"):
        Tokenizer(form=learnt.form, tokenizer=learnt.tokenizer, stops=(learnt.num_tokens,))
