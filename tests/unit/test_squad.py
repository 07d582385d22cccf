"""SQuAD and CMRC json: what a question becomes, what is refused, and that strangers' files cost little."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from luban.data.reading import Reading, read
from luban.errors import DataError

EN = "Lu Ban was born in the State of Lu in 507 BC. He built 😀 a wooden bird."
ZH = "鲁班生于公元前507年，鲁国人。他造过一只木鸟。"


def asked(name: str, text: str, context: str, *answers: str, **more: Any) -> dict[str, Any]:
    """A question with its answers where they stand."""
    return {"id": name, "question": text, "answers": [{"text": a, "answer_start": context.index(a)} for a in answers], **more}


def squad(*paragraphs: dict[str, Any]) -> dict[str, Any]:
    return {"version": "v2.0", "data": [{"title": "Lu Ban", "paragraphs": list(paragraphs)}]}


GOOD = squad(
    {
        "context": EN,
        "qas": [asked("a", "What did he build?", EN, "a wooden bird", "bird"), asked("b", "Who was his wife?", EN, is_impossible=True)],
    },
    {"context": ZH, "qas": [asked("c", "他是哪国人？", ZH, "鲁国人"), {"id": "d", "question": "没有答案的测试题？"}]},
)


def put(folder: Path, value: Any, name: str = "dev.json") -> Path:
    path = folder / name
    data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def found(folder: Path, value: Any, name: str = "dev.json", limit: float = 1.0) -> Any:
    put(folder, value, name)
    return read(name, Reading(reject_limit=limit), base=folder)


@pytest.mark.parametrize("name", ["dev.json", "dev.json.gz"])
def test_questions_stand_with_context_answers_and_places(tmp_path: Path, name: str) -> None:
    rows = found(tmp_path, GOOD, name).table.to_dicts()
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    assert rows[0] == {
        "id": "a", "title": "Lu Ban", "question": "What did he build?", "context": EN,
        "answers": ["a wooden bird", "bird"], "answer_start": [EN.index("a wooden bird"), EN.index("bird")],
    }  # fmt: skip
    assert rows[1]["answers"] == []
    assert rows[3]["answers"] is None
    assert ZH[rows[2]["answer_start"][0] :].startswith("鲁国人")


def test_cmrc_is_read_in_both_its_layouts(tmp_path: Path) -> None:
    own = [
        {
            "context_id": "T_1",
            "context_text": ZH,
            "title": "鲁班",
            "qas": [{"query_id": "T_1_Q0", "query_text": "他造过什么？", "answers": ["一只木鸟"]}],
        }
    ]
    like = {
        "version": "v1.0",
        "data": [
            {
                "id": "D_0",
                "title": "鲁班",
                "paragraphs": [{"id": "D_0", "context": ZH, "qas": [asked("D_0_Q_0", "他造过什么？", ZH, "一只木鸟")]}],
            }
        ],
    }
    one, other = (found(tmp_path, value).table.drop("id").to_dicts() for value in (own, like))
    assert one == other
    assert one[0]["answer_start"] == [ZH.index("一只木鸟")]


def test_articles_may_stand_on_lines_and_other_json_is_not_taken_for_them(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(article) for article in GOOD["data"] * 2)
    assert found(tmp_path, lines.encode(), "dev.jsonl").table.height == 8
    plain = found(tmp_path, b'{"question": "a", "paragraphs": ["x"], "context": "c"}\n', "rows.jsonl").table
    assert plain.columns == ["question", "paragraphs", "context"]


BAD: list[tuple[Any, str, str]] = [
    ({"id": "x", "question": "Q?", "answers": [{"text": "bird", "answer_start": 3}]}, "answers", "at character 3"),
    ({"id": "x", "question": "Q?", "answers": [{"text": "plane", "answer_start": 3}]}, "answers", "does not stand in the context"),
    ({"id": "x", "question": "Q?", "answers": [{"text": "Lu", "answer_start": -7}]}, "answers", "at character -7"),
    ({"id": "x", "question": "Q?", "answers": [{"text": "Lu"}]}, "answers", "where it begins"),
    ({"id": "x", "question": "Q?", "answers": [{"text": "  ", "answer_start": 0}]}, "answers", "is empty"),
    ({"id": "x", "question": "Q?", "answers": "Lu"}, "answers", "a list"),
    ({"id": "x", "question": " ", "answers": []}, "question", "is empty"),
    ({"id": "x", "question": 7, "answers": []}, "question", "is missing"),
    ({"id": "x", "question": "Q?", "is_impossible": True, "answers": [{"text": "Lu", "answer_start": 0}]}, "answers", "no answer"),
    (7, "question", "is missing"),
]


@pytest.mark.parametrize(("question", "column", "reason"), BAD, ids=[reason for _, _, reason in BAD])
def test_what_is_wrong_is_left_out_with_file_question_and_reason(tmp_path: Path, question: Any, column: str, reason: str) -> None:
    source = found(tmp_path, squad({"context": EN, "qas": [asked("a", "What?", EN, "bird"), question, asked("c", "Where?", EN, "Lu")]}))
    assert source.table["id"].to_list() == ["a", "c"]
    (reject,) = source.rejects
    assert (Path(reject.file).name, reject.line, reject.column) == ("dev.json", 2, column)
    assert reason in reject.reason
    assert [source.origin.of(row)[1] for row in range(2)] == [1, 3]


def test_too_many_wrong_ones_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        found(tmp_path, squad({"context": EN, "qas": [BAD[0][0], asked("c", "Where?", EN, "Lu")]}), limit=0.01)
    assert caught.value.code == "L215"


def test_bytes_that_are_no_utf8_cost_only_their_questions(tmp_path: Path) -> None:
    data = json.dumps(squad({"context": EN, "qas": [asked("a", "What XX?", EN, "bird"), asked("b", "Where?", EN, "Lu")]})).encode()
    source = found(tmp_path, data.replace(b"XX", b"\xff\xfe"))
    assert source.table["id"].to_list() == ["b"]
    assert source.rejects[0].column == "question"


@pytest.mark.parametrize(
    "data",
    [
        b'{"version": "1", "data": [{"paragraphs": [{',
        b'{"version": "1", "data": [{"paragraphs": [{}], "paragraphs": []}]}',
        b'{"data": [{"paragraphs": [{"qas": [{"question": NaN}]}]}]}',
        b'{"data": {"paragraphs": [{}]}}',
        b'{"data": [{"paragraphs": [{}]} 7]}',
        b'{"data": [{"paragraphs": []}]}',
        b'{"qas": [{}' + b"[" * 100_000,
        b'[{"context_id": ' + b"[" * 100_000,
    ],
)
def test_damaged_and_hostile_files_are_one_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError) as caught:
        found(tmp_path, data)
    assert caught.value.code == "L251"


def test_more_parts_than_questions_need_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        found(tmp_path, b'{"data": [{"paragraphs": [{"qas": [' + b"[]," * 4_000_001)
    assert caught.value.code == "L252"
