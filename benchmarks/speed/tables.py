"""An epoch of the same MLP over a table: ours, scikit-learn's MLPClassifier, and Keras on torch where it is installed.

python benchmarks/speed/tables.py [--rows 100000] [--rounds 5] [--threads 2] [--out FILE]

20 standardised float columns, hidden layers of 256 and 256, ReLU, Adam without decay, batches of 256, float32, two passes a round;
scikit-learn, which computes in what it is given, also in float64, as columns come out of a csv and its scalers.
"""

from __future__ import annotations

import importlib.util
import os
import time
import warnings
from typing import Any

import numpy as np
import polars as pl
import torch
from pairs import compared, in_turn, options, show

HIDDEN, BATCH, PASSES, RATE, WIDTH = (256, 256), 256, 2, 1e-3, 20


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 20) float32 and (N,) labels that a curved surface parts."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, WIDTH)).astype(np.float32)
    return x, (np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * x[:, 3:].sum(1) > 0).astype(np.int64)


class Ours:
    """The engine."""

    def __init__(self, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> None:
        from luban.tasks.classification import Classification

        inputs = {f"x{number}": {"kind": "number"} for number in range(WIDTH)}
        model = {"kind": "mlp", "size": "small", "hidden": list(HIDDEN), "numbers": "plain", "dropout": 0.0}
        task = Classification(Classification.Config(inputs=inputs, target="y", model=model))
        self.task = Classification(task.config, task.fit(self.table(*train)))
        self.train, self.test = self.task.encode(self.table(*train)), self.task.encode(self.table(*test))
        self.accuracy = 0.0

    def table(self, x: np.ndarray, y: np.ndarray) -> pl.DataFrame:
        """As a user has it."""
        return pl.DataFrame({f"x{number}": x[:, number] for number in range(WIDTH)} | {"y": np.where(y, "a", "b")})

    def __call__(self) -> float:
        """Seconds of a pass."""
        from luban.evaluation.metrics import find
        from luban.predicting import marks_of
        from luban.training.loop import Trainer
        from luban.training.settings import Training

        settings = Training(
            epochs=PASSES, batch_size=BATCH, optimizer="adam", learning_rate=RATE, schedule="constant", warmup=0.0, clip_norm=0.0,
            precision="float32", threads=torch.get_num_threads(),
        )  # fmt: skip
        trainer = Trainer(self.task, self.train, settings)
        begun = time.perf_counter()
        trainer.run()
        seconds = (time.perf_counter() - begun) / PASSES
        self.accuracy = find("accuracy")(marks_of(self.task, trainer.finish(), self.test))
        return seconds


class Sklearn:
    """MLPClassifier."""

    def __init__(self, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> None:
        self.train, self.test, self.accuracy = train, test, 0.0

    def __call__(self) -> float:
        """Seconds of a pass."""
        from sklearn.neural_network import MLPClassifier

        net = MLPClassifier(HIDDEN, alpha=0.0, batch_size=BATCH, learning_rate_init=RATE, max_iter=PASSES, random_state=0)
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that two passes are few
            net.fit(*self.train)
        seconds = (time.perf_counter() - begun) / PASSES
        self.accuracy = float(net.score(*self.test))
        return seconds


class Keras:
    """Keras on torch."""

    def __init__(self, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> None:
        self.train, self.test, self.accuracy = train, test, 0.0

    def __call__(self) -> float:
        """Seconds of a pass."""
        os.environ["KERAS_BACKEND"] = "torch"
        import keras

        keras.utils.set_random_seed(0)
        net = keras.Sequential([*(keras.layers.Dense(width, "relu") for width in HIDDEN), keras.layers.Dense(1, "sigmoid")])
        net.compile(keras.optimizers.Adam(RATE), "binary_crossentropy", metrics=["accuracy"])
        begun = time.perf_counter()
        net.fit(*self.train, batch_size=BATCH, epochs=PASSES, verbose=0)
        seconds = (time.perf_counter() - begun) / PASSES
        self.accuracy = float(net.evaluate(*self.test, verbose=0)[1])
        return seconds


def main() -> None:
    """Print a table."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    train, test = rows(asked.rows, 0), rows(20_000, 1)
    double = [(x.astype(np.float64), y) for x, y in (train, test)]
    sides: dict[str, Any] = {"ours": Ours(train, test), "scikit-learn": Sklearn(train, test), "scikit-learn, float64": Sklearn(*double)}
    if importlib.util.find_spec("keras"):
        sides["Keras on torch"] = Keras(train, test)
    found = in_turn(sides, asked.rounds)
    show(compared(found, sides, "seconds a pass"), asked.out)


if __name__ == "__main__":
    main()
