"""What the core says goes to stderr: information plainly, warnings marked."""

from __future__ import annotations

import logging

import click

from luban.messages import tr


class ToStderr(logging.Handler):
    """One line a message."""

    def emit(self, record: logging.LogRecord) -> None:
        """Mark warnings."""
        mark = click.style(tr("warning"), fg="yellow", bold=True) + " " if record.levelno >= logging.WARNING else ""
        click.echo(mark + record.getMessage(), err=True)


def start_logging(*, quiet: bool) -> None:
    """Listen to the logger `luban`; `quiet` leaves warnings only."""
    logger = logging.getLogger("luban")
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler, ToStderr)]
    logger.addHandler(ToStderr())
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False
