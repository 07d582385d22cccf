"""What a recommender is made of: ids, examples, ranking in blocks, neighbours, reasons, variety; each against a slow and plain calculation."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array

from luban.columns import Columns, Ragged
from luban.data.prepare import parts_of
from luban.data.splits import Splitting, divide
from luban.draw import Draw
from luban.errors import DataError, RecipeError
from luban.layers.gram import gram, relaxed
from luban.layers.least_squares import Spans, factorise, fold_in
from luban.layers.nearest import nearest, nearest_to
from luban.predicting import answers_of
from luban.recipe import parse
from luban.recommending import batch, catalogue, ids, objectives, ranking, variety
from luban.recommending.examples import arrange, questions
from luban.roles import Sizes
from luban.tasks.recommendation import Recommendation

NAMES = ["u1", "张三", "", "u0", "u-7"]


# --- ids


@pytest.mark.parametrize("names", [pl.Series(NAMES), pl.Series([7, -3, 10**12, 0]), pl.Series([7.0, None, 3.0])])
def test_ids_are_kept_as_they_were_given(names: pl.Series) -> None:
    spec = ids.fit(names)
    codes = ids.encode(names, spec)
    known = names.drop_nulls()
    assert sorted(set(codes[codes >= 0].tolist())) == list(range(known.n_unique()))
    decoded = ids.decode(codes, spec)
    assert [None if name is None else name for name in names.to_list()] == decoded
    assert (codes == ids.NONE).sum() == names.null_count()


def test_strangers_are_told_apart_and_never_known() -> None:
    spec = ids.fit(pl.Series([1, 2, 3]))
    codes = ids.encode(pl.Series([9, 1, 9, 8, None]), spec)
    assert codes[1] == 0
    assert codes[0] == codes[2] < ids.NONE
    assert codes[3] not in (codes[0], ids.NONE)
    assert codes[4] == ids.NONE
    np.testing.assert_array_equal(ids.encode(pl.Series(["2", "x"]), spec) >= 0, [True, False])


def test_ten_million_ids_need_no_sixteen_bits() -> None:
    """Codes beyond 2¹⁶ and a table that stays small."""
    names = pl.Series(np.arange(0, 30_000_000, 3))
    spec = ids.fit(names)
    assert spec["count"] == 10_000_000
    assert len(spec["packed"]) < 1_000_000
    assert ids.encode(pl.Series([29_999_997]), spec).tolist() == [9_999_999]


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


def test_events_in_any_order_make_the_same_examples() -> None:
    config = Recommendation.Config(time="time", model={"kind": "ease"})
    table = Recommendation(config).demo(220, 0)
    task = Recommendation(config, Recommendation(config).fit(table))
    made = []
    for rows in (table.sort("time"), table.sort("time", descending=True), table.sample(fraction=1, shuffle=True, seed=7)):
        parts = divide(rows, Splitting(by="last", group="user_id", order="time"), target=None, seed=0)
        examples = task.arrange(task.encode(rows), parts == 2)
        made.append([(int(user), *history, -1, *target) for user, history, target in zip(
            examples["user"], lists_of(examples["history"]), lists_of(examples["target"]), strict=True)])  # fmt: skip
    assert sorted(made[0]) == sorted(made[1]) == sorted(made[2])


def lists_of(spans: Ragged) -> list[list[int]]:
    """Span by span."""
    return [spans.values[start : start + length].tolist() for start, length in zip(spans.starts, spans.lengths, strict=True)]


def test_a_table_that_is_none_is_refused() -> None:
    spec = ids.fit(pl.Series(["a", "b", "c"]))
    with pytest.raises(ValueError, match="length"):
        ids.check(spec | {"size": 2}, "state.json")
    with pytest.raises(ValueError, match="sorted"):
        ids.check(spec | {"packed": ids.packed("text", 3, b"b\0a\0c")["packed"]}, "state.json")
    with pytest.raises(RecipeError):
        ids.check(spec | {"kind": "code"}, "state.json")
    with pytest.raises(DataError) as caught:
        ids.fit(pl.Series([None, None], dtype=pl.String))
    assert caught.value.code == "L285"


# --- examples


def events(rows: list[tuple[int, int, float]]) -> Columns:
    """(user, item, time)."""
    table = np.array(rows, float)
    data = {"user": table[:, 0].astype(np.int64), "item": table[:, 1].astype(np.int64), "time": table[:, 2]}
    return Columns(data, np.arange(len(rows)))


ROWS = [(1, 5, 3), (0, 2, 1), (1, 4, 1), (0, 2, 9), (1, 6, 8), (0, 3, 5), (1, 5, 7), (2, 9, 1), (1, -77, 9)]


def test_histories_hold_each_item_once_at_its_latest_place() -> None:
    made = arrange(events(ROWS), None)
    assert made["user"].tolist() == [0, 1, 2]
    assert [made["history"][i].tolist() for i in range(3)] == [[3, 2], [4, 5, 6], [9]]
    assert [made["amount"][i].tolist() for i in range(3)] == [[1, 2], [1, 2, 1], [1]]
    assert made["target"].lengths.tolist() == [0, 0, 0]
    assert made.row.tolist() == [3, 8, 7]


def test_targets_are_asked_once_and_never_what_was_met() -> None:
    asked = np.zeros(len(ROWS), bool)
    asked[[3, 4, 6, 8]] = True  # item 2 of user 0 and item 5 of user 1 were met before
    made = arrange(events(ROWS), asked)
    assert made["user"].tolist() == [1], "a user whose targets were all met is not asked"
    assert made["target"][0].tolist() == [6, -77]
    assert made["history"][0].tolist() == [4, 5]
    again = arrange(events(ROWS), asked, repeat=True)
    assert again["user"].tolist() == [0, 1]
    assert sorted(again["target"][1].tolist()) == [-77, 5, 6]


def test_a_profile_narrows_the_history_but_not_what_is_hidden() -> None:
    asked = np.array([False] * 4 + [True] + [False] * 4)
    profile = np.array([False, False, True] + [False] * 6)
    made = arrange(events(ROWS), asked, profile=profile)
    assert made["history"][0].tolist() == [4]
    assert sorted(made["shunned"][0].tolist()) == [5]


def test_what_is_disliked_is_hidden_and_not_learnt() -> None:
    rows = events(ROWS)
    rows.data["weight"] = np.where(rows["item"] == 4, 0, 1).astype(np.float32)
    made = arrange(rows, None)
    assert made["history"][1].tolist() == [5, 6]
    assert made["shunned"][1].tolist() == [4]


def test_questions_make_every_row_a_target() -> None:
    made = questions(events(ROWS))
    assert [sorted(made["target"][i].tolist()) for i in range(3)] == [[2, 3], [-77, 4, 5, 6], [9]]
    assert made["recall"].all()
    assert made["history"].lengths.tolist() == [0, 0, 0]


def test_negatives_were_never_met_and_do_not_know_their_neighbours() -> None:
    rng = np.random.default_rng(0)
    rows = [(user, item, 0) for user in range(7) for item in rng.permutation(23)[: 5 + 2 * user]]
    made = arrange(events(rows), np.ones(len(rows), bool))
    whole = batch.collate(made, Draw(0, 3, np.arange(7), training=True), 23, negatives=True)
    for user in range(7):
        of = (whole.owner == user).numpy()
        drawn = whole.negative.numpy()[of]
        assert not set(drawn[drawn >= 0]) & set(whole.history.numpy()[of])
        alone = batch.collate(made.take(np.array([user])), Draw(0, 3, np.array([user]), training=True), 23, negatives=True)
        np.testing.assert_array_equal(alone.negative.numpy(), drawn)
    assert (whole.negative >= 0).float().mean() > 0.8  # of 23 items the last user met 17


# --- ranking


def dull(scores: torch.Tensor) -> torch.Tensor:
    """To as many bits as are compared."""
    return ((scores.view(torch.int32) + ranking.NOISE) & ~0xFF).view(torch.float32)


@pytest.mark.parametrize("num_items", [3, 511, 1511])
def test_the_best_are_those_of_a_full_sort(num_items: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "CELLS", 1000)
    rng = torch.Generator().manual_seed(num_items)
    scores = torch.randn(13, num_items, generator=rng)
    scores[:, ::3] = scores[:, :1]  # many ties
    hidden = torch.randint(0, 13, (40,), generator=rng), torch.randint(0, num_items, (40,), generator=rng)
    allowed = torch.rand(num_items, generator=rng) < 0.8
    items, found = ranking.best(lambda a, b: scores[:, a:b], 13, num_items, 50, hidden=hidden, allowed=allowed)
    plain = scores.clone()
    plain[hidden] = -torch.inf
    plain[:, ~allowed] = -torch.inf
    place = ranking.places(num_items)[0].tolist()
    for user in range(13):
        order = sorted(
            (i for i in range(num_items) if plain[user, i] > -torch.inf), key=lambda i: (-float(dull(plain)[user, i]), -place[i])
        )
        assert [i for i in items[user].tolist() if i >= 0] == order[:50]
        assert found[user, : len(order[:50])].tolist() == plain[user][order[:50]].tolist()


def test_items_of_one_score_are_named_by_no_order_of_names() -> None:
    items, _ = ranking.best(lambda a, b: torch.zeros(2, b - a), 2, 1009, 10, hidden=(torch.zeros(0).long(),) * 2, allowed=None)
    assert items[0].tolist() == items[1].tolist() != list(range(10))
    assert len(set(items[0].tolist())) == 10


# --- closed forms


def users(count: int = 31, items: int = 17, seed: int = 0) -> csr_array:
    return csr_array((np.random.default_rng(seed).random((count, items)) < 0.3).astype(np.float32))


def test_relaxed_without_relaxing_is_ease() -> None:
    x = users().toarray().astype(np.float64)
    p = np.linalg.inv(x.T @ x + 3.0 * np.eye(17))
    ease = np.eye(17) - p / np.diagonal(p)
    np.testing.assert_allclose(relaxed(gram(users()), penalty=3.0, relax=0.0, dropout=0.0), ease, atol=1e-10)


def test_relaxed_holds_its_constraint_and_is_the_minimum() -> None:
    """The diagonal stays below ξ, and no other weights with such a diagonal have a smaller ridge loss."""
    x, relax, penalty = users().toarray().astype(np.float64), 0.3, 3.0
    weight = relaxed(gram(users()), penalty=penalty, relax=relax, dropout=0.0)
    assert np.diagonal(weight).max() <= relax + 1e-12
    loss = lambda b: np.square(x - x @ b).sum() + penalty * np.square(b).sum()  # noqa: E731
    rng = np.random.default_rng(1)
    for _ in range(50):
        other = weight + rng.normal(0, 0.01, weight.shape)
        np.fill_diagonal(other, np.minimum(np.diagonal(other), relax))
        assert loss(other) > loss(weight)


def ials_loss(x: np.ndarray, left: np.ndarray, right: np.ndarray, unobserved: float, penalty: float) -> float:
    """The objective of Rendle et al. 2021, written out, exponent 1."""
    scores = left @ right.T
    weigh = [(x > 0).sum(1) + unobserved * x.shape[1], (x > 0).sum(0) + unobserved * x.shape[0]]
    ridge = sum((w * np.square(f).sum(1)).sum() for w, f in zip(weigh, (left, right), strict=True))
    return float((np.square(scores - 1) * (x > 0)).sum() + unobserved * np.square(scores).sum() + penalty * ridge)


@pytest.mark.parametrize(("block", "steps"), [(5, 0), (2, 0), (5, 3), (5, 1)])
def test_alternating_least_squares_come_to_a_minimum(block: int, steps: int) -> None:
    x, penalty, unobserved = users(), 0.05, 0.2
    spans = [Spans(part.indptr.astype(np.int64), part.indices, part.data) for part in (x, x.tocsc())]
    torch.manual_seed(0)
    settings = {"factors": 5, "unobserved": unobserved, "penalty": penalty, "exponent": 1.0, "block": block, "steps": steps, "scale": 0.1}
    right = list(factorise(*spans, sweeps=60, **settings))[-1][1]
    left = fold_in(spans[0], right, unobserved=unobserved, penalty=penalty, exponent=1.0)
    least = ials_loss(x.toarray(), left.double().numpy(), right.double().numpy(), unobserved, penalty)
    rng = np.random.default_rng(0)
    for _ in range(30):
        moved = left.double().numpy() + rng.normal(0, 0.01, left.shape)
        assert ials_loss(x.toarray(), moved, right.double().numpy(), unobserved, penalty) > least


@pytest.mark.parametrize(("unobserved", "penalty", "spread"), [(0.3, 0.3, 1.0), (0.1, 1e-3, 1.0), (1e-2, 1e-2, 30.0)])
def test_conjugate_gradients_come_to_what_a_direct_solver_finds_in_float64(unobserved: float, penalty: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((23, 61)) < 0.3) * rng.integers(1, 5, (23, 61))
    dense[5] = 0
    x = csr_array(dense.astype(np.float32))
    right = torch.from_numpy(rng.normal(0, np.geomspace(spread, 1, 13), (61, 13)).astype(np.float32))
    found = fold_in(Spans(x.indptr.astype(np.int64), x.indices, x.data), right, unobserved=unobserved, penalty=penalty, exponent=0.5)
    other, taken = right.double().numpy(), x.toarray().astype(np.float64)
    damping = penalty * ((taken > 0).sum(1) + unobserved * 61) ** 0.5
    matrices = np.einsum("nm,mf,mg->nfg", taken, other, other) + unobserved * other.T @ other + damping[:, None, None] * np.eye(13)
    exact = np.linalg.solve(matrices, (taken @ other)[..., None])[..., 0]
    np.testing.assert_allclose(found.numpy(), exact, rtol=2e-4, atol=2e-5 * np.abs(exact).max())
    assert not found[5].any()


def test_few_preconditioned_steps_descend_as_far_as_the_least_squares() -> None:
    x = users(61, 29)
    spans = [Spans(part.indptr.astype(np.int64), part.indices, part.data) for part in (x, x.tocsc())]
    found = []
    for steps in (0, 2):
        torch.manual_seed(0)
        settings = {"factors": 7, "unobserved": 0.2, "penalty": 0.05, "exponent": 1.0, "block": 7, "steps": steps, "scale": 0.1}
        right = list(factorise(*spans, sweeps=6, **settings))[-1][1]
        left = fold_in(spans[0], right, unobserved=0.2, penalty=0.05, exponent=1.0)
        found.append(ials_loss(x.toarray(), left.double().numpy(), right.double().numpy(), 0.2, 0.05))
    assert found[1] == pytest.approx(found[0], rel=0.01)


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


def test_a_user_folded_in_does_not_depend_on_the_others() -> None:
    x = users()
    right = torch.randn(17, 5, generator=torch.Generator().manual_seed(0))
    spans = Spans(x.indptr.astype(np.int64), x.indices, x.data)
    whole = fold_in(spans, right, unobserved=0.1, penalty=0.1, exponent=0.5)
    row = x[[7]]
    alone = fold_in(Spans(row.indptr.astype(np.int64), row.indices, row.data), right, unobserved=0.1, penalty=0.1, exponent=0.5)
    torch.testing.assert_close(alone[0], whole[7])


# --- neighbours


def plain_similarity(x: np.ndarray, shrink: float) -> np.ndarray:
    """The articles' formula, s = Σ r r / (√d √d), shrunk; loop by loop."""
    out = np.zeros((len(x), len(x)))
    for u in range(len(x)):
        for v in range(len(x)):
            both = ((x[u] > 0) & (x[v] > 0)).sum()
            if u != v and both:
                out[u, v] = (x[u] * x[v]).sum() / np.sqrt((x[u] ** 2).sum() * (x[v] ** 2).sum()) * both / (both + shrink)
    return out


@pytest.mark.parametrize("shrink", [0.0, 7.0])
def test_neighbours_are_those_of_the_formula(shrink: float) -> None:
    x = users(23, 19)
    known = plain_similarity(x.toarray(), shrink)
    for start, stop, near, similarity in nearest(x, 5, shrink):
        assert (start, stop) == (0, 23)
        np.testing.assert_allclose(similarity, -np.sort(-known, axis=1)[:, :5], atol=1e-6)
        np.testing.assert_allclose(np.take_along_axis(known, near.astype(int), 1), similarity, atol=1e-6)
    near, similarity = nearest_to(x[[3]], x, 40, shrink, own=np.array([-1]))
    assert near.shape == (1, 23)
    assert near[0, 0] == 3, "a stranger with the same history is the nearest"


# --- variety


def test_distance_within_a_list_is_the_mean_over_its_pairs() -> None:
    rng = torch.Generator().manual_seed(0)
    sketch = torch.nn.functional.normalize(torch.randn(29, 7, generator=rng), dim=1)
    items = torch.stack([torch.randperm(29, generator=rng)[:13] for _ in range(3)])
    items[2, 4:] = -1
    found = variety.apart(items, sketch)
    for user in range(3):
        named = [i for i in items[user].tolist() if i >= 0][:5]
        pairs = [1 - float(sketch[a] @ sketch[b]) for p, a in enumerate(named) for b in named[p + 1 :]]
        assert found[user, 1] == pytest.approx(np.mean(pairs), abs=1e-5)
    assert (found[:, 0] == -1).all()


def test_more_variety_is_bought_with_score() -> None:
    rng = torch.Generator().manual_seed(1)
    sketch = torch.nn.functional.normalize(torch.randn(97, 5, generator=rng), dim=1)
    items = torch.stack([torch.randperm(97, generator=rng)[:40] for _ in range(11)])
    scores = torch.rand(11, 40, generator=rng).sort(1, descending=True).values
    items[:, 35:], scores[:, 35:] = -1, -torch.inf
    last = None
    for share in (0.0, 0.3, 0.7):
        found, value = variety.reranked(items, scores, sketch, share, 5)
        assert sorted(found[0].tolist()) == sorted(items[0].tolist())
        apart, worth = float(variety.apart(found, sketch)[:, 1].mean()), float(value[:, :5].mean())
        assert last is None or (apart > last[0] and worth < last[1])
        last = apart, worth
    unchanged, _ = variety.reranked(items, scores, sketch, 0.0, 5)
    torch.testing.assert_close(unchanged, items)


# --- the whole


def small(**settings: object) -> tuple[Recommendation, torch.nn.Module]:
    """EASE on the demo's users."""
    config = Recommendation.Config(
        user="user", item="item", time="time", model={"kind": "ease", "size": "tiny", "penalty": 5.0}, **settings
    )
    table = Recommendation(config).demo(1100, 0)
    task = Recommendation(config, Recommendation(config).fit(table))
    examples = task.arrange(task.encode(table), None)
    net = task.build()
    task.remember(net, examples)
    with torch.no_grad():
        list(net.solve([task.collate(examples, Draw(0, 0, np.arange(len(examples)), training=False))]))
    return task, net.eval()


def test_an_id_is_answered_as_its_history_is() -> None:
    task, net = small()
    name = task.demo(1100, 0)["user"][0]
    history = task.demo(1100, 0).filter(pl.col("user") == name).sort("time")["item"].to_list()
    by_id, _, _ = answers_of(task, net, pl.DataFrame({"user": [name]}))
    by_list, _, _ = answers_of(task, net, pl.DataFrame({"item": [history]}))
    assert by_id["items"].to_list() == by_list["items"].to_list()
    assert not set(history) & set(by_id["items"][0])
    assert all(reason in history for reasons in by_id["because"][0] for reason in reasons.split(", "))


def test_a_stranger_without_history_gets_what_most_took() -> None:
    task, net = small()
    counts = task.demo(1100, 0).unique(["user", "item"])["item"].value_counts(sort=True)
    answers, _, _ = answers_of(task, net, pl.DataFrame({"user": ["nobody"]}))
    taken = dict(counts.iter_rows())
    found = [taken[name] for name in answers["items"][0]]
    assert found == counts["count"].head(10).to_list()
    assert set(answers["because"][0]) == {""}


def test_who_met_every_item_gets_none() -> None:
    task, net = small()
    answers, _, _ = answers_of(task, net, pl.DataFrame({"item": [[f"i{k:02d}" for k in range(31)]]}))
    assert answers["items"].to_list() == [[]]


def test_filters_neighbours_and_lengths() -> None:
    task, net = small(only=("i03", "i04", "strange"), without=("i04",), k=3)
    answers, _, _ = answers_of(task, net, pl.DataFrame({"item": [["i01"]]}))
    assert answers["items"].to_list() == [["i03"]]
    empty = Recommendation(Recommendation.Config(**{**vars(task.config), "only": ("strange",)}), task.state)
    with pytest.raises(RecipeError) as caught:
        answers_of(empty, net, pl.DataFrame({"item": [["i01"]]}))
    assert caught.value.code == "L162"
    near = Recommendation(Recommendation.Config(**{**vars(task.config), "find": "similar_items", "only": (), "without": ()}), task.state)
    found = answers_of(near, net, pl.DataFrame({"item": [["i15"]]}))[0]["items"][0].to_list()
    assert set(found) <= {f"i{k:02d}" for k in (12, 13, 14, 16, 17, 18)}


def test_rows_without_user_or_item_are_refused() -> None:
    task, _ = small()
    with pytest.raises(DataError) as caught:
        task.encode(pl.DataFrame({"person": ["a"]}))
    assert caught.value.code == "L286"


def test_records_that_lack_something_are_rejects() -> None:
    config = Recommendation.Config(user="u", item="i", time="t", weight="w", lowest=1.0, highest=5.0)
    table = pl.DataFrame(
        {
            "u": ["a", None, "b", "b", "c", "c", "d"],
            "i": [1, 2, None, 3, 4, 5, 6],
            "t": [1.0, 2.0, 3.0, None, 5.0, 6.0, 7.0],
            "w": [3.0, 3.0, 3.0, 3.0, 9.0, None, 5.0],
        }
    )
    task = Recommendation(config, Recommendation(config).fit(table))
    found = task.encode(table)
    assert found.row.tolist() == [0, 6]
    assert [(reject.row, reject.column) for reject in found.rejects] == [(1, "u"), (2, "i"), (3, "t"), (4, "w"), (5, "w")]


def test_a_matrix_larger_than_memory_is_refused_with_another_model() -> None:
    task, _ = small()
    task.check_capacity(10**6)
    with pytest.raises(RecipeError) as caught:
        task.check_capacity(1000)
    assert caught.value.code == "L161"
    assert "ials" in caught.value.fix


def test_nothing_liked_is_an_error() -> None:
    config = Recommendation.Config(user="u", item="i", weight="w", at_least=4.0)
    with pytest.raises(DataError) as caught:
        Recommendation(config).fit(pl.DataFrame({"u": [1, 2], "i": [1, 2], "w": [1.0, 2.0]}))
    assert caught.value.code == "L287"


def test_a_pair_of_the_same_user_and_item_lies_in_memory_once() -> None:
    task, net = small()
    table = task.demo(1100, 0)
    assert task.state["pairs"] == table.unique(["user", "item"]).height == int(net.memory.starts[-1])
    assert isinstance(task.arrange(task.encode(table), None)["history"], Ragged)


# --- descriptions


TOLD = {"title": {"kind": "text", "vocabulary": 300}}


def shop() -> pl.DataFrame:
    """Three customers, four products that were bought, one that is only described."""
    events = [("a", 1, 1.0), ("a", 2, 2.0), ("b", 1, 1.0), ("b", 3, 3.0), ("c", 3, 1.0), ("c", 4, 2.0)]
    words = {1: "red cup", 2: "red cup large", 3: "blue plate", 4: "blue plate small", 5: "red cup small"}
    table = pl.DataFrame(events, schema=["user", "item", "time"], orient="row").with_columns(title=pl.lit(None, pl.String))
    rows = [(None, item, None, title) for item, title in words.items()]
    return pl.concat([table, pl.DataFrame(rows, schema=table.schema, orient="row")])


def keeper(kind: str, **model: object) -> Recommendation:
    """Fitted on the shop."""
    config = Recommendation.Config(user="user", item="item", time="time", inputs=TOLD, model={"kind": kind, "size": "tiny", **model})
    return Recommendation(config, json.loads(json.dumps(Recommendation(config).fit(shop()))))


def test_a_row_without_a_user_only_describes_its_item() -> None:
    task = keeper("content")
    rows = task.encode(shop())
    assert rows.row.tolist() == list(range(6))
    assert not rows.rejects
    assert task.described(shop()).tolist() == [False] * 6 + [True] * 5
    assert task.state["items"]["count"] == 5
    assert catalogue.counts(task.state).tolist() == [2, 1, 2, 1, 0]
    assert catalogue.ages(task.state)[4] == catalogue.COLD


def test_without_inputs_a_row_without_a_user_is_a_reject() -> None:
    config = Recommendation.Config(user="user", item="item", time="time", model={"kind": "ease", "size": "small"})
    task = Recommendation(config, Recommendation(config).fit(shop()))
    assert [reject.reason for reject in task.encode(shop()).rejects] == ["no user"] * 5


@pytest.mark.parametrize("kind", ["content", "mixed"])
def test_an_item_that_nobody_took_is_named_by_its_description(kind: str) -> None:
    task = keeper(kind)
    examples = task.arrange(task.encode(shop()), None)
    net = task.build()
    task.remember(net, examples)
    torch.manual_seed(0)
    with torch.no_grad():
        list(net.solve([task.collate(examples, Draw(0, 0, np.arange(3), training=False))]))
    answers, _, _ = answers_of(task, net.eval(), pl.DataFrame({"item": [[1, 2]]}))
    assert answers["items"][0][0] == 5


def test_descriptions_belong_to_no_split() -> None:
    recipe = parse(
        {
            "task": {"kind": "recommendation", "user": "user", "item": "item", "time": "time"},
            "data": "x",
            "inputs": TOLD,
            "model": "content",
        }
    )
    parts = parts_of(replace(recipe, split=replace(recipe.split, by="time", validation=0.2, test=0.3)), shop(), None)
    assert parts.tolist() == [0, 1, 0, 2, 0, 1] + [0] * 5


def test_what_a_model_needs_is_said_before_anything_is_read() -> None:
    def refused(change: dict[str, object]) -> str:
        with pytest.raises(RecipeError) as caught:
            parse({"task": "recommendation", "data": "x"} | change)
        return caught.value.code

    assert refused({"model": "content"}) == "L163"
    assert refused({"model": "content", "inputs": {"photo": "boxes"}}) == "L164"
    assert refused({"model": "mlp"}) == "L109"
    assert refused({"task": {"kind": "recommendation", "user": "a", "item": "a"}}) == "L160"
    assert refused({"task": {"kind": "recommendation", "at_least": 4.0}}) == "L106"
    assert refused({"task": {"kind": "recommendation", "k": 0}}) == "L105"


def test_inputs_that_a_model_does_not_read_are_said(caplog: pytest.LogCaptureFixture) -> None:
    parse({"task": "recommendation", "data": "x", "model": "ease", "inputs": TOLD})
    assert "W109" in caplog.text


def test_a_state_of_another_recipe_is_refused() -> None:
    task = keeper("content")
    task.check_state()
    wrong = [{"inputs": {}}, {"pairs": 0}, {"counts": ids.pack_numbers(np.full(5, -1))}, {"ages": ids.pack_numbers(np.full(5, 9))}]
    for change in (*wrong, {"content": {"size": 3, "packed": task.state["content"]["packed"]}}):
        with pytest.raises((RecipeError, ValueError)):
            Recommendation(task.config, task.state | change).check_state()


def test_a_time_written_as_text_is_ordered_by_time() -> None:
    table = pl.DataFrame({"u": [1] * 5, "t": ["12/1/2009 7:45", "2/1/2010 9:00", "1/15/2010 8:00", "11/30/2010 8:00", "3/1/2010 10:00"]})
    parts = divide(table, Splitting(by="last_one", group="u", order="t"), target=None, seed=0)
    assert parts.tolist() == [0, 0, 0, 2, 1]
