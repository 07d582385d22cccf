"""A bundle that is served: opened, held against its golden rows, answered in batches, exchanged for a newer one while it works."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from luban import cores, strict_json
from luban.bundle import golden
from luban.bundle.format import MANIFEST
from luban.bundle.model import Model, load
from luban.capabilities import Speaks, Streams, spared
from luban.errors import BundleError, DataError, RecipeError, warn
from luban.folding import folded
from luban.messages import said, tr
from luban.predicting import answers_to
from luban.serving import problems
from luban.serving.batching import Batcher
from luban.serving.gauges import Gauges
from luban.serving.prediction_log import PredictionLog
from luban.serving.rows import Rows, together
from luban.serving.settings import Limits
from luban.serving.speaking import Speaker
from luban.serving.watching import Watch
from luban.task import arrange

WORKERS = 2  # of a model, where there are as many cores: one reads rows while the other's net computes
FORBIDDEN = frozenset("/\\?#%\0")


@dataclass(frozen=True)
class Opened:
    """One version of a bundle."""

    model: Model
    version: str
    examples: list[dict[str, Any]]  # golden rows: {"input": …, "answer": …}
    card: str
    watch: Watch
    mergeable: bool  # a row is an example: rows of many requests may stand in one table

    @cached_property
    def signature(self) -> dict[str, Any]:
        """What it reads; where a task names columns of its own, these instead of those that describe no row."""
        own = self.model.signature.get("columns", {})
        return self.model.signature | ({"inputs": dict.fromkeys(own.values(), "id")} if own else {})

    @cached_property
    def net(self) -> Any:
        """What answers: the model's net, or its quicker form where that gives the golden answers too."""
        net = folded(self.model.net)
        try:
            if net is not self.model.net:
                golden.check(self.model.task, net, self.examples, self.version)
        except BundleError:
            return self.model.net
        return net

    @cached_property
    def optional(self) -> frozenset[str]:
        """Columns that a row can do without."""
        return frozenset((*self.model.signature.get("columns", {}).values(), *spared(self.model.task)))


def open_version(folder: Path) -> Opened:
    """Open a bundle; its golden rows are answered on the way. Raises BundleError L401 … L413."""
    model = load(folder)
    place = place_of(folder)
    lines = [strict_json.loads(line) for line in (place / "golden.jsonl").read_bytes().split(b"\n") if line]
    card = (place / "card.md").read_text(encoding="utf-8") if (place / "card.md").is_file() else ""
    opened = Opened(model, version_of(folder), lines, card, Watch(model), rows_are_examples(model, lines))
    opened.net  # noqa: B018 made now, not at the first request
    return opened


def place_of(folder: Path) -> Path:
    """The bundle, where a run's folder was named."""
    return folder if (folder / MANIFEST).is_file() else folder / "bundle"


def version_of(folder: Path) -> str:
    """The manifest's hash: of every byte of the bundle. Raises BundleError L401."""
    try:
        return hashlib.sha256((place_of(folder) / MANIFEST).read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise BundleError("L401", tr("no bundle here"), where=str(folder)) from error


def rows_are_examples(model: Model, lines: list[dict[str, Any]]) -> bool:
    """Whether arranging leaves rows as they are; where that cannot be seen, every request is arranged by itself."""
    if not lines:
        return False
    task = golden.checked(model.task)
    columns = task.encode(golden.as_table([line["input"] for line in lines]))
    return arrange(task, columns, None) is columns


class Hosted:
    """A name, the version that answers now, and the line in front of it."""

    def __init__(self, name: str, folder: Path, limits: Limits, gauges: Gauges, log: PredictionLog | None = None) -> None:
        self.name, self.folder, self.limits, self.gauges, self.log = name, folder, limits, gauges, log
        self.opened, self.explaining = open_version(folder), 0
        workers = 1 if isinstance(self.opened.model.task, Streams) else min(WORKERS, cores.allowed())
        self.batcher = Batcher(self.answer, limits, name=name, seen=gauges.batches(name), workers=workers)
        gauges.version(name, self.opened.version)
        self.make_ready()

    def make_ready(self) -> None:
        """Where answers are said beside each other, make room for them before the first one is asked for."""
        if isinstance(self.opened.model.task, Speaks):
            self.speaker.prepare(self.opened.model)

    @cached_property
    def speaker(self) -> Speaker:
        """Says answers piece by piece, where the task can."""
        return Speaker(self.limits, name=self.name, seen=self.gauges.pieces(self.name))

    def stop(self) -> None:
        """Let its threads come to their end."""
        self.batcher.stop()
        if "speaker" in self.__dict__:
            self.speaker.stop()

    @property
    def inputs(self) -> dict[str, str]:
        """Columns and their kinds."""
        return self.opened.signature["inputs"]

    def answer(self, requests: list[Rows]) -> list[Any]:
        """In a worker's thread: for each request its answers, or the error it is told."""
        opened, begun = self.opened, time.monotonic()  # one version for the whole batch
        out: list[Any] = [None] * len(requests)
        for places in groups(requests, opened.mergeable):
            parts = [requests[place] for place in places]
            for place, answers in zip(places, told_apart(opened, parts, bins := {}), strict=True):
                out[place] = answers
            if self.log is not None and (bins or self.log.payload):
                told, seconds = [out[place] for place in places], time.monotonic() - begun
                self.log.batch(self.name, opened.version, opened.watch.known, parts, told, seconds=seconds, bins=bins)
        return out

    def exchange(self) -> bool:
        """Open what lies in the folder now and put it in the place of what answers; on any failure the old one stays. Raises LubanError."""
        if version_of(self.folder) == self.opened.version:
            return False
        fresh = open_version(self.folder)
        if fresh.signature != self.opened.signature:
            what = tr("the new version reads other columns or answers another target; the old one stays")
            raise BundleError("L414", what, where=str(self.folder), fix=tr("serve it under another name, or start the service anew"))
        self.opened = fresh
        self.make_ready()
        self.gauges.version(self.name, fresh.version)
        return True


def groups(requests: list[Rows], mergeable: bool) -> Iterator[list[int]]:
    """Places of the requests that may stand in one table."""
    if not mergeable:
        yield from ([place] for place in range(len(requests)))
        return
    for (alone, _), places in groupby(
        sorted(range(len(requests)), key=lambda p: (requests[p].alone, requests[p].key)), lambda p: (requests[p].alone, requests[p].key)
    ):
        listed = list(places)
        yield from ([place] for place in listed) if alone else [listed]


def told_apart(opened: Opened, parts: list[Rows], bins: dict[str, Any]) -> list[Any]:
    """As `answered`; rows that cannot be answered at all are told to who sent them, not to those beside them."""
    try:
        return answered(opened, parts, bins)
    except DataError as error:
        if len(parts) == 1:
            return [problems.unanswerable(error)]
        return [answer for part in parts for answer in told_apart(opened, [part], {})]


def answered(opened: Opened, parts: list[Rows], bins: dict[str, Any]) -> list[Any]:
    """For each request the answers to its rows, or RequestError L605 where some of them cannot be read; others are not touched by it."""
    task, columns = opened.model.task, opened.model.task.encode(together(parts))
    frame, kept = answers_to(task, opened.net, columns)
    bins |= opened.watch.look(columns, frame)
    ends = np.cumsum([part.count for part in parts])
    out: list[Any] = [[] for _ in parts]
    for row, answer in zip(np.searchsorted(ends, kept, side="right").tolist(), frame.to_dicts(), strict=True):
        out[row].append({key: golden.to_json(value) for key, value in answer.items()})
    faults: dict[int, list[dict[str, Any]]] = {}
    for reject in columns.rejects:
        place = int(np.searchsorted(ends, reject.row, side="right"))
        begin = int(ends[place]) - parts[place].count
        faults.setdefault(place, []).append(
            {"row": reject.row - begin, "column": reject.column, "what": said("the cell cannot be read as its kind")}
        )
    for place, details in faults.items():
        out[place] = problems.invalid(said("some cells are not such as the model reads"), details[:20])
    return out


class Shelf:
    """All bundles that are served, by name."""

    def __init__(self, bundles: list[tuple[str, Path]], limits: Limits, gauges: Gauges, log: PredictionLog | None = None) -> None:
        self.models: dict[str, Hosted] = {}
        for asked, folder in bundles:
            hosted = Hosted(asked or name_of(folder), folder, limits, gauges, log)
            if hosted.name in self.models:
                what, fix = tr("two bundles have one name"), tr("write NAME=BUNDLE for one of them")
                raise RecipeError("L181", what, where=str(folder), received=hosted.name, fix=fix)
            self.models[hosted.name] = hosted

    @property
    def parameters(self) -> int:
        """Of the largest model."""
        return max(sum(p.numel() for p in hosted.opened.model.net.parameters()) for hosted in self.models.values())

    def find(self, name: Any) -> Hosted:
        """Raises RequestError L602."""
        if not isinstance(name, str) or name not in self.models:
            raise problems.unknown_model()
        return self.models[name]

    def exchange(self, tell: Callable[[str, str], None]) -> None:
        """Look at every folder for a newer version; what fails is told, and the old one goes on."""
        for hosted in self.models.values():
            try:
                if hosted.exchange():
                    tell(hosted.name, tr("version {version} answers now", version=hosted.opened.version))
            except Exception as error:  # noqa: BLE001 the service goes on with what it has
                hosted.gauges.failed_exchanges.labels(hosted.name).inc()
                warn("W610", tr("the newer version is not taken, the old one goes on: {why}", why=str(error)), where=hosted.name)

    def stop(self) -> None:
        """Let every line come to its end."""
        for hosted in self.models.values():
            hosted.stop()


def name_of(folder: Path) -> str:
    """The bundle's own name, as an address can hold it."""
    description = strict_json.loads((place_of(folder) / "luban.json").read_bytes()) if (place_of(folder) / "luban.json").is_file() else {}
    name = str(description.get("name", "")) if isinstance(description, dict) else ""
    return "".join("-" if c in FORBIDDEN or not c.isprintable() else c for c in name)[:100] or "model"
