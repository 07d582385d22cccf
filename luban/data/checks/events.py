"""A log of users and items: what stands twice, who is no person, who is asked too little, moments that say nothing, and a future that leaks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from luban.data.checks.finding import TEST, TRAIN, Finding, Subject, ok
from luban.messages import said

FEWEST = 3  # events of a user, below which none is held out
MANY_FEW, MANY_COLD, MANY_AGAIN, EARLY = 0.3, 0.1, 0.01, 0.2  # shares from which something is said
BOT = 20  # times the 99th percentile of the users' events
LEAST_OF_BOT = 1000  # events
ONE_MOMENT = 0.2  # of the users with several events, who have them all at one moment


def events(subject: Subject) -> Iterator[Finding]:
    """Everything that a log of users and items can have; nothing for other tables."""
    if not {"user", "item"} <= set(subject.own) or not set(subject.own.values()) <= set(subject.table.columns) or not subject.table.height:
        return
    log = subject.table.select(pl.col(column).alias(role) for role, column in subject.own.items()).with_columns(
        part=pl.Series(subject.splits.astype(np.int8))
    )
    users = log.group_by("user").len()["len"]
    found = [*again(log, subject.own), *bots(log, users, subject.own), *few(users, subject.own), *cold(log, subject.own)]
    if "time" in subject.own:
        found += [*moments(log, subject.own), *future(log, subject)]
    counted = {"events": f"{log.height:,}", "users": f"{len(users):,}", "items": f"{log['item'].n_unique():,}"}
    yield ok(said("events"), said("{events} events of {users} users and {items} items", **counted))
    yield from found


def again(log: pl.DataFrame, own: dict[str, str]) -> Iterator[Finding]:
    """The same user, item and moment twice; or the same user and item again, at another moment."""
    same = log.height - log.select(role for role in ("user", "item", "time") if role in log.columns).n_unique()
    pairs = log.height - log.select("user", "item").n_unique()
    if same and "time" in own:
        detail = said("{count} events ({share}) stand in the log twice", count=f"{same:,}", share=f"{same / log.height:.1%}")
        yield Finding("W272", "warning", said("duplicates"), detail, said("drop the copies; they count as one"), own["item"])
    if pairs - (same if "time" in own else 0) > MANY_AGAIN * log.height:
        detail = said("{share} of the events repeat an item that the user took before", share=f"{pairs / log.height:.1%}")
        fix = said("repeat = true under [task] asks for repeated items too; without it they are never named")
        yield Finding("W273", "warning", said("repeated"), detail, fix, own["item"])


def bots(log: pl.DataFrame, users: pl.Series, own: dict[str, str]) -> Iterator[Finding]:
    """Users with so many events that they are hardly persons."""
    limit = max(LEAST_OF_BOT, BOT * float(users.quantile(0.99) or 0))
    if count := int((users > limit).sum()):
        share = float(users.filter(users > limit).sum()) / log.height
        named = {"count": count, "limit": f"{limit:,.0f}", "share": f"{share:.1%}"}
        detail = said("{count} users have more than {limit} events each, {share} of all: bots, shops or tests?", **named)
        yield Finding("W274", "warning", said("bots"), detail, said("leave them out if they are no persons"), own["user"])


def few(users: pl.Series, own: dict[str, str]) -> Iterator[Finding]:
    """Users of whom no event is held out."""
    share = float((users < FEWEST).mean() or 0.0)  # pyright: ignore[reportArgumentType]
    if share > MANY_FEW:
        detail = said(
            "{share} of the users have fewer than {count} events: they train, and are never asked", share=f"{share:.0%}", count=FEWEST
        )
        fix = said('scores are those of the others; by = "time" under [split] asks them too')
        yield Finding("W275", "warning", said("few events"), detail, fix, own["user"])


def cold(log: pl.DataFrame, own: dict[str, str]) -> Iterator[Finding]:
    """Items of the test that training never saw."""
    test = log.filter(pl.col("part") == TEST)["item"]
    if len(test):
        share = float((~test.is_in(log.filter(pl.col("part") == TRAIN)["item"].unique().implode())).mean() or 0.0)  # pyright: ignore[reportArgumentType]
        if share > MANY_COLD:
            detail = said("{share} of the test's events are of items that training never saw", share=f"{share:.0%}")
            fix = said("no model that knows items by their id alone can name them; the report counts them as missed, and shows them apart")
            yield Finding("W276", "warning", said("new items"), detail, fix, own["item"])


def moments(log: pl.DataFrame, own: dict[str, str]) -> Iterator[Finding]:
    """One moment for all, or for all events of many users: an order that says nothing."""
    known = log.filter(pl.col("time").is_not_null())
    if known.height and known["time"].n_unique() == 1:
        fix = said('leave time out, and split by = "ratio"')
        yield Finding("W277", "warning", said("time"), said("every event has the same moment"), fix, own["time"])
        return
    users = known.group_by("user").agg(pl.len(), pl.col("time").n_unique().alias("moments")).filter(pl.col("len") >= FEWEST)
    share = float((users["moments"] == 1).mean() or 0.0)  # pyright: ignore[reportArgumentType]
    if share > ONE_MOMENT:
        detail = said("{share} of the users have all their events at one moment", share=f"{share:.0%}")
        yield Finding(
            "W277",
            "warning",
            said("time"),
            detail,
            said('their order means nothing; by = "ratio" under [split] does not need it'),
            own["time"],
        )


def future(log: pl.DataFrame, subject: Subject) -> Iterator[Finding]:
    """Test events older than what others trained on: the model has seen the fashion it is asked about."""
    if subject.by == "time":
        return
    rank = log["time"].rank("min")
    train, test = (rank.filter(log["part"] == part) for part in (TRAIN, TEST))
    middle = train.median()
    if middle is None or not len(test):
        return
    share = float((test < middle).mean() or 0.0)  # pyright: ignore
    if share >= EARLY:
        detail = said("{share} of the test's events are older than half of the training's", share=f"{share:.0%}")
        fix = said('the score is for users as they come, not for the future; by = "time" under [split] tests on the future')
        yield Finding("W278", "warning", said("time"), detail, fix, subject.own["time"])
