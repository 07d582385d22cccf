"""The encoder by its equations, in float64 and without a library; its names for checkpoints; what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bert_examples import TOKENS, chinese, roberta_parts

from luban.checkpoints import bert as names
from luban.checkpoints.filling import fill
from luban.errors import BundleError, RecipeError
from luban.kinds.text import Text
from luban.layers.attention import recorded
from luban.models.bert import SIZES, Bert
from luban.schema import validate

TINY = {"width": 6, "layers": 2, "heads": 2, "feed": 11, "dropout": 0.0, "attention_dropout": 0.0}
BASE = {
    "model_type": "bert", "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu",
}  # fmt: skip


def spec(most: int = 13) -> dict[str, Any]:
    return Text.adopt(chinese(), Text.Config(max_length=most), most)


def net(**changes: Any) -> Bert:
    """With weights far from their beginning."""
    torch.manual_seed(0)
    made = Bert(Bert.Config(**(TINY | changes)), {"x": spec()}).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def norm(x: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12) * gain + bias


def by_hand(weights: dict[str, np.ndarray], tokens: list[int], heads: int, layers: int) -> np.ndarray:
    """(T, D) the states of one text, written out as the papers have them."""
    x = weights["words.weight"][tokens] + weights["places.weight"][: len(tokens)] + weights["segments.weight"][0]
    x = norm(x, weights["norm.weight"], weights["norm.bias"])
    for layer in range(layers):

        def linear(name: str, given: np.ndarray, layer: int = layer) -> np.ndarray:
            return given @ weights[f"blocks.{layer}.{name}.weight"].T + weights[f"blocks.{layer}.{name}.bias"]

        q, k, v = (linear(f"attention.{name}", x) for name in ("query", "key", "value"))
        mixed, size = [], x.shape[1] // heads
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            score = q[:, part] @ k[:, part].T / math.sqrt(size)
            chance = np.exp(score) / np.exp(score).sum(1, keepdims=True)
            mixed.append(chance @ v[:, part])
        x = x + linear("attention.out", np.concatenate(mixed, 1))
        x = norm(x, weights[f"blocks.{layer}.attention_norm.weight"], weights[f"blocks.{layer}.attention_norm.bias"])
        hidden = linear("feed.up", x)
        hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        x = norm(x + linear("feed.down", hidden), weights[f"blocks.{layer}.feed_norm.weight"], weights[f"blocks.{layer}.feed_norm.bias"])
    return x


@pytest.mark.parametrize("pooling", ["mean", "first", "pooler"])
def test_it_is_the_equations_of_the_papers(pooling: str) -> None:
    made = net(pooling=pooling)
    weights = {name: value.numpy() for name, value in made.state_dict().items()}
    texts = [[2, 9, 17, 44, 3], [2, 3], [2, 5, 5, 5, 11, 60, 3]]
    batch = torch.zeros(3, 7, dtype=torch.int64)
    for row, text in enumerate(texts):
        batch[row, : len(text)] = torch.tensor(text)
    states, vectors = made.states(batch), made({"x": batch})
    for row, text in enumerate(texts):
        expected = by_hand(weights, text, heads=2, layers=2)
        np.testing.assert_allclose(states[row, : len(text)].detach().numpy(), expected, rtol=1e-9, atol=1e-9)
        first = np.tanh(expected[0] @ weights["pooler.weight"].T + weights["pooler.bias"]) if pooling == "pooler" else expected[0]
        pooled = expected.mean(0) if pooling == "mean" else first
        np.testing.assert_allclose(vectors[row].detach().numpy(), pooled, rtol=1e-9, atol=1e-9)


def test_bert_base_has_the_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        made = Bert(validate(Bert.Config, names.settings(BASE, "x") | {"pooling": "pooler"}, where="x"), {"x": spec(512)})
    assert sum(parameter.numel() for parameter in made.parameters()) == 109_482_240
    assert names.settings(BASE, "x").items() >= SIZES["base"].items()


def test_attention_maps_are_heads_by_tokens_and_sum_to_one() -> None:
    made, tokens = net(), torch.tensor([[2, 9, 17, 44, 3, 0, 0], [2, 5, 5, 5, 11, 60, 3]])
    with recorded(made) as maps:
        made({"x": tokens})
    assert [tuple(one.shape) for one in maps] == [(2, 2, 7, 7)] * 2
    for one in maps:
        torch.testing.assert_close(one.sum(-1), torch.ones(2, 2, 7, dtype=torch.float64))
        assert (one[0, :, :, 5:] == 0).all(), "padding is looked at"


def test_below_and_above_are_the_whole() -> None:
    made, tokens = net(), {"x": torch.tensor([[2, 9, 17, 44, 3, 0, 0], [2, 5, 5, 5, 11, 60, 3]])}
    for depth in (0, 1, 2):
        torch.testing.assert_close(made.above(*made.below(tokens, depth), depth), made(tokens))


def test_a_text_longer_than_the_places_is_cut() -> None:
    made = net(positions=4)
    long = torch.tensor([[2, 9, 17, 44, 50, 3]])
    torch.testing.assert_close(made({"x": long}), made({"x": long[:, :4]}))


def test_a_table_smaller_than_the_vocabulary_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        net(vocabulary=TOKENS - 1)
    assert caught.value.code == "L127"
    assert net(vocabulary=TOKENS + 3).words.weight.shape == (TOKENS + 3, 6)


# --- names


def tiny_checkpoint(pad: int = 0, *, head: bool = True) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    made = net(vocabulary=TOKENS, positions=13, first_position=2 if pad else 0).float()
    weights = dict(made.state_dict())
    if head:
        weights |= {f"head.{name}": tensor for name, tensor in made.masked_head().state_dict().items()}
    settings = vars(made.config)
    return names.config_of(settings, masked=head, pad=pad), names.theirs(settings, weights, pad=pad)


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("pad", [0, 1])
def test_names_there_and_back_are_the_same(pad: int, head: bool) -> None:
    config, weights = tiny_checkpoint(pad, head=head)
    settings = names.settings(config, "x")
    mine = names.ours(config, weights, pooler=False, head=head, pad=pad)
    again = names.theirs(settings, mine, pad=pad)
    assert names.config_of(settings, masked=head, pad=pad) == config
    assert again.keys() == weights.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())


def test_older_names_and_parts_of_other_tasks_are_understood() -> None:
    config, weights = tiny_checkpoint()
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t for name, t in weights.items()
    }
    older |= {"bert.embeddings.position_ids": torch.arange(13)[None], "cls.seq_relationship.weight": torch.zeros(2, 6)}
    older |= {"cls.predictions.decoder.weight": weights["bert.embeddings.word_embeddings.weight"], "classifier.weight": torch.zeros(3, 6)}
    older |= {"bert.pooler.dense.weight": torch.zeros(6, 6), "bert.pooler.dense.bias": torch.zeros(6)}
    fill(net(vocabulary=TOKENS, positions=13), names.ours(config, older, pooler=False, head=False), where="x")


@pytest.mark.parametrize("name", ["bert.encoder.layer.7.output.dense.weight", "bert.encoder.extra.weight", "bert.embeddings.words"])
def test_a_tensor_of_another_model_is_refused_by_name(name: str) -> None:
    config, weights = tiny_checkpoint(head=False)
    weights = {f"bert.{key}": tensor for key, tensor in weights.items()} | {name: torch.zeros(6)}
    with pytest.raises(BundleError) as caught:
        fill(net(vocabulary=TOKENS, positions=13), names.ours(config, weights, pooler=False, head=False), where="x")
    assert caught.value.code == "L435"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model_type": "gpt2"}, "L437"),
        ({"hidden_act": "swish"}, "L438"),
        ({"position_embedding_type": "relative_key"}, "L438"),
        ({"is_decoder": True}, "L438"),
        ({"hidden_size": None}, "L438"),
    ],
)
def test_a_model_it_is_not_is_refused(change: dict[str, Any], code: str) -> None:
    given = {key: value for key, value in (BASE | change).items() if value is not None}
    with pytest.raises(BundleError) as caught:
        names.settings(given, str(Path("x")))
    assert caught.value.code == code


def test_the_padding_of_roberta_changes_places_with_token_0() -> None:
    rows = torch.arange(5.0)[:, None]
    assert names.padding_first(rows, 3).flatten().tolist() == [3, 1, 2, 0, 4]
    assert roberta_parts().ours(0) == 1
    assert [roberta_parts().ours(number) for number in range(4)] == [1, 0, 2, 3]
