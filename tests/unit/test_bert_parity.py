"""The encoder against transformers' own models: same random configuration, same weights, same states and logits, before and after a step.

Needs transformers, which is not needed to run; without it these tests are passed over, and `test_bert.py` holds the equations.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
import torch
from bert_examples import TOKENS, chinese, roberta_parts
from torch import Tensor, nn

from luban.checkpoints import bert as names
from luban.checkpoints import folder
from luban.checkpoints.filling import fill
from luban.kinds.text import Text
from luban.models.bert import Bert
from luban.schema import validate

transformers = pytest.importorskip("transformers", reason="transformers is the oracle here: pip install -e '.[oracle]'")

SMALL = {
    "hidden_size": 42, "num_hidden_layers": 3, "num_attention_heads": 7, "intermediate_size": 59, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SMALL | {"max_position_embeddings": 31}),
    "bert-wide": ("Bert", SMALL | {"max_position_embeddings": 31, "hidden_act": "relu", "layer_norm_eps": 1e-5, "type_vocab_size": 3}),
    "bert-tanh": ("Bert", SMALL | {"max_position_embeddings": 31, "hidden_act": "gelu_new", "num_hidden_layers": 1}),
    "minilm": ("Bert", SMALL | {"max_position_embeddings": 31, "num_attention_heads": 6}),
    "roberta": ("Roberta", SMALL | {"max_position_embeddings": 33, "type_vocab_size": 1, "pad_token_id": 1}),
}
every = pytest.mark.parametrize("case", CASES)


def parts(case: str) -> Any:
    """The tokenizer: with RoBERTa the padding is token 1."""
    return roberta_parts() if case == "roberta" else chinese()


def theirs(case: str, what: str) -> Any:
    """Their model with random weights, biases and gains among them."""
    kind, settings = CASES[case]
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(**settings, vocab_size=TOKENS)
    model = getattr(transformers, f"{kind}{what}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def ours(case: str, model: Any, *, pooling: str = "mean", head: bool = False) -> nn.Module:
    """Our net with their weights."""
    settings, tokenizer = names.settings(model.config.to_dict(), "x"), parts(case)
    spec = Text.adopt(tokenizer, Text.Config(), 31)
    encoder = Bert(validate(Bert.Config, settings | {"pooling": pooling}, where="x"), {"x": spec, "y": spec})
    net = nn.Module()
    net.encoder = encoder
    given = names.ours(model.config.to_dict(), model.state_dict(), pooler=pooling == "pooler", head=head, pad=tokenizer.pad)
    fill(encoder, {name: tensor for name, tensor in given.items() if not name.startswith("head.")}, where="x")
    if head:
        net.head = encoder.masked_head()
        fill(net.head, {name.removeprefix("head."): tensor for name, tensor in given.items() if name.startswith("head.")}, where="x")
    return net.eval()


def tokens(case: str) -> tuple[Tensor, Tensor]:
    """(B, T) in our numbering and in theirs, of three lengths."""
    torch.manual_seed(7)
    mine = torch.randint(5, TOKENS, (3, 13))
    mine[1, 11:], mine[2, 5:] = 0, 0
    pad = parts(case).pad
    return mine, torch.where(mine == 0, pad, mine)


def near(one: Tensor, other: Tensor) -> None:
    """Alike to 1e-5 of the whole."""
    assert (one - other).norm() <= 1e-5 * other.norm()


@every
def test_states_and_pooled_vectors_are_theirs(case: str) -> None:
    model = theirs(case, "Model")
    mine, given = tokens(case)
    out = model(input_ids=given, attention_mask=(mine > 0).long())
    net = ours(case, model, pooling="pooler").encoder
    near(net.states(mine)[mine > 0], out.last_hidden_state[mine > 0])
    near(net({"x": mine, "y": torch.zeros_like(mine)}), out.pooler_output)


@every
def test_two_texts_are_read_as_their_pair(case: str) -> None:
    model, tokenizer = theirs(case, "Model"), parts(case)
    net, spec = ours(case, model).encoder, Text.adopt(tokenizer, Text.Config(), 31)
    first, second = (pl.Series([text]) for text in (("good day", "bad") if case == "roberta" else ("你好 good", "不 bad")))
    batch = {name: Text.collate(Text.encode(series, spec).values, spec, None) for name, series in (("x", first), ("y", second))}  # type: ignore[arg-type]
    mine, columns = net.tokens(batch)
    if case == "roberta":
        expected = transformers.RobertaTokenizer(vocab=tokenizer.vocabulary, merges=[tuple(m) for m in tokenizer.merges])
    else:
        expected = transformers.BertTokenizer(vocab=tokenizer.vocabulary, do_lower_case=True)
    given = expected(first[0], second[0], return_tensors="pt")
    assert [[tokenizer.ours(number) for number in row] for row in mine.tolist()] == given["input_ids"].tolist()
    kinds = torch.zeros_like(columns) if case == "roberta" else columns
    out = model(input_ids=given["input_ids"], token_type_ids=kinds).last_hidden_state
    near(net(batch), out.mean(1))


@every
def test_logits_of_masked_tokens_are_theirs_before_and_after_a_step(case: str) -> None:
    model = theirs(case, "ForMaskedLM")
    net = ours(case, model, head=True)
    mine, given = tokens(case)
    known, pad = mine > 0, parts(case).pad

    def logits() -> tuple[Tensor, Tensor]:
        """Ours in their numbering, and theirs."""
        own = net.head(net.encoder.states(mine)[known], net.encoder.words.weight)
        own = names.padding_first(own.T, pad).T
        return own, model(input_ids=given, attention_mask=known.long()).logits[known]

    one, other = logits()
    near(one, other)
    goal = given[known].roll(1)
    for value, module in zip((one, other), (net, model), strict=True):
        optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.3)
        nn.functional.cross_entropy(value, goal).backward()
        optimizer.step()
    stepped = logits()
    near(*stepped)
    assert (stepped[1] - other).norm() > 1e-3 * other.norm(), "the step moved nothing"


@every
@pytest.mark.parametrize("what", ["Model", "ForMaskedLM"])
def test_exported_it_is_theirs_to_the_bit(case: str, what: str, tmp_path: Any) -> None:
    model, pad = theirs(case, what), parts(case).pad
    model.save_pretrained(tmp_path / "theirs")
    config, given = folder.read(tmp_path / "theirs")
    settings, head = names.settings(config, "x"), what == "ForMaskedLM"
    mine = names.ours(config, given, pooler=not head, head=head, pad=pad)
    folder.write(tmp_path / "ours", names.config_of(settings, masked=head, pad=pad), names.theirs(settings, mine, pad=pad))
    again = getattr(transformers, type(model).__name__).from_pretrained(tmp_path / "ours")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
