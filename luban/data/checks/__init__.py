"""Quality of the data before anything is learnt: what is missing, constant, doubled, leaking, one-sided, private.

`luban check` lists every finding; training warns of warnings and stops at errors. Rows are compared by 64-bit hashes: 8 bytes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from luban.data.checks.columns import categories, constant_columns, ids, infinities, missing_values
from luban.data.checks.duplicates import duplicates, rewritten
from luban.data.checks.events import events
from luban.data.checks.finding import Finding, Subject
from luban.data.checks.giveaways import giveaways
from luban.data.checks.labels import classes, empty_splits
from luban.data.checks.near import near_images, near_texts
from luban.data.checks.pairs import pairs
from luban.data.checks.privacy import personal_data
from luban.data.checks.sharing import groups, times

__all__ = ["Finding", "Subject", "by_weight", "checks", "examine"]

Check = Callable[[Subject], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    empty_splits, missing_values, constant_columns, ids, infinities, categories, classes, duplicates, giveaways, groups, times, pairs,
)  # fmt: skip
SEARCHES: tuple[Check, ...] = (rewritten, near_texts, near_images, personal_data)  # dearer: for `luban check` alone
OF_LOGS: tuple[Check, ...] = (empty_splits, events)  # whose rows are no examples: a column that describes an item is silent in most
ORDER = {"error": 0, "warning": 1, "ok": 2}


def checks(
    table: pl.DataFrame,
    inputs: dict[str, str],
    target: str | None,
    splits: np.ndarray,
    task: str,
    *,
    by: str = "random",
    own: dict[str, str] | None = None,
) -> list[Finding]:
    """Every finding of the quick checks, errors first."""
    return run(OF_LOGS if own else CHECKS, Subject(table, inputs, target, np.asarray(splits), task, by, own or {}))


def examine(subject: Subject) -> list[Finding]:
    """Every finding of the checks and the searches, errors first."""
    return run((*OF_LOGS, personal_data) if subject.own else (*CHECKS, *SEARCHES), subject)


def run(which: tuple[Check, ...], subject: Subject) -> list[Finding]:
    """What each of them finds."""
    return by_weight([finding for check in which for finding in check(subject)])


def by_weight(findings: list[Finding]) -> list[Finding]:
    """Errors first, what is well last."""
    return sorted(findings, key=lambda finding: ORDER[finding.level])
