"""Trees as tensors against scikit-learn's own predictions: missing values, names never seen, many labels, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from luban.models.boosted import Boosted

SPECS: dict[str, dict[str, Any]] = {
    "a": {"kind": "number"},
    "city": {"kind": "category", "names": [f"c{i}" for i in range(17)]},
    "b": {"kind": "number"},
    "ids": {"kind": "category", "names": [str(i) for i in range(300)]},  # too many to be split by sets
    "tags": {"kind": "tags", "names": ["x", "y"]},
    "shop": {"kind": "category", "names": ["p", "q", "r"]},
}


class Watched(Boosted):
    """Keeps what scikit-learn grew."""

    def grow(self, x: np.ndarray, target: np.ndarray) -> Any:
        self.grown = [*getattr(self, "grown", []), super().grow(x, target)]
        return self.grown[-1]


class Batch:
    def __init__(self, inputs: dict[str, torch.Tensor], target: torch.Tensor) -> None:
        self.inputs, self.target, self.weights = inputs, target, None


def rows(count: int, seed: int, *, all_names: bool) -> dict[str, torch.Tensor]:
    """Numbers with gaps, names with gaps; some names only where asked for."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=count), rng.normal(size=count)
    a[rng.random(count) < 0.2] = np.nan
    city = rng.integers(0, 18, count)
    if not all_names:
        city[np.isin(city, [4, 9])] = 5  # c3 and c8 are in the spec, in no training row
    return {
        "a": torch.from_numpy(a).float(),
        "city": torch.from_numpy(city),
        "b": torch.from_numpy(b).float(),
        "ids": torch.from_numpy(rng.integers(0, 301, count)),
        "tags": torch.from_numpy((rng.random((count, 2)) < 0.4).astype(np.float32)),
        "shop": torch.from_numpy(rng.integers(0, 4, count)),
    }


def signal(inputs: dict[str, torch.Tensor], seed: int) -> torch.Tensor:
    """What the columns tell, with noise."""
    noise = torch.from_numpy(np.random.default_rng(seed).normal(0, 0.3, len(inputs["a"])))
    a = torch.where(inputs["a"].isnan(), 1.5, inputs["a"])
    return a + (inputs["city"] % 3 == 1) * 2 - (inputs["shop"] == 2) * 1 + inputs["tags"][:, 0] * inputs["b"] + noise


def solve(aim: str, outputs: int, target: torch.Tensor, inputs: dict[str, torch.Tensor], **config: Any) -> Watched:
    net = Watched(Boosted.Config(**({"rounds": 37, "leaves": 9} | config)), SPECS, outputs, aim=aim)
    assert list(net.solve([Batch(inputs, target)]))[-1] == 1
    return net


@pytest.mark.parametrize("count", [307, 809], ids=["whole", "stopped early"])
@pytest.mark.parametrize("labels", [2, 3])
def test_labels(labels: int, count: int) -> None:
    inputs = rows(count, 1, all_names=False)
    target = torch.bucketize(signal(inputs, 2), torch.linspace(-1, 2, labels - 1 if labels > 2 else 1))
    target[::41] = -1
    net = solve("label", 1 if labels == 2 else labels, target, inputs)
    fresh = rows(211, 3, all_names=True)
    logits = net(fresh)
    chances = logits.softmax(1) if labels > 2 else torch.cat([1 - logits.sigmoid(), logits.sigmoid()], 1)
    np.testing.assert_allclose(chances.numpy(), net.grown[0].predict_proba(net.table(fresh).numpy()), atol=1e-6)
    np.testing.assert_allclose(chances.sum(1).numpy(), 1, atol=1e-9)


@pytest.mark.parametrize("count", [307, 809], ids=["whole", "stopped early"])
def test_numbers(count: int) -> None:
    inputs = rows(count, 1, all_names=False)
    target = signal(inputs, 2)
    target[::41] = torch.nan
    net = solve("number", 1, target, inputs)
    fresh = rows(211, 3, all_names=True)
    np.testing.assert_allclose(net(fresh)[:, 0].numpy(), net.grown[0].predict(net.table(fresh).numpy()), atol=1e-6)
    assert np.corrcoef(net(fresh)[:, 0].numpy(), signal(fresh, 4).numpy())[0, 1] > 0.6


def test_tags() -> None:
    inputs = rows(307, 1, all_names=False)
    target = torch.stack([signal(inputs, 2) > 0, signal(inputs, 5) > 1, torch.zeros(307)], 1).float()
    target[7] = torch.nan
    net = solve("tags", 3, target, inputs)
    fresh = rows(211, 3, all_names=True)
    for tag in range(2):
        expected = net.grown[tag].predict_proba(net.table(fresh).numpy())[:, 1]
        np.testing.assert_allclose(net(fresh)[:, tag].sigmoid().numpy(), expected, atol=1e-6)
    assert net(fresh)[:, 2].sigmoid().max() < 1e-6, "a tag that no row has"


def test_a_tag_that_every_row_has_is_always_given() -> None:
    inputs = rows(307, 1, all_names=False)
    net = solve("tags", 2, torch.ones(307, 2), inputs)
    assert net(rows(31, 3, all_names=True)).sigmoid().min() > 0.9


@pytest.mark.parametrize("found", [(0, 2), (1, 2, 3), (3,)])
def test_labels_that_no_training_row_has_are_out_of_reach(found: tuple[int, ...]) -> None:
    inputs = rows(307, 1, all_names=False)
    target = torch.tensor(found)[torch.bucketize(signal(inputs, 2), torch.linspace(-1, 2, len(found) + 1)[1:-1])]
    net = solve("label", 4, target, inputs)
    chances = net(rows(211, 3, all_names=True)).softmax(1).numpy()
    absent = [label for label in range(4) if label not in found]
    assert chances[:, absent].max() < 1e-3
    if len(found) > 1:
        expected = net.grown[0].predict_proba(net.table(rows(211, 3, all_names=True)).numpy())
        np.testing.assert_allclose(chances[:, list(found)], expected, atol=1e-6)
    else:
        assert (chances.argmax(1) == found[0]).all()


def test_its_state_is_all_there_is() -> None:
    inputs = rows(307, 1, all_names=False)
    net = solve("number", 1, signal(inputs, 2), inputs)
    twin = Boosted(net.config, SPECS, 1, aim="number")
    twin.load_state_dict(net.state_dict())
    assert torch.equal(net(inputs), twin(inputs))


def test_a_forecast_may_ask_for_few_rounds() -> None:
    inputs = rows(2000, 0, all_names=True)
    batch = Batch(inputs, signal(inputs, 1))
    taken = []
    for most in (Boosted.most_rounds, 3):
        net = Boosted(Boosted.Config(rounds=40), SPECS, 1, aim="number")
        net.most_rounds = most
        list(net.solve([batch]))
        taken.append(net.rounds_taken)
        assert int(net.used[0]) == net.rounds_taken
    assert taken == [40, 3]


def test_rounds_of_several_tags_are_counted_side_by_side() -> None:
    inputs = rows(2000, 0, all_names=True)
    target = torch.stack([signal(inputs, 1) > 0, signal(inputs, 2) > 1], 1).float()
    net = Watched(Boosted.Config(rounds=60), SPECS, 2, aim="tags")
    list(net.solve([Batch(inputs, target)]))
    assert net.rounds_taken == np.mean([grown.n_iter_ for grown in net.grown])
