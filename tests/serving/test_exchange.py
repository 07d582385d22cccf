"""A newer version takes over while requests come; one that is damaged, or reads something else, does not."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import bundles
import pytest
from running import ANYWHERE, Running, running

from luban.bundle.format import sign
from luban.errors import BundleError
from luban.files import put
from luban.serving.app import Service


def other_version(shelf: dict[str, Path], place: Path, label: str) -> Path:
    """The same columns and target, another report: another version."""
    folder = bundles.copied(shelf["number"], place / label)
    bundles.edit(folder, "report.json", lambda value: value | {"note": label})
    sign(folder)
    return folder


def exchange(found: Running) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    found.service.shelf.exchange(lambda name, what: told.append((name, what)))
    return told


def test_fifty_exchanges_under_load_lose_nothing(shelf: dict[str, Path], tmp_path: Path) -> None:
    place = bundles.copied(shelf["number"], tmp_path / "live")
    with running(Service([("number", place)], place=ANYWHERE)) as found:
        statuses: list[int] = []
        versions: set[str] = set()
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                answer = found.post("/v1/predict/number", {"row": {"x": 1}})
                statuses.append(answer.status)
                versions.add(answer.json["version"])

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(50):
                put(other_version(shelf, tmp_path, f"v{number}"), place)
                assert len(exchange(found)) == 1
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert set(statuses) == {200}
        assert len(statuses) > 50
        assert len(versions) > 5
        assert exchange(found) == []


def damaged(folder: Path) -> None:
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-3] ^= 1
    (folder / "weights.safetensors").write_bytes(data)


def half(folder: Path) -> None:
    (folder / "MANIFEST.json").write_text("{")


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def lying(folder: Path) -> None:
    """Its golden answers are not what it answers."""
    bundles.edit_golden(folder, lambda lines: [line | {"answer": {"number": 1e6}} for line in lines])
    sign(folder)


@pytest.mark.parametrize("harm", [damaged, half, gone, lying])
def test_a_bad_version_does_not_take_over(harm: Any, shelf: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = bundles.copied(shelf["number"], tmp_path / "live")
    with running(Service([("number", place)], place=ANYWHERE)) as found:
        before = found.post("/v1/predict/number", {"row": {"x": 1}}).json
        if harm is damaged:
            put(other_version(shelf, tmp_path, "next"), place)
        harm(place)
        assert exchange(found) == []
        assert "W610" in caplog.text
        assert found.post("/v1/predict/number", {"row": {"x": 1}}).json == before
        assert 'luban_failed_exchanges_total{model="number"} 1.0' in found.get("/metrics").body.decode()


def test_another_signature_does_not_take_over(shelf: dict[str, Path], tmp_path: Path) -> None:
    place = bundles.copied(shelf["number"], tmp_path / "live")
    with running(Service([("number", place)], place=ANYWHERE)) as found:
        put(bundles.copied(shelf["boosted"], tmp_path / "next"), place)
        with pytest.raises(BundleError, match="L414"):
            found.service.shelf.find("number").exchange()
        assert found.post("/v1/predict/number", {"row": {"x": 1}}).status == 200
