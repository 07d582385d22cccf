"""Tables stepped by rows: each row against torch's AdamW over that row alone, and a step however its gradient came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luban.task import Loss
from luban.training import optimizers
from luban.training.rowwise import by_rows
from luban.training.settings import Training
from luban.training.step import NotFinite, Stepper

ROWS = ((0, 2, 2), (4,), (2, 0), (1, 4), (2,))  # read in each step; 3 never


class Table(nn.Module):
    """A table of which a step reads few rows, and a layer that is stepped whole."""

    rowwise = ("table",)
    learning_rate = 0.05
    weight_decay = 0.3

    def __init__(self, *, sparse: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head, self.sparse = nn.Parameter(torch.randn(5, 3)), nn.Linear(3, 1), sparse

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(F.embedding(rows, self.table, sparse=self.sparse)).tanh().square()


class Reads:
    """The mean over what is read."""

    @staticmethod
    def losses(net: Any, batch: Tensor) -> Iterator[Loss]:
        yield Loss(net(batch).mean(), len(batch))


def trained(settings: Training, *, sparse: bool, pieces: int = 1) -> Table:
    net = Table(sparse=sparse)
    stepper = Stepper(Reads(), net, settings, 7)
    for number, rows in enumerate(ROWS):
        parts = torch.tensor(rows).tensor_split(min(pieces, len(rows)))
        stepper.step(list(parts), number=number, rate=1.0)
    return net


def test_each_row_is_torchs_adamw_over_that_row_whenever_it_is_read() -> None:
    net = Table()
    head = net.head
    head.requires_grad_(False)
    alone = [nn.Parameter(row[None].clone()) for row in net.table.detach()]
    oracles = [torch.optim.AdamW([row], lr=0.05, betas=(0.9, 0.99), weight_decay=0.3) for row in alone]
    mine = optimizers.build(net, Training())
    for rows in ROWS:
        net.table.grad = None
        net(torch.tensor(rows)).sum().backward()
        net.table.grad = by_rows(net.table.grad)  # type: ignore[arg-type]
        mine.step()
        for row in set(rows):
            oracles[row].zero_grad()
            (rows.count(row) * head(alone[row]).tanh().square().sum()).backward()
            oracles[row].step()
    torch.testing.assert_close(net.table.detach(), torch.cat([row.detach() for row in alone]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(net.table[3], Table().table[3], rtol=0, atol=0)


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "adam"}, {"optimizer": "sgd"}, {"optimizer": "muon"}, {"l2": 0.5}, {"clip_norm": 0.01}, {"clip_norm": 0.0}],
    ids=str,
)
def test_a_gradient_of_rows_and_one_of_the_whole_table_do_the_same(settings: dict[str, Any]) -> None:
    one, other = (trained(Training(**settings), sparse=sparse) for sparse in (True, False))
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert not torch.equal(one.table, Table().table)


def test_micro_batches_add_up_to_the_step() -> None:
    for one, other in zip(*(trained(Training(), sparse=True, pieces=pieces).parameters() for pieces in (1, 3)), strict=True):
        torch.testing.assert_close(one, other)


def test_a_gradient_that_is_no_number_is_caught_before_the_step() -> None:
    net = Table()
    stepper = Stepper(Reads(), net, Training(), 7)
    with torch.no_grad():
        net.table[2, 1] = torch.nan
    before = net.table.detach().clone()
    with pytest.raises(NotFinite):
        stepper.step([torch.tensor([0, 2])], number=0, rate=1.0)
    torch.testing.assert_close(net.table.detach(), before, rtol=0, atol=0, equal_nan=True)


def test_rows_without_a_gradient_rest_though_they_were_read() -> None:
    values = torch.tensor([[0.0, 0], [0, 2], [1, 0], [1, 1]])
    gradient = torch.sparse_coo_tensor(torch.tensor([[1, 3, 4, 3]]), values, (5, 2), check_invariants=True)
    for form in (gradient, gradient.to_dense()):
        found = by_rows(form)
        assert found.indices().tolist() == [[3, 4]]
        assert found.values().tolist() == [[1, 3], [1, 0]]


def test_a_checkpoint_from_before_rows_had_an_age_goes_on() -> None:
    net = Table()
    mine = optimizers.build(net, Training())
    for turn in range(2):
        net.zero_grad()
        net(torch.tensor([1, 4])).sum().backward()
        net.table.grad = by_rows(net.table.grad)  # type: ignore[arg-type]
        mine.step()
        if not turn:
            state = mine.state[net.table]
            del state["age"]
            state["step"] += 6
    assert mine.state[net.table]["age"].tolist() == [6, 7, 6, 6, 7]
    assert net.table.isfinite().all()
