"""The examples that scikit-learn carries: digits as pictures, and its small tables. No network is needed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from luban.files import write_whole


def digits(folder: Path) -> None:
    """1,797 handwritten digits as PNGs in a parquet file, as Hugging Face writes them."""
    from PIL import Image
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    cells = []
    for number, picture in enumerate(pixels.reshape(-1, 8, 8)):
        buffer = io.BytesIO()
        Image.fromarray((picture * 255 / 16).round().astype(np.uint8)).save(buffer, "PNG")
        cells.append({"bytes": buffer.getvalue(), "path": f"{number:04d}.png"})
    rows = pl.DataFrame(
        {"image": cells, "digit": [str(label) for label in labels]},
        schema_overrides={"image": pl.Struct({"bytes": pl.Binary, "path": pl.String})},
    )
    whole = io.BytesIO()
    rows.write_parquet(whole)
    write_whole(folder / "digits.parquet", whole.getvalue())


def table(name: str, file: str, target: str) -> Callable[[Path], None]:
    """One of scikit-learn's tables as csv, classes by name, rows in the order of the set."""

    def write(folder: Path) -> None:
        from sklearn import datasets

        data = getattr(datasets, f"load_{name}")()
        columns = {tidy_name(column): data.data[:, i] for i, column in enumerate(data.feature_names)}
        classes = getattr(data, "target_names", None)
        answers = data.target if classes is None else [str(classes[label]) for label in data.target]
        write_whole(folder / file, pl.DataFrame({**columns, target: answers}).write_csv().encode())

    return write


def tidy_name(name: str) -> str:
    """`sepal length (cm)` -> `sepal_length_cm`."""
    return "_".join(name.replace("(", " ").replace(")", " ").replace("/", " ").split())
