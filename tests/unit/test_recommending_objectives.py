"""What trained recommenders learn from, by hand and in the limit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from luban.columns import Columns
from luban.draw import Draw
from luban.recommending import batch, objectives
from luban.recommending.examples import arrange
from luban.recommending.memory import Memory
from luban.roles import Sizes
from luban.tasks.recommendation import Recommendation


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_codes_beyond_what_a_float_holds_stay_apart_among_the_items_of_a_step(dtype: torch.dtype) -> None:
    """Two items whose codes differ by one are each other's negatives; two of one code are not."""
    from luban.models.hybrid import Hybrid

    model = Hybrid(Hybrid.Config(width=3), Sizes(3, 5, 7, counts=np.ones(5, np.int64))).eval()
    asked = torch.tensor([[2**24], [2**24 + 1], [2**24 + 1]])
    model.log_share = model.prior = torch.zeros(1).expand(2**24 + 2)
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


def examples_of(lengths: list[int], seed: int = 0) -> Columns:
    """Histories of some lengths over 9 items."""
    rng = np.random.default_rng(seed)
    rows = [(user, item, time) for user, length in enumerate(lengths) for time, item in enumerate(rng.permutation(9)[:length])]
    table = np.array(rows)
    return arrange(Columns({"user": table[:, 0], "item": table[:, 1], "time": table[:, 2].astype(float)}, np.arange(len(rows))), None)


@pytest.mark.parametrize("in_time", [True, False])
def test_what_is_asked_follows_what_is_known_and_both_make_the_history(in_time: bool) -> None:
    made = examples_of([1, 2, 5, 9, 4])
    whole = [made["history"][user].tolist() for user in range(5)]
    early = []
    for epoch in range(40):
        asked = batch.collate(
            Columns({**made.data, "recall": np.zeros(5, bool)}, made.row), Draw(0, epoch, np.arange(5), training=True), 9,
            negatives=False, pairs=6, in_time=in_time,
        )  # fmt: skip
        assert asked.before is not None
        for user, history in enumerate(whole):
            before = asked.before[asked.owner == user].tolist()
            later = {item for item, known in zip(history, before, strict=True) if not known}
            assert set(asked.positive[user].tolist()) <= later
            assert later
            assert len(history) == 1 or any(before)
            if in_time:
                assert before == sorted(before, reverse=True)
        early.append(asked.before.tolist())
    assert in_time or any(row != sorted(row, reverse=True) for row in (line[8:17] for line in early))


@pytest.mark.parametrize("in_time", [True, False])
def test_how_often_an_item_is_asked_for_is_known_exactly(in_time: bool) -> None:
    """Yi et al. 2019 estimate it as training goes; here 4,000 draws of each user are counted against the closed form."""
    from luban.models.hybrid import SEEN, Hybrid

    lengths = [1, 2, 5, 9, 4]
    made = examples_of(lengths)
    made = Columns({**made.data, "recall": np.zeros(5, bool)}, made.row)
    memory = Memory(5, 9, sum(lengths), weighted=False)
    memory.fill(made)
    counts = memory.counts.numpy()
    model = Hybrid(Hybrid.Config(width=3, fresh=1.0), Sizes(5, 9, sum(lengths), counts=counts, in_time=in_time))
    model.prepare(memory)
    drawn = np.zeros(9)
    for epoch in range(500):
        asked = batch.collate(made, Draw(0, epoch, np.arange(5), training=True), 9, negatives=False, pairs=8, in_time=in_time)
        drawn += np.bincount(asked.positive.reshape(-1).numpy(), minlength=9) / (500 * 8)
    expected = (drawn + SEEN) / (drawn + SEEN).mean()
    np.testing.assert_allclose(model.log_share.exp().numpy(), expected, atol=0.08)


def test_an_item_that_nobody_took_is_taken_for_one_that_many_did() -> None:
    from luban.models.hybrid import Hybrid

    made = examples_of([5, 5, 5])
    memory = Memory(3, 11, 15, weighted=False)
    memory.fill(made)
    counts = memory.counts.numpy()
    model = Hybrid(Hybrid.Config(width=3, fresh=0.5), Sizes(3, 11, 15, counts=counts))
    model.prepare(memory)
    known = np.sort(model.log_share[counts > 0].numpy())
    assert model.prior[10] == known[round(0.5 * len(known)) - 1]
    assert torch.equal(model.prior[counts > 0], model.log_share[counts > 0])


def test_vectors_are_not_kept_beyond_a_step_of_a_fused_optimizer() -> None:
    """Which changes weights without counting it: validations would all see the first ones."""
    from luban.models.hybrid import Hybrid

    model = Hybrid(Hybrid.Config(width=3), Sizes(3, 5, 7, counts=np.ones(5, np.int64))).eval()
    first = model.all_vectors()[0].clone()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    sum(part.sum() for part in model.vectors(torch.arange(5))).backward()
    optimizer.step()
    assert not torch.equal(model.eval().all_vectors()[0], first)


def test_a_step_of_the_pool_holds_histories_of_all_lengths() -> None:
    """Where only short histories meet each other, how often an item is drawn is not what is taken from its score."""
    config = Recommendation.Config(time="time", inputs={"word": {"kind": "text"}}, model={"kind": "hybrid", "size": "tiny"})
    table = Recommendation(config).demo(110, 0)
    task = Recommendation(config, Recommendation(config).fit(table))
    assert task.arrange(task.encode(table), np.ones(len(table), bool)).size is None


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
