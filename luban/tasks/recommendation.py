"""recommendation: which items a user will take next, from an event log of users and items.

A row is an event; an example is a user. B users, E items of their histories, I items, L places of a list, R reasons.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
from annotated_types import Ge, Gt, Le, MaxLen
from torch import Tensor, nn

from luban import catalog
from luban.columns import Columns
from luban.errors import RecipeError, warn
from luban.messages import tr
from luban.recommending import answering, batch, catalogue, content, events, examples, ids, objectives
from luban.recommending.batch import Batch
from luban.recommending.examples import ITEM
from luban.recommending.lists import LONGEST
from luban.recommending.memory import Memory
from luban.recommending.net import Recommending, SolvedRecommending
from luban.roles import Sizes
from luban.schema import validate
from luban.supervised import model_config
from luban.task import Loss, Pool, Split, Traits

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"item-recommendation": {}, "collaborative-filtering": {}, "recommender": {}}
RUNGS = ("popularity", "ease")  # beside whatever is chosen
AUTO = ("popularity", "item_knn", "ease", "ials", "blend")
Id = int | str


class Recommendation:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Which columns say what, and what an answer holds."""

        user: str = "user_id"
        """The column of users, or of sessions."""
        item: str = "item_id"
        """The column of items."""
        time: str = ""
        """The column of the moment, a number or a date; left out, the rows stand in their order."""
        weight: str = ""
        """The column of how much: a rating, a count; left out, every event counts the same."""
        lowest: float | None = None
        """Weights below are rejects."""
        highest: float | None = None
        """Weights above are rejects."""
        at_least: float | None = None
        """From this weight on an event counts, and then as 1; below it the item is known to the user, and neither learnt nor asked."""
        repeat: bool = False
        """Whether what a user took before may be named, and counts when it is taken again: groceries, songs."""
        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """Columns that describe the item, and their kinds; a row without user, time and weight only describes its item."""
        of_users: Annotated[tuple[str, ...], MaxLen(1000)] = ()
        """Which of these columns describe the user instead; a row without item, time and weight only describes its user."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        k: Annotated[int, Gt(0), Le(1000)] = 10
        """Items in an answer."""
        reasons: Annotated[int, Ge(0), Le(100)] = 2
        """Items of the history named as reason of each item."""
        diversity: Annotated[float, Ge(0), Le(1)] = 0.0
        """Of the best hundred, how much an item's unlikeness to those named before it counts against its score (MMR); 0 = by score alone."""
        only: Annotated[tuple[Id, ...], MaxLen(1_000_000)] = ()
        """Items that may be named; none = all."""
        without: Annotated[tuple[Id, ...], MaxLen(1_000_000)] = ()
        """Items that are never named."""
        search: Literal["auto", "exact", "index"] = "auto"
        """How answers are looked for: `exact` scores every item, `index` those near in a graph (usearch); `auto`: the graph beyond a million items
        where usearch is installed. Evaluation and filtered answers are always exact."""
        find: Literal["items", "similar_items", "similar_users"] = "items"
        """What is answered: items for a user, items like the last of a history, or users like a user (friends)."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        users: dict[str, Any]
        items: dict[str, Any]
        pairs: Annotated[int, Ge(1), Le(2**40)]
        counts: str
        ages: str
        time_format: Annotated[str, MaxLen(64)]
        inputs: dict[str, dict[str, Any]]
        content: dict[str, Any]
        about: dict[str, Any] = field(default_factory=dict)

    metrics = (
        "ndcg_at_10", "recall_at_10", "precision_at_10", "hit_rate_at_10", "mrr_at_10", "map_at_10",
        "coverage_at_10", "novelty_at_10", "popularity_bias_at_10", "diversity_at_10",
    )  # fmt: skip
    traits = Traits(of_answers=("k", "reasons", "diversity", "only", "without", "find", "search"), fits_whole=True)

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read. Raises RecipeError L109, L116, L160."""
        named = [name for name in (config.user, config.item, config.time, config.weight) if name]
        if twice := next((name for name in named if named.count(name) > 1), None):
            raise RecipeError("L160", tr("one column can't be two things"), where=f"{where}: task", received=twice)
        if config.at_least is not None and not config.weight:
            fix = tr("write it down: {example}", example='weight = "rating"')
            raise RecipeError("L106", tr("at_least needs a column of weights"), where=f"{where}: task.weight", fix=fix)
        kind = config.model["kind"]
        if kind != "auto":
            role = catalog.find("models", kind, where=f"{where}: model.kind").role
            good = [entry.name for entry in catalog.entries("models").values() if entry.role == "recommender"]
            if role != "recommender":
                raise RecipeError("L109", tr("this model is not for this task"), where=f"{where}: model.kind", received=kind, allowed=good)
            model_config(config.model, where=f"{where}: model")
            model = catalog.load("models", kind)
            reads, people = (getattr(model, name, False) for name in ("reads_content", "reads_people"))
            of_items = [name for name in config.inputs if name not in config.of_users]
            if reads and not (of_items or (people and config.of_users)):
                fix = tr("write it down: {example}", example='[inputs] title = "text"')
                raise RecipeError("L163", tr("this model needs columns that describe the items"), where=f"{where}: inputs", fix=fix)
            unread = [*(() if reads else of_items), *(() if people else config.of_users)]
            if unread:
                warn("W109", tr("{model} does not read {columns}", model=kind, columns=", ".join(unread)), where=f"{where}: model.kind")
        if strange := [name for name in config.of_users if name not in config.inputs]:
            fix = tr("write it down: {example}", example='[inputs] age = "number"')
            raise RecipeError(
                "L166", tr("a column of users is not among the inputs"), where=f"{where}: task.of_users", received=strange[0], fix=fix
            )
        content.check_kinds(config.inputs, where)

    def check_state(self) -> None:
        """Hold a state from a stranger against what states are. Raises RecipeError L104 … L106, ValueError."""
        validate(self.State, self.state, where="state.json")
        for name in ("users", "items"):
            ids.check(self.state[name], f"state.json: {name}")
        counts, ages = catalogue.counts(self.state), catalogue.ages(self.state)
        if (counts < 0).any() or (ages < 0).any() or (ages > catalogue.COLD).any():
            raise ValueError("counts")
        self.check_content(self.state, self.described_by(users=False), self.state["items"]["count"])
        self.check_content({"inputs": {}} | self.state["about"], self.described_by(users=True), self.state["users"]["count"])

    @staticmethod
    def check_content(fitted: dict[str, Any], inputs: dict[str, dict[str, Any]], count: int) -> None:
        """Of items, or of users. Raises RecipeError L104 … L106, L123, ValueError."""
        specs = fitted["inputs"]
        if {name: spec.get("kind") for name, spec in specs.items()} != {name: part["kind"] for name, part in inputs.items()}:
            raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: inputs")
        for name, spec in specs.items():
            known = {key: value for key, value in spec.items() if key != "kind"}
            validate(catalog.load("kinds", spec["kind"]).Fitted, known, where=f"state.json: {name}")
        if specs:
            content.content_of(fitted, count)

    def described_by(self, *, users: bool) -> dict[str, dict[str, Any]]:
        """The columns that describe users, or those that describe items, and their kinds."""
        return {name: section for name, section in self.config.inputs.items() if (name in self.config.of_users) == users}

    @property
    def columns(self) -> dict[str, str]:
        """The columns it reads beside its inputs, by what they say."""
        return self.names.all

    @property
    def names(self) -> events.Names:
        """Which columns say what."""
        c = self.config
        described = bool(self.described_by(users=False))
        return events.Names(c.user, c.item, c.time, c.weight, c.lowest, c.highest, c.at_least, described, bool(c.of_users))

    @property
    def split(self) -> Split:
        """The last of each user's events where there is time, else a share of them at random."""
        if self.config.time:
            return Split(by="last", group=self.config.user, order=self.config.time, context=True)
        return Split(by="ratio", group=self.config.user, context=True)

    @property
    def sizes(self) -> Sizes:
        """Users, items, pairs."""
        return Sizes(self.state["users"]["count"], self.state["items"]["count"], self.state["pairs"], in_time=bool(self.config.time))

    def described(self, table: pl.DataFrame) -> np.ndarray:
        """(N,) rows that only say what an item is: known from the start, they belong to no split."""
        return events.describes(table, self.names)

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """The names of users and items, how often and since when each item was taken. Raises DataError L201, L285, L287."""
        names = self.names
        state: dict[str, Any] = {"time_format": events.time_format(table, names)}
        for role, column in (("user", names.user), ("item", names.item)):
            state[f"{role}s"] = ids.fit(events.series_of(table, role, column))
        count = state["items"]["count"]
        state |= catalogue.facts(events.encode(table, names, state), count) | {"inputs": {}, "content": {}, "about": {}}
        if told := self.described_by(users=False):
            state |= content.fit(table, ids.encode(table[names.item], state["items"]), count, told)
        if told := self.described_by(users=True):
            state["about"] = content.fit(table, ids.encode(table[names.user], state["users"]), state["users"]["count"], told)
        return state

    @property
    def people(self) -> dict[str, Any]:
        """The specs of the columns that describe users."""
        return self.state["about"].get("inputs", {}) if self.config.of_users else {}

    def encode(self, table: pl.DataFrame) -> Columns:
        """One event a row, or one question with what it says of its user."""
        rows = events.encode(table, self.names, self.state)
        said = content.asked(table, self.people) if self.people and ITEM not in rows else {}
        return replace(rows, data={**rows.data, **said}) if said else rows

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """Users with their histories; of the asked events the items.

        Where users' items are told from each other, histories of all lengths belong in a step: they are not said to differ in size.
        """
        out = examples.arrange(rows, asked, repeat=self.config.repeat)
        return replace(out, size=None) if self.objective == "pool" else out

    def questions(self, rows: Columns) -> Columns:
        """Events that follow what the model remembers."""
        return examples.questions(rows, repeat=self.config.repeat)

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Histories and targets; in training an item never met beside each of the history."""
        pairs = model_config(self.config.model).pairs if self.objective == "pool" else 0
        sampled = 0
        if self.objective == "next":
            sampled = catalog.load("models", self.config.model["kind"]).drawn(model_config(self.config.model), self.sizes.items)
        drawn = {"negatives": self.objective == "pairwise", "pairs": pairs, "in_time": bool(self.config.time), "sampled": sampled}
        made = batch.collate(examples, draw, self.sizes.items, **drawn)
        return replace(made, about=content.about(examples, self.people)) if self.people else made

    @property
    def objective(self) -> str:
        """What the model learns from; "" if it is solved."""
        return "" if self.config.model["kind"] == "auto" else catalog.load("models", self.config.model["kind"]).objective

    def build(self) -> nn.Module:
        """The model with a memory of the training's histories."""
        memory = Memory(self.sizes.users, self.sizes.items, self.sizes.pairs, weighted=bool(self.config.weight))
        section = self.config.model if self.config.model["kind"] != "auto" else self.config.model | {"kind": AUTO[0]}
        kind = catalog.load("models", section["kind"])
        sizes = self.described_sizes(section) if getattr(kind, "reads_content", False) else self.sizes
        model = kind(model_config(section), sizes)
        return (SolvedRecommending if hasattr(model, "solve") else Recommending)(model, memory)

    def described_sizes(self, section: dict[str, Any]) -> Sizes:
        """With what describes the items and the users, and encoders of it where the model is trained."""
        trained, sizes = bool(catalog.load("models", section["kind"]).objective), replace(self.sizes, counts=catalogue.counts(self.state))
        if self.state["inputs"]:
            shelf = content.content_of(self.state, sizes.items)
            sizes = replace(sizes, content=shelf, encoders=tuple(content.encoders(section, shelf.specs)) if trained else ())
        if self.people:
            shelf = content.content_of(self.state["about"], sizes.users)
            sizes = replace(sizes, people=shelf, people_encoders=tuple(content.encoders(section, shelf.specs)) if trained else ())
        return sizes

    def remember(self, net: Any, examples: Columns) -> None:
        """The training examples, before anything is learnt."""
        net.remember(examples)

    def losses(self, net: Any, batch: Batch) -> Generator[Loss | Pool, Tensor, None]:
        """By what the model says that it learns from."""
        yield from objectives.OF[self.objective](net.model, batch)

    def predict(self, net: Any, batch: Batch) -> answering.Prediction:
        """The best items of each user, and what their marks need."""
        allowed = answering.allowed(self.config.only, self.config.without, self.state["items"])
        return answering.predict(net, batch, self.config, max(LONGEST, self.config.k), allowed, catalogue.ages(self.state))

    def answer(self, prediction: answering.Prediction) -> pl.DataFrame:
        """`items` (or `users`), the best first, `scores`, and `because`: the items of the history that speak for each."""
        return answering.answer(prediction, self.config, self.state)

    def judge(self, prediction: answering.Prediction, batch: Batch) -> dict[str, Any]:
        """Marks of every metric of lists."""
        share = catalogue.counts(self.state) / max(1, self.sizes.users)
        return answering.marks(prediction, share, self.sizes.items)

    def slices(self, marks: Columns) -> Iterator[tuple[str, str, Columns]]:
        """By how much was known of the user, and by the age of what was taken."""
        yield from answering.slices(marks)

    def rungs(self) -> tuple[Recommendation, ...]:
        """The same task under cheaper models, cheapest first; EASE only where its matrix fits."""
        kind = self.config.model["kind"]
        described = ("content", "mixed") if self.described_by(users=False) else ()
        wanted = (*AUTO, *described) if kind == "auto" else [name for name in RUNGS if name != kind]
        if kind in RUNGS:
            wanted = RUNGS[: RUNGS.index(kind)]
        able = [name for name in wanted if answering.fits(catalog.load("models", name), self.sizes.items)]
        size = self.config.model.get("size", "small")
        sections = [{"kind": name, "size": "small" if size == "tiny" else size} for name in able]
        return tuple(Recommendation(replace(self.config, model=section), self.state) for section in sections)

    def check_capacity(self, most: int) -> None:
        """Raises RecipeError L161 where the model's matrix of items by items is larger than the memory."""
        if self.config.model["kind"] != "auto":
            answering.check_capacity(catalog.load("models", self.config.model["kind"]), self.sizes.items, most)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Users who walk along a circle of 31 items, two steps in eleven twice as long; rows shuffled."""
        rng, rows = np.random.default_rng(seed), []
        for user in range(max(3, count // 11)):
            steps = rng.integers(0, 31) + np.cumsum(1 + (rng.random(11) < 0.2))
            rows += [(f"用户{user:03d}", f"i{step % 31:02d}", time) for time, step in enumerate(steps)]
        names = [self.config.user, self.config.item, self.config.time or "time"]
        table = pl.DataFrame(rows, schema=names, orient="row").sample(fraction=1, shuffle=True, seed=seed)
        step = table[self.config.item].str.slice(1).cast(pl.Int64).to_list()
        words = {"text": [" ".join(f"站{(at + n) % 31}号" for n in range(3)) for at in step], "category": [f"arc {at // 4}" for at in step]}
        told = {name: words[part["kind"]] for name, part in self.described_by(users=False).items() if part["kind"] in words}
        who = table[self.config.user].str.slice(2).cast(pl.Int64)
        told |= {name: (who % 5).to_list() for name, part in self.described_by(users=True).items() if part["kind"] == "number"}
        return table.with_columns(pl.Series(name, values) for name, values in told.items())
