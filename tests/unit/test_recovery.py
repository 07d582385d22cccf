"""Steps that fail: skipped, rolled back once, ended with the cause named; memory that runs out cuts the micro-batch alone."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from luban.columns import Columns
from luban.draw import Draw
from luban.errors import TrainingError
from luban.predicting import predictions
from luban.task import Loss
from luban.training.log import curves
from luban.training.loop import Trainer
from luban.training.settings import Training

ROWS = 48


@dataclasses.dataclass(frozen=True)
class Batch:
    inputs: dict[str, Tensor]
    target: Tensor


class Line:
    """y = 2x, with noise-free inputs in two columns."""

    def __init__(self, largest: int = ROWS, normalised: bool = False) -> None:
        self.largest, self.normalised, self.sizes = largest, normalised, list[int]()

    def build(self) -> nn.Module:
        layers = [nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1)] if self.normalised else [nn.Linear(2, 1, bias=False)]
        return nn.Sequential(*layers).double()

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        return Batch({name: torch.from_numpy(examples[name]).double() for name in ("x", "z")}, torch.from_numpy(examples["y"]).double())

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        self.note(len(batch.target))
        outputs = net(torch.stack([batch.inputs["x"], batch.inputs["z"]], 1))[:, 0]
        yield Loss((outputs - batch.target).square().mean(), len(batch.target))

    def note(self, size: int) -> None:
        if size > self.largest:
            raise RuntimeError(f"[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried {size} bytes.")
        self.sizes.append(size)

    def predict(self, net: nn.Module, batch: Batch) -> Tensor:
        self.note(len(batch.target))
        return net(torch.stack([batch.inputs["x"], batch.inputs["z"]], 1))[:, 0]


def examples(bad: dict[int, float] | None = None) -> Columns:
    x = np.linspace(-1, 1, ROWS)
    z = np.where(np.arange(ROWS) % 3 == 0, 0.5, -0.5)
    y = 2 * x
    for row, value in (bad or {}).items():
        z[row] = value
    return Columns({"x": x, "z": z, "y": y}, np.arange(100, 100 + ROWS))


def trainer(task: Any, rows: Columns, folder: Path | None = None, **changes: Any) -> Trainer:
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "batch_size": 16, "steps": 30, "schedule": "constant", "warmup": 0.0}
    return Trainer(task, rows, Training(**(settings | {"device": "cpu", "precision": "float32", "threads": 1} | changes)), folder)


def codes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.luban["code"] for record in caplog.records if hasattr(record, "luban")]  # type: ignore[attr-defined]


def test_a_bad_row_costs_its_steps_alone_and_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = trainer(Line(), examples({7: float("nan")}), tmp_path).run()
    skipped = [record.getMessage() for record in caplog.records]
    assert codes(caplog) == ["W340"] * 10, "one step in three holds the row"
    assert all("Rows at fault: 107" in line and "Column: z." in line and "Layer: 0 (outputs)" in line for line in skipped)
    assert made.net[0].weight[0, 0].item() == pytest.approx(2, abs=0.25)  # type: ignore[index,union-attr,operator]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum("skipped" in line for line in lines) == 10
    assert len(curves(tmp_path / "log.jsonl")["train"]) == 20
    assert made.progress.step == 30


def test_an_epoch_with_a_skipped_step_means_over_the_others() -> None:
    made = trainer(Line(), examples({7: float("nan")}), steps=3, learning_rate=1e-9).run()
    good = (2 * np.linspace(-1, 1, ROWS)) ** 2
    assert 0.5 * good.mean() < made.progress.epoch_loss < 4 * good.mean()


def test_statistics_of_a_skipped_step_are_put_back(caplog: pytest.LogCaptureFixture) -> None:
    made = trainer(Line(normalised=True), examples({7: float("inf")})).run()
    assert all(torch.isfinite(value).all() for value in made.net.state_dict().values())
    assert codes(caplog)


def test_every_step_bad_ends_after_one_roll_back(caplog: pytest.LogCaptureFixture) -> None:
    bad = dict.fromkeys(range(ROWS), float("nan"))
    made = trainer(Line(), examples(bad))
    first = made.net[0].weight.detach().clone()  # type: ignore[index]
    with pytest.raises(TrainingError, match=r"L301.*step 8: the loss is nan.*Column: z"):
        made.run()
    assert codes(caplog) == ["W340"] * 3 + ["W341"] + ["W340"] * 3
    assert torch.equal(made.net[0].weight, first)  # type: ignore[index]


def test_weights_that_ran_away_are_rolled_back_and_learning_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A rate too high: the loss grows until it overflows; at half the rate it falls."""
    made = trainer(Line(), examples(), batch_size="all", momentum=0.0, learning_rate=3.5, clip_norm=0.0, steps=2_500, patience=0)
    made.run()
    assert codes(caplog) == ["W340"] * 3 + ["W341"]
    assert made.progress.rolled_back
    assert made.net[0].weight[0, 0].item() == pytest.approx(2, abs=1e-2)  # type: ignore[index,union-attr,operator]


def test_a_run_killed_between_skips_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    rows = examples({7: float("nan"), 31: float("inf")})
    whole = trainer(Line(normalised=True), rows, tmp_path / "whole", ema=0.9).run()
    for until in (4, 5, 9, None):
        parts = trainer(Line(normalised=True), rows, tmp_path / "parts", ema=0.9).run(until)
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, parts.net.state_dict()[name])
    assert (tmp_path / "whole" / "log.jsonl").read_bytes() == (tmp_path / "parts" / "log.jsonl").read_bytes()


@pytest.mark.parametrize("largest", [1, 3, 5, 8])
def test_out_of_memory_cuts_micro_batches_and_not_the_step(largest: int, caplog: pytest.LogCaptureFixture) -> None:
    free, tight = Line(), Line(largest)
    one, other = trainer(free, examples(), steps=9).run(), trainer(tight, examples(), steps=9).run()
    assert max(free.sizes) == 16
    assert max(tight.sizes) <= largest
    torch.testing.assert_close(other.net.state_dict(), one.net.state_dict(), rtol=0, atol=1e-12)
    assert set(codes(caplog)) == {"W342"}


def test_losses_agree_with_those_of_the_large_batch(tmp_path: Path) -> None:
    for name, task in (("large", Line()), ("small", Line(4))):
        trainer(task, examples(), tmp_path / name, steps=20).run()
    large, small = (curves(tmp_path / name / "log.jsonl")["train"] for name in ("large", "small"))
    np.testing.assert_allclose(small, large, rtol=1e-6)


def test_a_resumed_run_begins_with_the_cuts_it_found(tmp_path: Path) -> None:
    trainer(Line(4), examples(), tmp_path).run(3)
    again = Line(4)
    trainer(again, examples(), tmp_path).run()
    assert set(again.sizes) == {4}


class Wide(Line):
    """A hidden matrix, which muon orthogonalises."""

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        batch = super().collate(examples, draw)
        return Batch({name: part.float() for name, part in batch.inputs.items()}, batch.target.float())


def test_a_resumed_run_goes_on_in_the_precision_it_found(tmp_path: Path) -> None:
    asked = {"precision": "bfloat16", "optimizer": "muon", "learning_rate": 0.01, "steps": 8}
    whole = trainer(Wide(), examples(), tmp_path / "whole", **asked).run()
    trainer(Wide(), examples(), tmp_path / "halves", **asked).run(4)
    again = trainer(Wide(), examples(), tmp_path / "halves", **asked).run()
    assert again.stepper.optimizer("").precision == torch.bfloat16  # type: ignore[attr-defined]
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, again.net.state_dict()[name]), name
    plain = trainer(Wide(), examples(), tmp_path / "plain", **asked | {"precision": "float32"}).run()
    assert not torch.equal(plain.net.state_dict()["2.weight"], whole.net.state_dict()["2.weight"])


def test_one_example_too_large_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"L302.*can't allocate memory"):
        trainer(Line(0), examples()).run()


class TwoParts(Line):
    """Two losses; memory runs out in the second."""

    def build(self) -> nn.Module:
        return nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Linear(1, 1)}).double()

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        x = batch.inputs["x"][:, None]
        yield Loss((net["a"](x)[:, 0] - batch.target).square().mean(), len(x), "a")  # type: ignore[index]
        self.note(len(batch.target))
        yield Loss((net["b"](net["a"](x))[:, 0] - batch.target).square().mean(), len(x), "b")  # type: ignore[index]

    def predict(self, net: nn.Module, batch: Batch) -> Tensor:
        return batch.target


def test_a_part_that_stepped_before_memory_ran_out_does_not_step_twice() -> None:
    free, tight = TwoParts(), TwoParts(5)
    one, other = trainer(free, examples(), steps=4).run(), trainer(tight, examples(), steps=4).run()
    torch.testing.assert_close(other.net.state_dict(), one.net.state_dict(), rtol=0, atol=1e-12)


def test_a_bare_memory_error_is_out_of_memory_too(caplog: pytest.LogCaptureFixture) -> None:
    class Numpy(Line):
        def collate(self, examples: Columns, draw: Draw) -> Batch:
            if len(examples) > 4:
                raise MemoryError
            return super().collate(examples, draw)

    made = trainer(Numpy(), examples(), steps=3).run()
    assert made.progress.cuts == 4
    assert "out of memory" in caplog.text


def test_other_errors_are_not_taken_for_memory() -> None:
    class Broken(Line):
        def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
            raise RuntimeError("shapes do not match")
            yield

    with pytest.raises(RuntimeError, match="shapes"):
        trainer(Broken(), examples()).run()


def test_predictions_are_cut_until_they_fit() -> None:
    task, rows = Line(5), examples()
    net = task.build()
    found = [(place, prediction) for place, _, prediction in predictions(task, net, rows)]
    assert np.array_equal(np.sort(np.concatenate([place for place, _ in found])), np.arange(ROWS))
    whole = next(prediction for _, _, prediction in predictions(Line(), net, rows))
    places = np.concatenate([place for place, _ in found])
    torch.testing.assert_close(torch.cat([prediction for _, prediction in found]), whole[places])


REAL = """
import resource, sys, logging, numpy as np, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_recovery import Line, trainer, examples
logging.basicConfig(level=logging.WARNING, format="%(message)s")

class Wide(Line):
    def losses(self, net, batch):
        for loss in super().losses(net, batch):
            yield type(loss)(loss.value + self.wide(loss.value, len(batch.target)), loss.count)

    def wide(self, value, rows):  # activations really allocated, and kept for the backward pass
        return 0 * (value * torch.ones(rows, {width}, dtype=torch.float64)).square().mean()

task = Wide()
made = trainer(task, examples(), steps=4)
vm = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (vm + {room}, vm + {room}))
made.run()
print("largest", max(task.sizes[-3:]), "cuts", made.progress.cuts, "step", made.progress.step)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs an address space limit")
def test_under_a_real_limit_of_memory() -> None:
    """Sixteen examples of 16 MB each, forward and backward, do not fit into 512 MB; a few do."""
    script = REAL.format(tests=str(Path(__file__).parent), width=2**21, room=512 * 2**20)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    assert "W342" in found.stderr
    assert found.stdout.split()[5] == "4"
    assert int(found.stdout.split()[3]) >= 2


def test_the_log_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        trainer(Line(4), examples(), tmp_path, steps=2).run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["micro_batch"] for line in lines if "micro_batch" in line] == [8, 4]
    assert "micro-batches hold 4 examples from here on, the step still 16" in caplog.text
