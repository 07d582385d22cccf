"""Answers as `luban predict` shows them: a line each, lists below it, nothing as a dash."""

from __future__ import annotations

import polars as pl
import pytest

from luban.cli.predict import show_lines


def test_lists_stand_below_their_answer_and_nothing_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    answers = pl.DataFrame(
        {
            "answer": ["用 apt\n安装", None],
            "confidence": [0.123456, None],
            "chances": [{"a": 0.5}, {"a": 0.1}],
            "tags": [["a", "b"], []],
            "passages": [[{"passage": "word \n " * 40, "score": 0.25}, {"passage": "short", "score": None}], []],
        },
        schema_overrides={"tags": pl.List(pl.String)},
    )
    show_lines(answers, ("q",) * 2)
    long = ("word " * 40)[:99] + "…"
    assert capsys.readouterr().out.split("\n   ") == [
        "q → answer 用 apt\n安装 · confidence 0.1235 · tags ['a', 'b']",
        f"passages 1: passage {long} · score 0.25",
        "passages 2: passage short · score –\nq → answer – · confidence – · tags [] · passages []\n",
    ]
