"""Augmentation of a batch of pictures, drawn per example: the same picture, epoch and seed give the same result.

B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from luban.draw import Draw


def augment(images: Tensor, settings: dict[str, Any], fill: list[int], draw: Draw) -> Tensor:
    """(B, C, H, W) uint8 -> float32, mirrored, moved, turned and blanked as the settings say; `fill` is the mean colour."""
    if settings["flip"]:
        images = flip(images, draw)
    if settings["shift"]:
        images = shift(images, settings["shift"], draw)
    images = images.float()
    if settings["rotate_deg"] or settings["zoom"]:
        images = turn(images, settings["rotate_deg"], settings["zoom"], draw)
    if settings["cutout"]:
        images = cutout(images, settings["cutout"], fill, draw)
    return images


def flip(images: Tensor, draw: Draw) -> Tensor:
    """Mirror left and right, half of the examples."""
    chosen = torch.from_numpy(draw.uniform("flip") < 0.5).view(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(-1), images)


def shift(images: Tensor, most: int, draw: Draw) -> Tensor:
    """Move by up to `most` pixels each way; the border is mirrored inwards."""
    height, width = images.shape[-2:]
    moves = torch.from_numpy(draw.integers("shift", 2 * most + 1, 2)) - most  # (B, 2)
    rows = reflect(torch.arange(height) + moves[:, :1], height)  # (B, H)
    columns = reflect(torch.arange(width) + moves[:, 1:], width)  # (B, W)
    batch = torch.arange(len(images)).view(-1, 1, 1)
    moved = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return moved.permute(0, 3, 1, 2)


def reflect(index: Tensor, size: int) -> Tensor:
    """Indices beyond the border, mirrored inwards without repeating the border itself."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.where(index < size, index, period - index)


def turn(images: Tensor, rotate_deg: float, zoom: float, draw: Draw) -> Tensor:
    """Rotate about the middle and zoom, by bilinear interpolation; the border is drawn out."""
    count, _, height, width = images.shape
    angle = torch.from_numpy(draw.uniform("rotate") * 2 - 1) * math.radians(rotate_deg)  # (B,)
    scale = 1 + torch.from_numpy(draw.uniform("zoom", 2) * 2 - 1) * zoom  # (B, 2)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = cosine * scale[:, 0], -sine * scale[:, 0] * height / width
    matrix[:, 1, 0], matrix[:, 1, 1] = sine * scale[:, 1] * width / height, cosine * scale[:, 1]
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def cutout(images: Tensor, side: int, fill: list[int], draw: Draw) -> Tensor:
    """Blank a square around a drawn middle with the mean colour (DeVries and Taylor 2017, section 3.1)."""
    height, width = images.shape[-2:]
    middle = torch.from_numpy(draw.uniform("cutout", 2)) * torch.tensor([height, width])  # (B, 2)
    near_row = (torch.arange(height) + 0.5 - middle[:, :1]).abs() <= side / 2  # (B, H)
    near_column = (torch.arange(width) + 0.5 - middle[:, 1:]).abs() <= side / 2  # (B, W)
    inside = (near_row[:, :, None] & near_column[:, None, :])[:, None]  # (B, 1, H, W)
    return torch.where(inside, torch.tensor(fill, dtype=images.dtype).view(1, -1, 1, 1), images)
