"""The report: the same figures in JSON, a page that is whole, small, bilingual, and safe whatever the data hold."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import re
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from report_examples import digits, houses, reviews

from luban.errors import TrainingError
from luban.evaluation import report as report_module
from luban.evaluation.figures import cut, duration, figure, json_ready, span
from luban.evaluation.plots import scale_of, thinned
from luban.evaluation.report import write_report
from luban.evaluation.svg import ticks
from luban.evaluation.thumbnails import thumbnail

VOID = {"meta", "br", "img", "link", "hr", "input", "line", "circle", "rect", "polyline"}
BUILDERS = {"reviews": reviews, "digits": digits, "houses": houses}


@cache
def built(name):
    return BUILDERS[name]()


@pytest.fixture(params=BUILDERS)
def example(request):
    return built(request.param)


@pytest.fixture
def review_report():
    return built("reviews")


class Page(HTMLParser):
    """Tags in order, their attributes, and whether every one is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.text, self.ids = [], [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page_of(report, folder) -> str:
    write_report(report, folder)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_is_whole_and_small(example, tmp_path):
    text = page_of(example, tmp_path)
    page = Page(text)
    assert page.open == []
    assert len(text.encode()) < 200_000
    assert len(page.ids) == len(set(page.ids))
    named = {value for _, name, value in page.attributes if name == "aria-labelledby"}
    assert named <= set(page.ids)


def test_json_is_the_dict(example, tmp_path):
    write_report(example, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == json_ready(example)


def test_undefined_scores_become_null(review_report, tmp_path):
    report = copy.deepcopy(review_report)
    report["ladder"][0]["validation"]["auc"] = {"value": math.nan, "low": math.inf, "high": np.float32(0.5)}
    page_of(report, tmp_path)
    saved = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert saved["ladder"][0]["validation"]["auc"] == {"value": None, "low": None, "high": 0.5}


def test_the_page_asks_nothing_of_the_network(example, tmp_path):
    text = page_of(example, tmp_path)
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text.replace("</", ""))
    assert {tag for tag in page.tags if tag in ("link", "iframe", "object", "embed", "base", "form", "audio", "video")} == set()
    assert all(value.startswith("data:image/") for _, name, value in page.attributes if name in ("src", "href"))


def test_the_policy_allows_this_script_alone(review_report, tmp_path):
    text = page_of(review_report, tmp_path)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert policy
    assert script
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    assert "default-src 'none'" in policy.group(1)
    assert f"script-src 'sha256-{digest}';" in policy.group(1)


def test_the_verdict_stands_before_every_figure(example, tmp_path):
    text = page_of(example, tmp_path)
    kind = {"reviews-zh": "network_wins", "digits": "tie", "houses": "baseline_wins"}[example["run"]["name"]]
    assert example["verdict"]["kind"] == kind
    assert ('class="banner"' in text) == (kind != "network_wins")
    assert text.index('id="verdict"') < text.index('id="ladder"') < text.index("<svg")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_languages_are_inside_and_the_readers_is_shown(review_report, tmp_path, monkeypatch, language):
    monkeypatch.setenv("LUBAN_LANG", language)
    text = page_of(review_report, tmp_path)
    assert f'data-lang="{language}"' in text
    assert text.count('class="en"') == text.count('class="zh"') > 50
    assert review_report["verdict"]["text_zh"] in Page(text).text


EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'>&{{ 7*7 }}</style></svg>\u202e"


def poisoned(value, name=""):
    """Every text of the report, names of columns and classes too, replaced by something hostile."""
    if isinstance(value, dict):
        hostile = name in ("inputs", "class_counts", "environment")
        return {EVIL + key if hostile else key: poisoned(part, key) for key, part in value.items()}
    if isinstance(value, list):
        return [poisoned(part) for part in value]
    return EVIL + value if isinstance(value, str) and name not in ("metric", "role") else value


def test_nothing_from_the_user_becomes_markup(example, tmp_path):
    clean, text = Page(page_of(example, tmp_path / "clean")), page_of(poisoned(example), tmp_path / "evil")
    page = Page(text)
    assert page.open == []
    assert page.tags.count("script") == 1
    assert page.tags.count("style") == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "{{ 7*7 }}" in text
    assert EVIL in page.text
    assert set(page.tags) <= set(clean.tags)


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "data:text/html;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        'data:image/png;base64,AA" onload="x',
        "https://a.b/c.png",
    ],
)
def test_only_thumbnails_become_images(review_report, tmp_path, uri):
    report = review_report | {"wrong": [{"row": 1, "truth": "a", "answer": "b", "confidence": None, "inputs": {"photo": uri}}]}
    assert "img" not in Page(page_of(report, tmp_path)).tags


def test_thumbnails_are_small_and_shown(tmp_path, review_report):
    rng = np.random.default_rng(0)
    for image in (rng.integers(0, 256, (331, 173, 3)).astype(np.uint8), rng.integers(0, 256, (28, 29)).astype(np.uint8)):
        uri = thumbnail(image)
        assert len(uri) < report_module.LARGEST_PICTURE
        report = review_report | {"wrong": [{"row": 1, "truth": "a", "answer": "b", "confidence": 0.5, "inputs": {"photo": uri}}]}
        assert ("img", "src", uri) in Page(page_of(report, tmp_path)).attributes


def test_the_page_stays_under_two_megabytes(review_report, tmp_path):
    report, many = copy.deepcopy(review_report), 5003
    labels = [f"类别 {i} " + "长" * 200 for i in range(many)]
    report["data"]["class_counts"] = dict.fromkeys(labels, 7)
    report["data"]["inputs"] = {f"column {i}" + "x" * 300: "number" for i in range(many)}
    report["per_class"] = [{"label": label, "count": 3, "precision": 0.5, "recall": None, "f1": 0.25} for label in labels]
    report["curves"] = {"train": [[i, 1 / (i + 1)] for i in range(100_003)], "validation": [], "best_step": 5}
    report["warnings"] = ["W2 " + "很长的警告" * 101] * 211
    report["environment"] = {f"key {i}": "v" * 307 for i in range(211)}
    inputs = {f"column {i}": "文" * 1009 for i in range(53)}
    report["wrong"] = [{"row": i, "truth": labels[0], "answer": labels[1], "confidence": 0.5, "inputs": inputs} for i in range(47)]
    text = page_of(report, tmp_path)
    page = Page(text)
    assert len(text.encode()) < 1_000_000
    assert page.tags.count("article") == 24
    assert "文" * 299 + "…" in page.text
    assert "文" * 300 not in page.text
    assert len(json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["per_class"]) == many


def test_a_page_grown_too_large_drops_the_wrong_examples_and_says_so(review_report, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(report_module, "MOST_BYTES", 50)
    text = page_of(review_report, tmp_path)
    assert "<article" not in text
    assert "W350" in caplog.text


def test_many_classes_show_the_worst_pairs(review_report, tmp_path):
    names = [f"class {i}" for i in range(37)]
    counts = (np.eye(37, dtype=int) * 11 + np.eye(37, k=3, dtype=int) * 2).tolist()
    text = page_of(review_report | {"confusion": {"labels": names, "counts": counts}}, tmp_path)
    assert "Most frequent confusions" in text
    assert 'class="matrix' not in text


def test_the_least_a_report_can_hold(review_report, tmp_path):
    least = {name: review_report[name] for name in ("run", "data", "protocol", "ladder", "verdict")}
    data = {name: value for name, value in least["data"].items() if name not in ("labels", "class_counts", "findings")}
    text = page_of(least | {"data": data, "ladder": []}, tmp_path)
    assert Page(text).open == []
    assert "<svg" not in text


def test_a_folder_that_cannot_be_written_is_named(review_report, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(TrainingError, match="L352"):
        write_report(review_report, blocked)


def test_no_half_written_report_is_left(review_report, tmp_path):
    write_report(review_report, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_one_model_far_off_does_not_squeeze_the_others():
    def rung(low, high):
        return {"validation": {"accuracy": {"value": (low + high) / 2, "low": low, "high": high}}, "test": None}

    scale = scale_of([rung(0.1, 0.12), rung(0.95, 0.97), rung(0.96, 0.98)], "accuracy")
    assert scale.low > 0.9
    assert scale.beyond(0.11) == "‹"
    assert scale.beyond(0.96) == ""
    assert scale_of([], "accuracy").low < scale_of([], "accuracy").high
    scale = scale_of([rung(0.8, 0.8)], "accuracy")
    assert scale.place(0.8) == 50


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.86849, "0.868"),
        (0.0, "0.000"),
        (12.3456, "12.35"),
        (123.456, "123.5"),
        (27695.7, "27,696"),
        (0.00031, "0.00031"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_figures(value, text):
    assert figure(value) == text


def test_figures_of_other_kinds():
    assert span(0.1, None) == ""
    assert "0.100" in span(0.1, 0.2)
    assert "2 分 51 秒" in duration(171)
    assert "1 h 10 min" in duration(4210)
    assert "0.4 s" in duration(0.4)
    assert cut(1061.5) == "1061.5"
    assert cut("x" * 301) == "x" * 299 + "…"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.8312, 0.8741), (-3, 1e6), (5, 5), (1e-9, 2e-9)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 1 <= len(found) <= 11
    assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in found)


def test_thinned_curves_keep_their_ends():
    points = [(i, math.nan if i == 3 else i) for i in range(10_007)]
    kept = thinned(points, 100)
    assert len(kept) <= 101
    assert kept[0] == (0, 0)
    assert kept[-1] == (10_006, 10_006)
