"""Compiled networks: the same training, kept when a run goes on, and only where it pays."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, prepare
from torch import nn

from luban.errors import MachineError
from luban.language.causal import nats_of
from luban.models.encoder_decoder import EncoderDecoder
from luban.models.gpt import Block, Gpt
from luban.training import compiling
from luban.training.budget import Purse
from luban.training.loop import Trainer

CPU = torch.device("cpu")
NAME = "regression-mlp"
needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")


def trainer(folder: Path | None = None, **settings: Any) -> Trainer:
    case = CASES[NAME]
    made = prepare(case)
    return Trainer(made.task, made.examples[0], case.training(**{"steps": 12, "validations": 2} | settings), folder=folder)


def weights(found: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in found.net.parameters()])


@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
def test_a_compiled_training_is_the_same_training_and_stays_compiled_when_it_goes_on(tmp_path: Path) -> None:
    plain, fast = trainer().run(), trainer(compile="on").run()
    assert fast.stepper.fast is not None
    torch.testing.assert_close(weights(fast), weights(plain), rtol=1e-3, atol=1e-4)
    trainer(tmp_path, compile="on").run(until=5)
    resumed = trainer(tmp_path, compile="on").run()
    assert resumed.compiled
    assert resumed.stepper.fast is not None
    assert torch.equal(weights(resumed), weights(fast))
    assert {key.split(".")[0] for key in resumed.finish().state_dict()} == {key.split(".")[0] for key in plain.net.state_dict()}


def nats(net: Any, tokens: torch.Tensor) -> torch.Tensor:
    total, count = nats_of(net, net.hidden(tokens[:, :-1]), tokens[:, 1:])
    return total / count


@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")
@pytest.mark.parametrize(("own", "graphs"), [("none", 1), ("alternate", 2)])
def test_the_blocks_of_a_decoder_are_compiled_as_one_and_move_the_same_weights(own: Any, graphs: int) -> None:
    import torch._dynamo as dynamo

    net = Gpt(Gpt.Config(width=16, layers=3, heads=2, context=32, value_embeddings=own), 50).double()
    twin = compiling.compiled(net, CPU)
    assert [id(parameter) for parameter in twin.parameters()] == [id(parameter) for parameter in net.parameters()]
    dynamo.reset()  # what other tests compiled
    dynamo.utils.counters.clear()
    for length in (32, 11, 20):
        tokens = torch.randint(0, 50, (4, length))
        found = torch.autograd.grad(nats(twin, tokens), [*net.parameters()])
        for ours, plain in zip(found, torch.autograd.grad(nats(net, tokens), [*net.parameters()]), strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-12)
    assert dynamo.utils.counters["stats"]["unique_graphs"] == graphs  # for three blocks and three lengths, none broken


@pytest.mark.parametrize(
    ("net", "count"),
    [
        (Gpt(Gpt.Config(width=16, layers=5, heads=2, context=32), 50), 5),
        (Gpt(Gpt.Config(width=16, layers=5, heads=2, context=32, value_embeddings="alternate"), 50), 5),
        (EncoderDecoder(EncoderDecoder.Config(width=16, layers=3, heads=2), 50), 6),  # those of the decoder too
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), 0),
        (nn.Sequential(nn.Sequential(nn.Linear(4, 4)), nn.ReLU()), 0),
        (nn.ModuleList([Block(Gpt.Config(width=width)) for width in (12, 24)]), 0),
    ],
)
def test_blocks_are_alike_and_no_single_layers(net: nn.Module, count: int) -> None:
    assert len(compiling.blocks_of(net)) == count


def tried(monkeypatch: pytest.MonkeyPatch, *, plain: float, fast: float, fails: str = "") -> tuple[Callable[[Any], float], list[str]]:
    """Trials take as long as told; which were made."""
    made: list[str] = []

    def trial(net: Any) -> float:
        made.append("fast" if net == "compiled" else "plain")
        if net == "compiled" and fails:
            raise RuntimeError(fails)
        return fast if net == "compiled" else plain

    monkeypatch.setattr(compiling, "compiled", lambda *_: "compiled")
    return trial, made


@pytest.mark.parametrize(
    ("left", "plain", "fast", "fails", "chosen", "trials"),
    [
        (100_000, 0.1, 0.05, "", "compiled", ["plain", "fast"]),
        (100_000, 0.1, 0.0999999999, "", None, ["plain", "fast"]),
        (100_000, 0.1, 0.05, "no compiler", None, ["plain", "fast"]),
        (1000, 0.1, 0.05, "", None, ["plain"]),  # 100 s
        (10, 0.1, 0.05, "", None, []),
    ],
)
def test_auto_compiles_only_where_it_pays(
    left: int, plain: float, fast: float, fails: str, chosen: Any, trials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, made = tried(monkeypatch, plain=plain, fast=fast, fails=fails)
    found, why = compiling.choose("auto", torch.nn.Linear(1, 1), CPU, trial, None, lambda step_s: left * step_s)
    assert (found, made) == (chosen, trials)
    made.clear()
    assert compiling.choose("auto", torch.nn.Linear(1, 1), CPU, trial, plain, lambda step_s: left * step_s)[0] == chosen
    assert made == [name for name in trials if name == "fast"]  # what is known already is not measured again
    assert bool(why) == ("fast" in trials)
    assert fails in why


def test_what_was_asked_for_and_cannot_be_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    trial, _ = tried(monkeypatch, plain=1, fast=1, fails="InductorError: no compiler")
    with pytest.raises(MachineError, match=r"L507.*no compiler"):
        compiling.choose("on", torch.nn.Linear(1, 1), CPU, trial, None, lambda _: 0.0)
    assert compiling.choose("off", torch.nn.Linear(1, 1), CPU, trial, None, lambda _: math.inf) == (None, "")
    full, _ = tried(monkeypatch, plain=1, fast=1, fails="[enforce fail] not enough memory: you tried to allocate 9 bytes")
    with pytest.raises(RuntimeError, match="not enough memory"):  # the batch is halved, no compiler is asked for
        compiling.choose("on", torch.nn.Linear(1, 1), CPU, full, None, lambda _: 0.0)


def test_what_is_left_is_the_least_of_steps_epochs_and_budget() -> None:
    one = trainer(steps=100)
    assert one.left_s(2.0) == 200
    one.progress.step = 60
    assert one.left_s(2.0) == 80
    one.purse = Purse(1.0, seconds=70.0)
    assert one.left_s(2.0) == 70
    assert one.left_s(1.0) == 40
    passes = trainer(steps=10**6, epochs=3.0)
    assert passes.left_s(1.0) == pytest.approx(3 * passes.rows / passes.batch_size)
