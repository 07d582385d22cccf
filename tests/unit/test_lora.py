"""Low-rank adapters: they begin as nothing, are the product the paper says, merge without changing an answer, and are PEFT's on the disk."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toys import checkpoint

from luban.checkpoints import adapters, exporting, folder
from luban.checkpoints import bert as names
from luban.checkpoints.filling import fill
from luban.errors import BundleError
from luban.kinds.text import Text
from luban.layers import lora
from luban.models.bert import Bert
from luban.schema import validate

TOKENS = torch.tensor([[2, 9, 17, 14, 3, 0], [2, 5, 5, 11, 6, 3]])


def adapted(rank: int = 3, alpha: float = 5.0, *, dropout: float = 0.0) -> tuple[Bert, dict[str, Any], str]:
    """A checkpoint with adapters far from their beginning."""
    place = checkpoint.tiny()
    settings = names.settings(folder.read_config(place), place)
    from luban.tokenizing import subwords

    spec = Text.adopt(subwords.of_checkpoint(folder.read_tokenizer(place)), Text.Config(), 37)
    net = validate(Bert.Config, settings, where="x")
    torch.manual_seed(0)
    made = Bert(net, {"x": spec}).eval()
    lora.attach(made, rank, alpha=alpha, dropout=dropout)
    fill(
        made, names.ours(folder.read_config(place), folder.read_weights(place), pooler=False, head=False), where="x", fresh=lora.added(made)
    )
    return made, spec, place


def disturb(net: nn.Module) -> None:
    with torch.no_grad():
        for _, layer in lora.adapters(net):
            layer.lora_b.normal_(std=0.3)


def test_it_begins_as_the_layer_it_adapts_and_only_the_thin_matrices_learn() -> None:
    net, _, _ = adapted()
    plain = lora.merged(net)
    torch.testing.assert_close(net.states(TOKENS), plain.states(TOKENS), rtol=0, atol=0)
    assert {name for name, parameter in net.named_parameters() if parameter.requires_grad} == set(lora.added(net))
    assert len(lora.added(net)) == 2 * 2 * 6, "all linear layers: four of attention, two of the feed-forward, in two blocks"


def test_it_is_the_product_over_the_root_of_the_rank() -> None:
    torch.manual_seed(0)
    base = nn.Linear(5, 7)
    layer = lora.LoraLinear(base, 3, 11.0)
    with torch.no_grad():
        layer.lora_b.normal_()
    x = torch.randn(13, 5)
    expected = x @ base.weight.T + base.bias + 11.0 / math.sqrt(3) * (x @ layer.lora_a.T) @ layer.lora_b.T
    torch.testing.assert_close(layer(x), expected)
    (layer(x) * torch.randn(13, 7)).sum().backward()
    assert layer.lora_a.grad is not None
    assert layer.lora_b.grad is not None


def test_merged_it_answers_the_same_and_has_the_names_of_the_base() -> None:
    net, _, _ = adapted()
    disturb(net)
    begun = lora.merged(adapted()[0]).states(TOKENS)
    plain = adapters.merged(net, lambda one: one.states(TOKENS))
    near = (net.states(TOKENS) - plain.states(TOKENS)).norm() / net.states(TOKENS).norm()
    assert near < 1e-6
    assert (plain.states(TOKENS) - begun).norm() > 0.01 * begun.norm(), "the adapters change nothing"
    assert not list(lora.adapters(plain))
    assert plain.state_dict().keys() == net.state_dict().keys() - set(lora.added(net))
    assert list(lora.adapters(net)), "the net itself was changed"


def test_a_merge_that_changes_answers_is_refused() -> None:
    net, _, _ = adapted()
    disturb(net)
    seen = iter([torch.ones(3), torch.ones(3) * 1.001])
    with pytest.raises(BundleError) as caught:
        adapters.merged(net, lambda one: next(seen))
    assert caught.value.code == "L444"


def test_saved_and_read_they_are_the_same_to_the_bit(tmp_path: Path) -> None:
    net, _, place = adapted()
    disturb(net)
    exporting.export_adapters(tmp_path / "adapters", net, base=place)
    other, _, _ = adapted()
    adapters.read(tmp_path / "adapters", other, names.module_of)
    assert torch.equal(net.states(TOKENS), other.states(TOKENS))
    config = json.loads((tmp_path / "adapters" / adapters.CONFIG).read_text())
    assert config["use_rslora"] is True
    assert "encoder.layer.1.attention.self.query" in config["target_modules"]


@pytest.mark.parametrize(("change", "code"), [({"r": 4}, "L443"), ({"use_rslora": False}, "L443"), ({"peft_type": "IA3"}, "L443")])
def test_adapters_of_another_net_are_refused(change: dict[str, Any], code: str, tmp_path: Path) -> None:
    net, _, place = adapted()
    exporting.export_adapters(tmp_path / "x", net, base=place)
    config = json.loads((tmp_path / "x" / adapters.CONFIG).read_text())
    (tmp_path / "x" / adapters.CONFIG).write_text(json.dumps(config | change))
    with pytest.raises(BundleError) as caught:
        adapters.read(tmp_path / "x", net, names.module_of)
    assert caught.value.code == code


def test_a_net_without_adapters_has_none_to_save(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        exporting.export_adapters(tmp_path / "x", lora.merged(adapted()[0]), base="x")
    assert caught.value.code == "L443"


def test_exported_and_loaded_again_it_is_the_merged_encoder(tmp_path: Path) -> None:
    net, spec, _ = adapted()
    disturb(net)
    exporting.export(tmp_path / "out", net, spec)
    config, weights = folder.read(tmp_path / "out")
    again = Bert(validate(Bert.Config, names.settings(config, "x"), where="x"), {"x": spec}).eval()
    fill(again, names.ours(config, weights, pooler=False, head=False), where="x")
    torch.testing.assert_close(again.states(TOKENS), net.states(TOKENS), rtol=1e-5, atol=1e-5)


def test_byte_pairs_are_not_exported(tmp_path: Path) -> None:
    import polars as pl

    spec = Text.fit(pl.Series("x", ["a b", "c d"]), Text.Config(max_length=7))
    with pytest.raises(BundleError) as caught:
        exporting.export(tmp_path / "x", Bert(Bert.Config(width=6, layers=1, heads=1, feed=5), {"x": spec}), spec)
    assert caught.value.code == "L442"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_peft_reads_them_and_answers_the_same(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the oracle: pip install transformers peft")
    peft = pytest.importorskip("peft", reason="the oracle: pip install transformers peft")
    net, _, place = adapted()
    disturb(net)
    exporting.export_adapters(tmp_path / "x", net, base=place)
    base = transformers.BertModel.from_pretrained(place, add_pooling_layer=False).eval()
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path / "x")).eval()
    mask = (TOKENS > 0).long()
    out = theirs(input_ids=TOKENS, attention_mask=mask).last_hidden_state
    known = mask.bool()
    assert (out[known] - net.states(TOKENS)[known]).norm() <= 1e-5 * out[known].norm()
    theirs.save_pretrained(tmp_path / "back")
    other, _, _ = adapted()
    adapters.read(tmp_path / "back", other, names.module_of)
    assert torch.equal(net.states(TOKENS), other.states(TOKENS))
