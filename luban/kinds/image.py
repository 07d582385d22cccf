"""image: a picture from a path or bytes, decoded once to one size; augmentation is drawn per example."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from luban import occluding
from luban.errors import DataError
from luban.kinds import Encoded, Spec
from luban.layers.augmentation import augment
from luban.messages import tr

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from luban.draw import Draw

ENCODER = "convnet"
MAX_SIDE = 64
Side = Annotated[int, Gt(0), Le(1024)]
MAX_PIXELS = 64_000_000
MAX_BYTES = 256_000_000
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")  # no other decoder of Pillow is ever reached
GREY = ("1", "L", "I;16", "I", "LA")


class Image:
    """(N, C, H, W) uint8."""

    occlusion = occluding.IMAGE

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Size, colours, scaling, augmentation."""

        size: tuple[Side, Side] | Side | None = None
        """Height and width in pixels, or one number for both; left out, the commonest of the training rows, at most 64."""
        channels: Literal[1, 3] | None = None
        """1 grey, 3 colours; left out, as the training rows are."""
        scale: Literal["standard", "unit", "none"] = "standard"
        """`standard`: per channel, minus the mean over the spread of the training rows; `unit`: pixels / 255; `none`: 0 … 255."""
        flip: bool = False
        """Mirror left and right, half of the time. Off by default: a mirrored digit or word is another one."""
        shift: Annotated[int, Ge(0), Le(1024)] = 0
        """Move by up to this many pixels each way (the crop of a padded image; He et al. 2016)."""
        cutout: Annotated[int, Ge(0), Le(1024)] = 0
        """Side in pixels of a square blanked out (DeVries and Taylor 2017)."""
        rotate_deg: Annotated[float, Ge(0), Le(180)] = 0.0
        """Turn by up to this many degrees each way."""
        zoom: Annotated[float, Ge(0), Lt(1)] = 0.0
        """Grow or shrink by up to this share."""

    @dataclass(frozen=True, kw_only=True)
    class Fitted:
        """Size, colours, scaling and augmentation."""

        size: tuple[Side, Side]
        channels: Literal[1, 3]
        fill: tuple[Annotated[int, Ge(0), Le(255)], ...]
        mean: tuple[float, ...]
        spread: tuple[Annotated[float, Gt(0)], ...]
        augment: dict[str, bool | int | float]

        def __post_init__(self) -> None:
            if {len(self.fill), len(self.mean), len(self.spread)} != {self.channels}:
                raise ValueError(tr("the sizes of the parts differ"))

    @staticmethod
    def fit(series: pl.Series, config: Image.Config) -> Spec:
        """The size, colours, mean and spread of the training rows. Raises DataError L212 when none can be read."""
        cells = series.drop_nulls()
        cells = cells.gather_every(max(1, len(cells) // 2000)).to_list()
        shapes = [shape for shape in map(shape_of, cells) if shape is not None]
        size = as_pair(config.size) if config.size else usual_size(shapes)
        channels = config.channels or (1 if all(mode in GREY for _, _, mode in shapes) else 3)
        decoded = [array for array, _ in (decode_cell(cell, size, channels) for cell in cells) if array is not None]
        if not decoded:
            raise DataError(
                "L212",
                tr("no training row holds an image that can be read"),
                where=series.name,
                fix=tr("check the paths with `luban check`"),
            )
        arrays = np.stack(decoded)
        return (
            {"kind": "image", "size": size, "channels": channels, "fill": [int(v) for v in arrays.mean((0, 2, 3)).round()]}
            | scaling(arrays, config.scale)
            | {
                "augment": {
                    "flip": config.flip,
                    "shift": config.shift,
                    "cutout": config.cutout,
                    "rotate_deg": config.rotate_deg,
                    "zoom": config.zoom,
                }
            }
        )

    @staticmethod
    def encode(series: pl.Series, spec: Spec) -> Encoded:
        """(N, C, H, W) uint8; missing, unreadable, truncated and oversized pictures are faults."""
        out = np.zeros((len(series), spec["channels"], *spec["size"]), np.uint8)
        faults: dict[int, str] = {}
        for place, cell in enumerate(series.to_list()):
            array, reason = decode_cell(cell, spec["size"], spec["channels"])
            if array is None:
                faults[place] = reason
            else:
                out[place] = array
        return Encoded(out, faults)

    @staticmethod
    def collate(values: Any, spec: Spec, draw: Draw) -> Tensor:
        """(B, C, H, W) float32, augmented in training, then scaled."""
        pixels = torch.from_numpy(np.ascontiguousarray(values))
        images = augment(pixels, spec["augment"], spec["fill"], draw) if draw.training else pixels.float()
        mean, spread = (torch.tensor(spec[name]).view(1, -1, 1, 1) for name in ("mean", "spread"))
        return (images - mean) / spread

    @staticmethod
    def demo(count: int, seed: int) -> pl.Series:
        """Grey PNGs of 11 × 13 pixels."""
        from PIL import Image as Pillow

        rng, cells = np.random.default_rng(seed), []
        for _ in range(count):
            buffer = io.BytesIO()
            Pillow.fromarray(rng.integers(0, 256, (11, 13), dtype=np.uint8)).save(buffer, "PNG")
            cells.append(buffer.getvalue())
        return pl.Series(cells, dtype=pl.Binary)


def scaling(arrays: np.ndarray, scale: str) -> dict[str, list[float]]:
    """Mean and spread per channel, in 0 … 255."""
    channels = arrays.shape[1]
    if scale == "standard":
        spread = arrays.std((0, 2, 3), dtype=np.float64)
        return {"mean": arrays.mean((0, 2, 3)).tolist(), "spread": np.where(spread > 0, spread, 1.0).tolist()}
    return {"mean": [0.0] * channels, "spread": [255.0 if scale == "unit" else 1.0] * channels}


def open_picture(cell: Any) -> tuple[Picture | None, str]:
    """A picture whose header was read and found within the limits, or None and why not. Nothing is decoded; of frames the first counts."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    data, reason = read_cell(cell)
    if data is None:
        return None, reason
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # counted below
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


def decode_cell(cell: Any, size: tuple[int, int], channels: int) -> tuple[np.ndarray | None, str]:
    """(C, H, W) uint8, or None and why not."""
    picture, reason = open_picture(cell)
    if picture is None:
        return None, reason
    try:
        with picture:
            if picture.format == "PNG" and lacks_rows(picture, cell):
                return None, tr("unreadable image: {why}", why=tr("its rows are fewer than its head says"))
            return to_array(picture, size, channels), ""
    except Exception as error:  # noqa: BLE001 a damaged picture shows as any error of any decoder
        return None, tr("unreadable image: {why}", why=str(error)[:80] or type(error).__name__)


def lacks_rows(picture: Picture, cell: Any) -> bool:
    """Whether the last rows of a PNG are left as they were before decoding, which Pillow does not say; the picture is decoded."""
    before = ends_over(picture, 1)
    other, _ = open_picture(cell) if (before == 1).any() else (None, "")
    return other is not None and not np.array_equal(before, ends_over(other, 0))


def ends_over(picture: Picture, filler: int) -> np.ndarray:
    """The last two rows, decoded over a filler."""
    from PIL import Image as Pillow

    picture.im = Pillow.new(picture.mode, picture.size, (filler,) * len(picture.getbands()) if len(picture.getbands()) > 1 else filler).im
    picture.load()
    return np.asarray(picture.crop((0, max(0, picture.height - 2), *picture.size)))


def to_array(picture: Picture, size: tuple[int, int], channels: int) -> np.ndarray:
    """(C, H, W) uint8, turned upright, on white where transparent, resized with antialiasing."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    height, width = size
    if picture.mode.startswith("I"):  # 16 bits a pixel
        picture = Pillow.fromarray((np.asarray(picture).clip(0, 65_535) // 256).astype(np.uint8))
    if picture.mode != ("L" if channels == 1 else "RGB"):
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            picture = Pillow.alpha_composite(Pillow.new("RGBA", picture.size, "white"), picture)
        picture = picture.convert("L" if channels == 1 else "RGB")
    picture = ImageOps.exif_transpose(picture)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Pillow.Resampling.BICUBIC)
    array = np.asarray(picture)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def usual_size(shapes: list[tuple[int, int, str]]) -> tuple[int, int]:
    """The commonest height and width, scaled down to at most 64."""
    (height, width), _ = (Counter((h, w) for h, w, _ in shapes) or Counter([(1, 1)])).most_common(1)[0]
    shrink = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def as_pair(size: tuple[int, int] | list[int] | int) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])
