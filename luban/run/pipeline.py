"""One command: prepare → train → evaluate → bundle → report. The same command resumes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from luban import memory
from luban import recipe as recipes
from luban.capabilities import Calibrates
from luban.columns import Columns
from luban.data.completing import as_prepared
from luban.data.prepare import Heard, Prepared, prepare
from luban.errors import RecipeError, say, warn
from luban.evaluation.ladder import Role, Rung, candidates, choose, looked_at, metrics_of, name_of, solved
from luban.evaluation.metrics import Metric, find
from luban.evaluation.report import write_report
from luban.files import write_whole
from luban.messages import tr
from luban.predicting import marks_of
from luban.recipe import Recipe
from luban.run import folder as run_folder
from luban.run.bundling import bundle_of
from luban.run.clock import Clock
from luban.run.folds import cross_validate, without_test
from luban.run.forecasting import begin, took
from luban.run.interruption import Interruption, interruptible
from luban.run.judging import Judge
from luban.run.recording import Recorder
from luban.run.report import report_of
from luban.run.sizing import sized
from luban.run.spending import Spending
from luban.run.unused import warn_unused
from luban.training.capacity import check_capacity
from luban.training.checkpoints import checkpoints
from luban.training.device import use_threads
from luban.training.distributed import agree, in_turn, is_first, joined
from luban.training.loop import Trainer, fresh
from luban.training.solving import solve

Tell = Callable[..., None]


def silent(event: str, **facts: Any) -> None:
    """Nobody listens."""


@dataclass
class Run:
    """A run: its folder, and the report once it is finished."""

    folder: Path
    recipe: Recipe
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def bundle(self) -> Path:
        """The folder to deploy."""
        return self.folder / "bundle"

    @property
    def scores(self) -> dict[str, Any]:
        """Test scores of the chosen model, or validation's where there is no test split."""
        row = next(row for row in self.report["ladder"] if row["chosen"])
        return row["test"] or row["validation"]


def train(
    recipe: Recipe | str | Path | dict[str, Any],
    *,
    sets: tuple[str, ...] = (),
    folder: str | Path | None = None,
    runs: str | Path = "runs",
    tell: Tell = silent,
    lead_s: float = 0.0,
) -> Run:
    """Train a recipe to a bundle and a report, or go on where it was interrupted; `lead_s` went by before, and counts. Raises LubanError."""
    recipe = recipes.given(recipe, sets)
    for name in recipe.evaluation.metrics:
        find(name)
    with joined(), interruptible() as interruption:
        place = agree((Path(folder) if folder else run_folder.find(recipe, Path(runs))) if is_first() else Path())
        if not is_first():
            return Work(Run(place, recipe), silent, interruption, Clock(place / "spent.json")).whole()
        with run_folder.lock(place):
            run_folder.make(place, recipe)
            with Clock(place / "spent.json", lead_s) as clock:
                return Work(Run(place, recipe), tell, interruption, clock).whole()


def calibrated(rung: Rung, validation: Columns) -> Columns:
    """The marks of the validation rows, known or not, by a net that knows from them when it can be trusted, where its task asks for that."""
    marks = marks_of(rung.task, rung.net, validation) if rung.validation is None else rung.validation
    if not isinstance(rung.task, Calibrates):
        return marks
    rung.task.calibrate(rung.net, marks)
    return marks_of(rung.task, rung.net, validation)


class Work:
    """The stages of one run."""

    def __init__(self, run: Run, tell: Tell, interruption: Interruption, clock: Clock) -> None:
        self.run, self.tell, self.interruption, self.clock = run, tell, interruption, clock
        self.recipe = run.recipe
        self.room = memory.room(self.recipe.training.memory)
        self.threads = self.trained_threads = use_threads(self.recipe.training.threads)
        self.spending = Spending(self.recipe, clock)

    def whole(self) -> Run:
        """All stages; each can be interrupted and repeated."""
        run = self.run
        with Recorder(run.folder / "messages.jsonl") if is_first() else Heard() as recorder:
            self.tell("stage", name="prepare")
            prepared = in_turn(lambda: prepare(without_test(self.recipe), run.folder.parent / ".prepared", self.interruption.check))
            self.recipe = run.recipe = as_prepared(self.recipe, prepared)
            finished = (run.folder / "report.json").is_file() and run.bundle.is_dir()
            if is_first():
                run_folder.claim(run.folder, prepared.facts["hash"], finished=finished)
            if agree(finished):
                say(tr("this run is finished; nothing is left to do"))
                run.report = json.loads((run.folder / "report.json").read_text(encoding="utf-8"))
                return run
            self.check_folds(prepared)
            self.recipe, prepared, size = sized(self.recipe, prepared, run.folder, self.clock)
            run.recipe = self.recipe
            if is_first():
                self.keep_inputs(prepared)
            for task, _ in candidates(self.recipe, prepared.task):
                check_capacity(task)
            warn_unused(self.recipe, prepared.task, solved=self.recipe.model["kind"] != "auto" and solved(prepared.task))
            self.interruption.check()
            names = metrics_of(self.recipe, prepared.task, prepared.examples["train"])
            metric = find(names[0])
            forecast = self.spending.forecast = begin(self.recipe, prepared, run.folder, names, self.clock)
            memory.trim()
            self.interruption.check()
            rungs = self.climb(prepared, run.folder, metric)
            chosen = self.choose(rungs, metric)
            if len(prepared.examples["test"]):
                self.tell("stage", name="evaluate")
            self.score(rungs, prepared)
            self.cross_validate(rungs, metric)
            if not is_first():
                return run
            seconds = self.clock.seconds
            report = report_of(
                self.recipe, run.folder, prepared, rungs, names, seconds=seconds, threads=self.trained_threads, warnings=recorder.warnings
            )
            report["forecast"], report["size"] = took(forecast, self.clock, self.recipe.costs), size
            self.tell("stage", name="bundle")
            bundle_of(chosen, self.recipe, prepared, report, run.bundle)
            write_report(report, run.folder)
        run.report = json.loads((run.folder / "report.json").read_text(encoding="utf-8"))
        return run

    def check_folds(self, prepared: Prepared) -> None:
        """Raises RecipeError L117: folds over rows of which the data sets some apart would test on them and train on them."""
        if self.recipe.evaluation.folds >= 2 and prepared.facts["divided"]:
            fix = tr("leave folds out, or give the rows as one table")
            raise RecipeError(
                "L117", tr("the data brings its own split; folds would mix it"), where="recipe.toml: evaluation.folds", fix=fix
            )

    def keep_inputs(self, prepared: Prepared) -> None:
        """What the run folder says of its recipe, data and machine."""
        folder = self.run.folder
        recipes.write(
            recipes.moved(self.recipe, folder), folder / "recipe.toml", header=tr("The completed recipe: it reproduces this run.")
        )
        self.keep_environment(folder / "environment.json")
        lines = [json.dumps(reject, ensure_ascii=False) + "\n" for reject in prepared.facts["rejects"]]
        write_whole(folder / "rejects.jsonl", "".join(lines).encode())

    def keep_environment(self, path: Path) -> None:
        """What decides the bits; where a resumed run finds another machine, it says so and goes on."""
        now = run_folder.environment(self.threads)
        if path.is_file():
            before = json.loads(path.read_bytes())
            if changed := [key for key, value in now.items() if before.get(key) != value]:
                what = tr("the run goes on in another environment ({keys}): the last bits may differ", keys=", ".join(changed))
                warn("W330", what, where=str(path))
        write_whole(path, json.dumps(now, indent=1).encode())

    def climb(self, prepared: Prepared, folder: Path, metric: Metric) -> list[Rung]:
        """Fit every rung: the baselines, then the network; each is judged on validation."""
        rungs, ladder = [], candidates(self.recipe, prepared.task)
        asked_for = ladder[-1][0] if self.recipe.model["kind"] != "auto" else None
        for task, role in ladder:
            name = name_of(task)
            if (
                role == "baseline"
                and rungs
                and task is not asked_for
                and agree(not checkpoints(folder / "rungs" / name) and self.spending.is_late(task, prepared.examples["train"]))
            ):
                warn(
                    "W331",
                    tr("{model} is not fitted: too much of the budget is spent, or it would be", model=name),
                    where="training.budget",
                )
                continue
            self.tell("stage", name="train", model=name)
            rung = self.fit(task, name, role, prepared, folder, metric)
            if len(prepared.examples["validation"]):
                rung.validation = calibrated(rung, looked_at(task, prepared.examples, metric, last=True))
                self.tell("scored", model=name, metric=metric.name, score=metric(rung.validation), seconds=rung.seconds)
                rung.validation.release()
            rungs.append(rung)
            memory.trim()
            self.interruption.check()
        return rungs

    def fit(self, task: Any, name: str, role: Role, prepared: Prepared, folder: Path, metric: Metric) -> Rung:
        """Solve or train one model."""
        torch.manual_seed(self.recipe.training.seed)
        use_threads(self.threads)
        if role == "baseline":
            net = fresh(task)
            train, seed, place = prepared.examples["train"], self.recipe.training.seed, folder / "rungs" / name
            check, room = self.interruption.check, self.room
            purse = self.spending.purse() if name == self.recipe.model["kind"] else None
            left_s = math.inf if purse is None else purse.seconds
            seconds, rows = in_turn(
                lambda: solve(task, net, train, seed=seed, folder=place, tell=self.tell, check=check, room=room, left_s=left_s)
            )
            return Rung(name, task, net.eval(), "baseline", seconds, rows if rows < len(train) else None)
        return self.trained(task, name, prepared, folder, metric)

    def trained(self, task: Any, name: str, prepared: Prepared, folder: Path, metric: Metric) -> Rung:
        """Train a network, its weights chosen on validation."""
        last, between = (looked_at(task, prepared.examples, metric, last=last) for last in (True, False))
        judge, tested = Judge(task, between, metric), len(prepared.examples["test"]) / max(1, len(last))
        trainer = judge.trainer = Trainer(
            task,
            prepared.examples["train"],
            self.recipe.training,
            folder=folder,
            validate=judge if len(last) else None,
            purse=self.spending.purse(passes=1.0 if last is between else 2.0, tested=tested),
            tell=self.tell,
            interrupted=lambda: bool(self.interruption.number),
            tried=self.spending.tried,
        )
        trainer.run()
        # also where training was over before: the number of threads decides the last bits of what is answered from here on
        self.trained_threads = use_threads(trainer.threads or self.threads)
        self.interruption.check()
        net = trainer.finish()
        return Rung(name, task, net, "network", trainer.progress.spent_s, validation=judge.marks_of_best(last))

    def choose(self, rungs: list[Rung], metric: Metric) -> Rung:
        """With `auto` by validation; else the model the recipe names."""
        auto = self.recipe.model["kind"] == "auto"
        chosen = choose(rungs, metric, draws=self.recipe.evaluation.draws) if auto else rungs[-1]
        chosen.chosen = True
        return chosen

    def cross_validate(self, rungs: list[Rung], metric: Metric) -> None:
        """Where the recipe asks for folds, their pooled marks stand for the test split."""
        if self.recipe.evaluation.folds < 2:
            return
        marks = cross_validate(self, self.recipe, self.run.folder / "folds", metric)
        for rung in rungs:
            rung.test = marks["chosen"] if rung.chosen else marks.get(rung.name)

    def score(self, rungs: list[Rung], prepared: Prepared) -> None:
        """The test split, once: the chosen model and the rungs beside it, each by its validation-chosen weights."""
        if not len(prepared.examples["test"]):
            return
        for rung in rungs:
            rung.test = marks_of(rung.task, rung.net, prepared.examples["test"])
