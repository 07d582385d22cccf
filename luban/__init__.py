"""Luban: from your own data to a deployed, explained model. Importing it imports no torch."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load", "plan", "train"]


def train(recipe: Any, **options: Any) -> Any:
    """Train a recipe (a path, or a dictionary) to a bundle and a report; returns the finished run."""
    from luban.run import train as run

    return run(recipe, **options)


def plan(recipe: Any, **options: Any) -> Any:
    """Forecast a recipe: `seconds`, `peak_bytes`, `as_dict()`; nothing is trained."""
    from luban.run.forecasting import plan as forecast

    return forecast(recipe, **options)


def load(bundle: Any) -> Any:
    """Open a bundle: `predict(rows)`, `evaluate(rows)`."""
    from luban.bundle.model import load as open_bundle

    return open_bundle(bundle)
