"""A folder of JPEGs: first and later epochs, ours and a torch DataLoader with Pillow, the same small network and batches.

python benchmarks/speed/pictures.py [--count 1500] [--size 1000] [--rounds 5] [--threads 2] [--out FILE]

Pictures of `size` pixels are read at 64 x 64. Ours decodes each once into its store and trains from there: preparing counts in the first epoch.
The DataLoader decodes every picture in every epoch, with as many workers as threads; its epochs are alike.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pairs import in_turn, options, ratio, show
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

READ, BATCH, CHANNELS = 64, 64, (8, 16)  # a small network: the pictures' way is measured, not its products


def written(folder: Path, count: int, size: int) -> Path:
    """Two folders of pictures, one a class: coarse noise, warmer or colder."""
    rng = np.random.default_rng(0)
    for number in range(count):
        label = number % 2
        coarse = rng.integers(0, 200, (8, 8, 3), dtype=np.uint8)
        coarse[..., 2 * label] += 40
        place = folder / "ab"[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(place / f"{number}.jpg", quality=90)
    return folder


class Folder(Dataset[Any]):
    """The pictures, decoded when asked for."""

    def __init__(self, place: Path) -> None:
        self.paths = sorted(place.glob("*/*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path = self.paths[index]
        with Image.open(path) as picture:
            pixels = np.array(picture.convert("RGB").resize((READ, READ), Image.Resampling.BILINEAR))
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, int(path.parent.name == "b")


class Sides:
    """The same network over the same folder."""

    def __init__(self, folder: Path, scratch: Path, workers: int) -> None:
        from luban.recipe import parse

        raw = {
            "task": "classification", "data": str(folder), "target": "label", "split": {"validation": 0.0, "test": 0.0},
            "inputs": {"image": {"kind": "image", "size": READ}}, "model": {"kind": "convnet", "channels": list(CHANNELS)},
        }  # fmt: skip
        self.folder, self.scratch, self.workers, self.recipe = folder, scratch, workers, parse(raw)
        self.prepared: Any = None

    def first(self) -> float:
        """Seconds of our first epoch: every picture is decoded into the store, then trained on."""
        from luban.data.prepare import prepare

        shutil.rmtree(self.scratch, ignore_errors=True)
        begun = time.perf_counter()
        self.prepared = prepare(self.recipe, self.scratch)
        return time.perf_counter() - begun + self.later()

    def later(self) -> float:
        """Seconds of our other epochs."""
        from luban.training.loop import Trainer
        from luban.training.settings import Training

        settings = Training(epochs=1, batch_size=BATCH, learning_rate=1e-3, precision="float32", threads=torch.get_num_threads())
        trainer = Trainer(self.prepared.task, self.prepared.examples["train"], settings)
        begun = time.perf_counter()
        trainer.run()
        return time.perf_counter() - begun

    def theirs(self) -> float:
        """Seconds of any epoch of the DataLoader's."""
        torch.manual_seed(0)
        net = self.prepared.task.build().train()
        loader = DataLoader(Folder(self.folder), BATCH, shuffle=True, num_workers=self.workers)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
        begun = time.perf_counter()
        for pictures, labels in loader:
            loss = nn.functional.binary_cross_entropy_with_logits(net({"image": pictures})[:, 0], labels.float())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        return time.perf_counter() - begun


def main() -> None:
    """Print a table."""
    parser = options(__doc__)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--size", type=int, default=1000)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as name:
        sides = Sides(written(Path(name) / "pictures", asked.count, asked.size), Path(name) / "store", asked.threads)
        sides.first()
        found = in_turn({"ours, first": sides.first, "ours, later": sides.later, "DataLoader": sides.theirs}, asked.rounds)
    show(
        [
            {"epoch": side, "seconds": statistics.median(spans), "DataLoader / this": ratio(found, "DataLoader", side)}
            for side, spans in found.items()
        ],
        asked.out,
    )


if __name__ == "__main__":
    main()
