"""Errors are one line: code, place, what, received, nearest, allowed, fix; in both languages."""

from __future__ import annotations

import json
import logging

import pytest

from luban import errors
from luban.errors import BundleError, DataError, LubanError, MachineError, RecipeError, TrainingError, say, shorten, warn
from luban.messages import both, language, tr, translations

FULL = RecipeError(
    "L104", "unknown key", where="recipe.toml: training.bugdet", received="bugdet", allowed=["budget", "epochs"], fix="rename it"
)


def test_a_whole_error_by_hand() -> None:
    assert str(FULL) == (
        "L104 recipe.toml: training.bugdet: unknown key · received 'bugdet' · did you mean 'budget'? · allowed: budget, epochs → rename it"
    )


def test_a_bare_error_is_code_and_what() -> None:
    assert str(DataError("L202", "the file is empty")) == "L202 the file is empty"


def test_an_error_is_one_line_whatever_it_holds() -> None:
    error = DataError("L215", "first\nsecond", where="a\nb", received="x\ny" * 99, allowed=["p\nq"] * 99, fix="do\nthis")
    assert "\n" not in str(error)
    assert len(str(error)) < 500


def test_for_json_every_part_is_there() -> None:
    assert json.loads(json.dumps(FULL.as_dict())) == {
        "code": "L104",
        "what": "unknown key",
        "where": "recipe.toml: training.bugdet",
        "received": "'bugdet'",
        "allowed": ["budget", "epochs"],
        "nearest": "budget",
        "fix": "rename it",
    }


def test_nothing_near_is_suggested_for_what_is_far() -> None:
    assert RecipeError("L104", "x", received="zzz", allowed=["budget"]).nearest() is None
    assert RecipeError("L104", "x", received=3, allowed=["3"]).nearest() is None


def test_exit_codes_tell_the_branches_apart() -> None:
    branches = (RecipeError, DataError, TrainingError, BundleError, MachineError)
    assert [branch.exit_code for branch in branches] == [2, 3, 4, 5, 6]
    assert all(issubclass(branch, LubanError) for branch in branches)
    for branch in branches:
        assert f"{branch.__name__}" in (errors.__doc__ or "")


def test_long_values_are_cut() -> None:
    assert shorten("x" * 99, 10) == "'xxxxxxxx…"
    assert shorten(b"\x00\n") == "b'\\x00\\n'"


def test_a_warning_is_one_line_with_its_parts_for_the_report(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "luban"):
        warn("W205", "two\nlines", where="a.csv:3", fix="look")
        say("information")
    record, plain = caplog.records
    assert record.getMessage() == "W205 a.csv:3: two lines → look"
    assert record.luban == {"code": "W205", "what": "two\nlines", "where": "a.csv:3", "fix": "look"}  # type: ignore[attr-defined]
    assert (plain.levelno, plain.getMessage()) == (logging.INFO, "information")


@pytest.mark.parametrize(
    ("asked", "expected"), [("zh", "zh"), ("zh_CN.UTF-8", "zh"), ("Chinese_China", "zh"), ("en", "en"), ("de_AT", "en")]
)
def test_the_language_is_the_readers(asked: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUBAN_LANG", asked)
    assert language() == expected


def test_messages_come_in_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    template = "received {value}"
    monkeypatch.setenv("LUBAN_LANG", "en")
    assert tr(template, value=3) == "received 3"
    monkeypatch.setenv("LUBAN_LANG", "zh")
    assert tr(template, value=3) == translations()[template].format(value=3) != "received 3"
    assert tr("no such template {x}", x=1) == "no such template 1"
    assert both(template, value=3) == {"en": "received 3", "zh": translations()[template].format(value=3)}
    assert str(FULL).startswith("L104 recipe.toml: training.bugdet: ")
