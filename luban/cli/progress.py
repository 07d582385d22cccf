"""Progress on stderr: bars with ETA and live loss on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import click

from luban.messages import tr

EVERY_S = 10.0


def listener() -> Plain | Bars:
    """Bars where someone watches."""
    return Bars() if sys.stderr.isatty() else Plain()


class Plain:
    """A line for each stage, validation and model; a line of progress every ten seconds."""

    def __init__(self) -> None:
        self.last, self.model = time.monotonic(), ""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def __call__(self, event: str, **facts: Any) -> None:
        """One event of the run."""
        if event == "step" and time.monotonic() - self.last > EVERY_S:
            self.last = time.monotonic()
            click.echo("  " + step_line(facts), err=True)
        elif line := event_line(event, facts):
            click.echo(line, err=True)


class Bars:
    """rich's bars."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}")
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.bar: Any = None
        self.drawn = 0.0

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    def __call__(self, event: str, **facts: Any) -> None:
        """One event of the run."""
        if event == "stage" and facts["name"] == "train":
            self.clear()
            self.bar = self.progress.add_task(facts["model"], total=1.0, note="")
        elif event in ("step", "solve") and self.bar is not None:
            if time.monotonic() - self.drawn < 0.1 and facts["share"] < 1:
                return
            self.drawn = time.monotonic()
            self.progress.update(self.bar, completed=facts["share"], note=step_line(facts) if event == "step" else f"{facts['share']:.0%}")
        elif event == "scored":
            self.clear()
            self.progress.console.print(event_line(event, facts), highlight=False)
        elif event in ("fold", "stage") and (line := event_line(event, facts)):
            self.progress.console.print(line, highlight=False)

    def clear(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.progress.remove_task(self.bar)
            self.bar = None


def step_line(facts: dict[str, Any]) -> str:
    """Step, loss, time left."""
    share = max(facts["share"], 1e-6)
    left = facts["elapsed_s"] * (1 - share) / share
    return tr(
        "{share:.0%} step {step} loss {loss:.4f} · {left} left", share=share, step=facts["step"], loss=facts["loss"], left=clock(left)
    )


def event_line(event: str, facts: dict[str, Any]) -> str:
    """What is worth a line."""
    if event == "stage":
        names = {
            "prepare": tr("preparing the data"),
            "evaluate": tr("evaluating on the test split, once"),
            "bundle": tr("writing bundle and report"),
        }
        return names.get(facts["name"], "")
    if event == "fold":
        return tr("fold {number} of {of}", **facts)
    if event == "scored":
        return tr("  {model}: {metric} {score:.4f} on validation, fitted in {seconds}", **facts | {"seconds": clock(facts["seconds"])})
    return ""


def clock(seconds: float) -> str:
    """Seconds, or minutes and seconds, or hours and minutes."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
