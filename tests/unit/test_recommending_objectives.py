"""What trained recommenders learn from, by hand and in the limit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from luban.draw import Draw
from luban.recommending import batch, objectives
from luban.roles import Sizes
from luban.tasks.recommendation import Recommendation


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_codes_beyond_what_a_float_holds_stay_apart_among_the_items_of_a_step(dtype: torch.dtype) -> None:
    """Two items whose codes differ by one are each other's negatives; two of one code are not."""
    from luban.models.hybrid import Hybrid

    model = Hybrid(Hybrid.Config(width=3), Sizes(3, 5, 7, counts=np.ones(5, np.int64))).eval()
    asked = torch.tensor([[2**24], [2**24 + 1], [2**24 + 1]])
    model.log_share = torch.zeros(1).expand(2**24 + 2)
    model.vectors = lambda items: (torch.ones(len(items), 3, dtype=dtype), torch.ones(len(items), 3, dtype=dtype))  # type: ignore[method-assign]
    made = batch.Batch(
        user=torch.arange(3), lengths=torch.ones(3, dtype=torch.int64), history=asked[:, 0], amount=torch.ones(3), hidden=torch.zeros(0, 2),
        target=torch.zeros(3, 0), recall=torch.zeros(3, dtype=torch.bool), positive=asked, negative=torch.zeros(0),
    )  # fmt: skip
    steps = objectives.pooled(model, made)
    pool = next(steps)
    loss = steps.send(pool.values)
    assert pool.values.dtype == torch.float32
    assert float(loss.value) == pytest.approx((np.log(3) + 2 * np.log(2)) / 3)  # scores alike: one of three, and twice one of two


def told(sampled: int, count: int = 5) -> tuple[object, float, torch.Tensor]:
    """A SASRec, its loss on some histories, and the gradient of the items."""
    model = {"kind": "sasrec", "size": "tiny", "loss": "sampled" if sampled else "full", "sampled": max(1, sampled)}
    config = Recommendation.Config(time="time", model=model)
    table = Recommendation(config).demo(11 * count, 0)
    task = Recommendation(config, Recommendation(config).fit(table))
    examples = task.arrange(task.encode(table), np.ones(len(table), bool))
    torch.manual_seed(0)
    net = task.build().eval()
    loss = next(task.losses(net, task.collate(examples, Draw(0, 0, np.arange(len(examples)), training=True))))
    loss.value.backward()
    return net, float(loss.value.detach()), net.model.item.grad


def test_a_sampled_softmax_comes_to_the_whole_one_as_more_is_drawn() -> None:
    _, whole, gradient = told(0)
    distances = []
    for sampled in (30, 3000, 60_000):
        _, loss, slope = told(sampled)
        distances.append(float((slope - gradient).norm() / gradient.norm()))
        assert loss == pytest.approx(whole, rel=0.1)
    assert distances[0] > 3 * distances[1]
    assert distances[2] < 0.02


def test_a_sampled_softmax_by_hand() -> None:
    net, loss, _ = told(7, count=3)
    config = Recommendation.Config(time="time", model={"kind": "sasrec", "size": "tiny", "loss": "sampled", "sampled": 7})
    table = Recommendation(config).demo(33, 0)
    task = Recommendation(config, Recommendation(config).fit(table))
    examples = task.arrange(task.encode(table), np.ones(len(table), bool))
    made = task.collate(examples, Draw(0, 0, np.arange(len(examples)), training=True))
    weights, states = net.model.item.detach(), net.model.states(made)[0].detach()
    losses, start = [], 0
    for user, length in enumerate(made.lengths.tolist()):
        history = made.history[start : start + length]
        for at in range(length - 1):
            state, right = states[user, at - length], history[at + 1]
            others = [item for item in made.sampled[user].tolist() if item != right]
            rest = (weights[others] @ state).exp().sum() * (len(weights) - 1) / len(others)
            score = weights[right] @ state
            losses.append(-(score - (score.exp() + rest).log()))
        start += length
    assert loss == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)


def test_all_items_are_looked_at_while_they_are_few() -> None:
    from luban.models.sasrec import MOST_FULL, Sasrec

    assert Sasrec.drawn(Sasrec.Config(), MOST_FULL) == 0
    assert Sasrec.drawn(Sasrec.Config(), MOST_FULL + 1) == Sasrec.Config().sampled
    assert Sasrec.drawn(Sasrec.Config(loss="full"), 10**7) == 0
    assert Sasrec.drawn(Sasrec.Config(loss="sampled", sampled=3), 5) == 3
