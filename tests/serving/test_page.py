"""The page in a real browser: each kind of input, errors, both languages, the keyboard, a narrow screen. Skipped where no browser is."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parrot import Config, Generation, Parrot, stand_in
from PIL import Image
from running import ANYWHERE, Running, running

from luban.serving import page
from luban.serving.app import Service
from luban.serving.keys import Entry

HERE = Path(page.__file__).parent


def test_nothing_is_fetched_from_elsewhere_and_nothing_is_inline() -> None:
    for path in HERE.iterdir():
        if path.suffix in (".html", ".css", ".js"):
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|//cdn|@import|url\(", text), path
    markup = (HERE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on\w+=", markup)


def test_every_word_stands_in_both_languages() -> None:
    words = dict(
        re.findall(r'^  (\w+): \["(?:[^"\\]|\\.)+", ("(?:[^"\\]|\\.)+")\],$', (HERE / "words.js").read_text(encoding="utf-8"), re.MULTILINE)
    )
    said = "".join((HERE / name).read_text(encoding="utf-8") for name in ("index.html", "page.js", "inputs.js", "answers.js", "reasons.js"))
    used = set(re.findall(r'data-say="(\w+)"|\bsay\("(\w+)"', said))
    used = {first or second for first, second in used} | {
        "theme_auto",
        "theme_light",
        "theme_dark",
        "model",
        "metric",
        "validation",
        "test",
    }
    assert used == set(words)
    assert all(re.search(r"[\u3400-\u9fff]", chinese) for chinese in words.values())


def test_it_is_served_with_a_strict_policy(served: Running) -> None:
    answer = served.get("/")
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    for name in page.FILES:
        part = served.get(f"/page/{name}")
        assert (part.status, part.headers["x-content-type-options"]) == (200, "nosniff")
    assert served.get("/page/__init__.py").status == 404


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium here")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, served: Running) -> Iterator[Any]:
    """A tab on the page; an error in its console fails the test."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1100, "height": 900})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None)
    opened.goto(f"http://127.0.0.1:{served.port}/")
    opened.wait_for_selector("#fields .field")
    yield opened
    context.close()
    assert errors == []


def choose(tab: Any, name: str) -> None:
    tab.select_option("#model", name)
    tab.wait_for_function(
        "name => location.hash === '#' + name && document.querySelector('#about').textContent.includes('reads')", arg=name
    )
    tab.wait_for_function("() => !document.querySelector('#answer .headline')")


def test_each_kind_of_input(tab: Any) -> None:
    choose(tab, "mixed")
    tab.get_by_label("t text").fill("很好 good")
    tab.get_by_label("x number").fill("1,234.5")
    tab.get_by_label("c category").select_option("Wien")
    tab.get_by_label("d date").fill("2024-03-01")
    tab.get_by_label("g tags").fill("new\n热")
    with tab.expect_response("**/v1/predict/mixed") as asked:
        tab.click("#send")
    row = asked.value.request.post_data_json["row"]
    assert row == {"t": "很好 good", "x": 1234.5, "c": "Wien", "d": "2024-03-01", "g": ["new", "热"]}
    tab.wait_for_selector("#answer .bars")
    answer = asked.value.json()["answer"]
    assert tab.inner_text("#answer .headline") == answer["label"]
    shares = tab.locator("#answer .share").all_inner_texts()
    assert sum(float(share.removesuffix(" %")) for share in shares) == pytest.approx(100, abs=0.2)
    assert "1 call from" in tab.inner_text("#latency")


def test_why_an_answer_is_so(tab: Any) -> None:
    choose(tab, "mixed")
    tab.click("#examples button >> nth=0")
    tab.get_by_label("t text").fill("很好 🙂 good")
    tab.click("#send")
    with tab.expect_response("**/v1/explain/mixed") as asked:
        tab.click("#why")
    found = asked.value.json()["explanation"]
    tab.wait_for_selector("#reasons .words")
    assert (
        tab.locator("#reasons .words mark").all_inner_texts()
        == [part["text"] for part in found["parts"]["t"]]
        == ["很", "好", "🙂", "good"]
    )
    assert tab.locator("#reasons .bars").first.locator(".name").first.inner_text().startswith(found["columns"][0]["column"])
    assert f"“{found['label']}”" in tab.inner_text("#reasons")
    tab.click("#language")
    assert "支持" in tab.inner_text("#reasons")
    tab.click("#language")
    choose(tab, "picture")
    assert tab.inner_text("#reasons") == ""
    tab.click("#examples button >> nth=0")
    tab.click("#send")
    tab.click("#why")
    tab.wait_for_selector("#reasons .map rect")
    assert tab.locator("#reasons .map rect").count() == 64


def test_an_example_fills_the_form(tab: Any) -> None:
    choose(tab, "mixed")
    tab.click("#examples button >> nth=1")
    assert tab.get_by_label("t text").input_value()
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector("#answer .headline")
    call = tab.inner_text("#panel")
    assert "curl http://127.0.0.1" in call
    assert "urllib.request" in call


def test_a_picture_is_dropped(tab: Any) -> None:
    choose(tab, "picture")
    buffer = io.BytesIO()
    Image.new("L", (11, 13), 90).save(buffer, "PNG")
    tab.set_input_files("#fields input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    tab.wait_for_selector("#fields img")
    tab.click("#send")
    tab.wait_for_selector("#answer .bars")


def test_a_series_and_a_number(tab: Any) -> None:
    choose(tab, "series")
    tab.fill("#fields textarea", "[[1, 2], [3, 4]]")
    tab.click("#send")
    tab.wait_for_selector("#answer .bars")
    choose(tab, "number")
    tab.fill("#fields input", "2.5")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#answer .headline")
    assert tab.inner_text("#answer .headline").startswith("y: ")


def test_errors_stand_at_their_field(tab: Any) -> None:
    choose(tab, "number")
    tab.fill("#fields input", "many")
    tab.click("#send")
    assert tab.inner_text("#fields .hint") == "This is not a number"
    assert tab.evaluate("document.activeElement.tagName") == "INPUT"
    choose(tab, "mixed")
    tab.get_by_label("d date").fill("no date")
    tab.click("#send")
    tab.wait_for_selector("#fields .wrong")
    assert tab.locator("#fields .wrong label").all_inner_texts() == ["d date"]
    assert tab.locator("#answer .headline").count() == 0


def test_chinese_dark_and_back(tab: Any) -> None:
    tab.click("#language")
    assert tab.inner_text("#send") == "提问"
    assert tab.get_attribute("html", "lang") == "zh-Hans"
    light = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.click("#theme")
    tab.click("#theme")
    assert tab.inner_text("#theme") == "主题：深色"
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != light
    tab.reload()
    tab.wait_for_selector("#fields .field")
    assert tab.inner_text("#send") == "提问"
    choose_zh = tab.locator("#about").inner_text()
    assert "读取" in choose_zh


def test_by_keyboard_alone(tab: Any) -> None:
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(40):
        tab.keyboard.press("Tab")
        seen.add(tab.evaluate("document.activeElement.id || document.activeElement.dataset.tab || document.activeElement.tagName"))
    assert {"theme", "language", "model", "send", "clear", "call"} <= seen
    tab.focus("[data-tab=call]")
    tab.keyboard.press("ArrowRight")
    assert tab.get_attribute("[data-tab=scores]", "aria-selected") == "true"
    tab.keyboard.press("ArrowRight")
    assert "Inputs" in tab.inner_text("#panel")


def test_a_narrow_screen_needs_no_sideways_scrolling(tab: Any) -> None:
    tab.set_viewport_size({"width": 360, "height": 740})
    for name in ("mixed", "picture", "series"):
        choose(tab, name)
        tab.click("#examples button >> nth=0")
        tab.click("#send")
        tab.wait_for_selector("#answer .headline")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        heights = [
            box["height"]
            for box in (one.bounding_box() for one in tab.locator("#form button:visible, #form input:visible, #model").all())
            if box
        ]
        assert min(heights) >= 40


def test_text_comes_as_it_is_said(browser: Any, shelf: dict[str, Path]) -> None:
    service = Service([(name, shelf["number"]) for name in ("chat", "text")], place=ANYWHERE)
    slow = type("Slow", (Parrot,), {"slow_s": 0.05})
    stand_in(service, "chat", Parrot(Config(column="messages", generation=Generation(max_tokens=99))), "messages", [])
    stand_in(service, "text", slow(Config(generation=Generation(max_tokens=999))), "text", [])
    with running(service) as found:
        opened = browser.new_page()
        opened.goto(f"http://127.0.0.1:{found.port}/#chat")
        opened.wait_for_selector("#fields .field")
        opened.fill("#fields textarea", "你好，世界 🌏")
        opened.click("#send")
        opened.wait_for_selector("#latency svg")
        assert opened.inner_text("#answer") == "你好，世界 🌏"
        assert "/v1/chat/completions" in opened.inner_text("#panel")
        opened.select_option("#model", "text")
        opened.wait_for_function("() => location.hash === '#text'")
        opened.fill("#fields textarea", "slowly " * 90)
        opened.click("#send")
        opened.wait_for_function("() => document.querySelector('#answer').textContent.length > 5")
        opened.click("#stop")
        opened.wait_for_selector("#stop", state="hidden")
        assert len(opened.inner_text("#answer")) < 300
        opened.close()


def test_a_key_is_asked_for(browser: Any, shelf: dict[str, Path]) -> None:
    entries = {"shop": Entry(sha256="2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b")}  # of "secret"
    with running(Service([("number", shelf["number"])], keys=entries, place=ANYWHERE)) as found:
        opened = browser.new_page()
        opened.goto(f"http://127.0.0.1:{found.port}/")
        opened.wait_for_selector("#locked:not([hidden])")
        assert opened.locator("#ask").is_hidden()
        opened.fill("#key", "wrong")
        opened.keyboard.press("Enter")
        opened.wait_for_selector("#trouble:not([hidden])")
        opened.fill("#key", "secret")
        opened.keyboard.press("Enter")
        opened.wait_for_selector("#fields .field")
        opened.close()
