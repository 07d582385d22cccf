"""Words as tokens: nothing is lost, the commonest are known, the others are spelt."""

from __future__ import annotations

import pytest

from luban.tokenizing import tokenizer, wordlist

TEXTS = ["The cat sat on the mat.", "the cat's hat, the hat", "我们去北京，我们去上海", "  spaces \n\t and ends ", "", "\uffff\U0001f600é"]


def test_nothing_is_lost() -> None:
    made = tokenizer.learn(TEXTS, "words", 1000)
    found = made.encode([*TEXTS, "new words: zebra 斑马"])
    assert [made.decode(found[row].tolist()) for row in range(7)] == [
        *TEXTS[:5], "\ufffd\U0001f600é", "new words: zebra 斑马",
    ]  # fmt: skip
    assert tokenizer.of_spec(made.as_spec()) == made


def test_common_words_are_one_token_and_rare_ones_their_bytes() -> None:
    made = tokenizer.learn(TEXTS, "words", 1000)
    assert wordlist.words_of(made.tokenizer) == sorted([" cat", " the", " hat", "我", "们", "去"])
    found = made.encode([" cat", " mat", "我海"])
    assert found.lengths.tolist() == [1, 4, 4]
    assert made.encode([" cat the"], most=1).lengths.tolist() == [1]


def test_symbols_know_each_other_alone() -> None:
    made = tokenizer.learn(["s01 s02", "s02  s03 "], "symbols", 512)
    assert made.num_tokens == 4
    assert made.encode(["s03 s01", "s02 new", ""]).flat().tolist() == [3, 1, 2, 0]
    assert made.decode([3, 1]) == " s03 s01"


def test_the_room_is_kept_and_a_strange_list_refused() -> None:
    made = tokenizer.learn(TEXTS, "words", 259)
    assert made.num_tokens == 259
    for bad in ('["b", "a"]', '{"a": 1}', '["a", 1]', '[""]'):
        with pytest.raises(ValueError, match="not a tokenizer"):
            tokenizer.Tokenizer(form="words", tokenizer=bad)
