"""Augmentation by hand: what each does to a picture, keyed by example, whatever the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from luban.draw import Draw
from luban.layers.augmentation import augment, reflect

OFF: dict[str, Any] = {"flip": False, "shift": 0, "cutout": 0, "rotate_deg": 0.0, "zoom": 0.0}
ALL: dict[str, Any] = {"flip": True, "shift": 2, "cutout": 3, "rotate_deg": 20.0, "zoom": 0.2}
FILL = [9, 8, 7]


def images(count: int = 53) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(10, 256, (count, 3, 7, 11), dtype=np.uint8))


def draw(count: int = 53, epoch: int = 0) -> Draw:
    return Draw(0, epoch, np.arange(count), training=True)


def test_off_changes_nothing() -> None:
    torch.testing.assert_close(augment(images(), OFF, FILL, draw()), images().float(), rtol=0, atol=0)


def test_flip_mirrors_about_half() -> None:
    before, after = images().float(), augment(images(), OFF | {"flip": True}, FILL, draw())
    mirrored = (after == before.flip(-1)).flatten(1).all(1)
    assert ((after == before).flatten(1).all(1) ^ mirrored).all()
    assert 15 < mirrored.sum() < 38


def test_reflect_by_hand() -> None:
    assert reflect(torch.arange(-5, 9), 4).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert reflect(torch.arange(-2, 3), 1).tolist() == [0] * 5


def test_shift_is_a_crop_of_the_reflected_picture() -> None:
    before, after = images().float(), augment(images(), OFF | {"shift": 2}, FILL, draw())
    padded = torch.nn.functional.pad(before, (2, 2, 2, 2), mode="reflect")
    moves = set()
    for picture, wide in zip(after, padded, strict=True):
        crops = [(y, x) for y in range(5) for x in range(5) if torch.equal(picture, wide[:, y : y + 7, x : x + 11])]
        assert len(crops) == 1
        moves.add(crops[0])
    assert len(moves) > 15


def test_cutout_blanks_a_square_with_the_mean_colour() -> None:
    after = augment(images(), OFF | {"cutout": 3}, FILL, draw())
    blank = (after == torch.tensor(FILL, dtype=torch.float32).view(1, 3, 1, 1)).all(1)  # (B, H, W); no picture is so dark
    kept = ~blank[:, None].expand_as(after)
    assert torch.equal(after[kept], images().float()[kept])
    for square in blank:
        y, x = square.any(1).nonzero()[:, 0], square.any(0).nonzero()[:, 0]
        assert 1 <= len(y) <= 4
        assert 1 <= len(x) <= 4
        assert square[y.min() : y.max() + 1, x.min() : x.max() + 1].all()


def test_no_turn_and_no_zoom_keep_the_picture() -> None:
    tiny = augment(images(), OFF | {"rotate_deg": 1e-6}, FILL, draw())
    torch.testing.assert_close(tiny, images().float(), rtol=0, atol=1e-2)


def test_a_quarter_turn_moves_the_bright_corner() -> None:
    square = torch.zeros(1, 1, 5, 5, dtype=torch.uint8)
    square[0, 0, 0, 0] = 200

    class Quarter(Draw):
        def uniform(self, name: str, *shape: int) -> np.ndarray:
            return np.full((1, *shape), {"rotate": 1.0, "zoom": 0.5}[name], np.float32)  # the largest angle, no zoom

    turned = augment(square, OFF | {"rotate_deg": 90.0}, [0], Quarter(0, 0, np.arange(1), True))
    corners = turned[0, 0][[0, 0, 4, 4], [0, 4, 0, 4]]
    assert corners.sort().values.tolist() == pytest.approx([0, 0, 0, 200], abs=0.1)
    assert corners[0] < 0.1


def test_the_same_example_is_changed_the_same_in_any_batch() -> None:
    whole, some = augment(images(), ALL, FILL, draw()), np.array([5, 2, 31])
    part = augment(images()[torch.from_numpy(some)], ALL, FILL, Draw(0, 0, some, training=True))
    torch.testing.assert_close(part, whole[torch.from_numpy(some)], rtol=0, atol=1e-4)
    assert not torch.equal(whole, augment(images(), ALL, FILL, draw(epoch=1)))
