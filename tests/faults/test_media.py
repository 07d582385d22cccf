"""A hostile or damaged picture becomes a reject with a reason: never a traceback, never half a picture, never gigabytes."""

from __future__ import annotations

import io
import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image as Pillow

from luban.kinds.image import Image
from luban.pictures import MAX_PIXELS, decode_cell, open_picture

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
CUTS = 50
MEMORY_KB = 1_200_000  # 64 million pixels of four channels, four times over
SPEC = {"kind": "image", "size": (8, 8), "channels": 3}


def picture(kind: str, side: int = 40) -> bytes:
    """A picture of noise: it can't be cut without a loss."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def png(width: int, height: int, rows: int | None = None, colour: int = 0) -> bytes:
    """A PNG of zeros, whatever its head says."""
    bytes_a_pixel = {0: 1, 2: 3, 6: 4}[colour]
    packer = zlib.compressobj(9)
    line = b"\0" * (width * bytes_a_pixel + 1)
    data = b"".join(packer.compress(line) for _ in range(height if rows is None else rows)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def resized(data: bytes, kind: str, width: int, height: int) -> bytes:
    """The same bytes under a head that lies about the size."""
    at, layout = {"BMP": (18, "<ii"), "GIF": (6, "<HH"), "PNG": (16, ">II")}[kind]
    return data[:at] + struct.pack(layout, width, height) + data[at + struct.calcsize(layout) :]


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG whose head lies about the size."""
    data = picture("JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def gif_of(frames: int) -> bytes:
    """Many frames of a small picture."""
    noise = np.random.default_rng(0).integers(0, 256, (frames, 8, 8), dtype=np.uint8)
    buffer = io.BytesIO()
    first, *rest = [Pillow.fromarray(frame) for frame in noise]
    first.save(buffer, "GIF", save_all=True, append_images=rest)
    return buffer.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "PNG bomb": lambda: png(20_000, 20_000),
    "PNG of 4 billion pixels a side": lambda: resized(picture("PNG"), "PNG", 2**31 - 1, 2**31 - 1),
    "PNG of width 0": lambda: resized(picture("PNG"), "PNG", 0, 40),
    "PNG with fewer rows than its head says": lambda: png(400, 400, rows=30),
    "BMP bomb": lambda: resized(picture("BMP"), "BMP", 100_000, 100_000),
    "BMP larger than its data": lambda: resized(picture("BMP"), "BMP", 400, 400),
    "BMP of negative width": lambda: resized(picture("BMP"), "BMP", -40, 40),
    "GIF bomb": lambda: resized(picture("GIF"), "GIF", 65_535, 65_535),
    "JPEG bomb": lambda: jpeg_of(65_000, 65_000),
    "JPEG of size 0": lambda: jpeg_of(0, 0),
    "PPM bomb": lambda: b"P6 100000 100000 255\n" + b"\0" * 100,
    "PPM larger than its data": lambda: b"P6 400 400 255\n" + b"\0" * 100,
    "PPM of a long number": lambda: b"P6 " + b"9" * 5000 + b" 4 255\n",
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) run\n",
    "PDF": lambda: b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "ICO": lambda: b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0",
    "PSD": lambda: b"8BPS\0\1" + b"\0" * 20,
    "FITS": lambda: b"SIMPLE  =                    T" + b" " * 2850,
    "text": lambda: "这不是图片".encode(),
    "HTML": lambda: b"<html><body>404</body></html>",
    "nothing": lambda: b"",
    "one byte": lambda: b"\x89",
    "head alone": lambda: b"\x89PNG\r\n\x1a\n",
    "JPEG head alone": lambda: b"\xff\xd8\xff\xe0",
    "pickle": lambda: b"\x80\x04\x95\x1e\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94",
}  # fmt: skip


def in_child(work: Callable[[], str]) -> tuple[str, int]:
    """What the work says, and the kilobytes it added, in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            said = work()
        except BaseException as error:  # noqa: BLE001 told to the parent, which fails
            said = f"raised {type(error).__name__}: {error}"
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writing, f"{grown} {said}".encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        grown, _, said = file.read().decode().partition(" ")
    assert os.waitpid(child, 0)[1] == 0, "the child died"
    return said, int(grown)


def refusal(data: bytes) -> str:
    """Why it is refused; nothing where it is decoded."""
    found, reason = decode_cell(data, (8, 8), 3)
    return reason if found is None else ""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_picture_is_a_reject_with_a_reason(name: str) -> None:
    data = HOSTILE[name]()
    said, grown = in_child(lambda: refusal(data))
    assert said, "decoded"
    assert not said.startswith("raised"), said
    assert grown < MEMORY_KB / 10


def test_a_bomb_in_a_column_costs_its_row_alone() -> None:
    cells = pl.Series("i", [picture("PNG"), png(20_000, 20_000), None, picture("JPEG")], dtype=pl.Binary)
    encoded = Image.encode(cells, SPEC)
    assert sorted(encoded.faults) == [1, 2]
    assert encoded.values[[0, 3]].any()
    assert not encoded.values[[1, 2]].any()


@pytest.mark.parametrize("colour", [0, 2, 6])
def test_the_largest_picture_that_is_decoded_stays_within_memory(colour: int) -> None:
    side = int(MAX_PIXELS**0.5)
    data = png(side, side, colour=colour)
    said, grown = in_child(lambda: str(decode_cell(data, (8, 8), 3)[1]))
    assert said == ""
    assert grown < MEMORY_KB


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_picture_is_whole_or_a_reject(kind: str) -> None:
    data = picture(kind)
    whole, reason = decode_cell(data, (40, 40), 3)
    assert reason == ""
    for length in np.linspace(0, len(data) - 1, CUTS).astype(int).tolist():
        found, reason = decode_cell(data[:length], (40, 40), 3)
        assert bool(reason) == (found is None)
        if found is not None:
            np.testing.assert_array_equal(found, whole, err_msg=f"half a picture: {length} of {len(data)} bytes")
    assert decode_cell(data[: len(data) // 2], (40, 40), 3)[0] is None


@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes_raise_nothing(kind: str) -> None:
    data, rng = picture(kind), np.random.default_rng(1)
    for _ in range(200):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 200), 3):
            broken[place] = rng.integers(0, 256)
        found, reason = decode_cell(bytes(broken), (8, 8), 1)
        assert bool(reason) == (found is None)


def test_of_many_frames_the_first_counts_at_once() -> None:
    data = gif_of(3000)
    said, grown = in_child(lambda: decode_cell(data, (8, 8), 1)[1])
    assert said == ""
    assert grown < MEMORY_KB / 10


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path)])
def test_what_is_no_file_is_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "i.png")
    picture, reason = open_picture(str(tmp_path / "i.png"))
    assert picture is None
    assert reason


@pytest.mark.parametrize(
    "cell", ["http://127.0.0.1:1/x.png", "file:///etc/passwd", "/etc/passwd", "a\0b.png", "", {"path": "/etc/passwd"}, {}, 5, "x" * 5000]
)
def test_a_cell_that_names_no_picture_is_a_reject(cell: object) -> None:
    assert decode_cell(cell, (8, 8), 3)[0] is None
    assert decode_cell(cell, (8, 8), 3)[1]
