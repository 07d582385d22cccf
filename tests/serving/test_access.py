"""Who may ask: this machine alone unless there are keys; names and origins are held against what was allowed."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import ANYWHERE, Running, running

from luban.errors import LubanError
from luban.serving import keys
from luban.serving.app import Service
from luban.serving.keys import Bucket, Entry
from luban.serving.server import check_exposure
from luban.serving.settings import Place, limits_of

OPEN, CLOSED = (
    ("/health/live", "/health/ready", "/", "/page/page.js"),
    ("/v1/models", "/v1/models/number", "/metrics", "/openapi.json", "/no"),
)
HASH = hashlib.sha256(b"lb-secret").hexdigest()


@pytest.fixture(scope="module")
def locked(shelf: dict[str, Path]) -> Iterator[Running]:
    entries = {"shop": Entry(sha256=HASH), "slow": Entry(sha256=hashlib.sha256(b"lb-slow").hexdigest(), per_minute=12)}
    place = Place(port=0, allowed_hosts=("models.example",), allowed_origins=("https://shop.example",))
    with running(Service([("number", shelf["number"])], keys=entries, place=place)) as found:
        yield found


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_to_all(path: str, locked: Running) -> None:
    assert locked.get(path).status == 200


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("value", ["", "Bearer", "Bearer x", "Basic lb-secret", "lb-secret", "Bearer " + HASH, "Bearer \xff"])
def test_what_wants_a_key(path: str, value: str, locked: Running) -> None:
    answer = locked.get(path, **({"Authorization": value} if value else {}))
    assert (answer.status, answer.code) == (401, "L610")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_opens(locked: Running) -> None:
    assert locked.post("/v1/predict/number", {"row": {"x": 1}}, Authorization="Bearer lb-secret").status == 200
    assert locked.post("/v1/predict/number", {"row": {"x": 1}}).code == "L610"


def test_each_key_has_its_own_rate(locked: Running) -> None:
    answers = [locked.get("/v1/models", Authorization="Bearer lb-slow") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert answers[-1].code == "L611"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 6
    assert locked.get("/v1/models", Authorization="Bearer lb-secret").status == 200


def test_a_bucket_fills_evenly() -> None:
    bucket = Bucket(60)
    begun = bucket.seen
    assert [bucket.take(begun) for _ in range(10)] == [0.0] * 10
    assert bucket.take(begun) == pytest.approx(1.0)
    assert bucket.take(begun + 1.01) == 0.0
    assert bucket.take(begun + 1.01) > 0
    assert [bucket.take(begun + 1000) for _ in range(10)] == [0.0] * 10
    assert bucket.take(begun + 1000) > 0  # what was not used is not saved up


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:1", "[::1]:80", "192.168.7.9:8000", "[fe80::1]", "models.example", "Models.Example:443"]
)
def test_known_hosts(host: str, locked: Running) -> None:
    assert locked.get("/health/live", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "models.example.", "127.0.0.1.evil.example", "[evil]", "localhost:x"]
)
def test_unknown_hosts(host: str, locked: Running) -> None:
    answer = locked.get("/health/live", Host=host)
    assert (answer.status, answer.code) == (421, "L613")


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://shop.example", "https://shop.example.evil", "http://localhost:1"]
)
def test_foreign_origins(origin: str, locked: Running) -> None:
    answer = locked.get("/health/live", Origin=origin)
    assert (answer.status, answer.code) == (403, "L614")
    assert "access-control-allow-origin" not in answer.headers


def test_allowed_origins(locked: Running) -> None:
    own = locked.get("/health/live", Origin=f"http://127.0.0.1:{locked.port}")
    assert (own.status, "access-control-allow-origin" in own.headers) == (200, False)
    other = locked.get("/health/live", Origin="https://shop.example")
    assert other.headers["access-control-allow-origin"] == "https://shop.example"
    before = locked.ask("OPTIONS", "/v1/predict/number", None, {"Origin": "https://shop.example"})
    assert (before.status, before.headers["access-control-allow-methods"]) == (204, "GET, POST")
    assert locked.ask("OPTIONS", "/v1/predict/number", None, {"Origin": "https://evil.example"}).status == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "models.example"])
def test_nothing_is_exposed_without_keys(host: str) -> None:
    with pytest.raises(LubanError, match="L180"):
        check_exposure(Place(host=host), {})
    check_exposure(Place(host=host), {"shop": Entry(sha256=HASH)})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_none(host: str) -> None:
    check_exposure(Place(host=host), {})


def test_keys_are_made_once_and_kept_as_hashes(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    first, second = keys.add(path, "shop", 0), keys.add(path, "app", 600)
    assert len({first, second}) == 2
    assert min(len(first), len(second)) >= 43
    text = path.read_text()
    assert first not in text
    assert second not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = keys.Keys(keys.read(path))
    assert found.check(b"Bearer " + first.encode()) == "shop"
    assert found.check(b"bearer " + second.encode()) == "app"
    with pytest.raises(LubanError, match="L183"):
        keys.add(path, "shop", 0)
    for wrong in ("[a]\nsha256 = 'x'", "[a]\nkey = 'lb-1'", "{", "[a]\nsha256 = 7"):
        path.write_text(wrong)
        with pytest.raises(LubanError, match=r"L(182|104|105)"):
            keys.read(path)


def test_limits_are_named_and_checked() -> None:
    assert limits_of(("rows=7", "wait_s = 0.5")).rows == 7
    for wrong in ("rows", "rows=0", "rows=a", "row=7", "wait_s=nan"):
        with pytest.raises(LubanError, match=r"L(184|104|105)"):
            limits_of((wrong,))


def test_two_bundles_of_one_name_are_refused(shelf: dict[str, Path]) -> None:
    with pytest.raises(LubanError, match="L181"):
        Service([("", shelf["number"]), ("", shelf["mixed"])], place=ANYWHERE)
