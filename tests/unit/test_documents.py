"""Documents as passages: spans that are the text, headings, pages in HTML, folders, and what cannot be read."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from luban.data.pages import READ, html, markdown
from luban.data.passages import LONGEST, passages, sentences
from luban.data.reading import Reading, read
from luban.errors import DataError

PASSAGE = Reading(text="passage", reject_limit=1.0)
GUIDE = "Before all.\n\n# Saw\n\nCut along the line.\n\n```\n# no heading\n```\n\n## Teeth\nSharpen them.\n\n刨子\n====\n\n推刨子要稳。刨花要薄。\n"
PAGE = """<!doctype html><html><head><title>鲁班 &amp; tools</title><style>p {color: red}</style>
<script>document.write("<p>run me</p>")</script></head><body><nav>Home</nav><h1>Saw &lt;1&gt;</h1>
<p>Cut   along<br>the <b>line</b>.<script>alert(1)</script></p><h2>Teeth</h2><pre>a  b
 c</pre><ul><li>one<li>two</ul><img src="http://10.0.0.1/x.png" onerror="alert(2)"></body></html>"""


def test_every_passage_is_its_span_of_the_document(tmp_path: Path) -> None:
    texts = {"a/guide.md": GUIDE, "page.html": PAGE, "long.txt": "鲁班造锯。" * 900 + "\n\n" + "word " * 900 + "x" * 5000}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    table = read(".", PASSAGE, base=tmp_path).table
    assert set(table["document"]) == set(texts)
    for row in table.to_dicts():
        page = READ[Path(row["document"]).suffix](texts[row["document"]])
        assert page.text[row["begin"] : row["end"]] == row["passage"]
        assert 0 < len(row["passage"]) <= LONGEST
    for name in ("long.txt",):
        kept = "".join(table.filter(table["document"] == name)["passage"])
        assert "".join(kept.split()) == "".join(texts[name].split()), "something of the document is lost"


def test_headings_of_markdown() -> None:
    page = markdown(GUIDE)
    found = [(p.heading, page.text[p.begin : p.end].split("\n")[0]) for p in passages(page)]
    assert found == [
        ("", "Before all."),
        ("Saw", "Cut along the line."),
        ("Saw › Teeth", "Sharpen them."),
        ("刨子", "推刨子要稳。刨花要薄。"),
    ]


def test_of_html_only_what_is_seen_is_kept() -> None:
    page = html(PAGE)
    assert page.title == "鲁班 & tools"
    assert [h.text for h in page.headings] == ["Saw <1>", "Teeth"]
    assert "Cut along\nthe line." in page.text
    assert "a  b\n c" in page.text
    assert not any(word in page.text for word in ("alert", "run me", "color", "Home", "http"))
    assert [p.heading for p in passages(page)] == ["Saw <1>", "Saw <1> › Teeth"]


@pytest.mark.parametrize(
    "page",
    ["<p>" * 100_000 + "x", "<script>" + "<p>y" * 50_000, "<" * 200_000, "<h1>" * 50_000 + "a", "&#" * 100_000, "<!--" + "-" * 200_000],
)
def test_pages_that_never_close_anything_cost_little(page: str) -> None:
    assert len(html(page).text) <= len(page)


def test_a_document_that_is_empty_or_not_text_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good.md").write_text("# A\n\nText.", encoding="utf-8")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "blank.html").write_text("<html><script>x</script></html>", encoding="utf-8")
    (tmp_path / "raw.txt").write_bytes(b"\x80\x81\xff\n" * 40)
    (tmp_path / "part.md").write_bytes("第一行可读。\n".encode() * 30 + b"bad \xff\xff line\n")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with caplog.at_level(logging.WARNING, logger="luban"):
        source = read(".", PASSAGE, base=tmp_path)
    assert set(source.table["document"]) == {"good.md", "part.md"}
    assert {facts["where"] for r in caplog.records if (facts := getattr(r, "luban", {})).get("code") == "W261"} == {
        "empty.txt",
        "blank.html",
        "raw.txt",
    }
    known = {(Path(r.file).name, r.line, r.record) for r in source.rejects}
    assert known >= {("empty.txt", 0, False), ("raw.txt", 1, True), ("part.md", 31, True), ("photo.jpg", 0, False)}


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p></p>", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read("page.html", PASSAGE, base=tmp_path)
    assert caught.value.code == "L253"
    (tmp_path / "docs").mkdir()
    with pytest.raises(DataError) as caught:
        read("docs", PASSAGE, base=tmp_path)
    assert caught.value.code == "L219"


def test_a_document_of_a_hundred_thousand_words(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("The saw cuts wood and the plane smooths it. " * 11_200, encoding="utf-8")
    table = read("long.txt", PASSAGE, base=tmp_path).table
    assert sum(len(text.split()) for text in table["passage"]) == 100_800


def test_sentences_of_any_script() -> None:
    text = "Stop! He said: “go.” Version 2.5 is out.\n鲁班是谁？木匠。end"
    assert [text[a:b] for a, b in sentences(text)] == ["Stop!", "He said: “go.”", "Version 2.5 is out.", "鲁班是谁？", "木匠。", "end"]


def test_documents_and_questions_are_rows_of_two_kinds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("Text.", encoding="utf-8")
    (tmp_path / "pairs.csv").write_text("question,answer\nWhat?,Text.\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING, logger="luban"):
        table = read(["docs", "pairs.csv"], PASSAGE, base=tmp_path).table
    assert table.height == 2
    assert not [r for r in caplog.records if getattr(r, "luban", {}).get("code") == "W203"]
