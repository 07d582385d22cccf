"""The articles' worked examples, recomputed by hand, against the package's own tasks, models and steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from luban.columns import Columns
from luban.draw import Draw
from luban.errors import RecipeError
from luban.kinds.series import Series
from luban.models.convnet import ConvNet
from luban.models.transformer import Transformer
from luban.recipe import parse
from luban.tasks.classification import Batch as LabelBatch
from luban.tasks.regression import Batch as NumberBatch
from luban.training.loop import Trainer
from luban.training.settings import Training
from luban.training.step import Stepper

FORWARD = {"w1": [[1, 1], [0, 1]], "b1": [0, 1], "w2": [1, 1], "b2": 1}  # printed for row vectors: x W1
STEP = {"w1": [[0.1, 0.2], [0.3, 0.4]], "b1": [0, 1], "w2": [0.5, 0.6], "b2": 0.7}  # for column vectors: W1 x
WIDER = STEP | {"w1": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]}


def table_of(columns: int, labels: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({f"x{i + 1}": [1.0, 0.0] for i in range(columns)} | {"y": labels})


def two_layers(columns: int, loss: str = "cross_entropy") -> Any:
    """A fitted task: `columns` numbers as they are, two sigmoid units, one sigmoid output."""
    raw = {
        "task": {"kind": "classification", "loss": loss},
        "data": "none.csv",
        "target": "y",
        "inputs": {f"x{i + 1}": {"kind": "number", "scale": "none"} for i in range(columns)},
        "model": {"kind": "mlp", "hidden": [2], "activation": "sigmoid", "numbers": "plain", "dropout": 0.0},
    }
    task = parse(raw).make_task()
    return type(task)(task.config, task.fit(table_of(columns, ["0", "1"])))


def filled(task: Any, values: dict[str, Any]) -> nn.Module:
    """The task's net with these weights, its parameters in the order w1, b1, w2, b2."""
    net = task.build()
    shapes = [torch.tensor(values[name], dtype=torch.float32) for name in ("w1", "b1", "w2", "b2")]
    with torch.no_grad():
        for parameter, given in zip(net.parameters(), shapes, strict=True):
            parameter.copy_(given.reshape(parameter.shape))
    return net


def row(task: Any, x: list[float]) -> Any:
    """The batch of one row with label 1."""
    table = pl.DataFrame({f"x{i + 1}": [value] for i, value in enumerate(x)} | {"y": ["1"]})
    return task.collate(task.encode(table), Draw(0, 0, np.arange(1), training=False))


def chance_of(task: Any, net: nn.Module, batch: Any) -> float:
    """Of label 1."""
    return task.predict(net, batch)[0, 1].item()


def test_forward_pass() -> None:
    task = two_layers(2)
    net = filled(task, FORWARD | {"w1": np.transpose(FORWARD["w1"]).tolist()})
    assert chance_of(task, net, row(task, [1, 0])) == pytest.approx(0.931621, abs=1e-6)  # printed: 0.73105858 = σ(1)


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
def test_one_step_by_hand(loss: str) -> None:
    task = two_layers(2, loss)
    net = filled(task, STEP)
    batch = row(task, [1, 0])
    hidden = net.encoders[0](batch.inputs)
    np.testing.assert_allclose(hidden.detach().numpy(), [[0.524979, 0.785835]], atol=1e-6)
    assert chance_of(task, net, batch) == pytest.approx(0.807522, abs=1e-6)

    values = Stepper(task, net, step_settings(), rows=1).step([batch], number=0, rate=1.0)
    assert values["loss"] == pytest.approx(0.213785, abs=1e-6)
    w1, b1, w2, b2 = net.parameters()
    np.testing.assert_allclose(w2.grad.numpy(), [[-0.101047, -0.151256]], atol=1e-6)
    np.testing.assert_allclose(w1.grad.numpy(), [[-0.024000, 0], [-0.019436, 0]], atol=1e-6)
    np.testing.assert_allclose(w1.detach().numpy(), [[0.1 + 0.01 * 0.024000, 0.2], [0.3 + 0.01 * 0.019436, 0.4]], atol=1e-6)
    np.testing.assert_allclose(b2.detach().numpy(), [0.7 + 0.01 * (1 - 0.807522)], atol=1e-6)
    np.testing.assert_allclose(b1.grad.numpy(), w1.grad[:, 0].numpy(), atol=1e-7)  # x1 is 1


def step_settings() -> Training:
    return Training(optimizer="gd", learning_rate=0.01, steps=1, clip_norm=0.0, warmup=0.0, schedule="constant")


def test_one_step_of_three_inputs() -> None:
    task = two_layers(3)
    net, batch = filled(task, WIDER), row(task, [1, 0, 1])
    assert chance_of(task, net, batch) == pytest.approx(0.821687, abs=1e-6)
    assert next(task.losses(net, batch)).value.item() == pytest.approx(0.196395, abs=1e-6)


def test_a_vector_that_does_not_fit_is_refused() -> None:
    spec = Series.fit(pl.Series([[[1.0, 0.0]], [[0.0, 1.0]]]), Series.Config())
    found = Series.encode(pl.Series([[[1.0, 0.0, 1.0]], [[1.0, 0.0]]]), spec)
    assert list(found.faults) == [0]
    assert "3" in found.faults[0]
    assert "2" in found.faults[0]


class Constant(nn.Module):
    """(3, 2) outputs whatever the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Parameter(torch.zeros(3, 2))

    def forward(self, inputs: Any) -> Tensor:
        return self.out


@pytest.mark.parametrize("loss", ["mse", "mse_logits", "bce", "cross_entropy"])
def test_targets_of_three_by_one_are_not_broadcast_over_three_by_two(loss: str) -> None:
    task = two_layers(2, loss)
    with pytest.raises(RecipeError, match="L113") as caught:
        next(task.losses(Constant(), LabelBatch({}, torch.tensor([0, 0, 1]))))
    assert caught.value.received == (3, 2)
    assert caught.value.allowed == ("(3, 1)",)


def test_regression_does_not_broadcast_either() -> None:
    task, _ = ridge(l2=0.0)
    with pytest.raises(RecipeError, match="L113"):
        next(task.losses(Constant(), NumberBatch({}, torch.tensor([0.0, 0.0, 1.0]))))


RIDGE_X, RIDGE_Y = [1.0, 2.0, 3.0], [1.0, 2.0, 2.0]


def ridge(*, l2: float, model: dict[str, Any] | None = None) -> tuple[Any, Columns]:
    """θ0 + θ1 x on three points: with λ = 1, J = 1/2m (Σ (θ0 + θ1 x - y)² + λ θ1²) is least, 1/18, at θ = (1, 1/3)."""
    raw = {
        "task": {"kind": "regression", "target_scale": "none"},
        "data": "none.csv",
        "target": "y",
        "inputs": {"x": {"kind": "number", "scale": "none"}},
        "model": model or {"kind": "mlp", "hidden": [], "numbers": "plain", "dropout": 0.0},
    }
    unfitted = parse(raw).make_task()
    table = pl.DataFrame({"x": RIDGE_X, "y": RIDGE_Y})
    task = type(unfitted)(unfitted.config, unfitted.fit(table))
    return task, task.encode(table)


def objective(slope: float, intercept: float, penalty: float = 1.0) -> float:
    """The articles' J."""
    errors = intercept + slope * np.array(RIDGE_X) - RIDGE_Y
    return float((np.square(errors).sum() + penalty * slope**2) / (2 * len(errors)))


def test_ridge_by_descent() -> None:
    """Our loss is Σ (…)²/m, twice the articles': λ = 1 there is l2 = 2 here."""
    task, examples = ridge(l2=2.0)
    settings = Training(
        optimizer="gd", learning_rate=0.1, steps=1500, l2=2.0, weight_decay=0.0, clip_norm=0.0, warmup=0.0, schedule="constant", patience=0
    )
    weight, bias = (p.item() for p in Trainer(task, examples, settings).run().finish().parameters())
    assert (bias, weight) == pytest.approx((1, 1 / 3), abs=1e-5)
    assert objective(weight, bias) == pytest.approx(1 / 18, abs=1e-6)
    for step in (-1e-2, 1e-2):
        assert objective(weight + step, bias) > 1 / 18
        assert objective(weight, bias + step) > 1 / 18


def test_ridge_in_closed_form() -> None:
    task, examples = ridge(l2=0.0, model={"kind": "linear", "strength": 1.0})
    net = task.build()
    list(net.solve([task.collate(examples, Draw(0, 0, np.arange(3), training=False))]))
    np.testing.assert_allclose(net.dense_weight.numpy()[:, 0], [1 / 3, 0], atol=1e-6)  # the number, its flag of missing
    np.testing.assert_allclose(net.bias.numpy(), [1], atol=1e-6)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def attention(x: np.ndarray, known: np.ndarray, block: Any) -> np.ndarray:
    """softmax(QKᵀ/√d)V head by head, in numpy: (T, D) -> (T, D)."""
    weights = {name: parameter.detach().double().numpy() for name, parameter in block.named_parameters()}
    q, k, v = np.split(x @ weights["qkv.weight"].T + weights["qkv.bias"], 3, axis=1)
    size = x.shape[1] // block.heads
    mixed = []
    for head in range(block.heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        mixed.append(softmax(np.where(known, scores, -np.inf)) @ v[:, part])
    return np.concatenate(mixed, axis=1) @ weights["out.weight"].T + weights["out.bias"]


def layer_norm(x: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + norm.eps)
    return scaled * norm.weight.detach().double().numpy() + norm.bias.detach().double().numpy()


def feed_forward(x: np.ndarray, block: Any) -> np.ndarray:
    """W2 GELU(W1 x), GELU by the error function."""
    first, _, second = block.feed
    w1, b1, w2, b2 = (p.detach().double().numpy() for p in (first.weight, first.bias, second.weight, second.bias))
    hidden = x @ w1.T + b1
    return (hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))) @ w2.T + b2


def block_of(heads: int) -> Any:
    """One layer of our transformer, its weights far from those of a start."""
    torch.manual_seed(7)
    config = Transformer.Config(width=12, layers=1, heads=heads, expansion=3, dropout=0.0)
    (block,) = Transformer(config, {"x": {"kind": "series", "numbers": 5}}).blocks
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return block.double().eval()


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_against_numpy(heads: int) -> None:
    block = block_of(heads)
    x = np.random.default_rng(heads).normal(size=(7, 12))
    known = np.arange(7) < 5  # two tokens are padding
    with torch.no_grad():
        ours = block.attend(torch.from_numpy(x)[None], torch.from_numpy(known)[None])[0].numpy()
    np.testing.assert_allclose(ours, attention(x, known, block), atol=1e-10)


def test_sublayers_add_to_what_they_read() -> None:
    """The articles normalise after the sum, x ← LN(x + S(x)); ours before: x ← x + S(LN(x)), which trains without a warm-up."""
    block = block_of(3)
    x = np.random.default_rng(11).normal(size=(7, 12))
    known = np.ones(7, bool)
    with torch.no_grad():
        ours = block(torch.from_numpy(x)[None], torch.from_numpy(known)[None])[0].numpy()
    between = x + attention(layer_norm(x, block.attention_norm), known, block)
    np.testing.assert_allclose(ours, between + feed_forward(layer_norm(between, block.feed_norm), block), atol=1e-10)
    after = layer_norm(x + attention(x, known, block), block.attention_norm)
    printed = layer_norm(after + feed_forward(after, block), block.feed_norm)
    assert np.abs(ours - printed).max() > 0.1


@pytest.mark.parametrize(("side", "fits"), [(23, False), (24, True), (27, True), (28, False)])
def test_a_picture_that_does_not_fit_the_flatten_names_the_sizes_that_do(side: int, fits: bool) -> None:
    config = ConvNet.Config(channels=(32, 64), convolutions=1, norm=False, final="flatten", flat_dim=2304)
    specs = {"image": {"kind": "image", "channels": 3, "size": (side, side)}}
    if fits:
        assert ConvNet(config, specs).out_dim == 2304
        return
    with pytest.raises(RecipeError, match="L115") as caught:
        ConvNet(config, specs)
    assert "24 … 27" in caught.value.line()
