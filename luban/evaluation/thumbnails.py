"""Thumbnails: an image small enough to stand inside a page, as a data URI."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

LARGEST_SIDE = 64


def thumbnail(image: Any) -> str:
    """A data URI of at most 64 pixels a side, from a path, bytes, a PIL image or an array (H, W) or (H, W, 3) of uint8."""
    from PIL import Image

    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    elif isinstance(image, bytes | bytearray):
        image = Image.open(BytesIO(image))
    elif isinstance(image, str | Path):
        image = Image.open(image)
    if image.mode.startswith("I"):  # 16 bits a pixel
        image = Image.fromarray((np.asarray(image).clip(0, 65_535) // 256).astype(np.uint8))
    small = image.convert("L" if image.mode in ("1", "L") else "RGB")
    small.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    stream = BytesIO()
    small.save(stream, "PNG" if small.mode == "L" else "JPEG", quality=85)
    kind = "png" if small.mode == "L" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
