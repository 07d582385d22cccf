"""Spoken digits as the articles' LSTM listing wants them: 10 frames × 10 cepstra of each recording, train.parquet and test.parquet.

    python benchmarks/fsdd_cepstra.py ../shared/data/fsdd fsdd
    luban train recipes/articles/lstm-listing.toml --set data.train=$PWD/fsdd/train.parquet --set data.test=$PWD/fsdd/test.parquet

The official test: recordings 0 to 4 of each digit and speaker. Cepstra: Davis and Mermelstein 1980.
"""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import numpy as np
import polars as pl

SAMPLE_RATE_HZ = 8000
WINDOW, HOP, BINS = 200, 80, 256  # samples: 25 ms every 10 ms; of the transform
FILTERS, CEPSTRA, FRAMES = 26, 10, 10
TEST_NUMBERS = 5


def samples_of(path: Path) -> np.ndarray:
    """(S,) float64 in -1 … 1."""
    with wave.open(str(path), "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (SAMPLE_RATE_HZ, 1, 2):
            raise ValueError(f"{path}: not 8 kHz, one channel, 16 bits")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0


def mel_filters() -> np.ndarray:
    """(BINS / 2 + 1, FILTERS) triangles, evenly spaced on the mel scale."""
    top = 2595 * np.log10(1 + SAMPLE_RATE_HZ / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, BINS // 2 + 1)[:, None]
    rising = (bins_hz - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def cosines() -> np.ndarray:
    """(FILTERS, CEPSTRA), the discrete cosine transform of type II."""
    place = np.arange(FILTERS)[:, None] + 0.5
    return np.cos(np.pi / FILTERS * place * np.arange(CEPSTRA))


def cepstra(samples: np.ndarray) -> np.ndarray:
    """(FRAMES, CEPSTRA): those of 25 ms windows, averaged over ten equal spans of the recording."""
    samples = np.pad(samples, (0, max(0, WINDOW + HOP * (FRAMES - 1) - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hamming(WINDOW)
    power = np.abs(np.fft.rfft(windows, BINS)) ** 2  # (T, BINS / 2 + 1)
    found = np.log(power @ mel_filters() + 1e-8) @ cosines()  # (T, CEPSTRA)
    return np.stack([span.mean(0) for span in np.array_split(found, FRAMES)])


def tables(folder: Path) -> dict[str, pl.DataFrame]:
    """`train` and `test`: the frames of each recording, its digit and its speaker."""
    rows: dict[str, list[dict[str, object]]] = {"train": [], "test": []}
    for path in sorted(folder.glob("*_*_*.wav")):
        digit, speaker, number = path.stem.split("_")
        part = "test" if int(number) < TEST_NUMBERS else "train"
        rows[part].append({"frames": cepstra(samples_of(path)).round(4).tolist(), "digit": digit, "speaker": speaker})
    return {part: pl.DataFrame(found) for part, found in rows.items()}


def write(folder: Path, out: Path) -> None:
    """Write both tables."""
    out.mkdir(parents=True, exist_ok=True)
    for part, table in tables(folder).items():
        table.write_parquet(out / f"{part}.parquet")
        print(f"{out / part}.parquet: {table.height} recordings")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write(Path(sys.argv[1]), Path(sys.argv[2]))
