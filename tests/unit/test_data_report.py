"""The data report: whole, bilingual, small, masked, and the figures are those of the data."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import click
import numpy as np
import polars as pl
import pytest

from luban import catalog
from luban import recipe as recipes
from luban.cli import main as cli
from luban.cli.output import findings_table, width_of
from luban.data.checks import Finding
from luban.inspection import checkup
from luban.inspection import report as report_module
from luban.inspection.checkup import FAULTLESS, CheckUp, check_up
from luban.inspection.columns import histogram
from luban.inspection.report import data_report, page, write_data_report
from luban.inspection.suspects import confident_errors, suspects
from luban.messages import said

N = 601
VOID = {"meta", "br", "img", "line", "rect", "circle", "polyline"}
SECRETS = ("13812345678", "li.hua@example.cn", "11010519491231002X", "4532015112830366")
INPUTS = {"review": "text", "price": "number", "city": "category", "day": "date"}


class Page(HTMLParser):
    """Whether every tag is closed, and what stands in either language."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: dict[str, list[str]] = {"en": [], "zh": []}
        self.ids: list[str] = []
        self.named: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.ids += [str(known["id"])] if "id" in known else []
        self.named += [str(known["aria-labelledby"])] if "aria-labelledby" in known else []
        if tag not in VOID:
            self.open.append(str(known.get("class")) if known.get("class") in self.words else tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() in (tag, "en", "zh")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.words:
            self.words[self.open[-1]].append(data)


def table(wrong: int = 0) -> pl.DataFrame:
    """Reviews whose words tell the label, but for the first `wrong` rows."""
    rng = np.random.default_rng(7)
    good = rng.random(N) < 0.5
    words = [rng.choice(["很好", "喜欢", "满意", "推荐"] if g else ["太差", "失望", "后悔", "退货"], 7) for g in good]
    texts = ["，".join(row) + f"，第{i}位顾客" for i, row in enumerate(words)]
    label = np.where(good ^ (np.arange(N) < wrong), "good", "bad")
    price = [None if i % 10 == 3 else round(float(v), 2) for i, v in enumerate(rng.normal(100, 15, N))]
    day = [str(np.datetime64("2024-01-01") + int(d)) for d in rng.integers(0, 300, N)]
    return pl.DataFrame({"review": texts, "price": price, "city": rng.choice(["杭州", "Wien"], N), "day": day, "label": label})


def with_secrets(frame: pl.DataFrame) -> pl.DataFrame:
    """Somebody's data in the shortest and the longest text, in the commonest category, in the label."""
    texts = frame["review"].to_list()
    texts[0], texts[1] = f"电话{SECRETS[0]}", texts[1] * 9 + f"写信到 {SECRETS[1]}"
    for place in range(5):
        texts[500 + place] = texts[10 + place] + "呢"
    texts[520] += SECRETS[2]
    cities = [SECRETS[1] if i % 3 else SECRETS[3] for i in range(N)]
    return frame.with_columns(review=pl.Series(texts), city=pl.Series(cities))


def looked(folder: Path, frame: pl.DataFrame, **changes: object) -> CheckUp:
    frame.write_csv(folder / "data.csv")
    asked = {"task": "classification", "data": "data.csv", "target": "label", "inputs": INPUTS} | changes
    return check_up(recipes.parse(asked, base=folder), suspects=True)


def test_the_figures_are_those_of_the_data(tmp_path: Path) -> None:
    frame = table()
    report = data_report(looked(tmp_path, frame))
    columns = {column["name"]: column for column in report["columns"]}
    assert (report["rows"], report["usable"], sum(report["splits"].values())) == (N, N, N)
    assert [column["role"] for column in report["columns"]] == ["input"] * 4 + ["target"]
    price = frame["price"].drop_nulls()
    assert (columns["price"]["missing"], columns["price"]["distinct"]) == (60, price.n_unique())
    assert columns["price"]["figures"]["median"] == pytest.approx(price.median())
    assert sum(columns["price"]["histogram"]["counts"]) == len(price)
    assert dict(columns["city"]["bars"]["values"]) == dict(frame["city"].value_counts().rows())
    assert columns["day"]["ends"] == [f"{frame['day'].min()} 00:00:00", f"{frame['day'].max()} 00:00:00"]
    assert columns["review"]["lengths"]["most"] == frame["review"].str.len_chars().max()
    assert report["missing_patterns"] == [{"columns": [], "rows": N - 60}, {"columns": ["price"], "rows": 60}]
    for row in report["classes"]:
        assert row["rows"] == (frame["label"] == row["label"]).sum() == row["train"] + row["validation"] + row["test"]


def test_the_page_is_whole_and_says_all_in_both_languages(tmp_path: Path) -> None:
    text = page(data_report(looked(tmp_path, with_secrets(table(30)))))
    found = Page(text)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert set(found.named) <= set(found.ids)
    assert len(text.encode()) < 200_000
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert len(found.words["en"]) == len(found.words["zh"])
    same = {en for en, zh in zip(found.words["en"], found.words["zh"], strict=True) if en == zh and re.search("[a-z]{3}", en)}
    assert not same, same
    for section in ("Suspect labels", "Columns", "Class balance", "Near copies", "Personal data", "What is missing together"):
        assert section in text


def test_nothing_personal_is_shown(tmp_path: Path) -> None:
    done = looked(tmp_path, with_secrets(table()))
    report = data_report(done)
    assert {hit["kind"] for hit in report["personal"]["columns"]} == {"mobile", "email", "resident_id", "bank_card"}
    everything = page(report) + json.dumps(report, ensure_ascii=False) + "".join(finding.detail for finding in done.findings)
    assert [secret for secret in SECRETS if secret in everything] == []


def test_a_reject_shows_nothing_personal(tmp_path: Path) -> None:
    frame = table().with_columns(pl.col("price").cast(pl.String))
    frame[17, "price"] = f"call {SECRETS[0]}"
    report = data_report(looked(tmp_path, frame))
    assert report["rejects"]["examples"] == [{"place": "data.csv:19", "column": "price", "reason": "not a number: 'call 1**********'"}]


def test_markup_in_the_data_stays_text(tmp_path: Path) -> None:
    frame = table().with_columns(city=pl.when(pl.int_range(N) < 300).then(pl.lit("<script>alert(1)</script>")).otherwise("city"))
    text = page(data_report(looked(tmp_path, frame.rename({"price": "<img src=x>"}), inputs={"city": "category", "<img src=x>": "number"})))
    assert "<script>alert" not in text
    assert "<img src=x>" not in text
    assert "&lt;img src=x&gt;" in text


def test_a_page_that_grows_too_large_leaves_the_dear_parts_out_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = data_report(looked(tmp_path, with_secrets(table(30))))
    whole = page(report)
    assert "to stay under 2 MB" not in whole.lower()
    monkeypatch.setattr(report_module, "MOST_BYTES", len(whole.encode()) - 1)
    smaller = page(report)
    assert len(smaller.encode()) < len(whole.encode())
    assert "To stay under 2 MB the page leaves out" in smaller


@pytest.mark.parametrize("k", [0, 7, 23])
def test_planted_label_errors_are_found(tmp_path: Path, k: int) -> None:
    found = looked(tmp_path, table(k)).suspects
    assert found is not None
    assert (found.looked_at, found.labelled) == (N, N)
    assert {row.row for row in found.rows} == set(range(k))
    assert all(row.given != row.suggested for row in found.rows)


def test_label_errors_of_a_table_with_three_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, N)
    given = np.where(np.arange(N) < 11, (truth + 1) % 3, truth)
    frame = pl.DataFrame({"x": truth * 5 + rng.normal(size=N), "z": rng.normal(size=N), "label": np.array(["a", "b", "c"])[given]})
    found = looked(tmp_path, frame, inputs={"x": "number", "z": "number"}).suspects
    assert found is not None
    assert found.model == "boosted"
    caught = {row.row for row in found.rows}
    assert len(caught & set(range(11))) >= 7  # the trees believe some of the wrong ones
    assert len(caught) <= 20


def test_the_confident_joint_of_the_paper() -> None:
    """Thresholds are mean own chances: 0.7 for label 0, 0.6 for label 1; row 2 reaches 0.6 of label 1, row 3 reaches nothing."""
    chance = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.6, 0.4]])
    codes = np.array([0, 0, 0, 0, 1, 1, 1])
    assert confident_errors(codes, chance) == [(2, 1)]
    assert confident_errors(np.zeros(0, np.int64), np.zeros((0, 2))) == []


def test_labels_that_are_not_judged(tmp_path: Path) -> None:
    frame = table().with_columns(label=pl.int_range(N).cast(pl.String))
    frame.write_csv(tmp_path / "data.csv")
    done = check_up(
        recipes.parse({"task": "regression", "data": "data.csv", "target": "price", "inputs": {"city": "category"}}, base=tmp_path),
        suspects=True,
    )
    assert done.suspects is None
    assert suspects(done.recipe, done.subject) is None


def test_a_large_table_is_judged_by_a_sample_and_loses_no_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table().with_columns(pl.col("price").cast(pl.String))
    frame[17, "price"], frame[400, "price"] = "lots", "more"
    whole = looked(tmp_path, frame)
    monkeypatch.setattr(checkup, "MOST_ENCODED", 50)
    large = looked(tmp_path, frame)
    assert [reject["line"] for reject in large.rejects] == [19, 402]
    assert (large.rejects, large.usable) == (whole.rejects, whole.usable)


@pytest.mark.parametrize("kind", FAULTLESS)
def test_kinds_that_are_left_out_of_a_large_table_refuse_nothing(kind: str) -> None:
    loaded = catalog.load("kinds", kind)
    cells = pl.Series(["a", "", None, "\x00", "1e999", "NaN", "[", "\ud7ff", "x" * 10_000, "𠀀"])
    assert loaded.encode(cells, loaded.fit(pl.Series(["a", "b"] * 9), loaded.Config())).faults == {}


def test_histogram() -> None:
    whole = histogram(np.array([1.0, 2, 2, 5]))
    assert (whole["counts"], whole["edges"][0], whole["edges"][-1]) == ([1, 2, 0, 0, 1], 0.5, 5.5)
    spread = histogram(np.r_[np.linspace(0, 1, 500), 1e6])
    assert sum(spread["counts"]) == 501
    assert (spread["edges"][-1] < 2, spread["most"]) == (True, 1e6)
    assert sum(histogram(np.full(3, 0.5))["counts"]) == 3


def test_the_command_names_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().write_csv(tmp_path / "data.csv")
    (tmp_path / "recipe.toml").write_text('task = "classification"\ndata = "data.csv"\ntarget = "label"\n')
    asked = ["check", str(tmp_path / "recipe.toml"), "--report", str(tmp_path / "out" / "page.html")]
    assert cli.run(asked, as_json=False) == 0
    assert f"data report: {tmp_path / 'out' / 'page.html'}" in capsys.readouterr().out
    assert cli.run([*asked, "--json"], as_json=True) == 0
    written = json.loads(capsys.readouterr().out)["report"]
    assert json.loads(Path(written["json"]).read_text())["rows"] == N
    assert cli.run([*asked[:-1], "page.json"], as_json=False) == 2
    assert "FILE.html" in capsys.readouterr().err


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_narrow_terminal_cuts_nothing_off(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUBAN_LANG", language)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    fix = said("drop them, or keep them together with a group; scores are too good otherwise")
    lines = findings_table([Finding("W255", "warning", said("near copy"), said("no value is missing"), fix, "review")])
    assert max(width_of(line) for line in map(click.unstyle, lines)) <= 60
    shown = "".join(map(click.unstyle, lines))
    assert "…" not in shown
    assert set(fix) <= set(shown)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    from luban.errors import DataError

    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as caught:
        write_data_report(data_report(looked(tmp_path, table())), tmp_path / "file" / "page.html")
    assert caught.value.code == "L245"


def test_an_error_among_the_findings_still_has_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table().with_columns(label=pl.lit("good")).write_csv(tmp_path / "data.csv")
    (tmp_path / "recipe.toml").write_text('task = "classification"\ndata = "data.csv"\ntarget = "label"\n')
    assert cli.run(["check", str(tmp_path / "recipe.toml"), "--report", str(tmp_path / "page.html")], as_json=False) == 3
    assert "Not ready: 1 errors" in (tmp_path / "page.html").read_text()
