"""Pictures decoded small and by several threads are the pictures decoded whole, one by one."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from luban import cores, pictures
from luban.pictures import FEWEST, decode_cell, decode_cells, in_threads


def scene(width: int, height: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: patches with edges and a little noise, as a photograph has."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 40), -(-width // 40), 3))
    large = coarse.repeat(40, 0).repeat(40, 1)[:height, :width]
    return (large + rng.normal(0, 6, large.shape)).clip(0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, mode: str = "RGB", **options: Any) -> bytes:
    """As a camera writes it."""
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).convert(mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (1, "RGB"), (1, "L"), (3, "L"), (3, "CMYK")])
@pytest.mark.parametrize(("width", "height"), [(640, 480), (200, 900), (130, 130)])
def test_a_jpeg_decoded_small_is_the_whole_one_made_small(channels: int, mode: str, width: int, height: int) -> None:
    data = jpeg(scene(width, height), mode)
    with Pillow.open(io.BytesIO(data)) as picture:
        wanted = np.asarray(picture.convert("RGB" if channels == 3 else "L").resize((64, 64), Pillow.Resampling.HAMMING), np.float32)
    found, reason = decode_cell(data, (64, 64), channels)
    assert found is not None, reason
    apart = np.abs(found.transpose(1, 2, 0).squeeze() - wanted)
    assert apart.mean() < 1.5  # of 255
    assert np.quantile(apart, 0.99) < 12


def test_a_jpeg_that_lies_on_its_side_is_turned() -> None:
    turned = Pillow.Exif()
    turned[0x0112] = 6  # the camera was held upright
    upright = scene(300, 900)
    lying = jpeg(np.rot90(upright, 1), exif=turned)
    found, _ = decode_cell(lying, (96, 32), 3)
    wanted, _ = decode_cell(jpeg(upright), (96, 32), 3)
    assert found is not None
    assert wanted is not None
    assert np.abs(found.astype(int) - wanted).mean() < 2


@pytest.mark.parametrize(("small_s", "threads"), [(60.0, {"MainThread"}), (1e-3, {"pictures_0", "pictures_1", "MainThread"})])
def test_small_pictures_are_not_worth_threads(small_s: float, threads: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed", lambda: 2)
    monkeypatch.setattr(pictures, "SMALL_S", small_s)

    def work(cell: int) -> tuple[int, str]:
        time.sleep(2e-3)
        return cell, threading.current_thread().name

    found = list(in_threads(work, range(4 * FEWEST)))
    assert [cell for cell, _ in found] == list(range(4 * FEWEST))
    assert {name for _, name in found} == threads


def test_a_small_png_with_an_orientation_is_turned() -> None:
    pixels, buffer = scene(8, 6, 0), io.BytesIO()
    exif = Pillow.Exif()
    exif[0x0112] = 3  # upside down: the size stays
    Pillow.fromarray(pixels).save(buffer, "PNG", exif=exif)
    array, _ = decode_cell(buffer.getvalue(), pixels.shape[:2], 3)
    assert array is not None
    assert np.array_equal(array.transpose(1, 2, 0), pixels[::-1, ::-1])


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "SMALL_S", 0.0)
    cells: list[Any] = [jpeg(scene(90, 70, seed)) for seed in range(4 * FEWEST)]
    cells[5], cells[FEWEST], cells[-1] = b"no picture", cells[FEWEST][:300], None
    found = {}
    for threads in (1, 4):
        monkeypatch.setattr(cores, "allowed", lambda threads=threads: threads)
        found[threads] = list(decode_cells(iter(cells), (8, 8), 3))
    assert len(found[1]) == len(cells)
    assert [place for place, (array, _) in enumerate(found[4]) if array is None] == [5, FEWEST, len(cells) - 1]
    for (one, why), (other, reason) in zip(found[1], found[4], strict=True):
        assert why == reason
        assert np.array_equal(one, other)
