"""image: a picture from a path or bytes, decoded once to one size; augmentation is drawn per example."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import Tensor

from luban import occluding
from luban.decoding import decode_all
from luban.errors import DataError
from luban.kinds import Encoded, Spec
from luban.layers.augmentation import augment
from luban.messages import tr
from luban.pictures import decode_cells, shape_of

if TYPE_CHECKING:
    from luban.draw import Draw

ENCODER = "convnet"
MAX_SIDE = 64
LOOKED, SAMPLED = 2_000, 500  # pictures whose header is read for size and colours, and that are decoded for mean and spread
Side = Annotated[int, Gt(0), Le(1024)]
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
        cells = cells.gather_every(max(1, len(cells) // LOOKED)).to_list()
        shapes = [shape for shape in map(shape_of, cells) if shape is not None]
        size = as_pair(config.size) if config.size else usual_size(shapes)
        channels = config.channels or (1 if all(mode in GREY for _, _, mode in shapes) else 3)
        decoded = [array for array, _ in decode_cells(cells[:: max(1, len(cells) // SAMPLED)], size, channels) if array is not None]
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
        return Encoded(*decode_all(series.to_list(), tuple(spec["size"]), spec["channels"]))

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


def usual_size(shapes: list[tuple[int, int, str]]) -> tuple[int, int]:
    """The commonest height and width, scaled down to at most 64."""
    (height, width), _ = (Counter((h, w) for h, w, _ in shapes) or Counter([(1, 1)])).most_common(1)[0]
    shrink = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def as_pair(size: tuple[int, int] | list[int] | int) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])
