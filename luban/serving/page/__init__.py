"""The page: the files of this folder, served as they are; nothing is fetched from anywhere else, and nothing is built."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from luban.serving import problems

HERE = Path(__file__).parent
FILES = {
    "page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "words.js": "text/javascript; charset=utf-8",
    "inputs.js": "text/javascript; charset=utf-8", "answers.js": "text/javascript; charset=utf-8",
    "reasons.js": "text/javascript; charset=utf-8",
}  # fmt: skip
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@cache
def content(name: str) -> bytes:
    """A file of the page, read once."""
    return (HERE / name).read_bytes()


async def index(request: Request) -> Response:
    """The page itself."""
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
    return Response(content("index.html"), media_type="text/html", headers=headers)


async def part(request: Request) -> Response:
    """Its style and scripts: the files that are named here, and no others."""
    name = request.path_params["name"]
    if name not in FILES:
        raise problems.not_found()
    return Response(content(name), media_type=FILES[name], headers={"cache-control": "no-cache"})


async def icon(request: Request) -> Response:
    """None, said at once."""
    return Response(status_code=204)


ROUTES = (("/", "GET", index), ("/page/{name}", "GET", part), ("/favicon.ico", "GET", icon))
