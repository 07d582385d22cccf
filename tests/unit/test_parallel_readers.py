"""Readers of texts in several languages: line by line, TMX, PO, MO; and what no file of theirs may do."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from luban.data.reading import Reading, read
from luban.errors import DataError

LOOSE = Reading(reject_limit=1.0)


def put(place: Path, name: str, text: str | bytes) -> None:
    (place / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def refused(place: Path, name: str, options: Reading | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        read(name, options, base=place)
    return caught.value


def test_parallel_files_are_one_table(tmp_path: Path) -> None:
    put(tmp_path, "a.en", "One.\n\nTwo\u2028still two.\nThree.\n")
    put(tmp_path, "a.zh", "一。\n\n二。\n\n")
    source = read("a.{en,zh}", base=tmp_path)
    assert source.table.columns == ["en", "zh"]
    assert source.table.rows() == [("One.", "一。"), ("Two\u2028still two.", "二。"), ("Three.", "")]
    assert [source.origin.of(row)[1] for row in range(3)] == [1, 3, 4]
    assert [reject.line for reject in source.rejects] == [2]
    assert {path.name for _, path in source.files} == {"a.en", "a.zh"}


def test_parallel_files_divided_and_packed(tmp_path: Path) -> None:
    for name, text in (("t.fr.gz", "un\ndeux"), ("t.en.gz", "one\ntwo\n"), ("d.fr.gz", "trois"), ("d.en.gz", "three")):
        put(tmp_path, name, gzip.compress(text.encode()))
    source = read({"train": "t.{en,fr}.gz", "validation": "d.{en,fr}.gz"}, base=tmp_path)
    assert source.table.rows() == [("one", "un"), ("two", "deux"), ("three", "trois")]
    assert source.splits is not None
    assert source.splits.tolist() == [0, 0, 1]


def test_files_of_different_length_are_an_error_with_both_counts(tmp_path: Path) -> None:
    put(tmp_path, "a.en", "1\n2\n3\n")
    put(tmp_path, "a.fr", "1\n2\n")
    error = refused(tmp_path, "a.{en,fr}")
    assert error.code == "L297"
    assert "a.en: 3" in str(error.received)
    assert "a.fr: 2" in str(error.received)


def test_a_side_that_is_not_there_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a.en", "1\n")
    error = refused(tmp_path, "a.{en,fr}")
    assert (error.code, error.received) == ("L200", "a.fr")


def test_a_line_that_is_not_utf8_costs_its_pair_alone(tmp_path: Path) -> None:
    put(tmp_path, "a.en", "".join(f"line {n} é\n" for n in range(100)))
    put(tmp_path, "a.fr", b"".join(b"ligne \xff\xfe\n" if n == 40 else f"ligne {n} é\n".encode() for n in range(100)))
    source = read("a.{en,fr}", Reading(encoding="utf-8"), base=tmp_path)
    assert source.table.height == 99
    assert [(reject.column, reject.line) for reject in source.rejects] == [("fr", 41)]


def test_a_segment_of_a_hundred_thousand_words_is_one_row(tmp_path: Path) -> None:
    put(tmp_path, "a.en", "word " * 100_000 + "\nshort\n")
    put(tmp_path, "a.fr", "mot " * 100_000 + "\ncourt\n")
    assert read("a.{en,fr}", base=tmp_path).table["en"].str.len_chars().to_list() == [499_999, 5]


TMX = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="EN" segtype="sentence"/><body>
<tu><tuv xml:lang="zh_CN"><seg>点击<bpt i="1">&lt;b&gt;</bpt>此处<ept i="1">&lt;/b&gt;</ept></seg></tuv>
<tuv xml:lang="en"><seg>Click <hi>here</hi> &amp; wait</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>alone</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>a</seg></tuv><tuv xml:lang="EN"><seg>b</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>two</seg></tuv><tuv xml:lang="fr"><seg>deux</seg></tuv></tu>
</body></tmx>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tmx(tmp_path: Path, encoding: str) -> None:
    put(tmp_path, "m.tmx", TMX.format(encoding=encoding).encode(encoding))
    source = read("m.tmx", LOOSE, base=tmp_path)
    assert source.table.columns == ["en", "zh-cn", "fr"]
    assert source.table.rows() == [("Click here & wait", "点击此处", None), ("two", None, "deux")]
    assert [source.origin.of(row)[1] for row in range(2)] == [4, 8]
    assert [reject.line for reject in source.rejects] == [6, 7]


@pytest.mark.parametrize(
    "before",
    [
        '<!DOCTYPE tmx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE tmx [<!ENTITY f SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE tmx [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    ],
)
def test_tmx_with_entities_is_refused(tmp_path: Path, before: str) -> None:
    put(tmp_path, "m.tmx", f'{before}<tmx><body><tu><tuv xml:lang="en"><seg>x</seg></tuv></tu></body></tmx>')
    assert refused(tmp_path, "m.tmx").code == "L298"


def test_tmx_that_breaks_nests_or_swells_is_refused(tmp_path: Path) -> None:
    whole = TMX.format(encoding="utf-8")
    put(tmp_path, "cut.tmx", whole[: len(whole) // 2])
    put(tmp_path, "bad.tmx", whole.encode().replace(b"alone", b"al\xffone"))
    put(tmp_path, "deep.tmx", "<tmx>" + "<a>" * 10_000)
    put(tmp_path, "unknown.tmx", "<tmx><body>&nbsp;</body></tmx>")
    put(tmp_path, "swells.tmx.gz", gzip.compress(b" " * 5_000_000))
    put(tmp_path, "empty.tmx", "")
    codes = {name: refused(tmp_path, name, Reading(max_unpacked=1_000_000)).code for name in
             ("cut.tmx", "bad.tmx", "deep.tmx", "unknown.tmx", "swells.tmx.gz", "empty.tmx")}  # fmt: skip
    assert codes == {
        "cut.tmx": "L204",
        "bad.tmx": "L204",
        "deep.tmx": "L298",
        "unknown.tmx": "L204",
        "swells.tmx.gz": "L205",
        "empty.tmx": "L202",
    }


PO = r"""# translators
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"

#: main.c:1
msgid "one file"
msgid_plural "%d files"
msgstr[0] "un fichier"
msgstr[1] "%d fichiers"

msgctxt "menu"
msgid "Open \"%s\"\n"
msgstr ""
"Ouvrir "
"« %s »\n"

#, fuzzy
msgid "guess"
msgstr "devine"

msgid "open"
msgstr ""
#~ msgid "old"
#~ msgstr "vieux"
msgid "next"
msgstr "suivant"
msgid "after"
msgstr "après"
"""
ROWS = [
    ("one file", "un fichier", None),
    ("%d files", "%d fichiers", None),
    ('Open "%s"\n', "Ouvrir « %s »\n", "menu"),
    ("guess", None, None),
    ("open", None, None),
    ("next", "suivant", None),
    ("after", "après", None),
]


def test_po(tmp_path: Path) -> None:
    put(tmp_path, "fr.po", PO)
    source = read("fr.po", base=tmp_path)
    assert source.table.columns == ["source", "target", "context"]
    assert source.table.rows() == ROWS
    assert [source.origin.of(row)[1] for row in range(7)] == [7, 7, 12, 19, 22, 26, 28]


def test_po_in_the_encoding_its_header_names(tmp_path: Path) -> None:
    put(tmp_path, "fr.po", PO.replace("UTF-8", "ISO-8859-1").encode("latin-1"))
    assert read("fr.po", base=tmp_path).table.rows() == ROWS


def test_po_faults_cost_their_message_alone(tmp_path: Path) -> None:
    good = "".join(f'msgid "m{n}"\nmsgstr "n{n}é"\n\n' for n in range(50))
    put(tmp_path, "bad.po", good.encode() + b'msgid "broken\nmsgstr "x"\n\nmsgid "cut"\nmsgstr "\xff"\n\nmsgid "ends"\n')
    source = read("bad.po", LOOSE, base=tmp_path)
    assert source.table.height == 50
    assert [reject.line for reject in source.rejects] == [151, 154, 157]
    put(tmp_path, "header.po", 'msgid ""\nmsgstr "x\\n"\n')
    assert refused(tmp_path, "header.po").code == "L202"


def mo(pairs: list[tuple[bytes, bytes]], order: str = "<") -> bytes:
    """As msgfmt writes it, without a table of hashes."""
    count, body, tables = len(pairs), b"", []
    start = 20 + 16 * count
    for side in range(2):
        for pair in pairs:
            tables.append((len(pair[side]), start + len(body)))
            body += pair[side] + b"\0"
    head = struct.pack(f"{order}5I", 0x950412DE, 0, count, 20, 20 + 8 * count)
    return head + b"".join(struct.pack(f"{order}2I", *entry) for entry in tables) + body


PAIRS = [(b"", b"Content-Type: text/plain; charset=UTF-8\n"), (b"one\0many", "un\0été".encode()), (b"menu\x04Open", b"Ouvrir")]


@pytest.mark.parametrize("order", ["<", ">"])
def test_mo(tmp_path: Path, order: str) -> None:
    put(tmp_path, "fr.mo", mo(PAIRS, order))
    table = read("fr.mo", base=tmp_path).table
    assert table.rows() == [("one", "un", None), ("many", "été", None), ("Open", "Ouvrir", "menu")]


def test_mo_that_points_outside_itself_is_refused(tmp_path: Path) -> None:
    whole = mo(PAIRS)
    for number, raw in enumerate((whole[:30], whole[:-20], b"\0" * 40, whole[:8] + b"\xff\xff\xff\x7f" + whole[12:], whole[:3])):
        put(tmp_path, f"{number}.mo", raw)
        assert refused(tmp_path, f"{number}.mo").code == "L204"
    put(tmp_path, "empty.mo", b"")
    assert refused(tmp_path, "empty.mo").code == "L202"


def test_mo_in_another_encoding_lists_what_it_cannot_read(tmp_path: Path) -> None:
    put(tmp_path, "fr.mo", mo([*PAIRS, (b"x", b"\xff")]))
    source = read("fr.mo", LOOSE, base=tmp_path)
    assert (source.table.height, len(source.rejects)) == (3, 1)


def test_a_forecast_looks_at_the_same_lines_of_every_side(tmp_path: Path) -> None:
    from luban.planning import sample

    put(tmp_path, "a.en", "".join(f"{n}\n" for n in range(700_000)))
    put(tmp_path, "a.fr", "".join(f"{n} long\n" for n in range(700_000)))
    (tmp_path / "x").mkdir()
    taken = sample.copy_some(tmp_path / "a.{en,fr}", tmp_path / "x" / "a.{en,fr}", sample.SAMPLE_BYTES)
    rows = read("x/a.{en,fr}", base=tmp_path).table
    assert 0 < rows.height < 700_000
    assert taken == sample.size_of(tmp_path / "x" / "a.{en,fr}") < sample.size_of(tmp_path / "a.{en,fr}")
    assert rows["fr"].str.strip_suffix(" long").to_list() == rows["en"].cast(str).to_list()
