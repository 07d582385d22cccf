"""What every architecture promises in its role, over every kind of column it TAKES."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from luban import catalog
from luban.columns import Ragged
from luban.draw import Draw
from luban.schema import validate

ROWS = 37
NONE = Draw(0, 0, np.zeros(0, np.int64), training=False)
ENTRIES = catalog.entries("models").values()
ENCODERS = [(entry.name, kind) for entry in ENTRIES if entry.role == "encoder" for kind in entry.takes]
PREDICTORS = [(entry.name, kind) for entry in ENTRIES if entry.role == "predictor" for kind in entry.takes]
READS_TEXTS = [entry.name for entry in ENTRIES if entry.role == "encoder" and "text" in entry.stated.get("MANY", ())]
AIMS = {"label": 3, "tags": 2, "number": 1, "binary": 1}
RAGGED = ("text", "series")
TESTED_APART = {
    "causal": "test_causal_models.py",
    "recommender": "test_recommenders.py",
    "reader": "test_question_answering.py",
    "retriever": "test_document_answering.py",
    "seq2seq": "test_seq2seq_models.py",
    "rewriter": "test_rewriters.py",
}
CAN_MISS = ("number", "category", "tags", "date", "text")

encoders = pytest.mark.parametrize(("model", "kind"), ENCODERS)
predictors = pytest.mark.parametrize(("model", "kind"), PREDICTORS)


@cache
def column(kind: str) -> tuple[dict[str, Any], Any]:
    """(spec, encoded demo values) of a kind."""
    one = catalog.load("kinds", kind)
    series = one.demo(ROWS, 2).alias("x")
    spec = one.fit(series, one.Config())
    return spec, one.encode(series, spec).values


def inputs(kind: str, rows: np.ndarray | None = None) -> dict[str, Tensor]:
    """A batch of demo rows."""
    spec, values = column(kind)
    rows = np.arange(ROWS) if rows is None else rows
    taken = values.take(rows) if isinstance(values, Ragged) else values[rows]
    return {"x": catalog.load("kinds", kind).collate(taken, spec, NONE)}


def missing(kind: str) -> dict[str, Tensor]:
    """A batch of two rows without a value."""
    one, (spec, _) = catalog.load("kinds", kind), column(kind)
    return {"x": one.collate(one.encode(pl.Series("x", [None, None], dtype=pl.String), spec).values, spec, NONE)}


def config_of(model: str) -> Any:
    """The tiny one."""
    return validate(
        catalog.load("models", model).Config, catalog.find("models", model).stated.get("SIZES", {"tiny": {}})["tiny"], where="x"
    )


def encoder(model: str, kind: str) -> Any:
    """With its first weights, in evaluation mode."""
    torch.manual_seed(0)
    return catalog.load("models", model)(config_of(model), {"x": column(kind)[0]}).eval()


def target(aim: str) -> Tensor:
    """Of each row."""
    row = torch.arange(ROWS)
    if aim == "tags":
        return torch.stack([row % 2, row // 3 % 2], 1).float()
    return {"label": row % 3, "binary": row % 2, "number": row.float() / 7}[aim]


class Passes:
    """Two batches, again and again."""

    def __init__(self, kind: str, aim: str) -> None:
        self.kind, self.aim = kind, aim

    def __iter__(self) -> Any:
        for rows in (np.arange(19), np.arange(19, ROWS)):
            yield Batch(inputs(self.kind, rows), target(self.aim)[rows])


class Batch:
    """The fields that a solved predictor may read, and no other."""

    __slots__ = ("inputs", "target", "weights")

    def __init__(self, inputs: dict[str, Tensor], target: Tensor) -> None:
        self.inputs, self.target, self.weights = inputs, target, None


def predictor(model: str, kind: str, aim: str) -> Any:
    """Not yet solved."""
    torch.manual_seed(0)
    return catalog.load("models", model)(
        config_of(model), {"x": column(kind)[0]}, AIMS[aim], aim="label" if aim == "binary" else aim
    ).eval()


@cache
def solved(model: str, kind: str, aim: str) -> Any:
    """Solved on the demo rows."""
    net = predictor(model, kind, aim)
    with torch.no_grad():
        shares = list(net.solve(Passes(kind, aim)))
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] == 1
    return net


def test_every_model_is_tested() -> None:
    assert {entry.role for entry in ENTRIES} <= {"encoder", "predictor", *TESTED_APART}, "a new role needs a test of its own"
    here = {entry.name for entry in ENTRIES if entry.role not in TESTED_APART}
    assert {name for name, _ in ENCODERS + PREDICTORS} == here - {"fused", "probe"}


# --- encoders


@encoders
def test_an_encoder_gives_one_vector_a_row_of_the_width_it_states(model: str, kind: str) -> None:
    net = encoder(model, kind)
    vectors = net(inputs(kind))
    assert vectors.shape == (ROWS, net.out_dim)
    assert vectors.dtype == torch.float32
    assert vectors.isfinite().all()
    assert vectors.std(0).max() > 0, "it says the same of every row"


@encoders
def test_a_row_does_not_depend_on_its_neighbours(model: str, kind: str) -> None:
    net = encoder(model, kind)
    whole = net(inputs(kind))
    for rows in (np.array([3]), np.array([11, 3, 4])):
        torch.testing.assert_close(net(inputs(kind, rows)), whole[rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("model", "kind"), [pair for pair in ENCODERS if pair[1] in RAGGED])
def test_padding_changes_nothing(model: str, kind: str) -> None:
    net, batch = encoder(model, kind), inputs(kind)["x"]
    wide = (*batch.shape[:1], 11, *batch.shape[2:])
    filler = torch.zeros(wide, dtype=batch.dtype) if kind == "text" else torch.full(wide, torch.nan)
    torch.testing.assert_close(net({"x": torch.cat([batch, filler], 1)}), net({"x": batch}), rtol=1e-5, atol=1e-6)


def texts(model: str, *columns: str) -> Any:
    """An encoder of several texts, trained vectors of the columns among them."""
    torch.manual_seed(0)
    net = catalog.load("models", model)(config_of(model), dict.fromkeys(columns, column("text")[0])).eval()
    for name, weights in net.named_parameters():
        if "segments" in name:
            nn.init.normal_(weights)
    return net


@pytest.mark.parametrize("model", READS_TEXTS)
def test_several_texts_are_read_as_one_without_gaps(model: str) -> None:
    net, batch = texts(model, "a", "b"), inputs("text")["x"]
    other = batch.flip(0)  # of other lengths: the gap between the two differs from row to row
    whole = net({"a": batch, "b": other})
    for row in range(0, ROWS, 5):
        first, second = (part[row : row + 1] for part in (batch, other))
        alone = {"a": first[:, : int((first > 0).sum())], "b": second[:, : int((second > 0).sum())]}
        torch.testing.assert_close(net(alone), whole[row : row + 1], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(whole, net({"a": batch, "b": torch.zeros_like(other)})), "the second text is not read"
    assert torch.isfinite(net({"a": torch.zeros_like(batch), "b": torch.zeros_like(other)})).all()


@pytest.mark.parametrize(("model", "kind"), [pair for pair in ENCODERS if pair[1] in CAN_MISS])
def test_what_is_missing_is_answered_with_numbers(model: str, kind: str) -> None:
    vectors = encoder(model, kind)(missing(kind))
    assert vectors.isfinite().all()
    torch.testing.assert_close(vectors[0], vectors[1])


@encoders
def test_the_gradient_reaches_every_parameter(model: str, kind: str) -> None:
    net = encoder(model, kind)
    vectors = net(inputs(kind))
    (vectors * torch.randn(vectors.shape)).sum().backward()
    still = [name for name, p in net.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)]
    assert not still


@encoders
def test_float32_agrees_with_float64(model: str, kind: str) -> None:
    net = encoder(model, kind)
    exact = copy.deepcopy(net).double()
    batch = {name: x.double() if x.is_floating_point() else x for name, x in inputs(kind).items()}
    torch.testing.assert_close(net(inputs(kind)).double(), exact(batch), rtol=1e-4, atol=1e-5)


@encoders
def test_evaluation_draws_nothing(model: str, kind: str) -> None:
    net = encoder(model, kind)
    one = net(inputs(kind))
    torch.rand(3)
    assert torch.equal(one, net(inputs(kind)))


@encoders
def test_it_is_built_from_config_and_spec_alone(model: str, kind: str) -> None:
    one, other = encoder(model, kind), encoder(model, kind)
    other.load_state_dict(one.state_dict(), strict=True)
    assert torch.equal(one(inputs(kind)), other(inputs(kind)))


# --- predictors


@pytest.mark.parametrize("aim", AIMS)
@predictors
def test_a_solved_predictor_answers_every_aim(model: str, kind: str, aim: str) -> None:
    outputs = solved(model, kind, aim)(inputs(kind))
    assert outputs.shape == (ROWS, AIMS[aim])
    assert outputs.isfinite().all()


@pytest.mark.parametrize("aim", AIMS)
@predictors
def test_a_solved_predictor_is_its_state(model: str, kind: str, aim: str) -> None:
    net, twin = solved(model, kind, aim), predictor(model, kind, aim)
    twin.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(net(inputs(kind)), twin(inputs(kind)))


@predictors
def test_a_prediction_does_not_depend_on_neighbours(model: str, kind: str) -> None:
    net, rows = solved(model, kind, "label"), np.array([11, 3, 4])
    torch.testing.assert_close(net(inputs(kind, rows)), net(inputs(kind))[rows], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("model", "kind"), [pair for pair in PREDICTORS if pair[1] in CAN_MISS])
def test_a_predictor_answers_what_is_missing(model: str, kind: str) -> None:
    assert solved(model, kind, "label")(missing(kind)).isfinite().all()


@predictors
def test_a_solved_predictor_has_nothing_to_train(model: str, kind: str) -> None:
    net: nn.Module = predictor(model, kind, "label")
    assert not list(net.parameters())
    assert list(net.buffers())


@predictors
def test_solving_leaves_out_rows_without_a_target(model: str, kind: str) -> None:
    kept = np.setdiff1d(np.arange(ROWS), [0, 20])

    class Some(Passes):
        def __iter__(self) -> Any:
            goal = target("number").clone()
            goal[[0, 20]] = torch.nan
            yield Batch(inputs(kind), goal)

    class Kept(Passes):
        def __iter__(self) -> Any:
            yield Batch(inputs(kind, kept), target("number")[kept])

    found = []
    for passes in (Some, Kept):
        net = predictor(model, kind, "number")
        with torch.no_grad():
            list(net.solve(passes(kind, "number")))
        found.append(net(inputs(kind, kept)))
    torch.testing.assert_close(*found, rtol=0.1, atol=0.1)
    assert found[0].isfinite().all()
