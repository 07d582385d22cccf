"""Pictures that anybody may have made: opened within limits, decoded to one size, several at once.

Kinds, checks, the page and the service read them here and nowhere else. C channels, H x W pixels.
"""

from __future__ import annotations

import io
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from luban import cores
from luban.messages import tr

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Found = TypeVar("Found")
MAX_PIXELS = 64_000_000
MAX_BYTES = 256_000_000
PNG = b"\x89PNG\r\n\x1a\n"
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")  # no other decoder of Pillow is ever reached
FEW_PIXELS = 65_536  # a whole array of so many is sooner made than a part is cut out
MANY_PIXELS = 8_000_000  # pictures from here on are decoded one at a time: memory
MOST_THREADS = 8
FEWEST = 16  # pictures that are worth a second thread
PROBED, SMALL_S = 4, 8e-4  # pictures that are timed first; what takes less each is mostly Python, where threads wait for each other
KEPT = 2  # a JPEG is decoded at no less than so many times the size that is wanted, then resized
WARNINGS, LARGE = threading.Lock(), threading.Lock()


def open_picture(cell: Any) -> tuple[Picture | None, str]:
    """A picture whose header was read and found within the limits, or None and why not. Nothing is decoded; of frames the first counts."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    data, reason = read_cell(cell)
    if data is None:
        return None, reason
    try:
        with nullcontext() if is_small(data) else unwarned():
            picture = Pillow.open(io.BytesIO(data), formats=FORMATS)
        pixels = picture.width * picture.height
    except UnidentifiedImageError:
        return None, tr("not an image: {value}", value=repr(cell)[:60])
    except Pillow.DecompressionBombError:
        return None, tr("more pixels than can be; at most {most} are decoded", most=MAX_PIXELS)
    except Exception as error:  # noqa: BLE001 a broken header shows as any error of any decoder
        return None, tr("unreadable image: {why}", why=str(error)[:80])
    if not 0 < pixels <= MAX_PIXELS:
        return None, tr("{n} pixels; at most {most} are decoded", n=pixels, most=MAX_PIXELS)
    return picture, ""


def is_small(data: bytes) -> bool:
    """Whether this is a PNG whose head says that it has not too many pixels."""
    return data[:8] == PNG and int.from_bytes(data[16:20]) * int.from_bytes(data[20:24]) <= MAX_PIXELS


@contextmanager
def unwarned() -> Iterator[None]:
    """Pillow does not warn of many pixels: they are counted."""
    from PIL import Image as Pillow

    with WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
        yield


def read_cell(cell: Any) -> tuple[bytes | None, str]:
    """The bytes of a picture from a path, bytes, or a table of either; or None and why not."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if cell is None:
        return None, tr("the image is missing")
    try:
        if not isinstance(cell, bytes):
            path = Path(str(cell))
            if not path.is_file():
                return None, tr("unreadable image: {why}", why=tr("no such file"))
            with path.open("rb") as file:
                cell = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return None, tr("unreadable image: {why}", why=str(error)[:80])
    if len(cell) > MAX_BYTES:
        return None, tr("more than {most} bytes", most=MAX_BYTES)
    return cell, ""


def shape_of(cell: Any) -> tuple[int, int, str] | None:
    """Height, width and mode by the header; the file is closed again."""
    picture, _ = open_picture(cell)
    if picture is None:
        return None
    with picture:
        return picture.height, picture.width, picture.mode


def decode_cells(cells: Iterable[Any], size: tuple[int, int], channels: int) -> Iterator[tuple[np.ndarray | None, str]]:
    """Each picture as `decode_cell` has it, in order."""
    return in_threads(lambda cell: decode_cell(cell, size, channels), cells)


def in_threads(work: Callable[[Any], Found], cells: Iterable[Any]) -> Iterator[Found]:
    """What the work gives of each picture, in order; decoding leaves Python, so threads share it where pictures are not small."""
    spans, first = list[float](), list(islice(cells := iter(cells), FEWEST))
    for cell in first[:PROBED]:
        begun = time.perf_counter()
        yield work(cell)
        spans.append(time.perf_counter() - begun)
    cells = chain(first[PROBED:], cells)
    small = len(first) < FEWEST or sorted(spans)[len(spans) // 2] < SMALL_S
    if small or (threads := min(MOST_THREADS, cores.allowed())) == 1:
        yield from map(work, cells)
        return
    ahead: deque[Future[Found]] = deque()
    pool = decoders(threads, os.getpid())
    try:
        for cell in cells:
            ahead.append(pool.submit(work, cell))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        yield from (future.result() for future in ahead)
    finally:
        for future in ahead:
            future.cancel()


@lru_cache(maxsize=1)
def decoders(threads: int, process: int) -> ThreadPoolExecutor:
    """The threads that decode, kept from one batch to the next; a forked process has its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix="pictures")


def decode_cell(cell: Any, size: tuple[int, int], channels: int) -> tuple[np.ndarray | None, str]:
    """(C, H, W) uint8, or None and why not."""
    picture, reason = open_picture(cell)
    if picture is None:
        return None, reason
    try:
        with LARGE if picture.width * picture.height > MANY_PIXELS else nullcontext():
            whole = None
            if picture.format == "PNG":
                whole = over(picture, 1)
                if lacks_rows(whole, cell):
                    return None, tr("unreadable image: {why}", why=tr("its rows are fewer than its head says"))
            return to_array(picture, size, channels, whole), ""
    except Exception as error:  # noqa: BLE001 a damaged picture shows as any error of any decoder
        return None, tr("unreadable image: {why}", why=str(error)[:80] or type(error).__name__)


def lacks_rows(before: np.ndarray, cell: Any) -> bool:
    """Whether the last rows of a PNG, decoded over 1, are left as they were before decoding, which Pillow does not say."""
    other, _ = open_picture(cell) if (before[-2:] == 1).any() else (None, "")
    return other is not None and not np.array_equal(before[-2:], over(other, 0)[-2:])


def over(picture: Picture, filler: int) -> np.ndarray:
    """The picture decoded over a filler; of a large one the last two rows."""
    from PIL import Image as Pillow

    picture.im = Pillow.new(picture.mode, picture.size, (filler,) * len(picture.getbands()) if len(picture.getbands()) > 1 else filler).im
    picture.load()
    large = picture.width * picture.height > FEW_PIXELS
    return np.asarray(picture.crop((0, max(0, picture.height - 2), *picture.size)) if large else picture)


def to_array(picture: Picture, size: tuple[int, int], channels: int, whole: np.ndarray | None = None) -> np.ndarray:
    """(C, H, W) uint8, turned upright, on white where transparent, resized with antialiasing; `whole` (H, W, …) where its pixels are known."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    (height, width), given = size, picture
    side = KEPT * max(size)  # whichever way up it is
    picture.draft("L" if channels == 1 else "RGB", (side, side))  # a JPEG is decoded small; its pixels move by a level or two
    if picture.mode.startswith("I"):  # 16 bits a pixel
        picture = Pillow.fromarray((np.asarray(picture).clip(0, 65_535) // 256).astype(np.uint8))
    if picture.mode != ("L" if channels == 1 else "RGB"):
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Pillow.alpha_composite(Pillow.new("RGBA", picture.size, "white"), picture)
        picture = picture.convert("L" if channels == 1 else "RGB")
    pixels = None if whole is None else picture.im
    if given.format != "PNG" or given.info:  # else nothing can say that it lies on its side
        ImageOps.exif_transpose(picture, in_place=True)
    if picture.size != (width, height):
        shrinks = picture.width >= width and picture.height >= height
        picture = picture.resize((width, height), Pillow.Resampling.HAMMING if shrinks else Pillow.Resampling.BICUBIC)
    untouched = picture is given and pixels is not None and picture.im is pixels
    array = whole if whole is not None and untouched and whole.shape[:2] == (height, width) else np.asarray(picture)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)
