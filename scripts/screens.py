"""Pictures of the page for the docs: serves three bundles, asks, and writes docs/images/serve-*.png. Needs playwright and chromium.

screens.py REVIEWS_BUNDLE DIGITS_BUNDLE CREDIT_BUNDLE [NAME...]    only the pictures of these names, such as serve-why
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from luban.serving.app import Service
from luban.serving.server import Server, listen
from luban.serving.settings import Place

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDE, TALL, NARROW = {"width": 1100, "height": 760}, {"width": 1100, "height": 900}, {"width": 375, "height": 812}


def main() -> None:
    """Serve, look, stop."""
    reviews, digits, credit = map(Path, sys.argv[1:4])
    service = Service([("reviews", reviews), ("digits", digits), ("credit", credit)], place=Place(port=0))
    listener, server = listen(service), Server(service)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            look(browser, url, "serve", locale="en-GB", scheme="light", size=WIDE, model="digits")
            look(
                browser, url, "serve-zh", locale="zh-CN", scheme="light", size=WIDE, model="reviews", text="房间很干净，服务也好，下次还来"
            )
            look(browser, url, "serve-dark", locale="en-GB", scheme="dark", size=WIDE, model="credit", tab="scores")
            look(browser, url, "serve-phone", locale="zh-CN", scheme="light", size=NARROW, model="reviews", text="质量太差，用了一天就坏了")
            look(browser, url, "serve-why", locale="en-GB", scheme="light", size=TALL, model="digits", why=True)
            sentence = "房间很干净，服务也好，就是早餐一般，下次还来"
            look(browser, url, "serve-why-zh", locale="zh-CN", scheme="light", size=TALL, model="reviews", text=sentence, why=True)
            look(browser, url, "serve-error", locale="en-GB", scheme="light", size=WIDE, model="credit", spoil=True)
    finally:
        server.should_exit = True
        thread.join()
        service.stop()


def look(
    browser: Any,
    url: str,
    name: str,
    *,
    locale: str,
    scheme: str,
    size: Any,
    model: str,
    text: str = "",
    tab: str = "",
    spoil: bool = False,
    why: bool = False,
) -> None:
    """One picture."""
    if sys.argv[4:] and name not in sys.argv[4:]:
        return
    context = browser.new_context(locale=locale, color_scheme=scheme, viewport=size)
    page = context.new_page()
    page.goto(f"{url}#{model}")
    page.wait_for_selector("#fields .field")
    if text:
        page.fill("#fields textarea", text)
    else:
        page.click("#examples button >> nth=1")
    for _ in range(1 if spoil else 9):
        if spoil:
            page.locator("#fields input[inputmode=decimal]").first.fill("many")
        page.click("#send")
        page.wait_for_selector(".hint:visible" if spoil else "#answer .headline")
        page.wait_for_timeout(60)
    if why:
        page.click("#why")
        page.wait_for_selector("#reasons > *")
    if tab:
        page.click(f"[data-tab={tab}]")
    page.evaluate("document.activeElement.blur()") if not spoil else None
    page.wait_for_timeout(400)
    page.screenshot(path=IMAGES / f"{name}.png", full_page=size is NARROW)
    context.close()


if __name__ == "__main__":
    main()
