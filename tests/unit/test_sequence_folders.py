"""Folders of encoder–decoders there and back without any library, and what cannot be read or held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import translator

from luban.checkpoints import marian, sequences, t5
from luban.errors import BundleError
from luban.generating.restraint import Marks
from luban.models.encoder_decoder import EncoderDecoder

MARKS = Marks(start=(7,), end=(2,), never=(7,))
LIKE_MARIAN, LIKE_T5 = ({**settings, "context": 41} for settings in (translator.MARIAN, translator.T5))
CASES = {
    "marian": ("marian", LIKE_MARIAN),
    "marian-untied": ("marian", LIKE_MARIAN | {"tied": False, "activation": "relu"}),
    "t5": ("t5", LIKE_T5),
    "t5-1.1": ("t5", LIKE_T5 | {"activation": "geglu", "tied": False, "scaled_head": False}),
}
every = pytest.mark.parametrize("case", CASES)


def made(case: str) -> tuple[str, EncoderDecoder]:
    """The family and a net with weights away from zero."""
    family, settings = CASES[case]
    torch.manual_seed(2)
    net = EncoderDecoder(EncoderDecoder.Config(**settings), 53).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return family, net


@every
def test_a_folder_is_read_back_to_the_bit(case: str, tmp_path: Path) -> None:
    family, net = made(case)
    sequences.save(tmp_path / "x", net, family, MARKS)
    again, marks = sequences.load(tmp_path / "x")
    assert marks == MARKS
    own, read = net.state_dict(), again.state_dict()
    assert own.keys() == read.keys()
    assert all(torch.equal(tensor, read[name]) for name, tensor in own.items())
    sequences.save(tmp_path / "y", again, family, marks)
    assert (tmp_path / "x" / "model.safetensors").read_bytes() == (tmp_path / "y" / "model.safetensors").read_bytes()
    assert (tmp_path / "x" / "config.json").read_bytes() == (tmp_path / "y" / "config.json").read_bytes()


@every
def test_every_tensor_of_ours_has_a_name_of_theirs(case: str) -> None:
    family, net = made(case)
    names = sequences.FAMILIES[family]
    assert {name for rule in names.rules(net.config) for name in rule.ours} == set(net.state_dict())


def test_older_files_hold_more_and_less() -> None:
    """Copies of the table and counted places go; a bias that is not there is 0; a table kept only as a copy is found."""
    _, net = made("marian")
    theirs = marian.theirs(net.state_dict(), net.config)
    table = theirs.pop(marian.TABLE)
    del theirs[marian.BIAS]
    theirs |= dict.fromkeys((*marian.COPIES, marian.HEAD), table) | dict.fromkeys(marian.COUNTED, torch.zeros(41, 24))
    found = marian.ours(theirs, net.config)
    assert torch.equal(found["embed.weight"], table)
    assert torch.equal(found["head_bias"], torch.zeros(53))
    assert found.keys() == net.state_dict().keys()
    _, other = made("t5-1.1")
    given = t5.theirs(other.state_dict(), other.config)
    del given[t5.HEAD]
    assert torch.equal(t5.ours(given, other.config)["head.weight"], given[t5.TABLE])


def test_what_a_family_has_not_is_refused(tmp_path: Path) -> None:
    net = EncoderDecoder(EncoderDecoder.Config(width=24, heads=3, layers=1), 53)
    for family in ("marian", "t5"):
        with pytest.raises(BundleError, match="L438"):
            sequences.save(tmp_path / "x", net, family, MARKS)
    with pytest.raises(BundleError, match="L437"):
        sequences.save(tmp_path / "x", net, "bart", MARKS)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("family", "wrong"), [
    ("marian", {"normalize_before": True}), ("marian", {"decoder_ffn_dim": 99}), ("marian", {"share_encoder_decoder_embeddings": False}),
    ("marian", {"activation_function": "mish"}), ("marian", {"d_model": None}), ("t5", {"feed_forward_proj": "gated-mish"}), ("t5", {"num_heads": "3"}),
    ("t5", {"eos_token_id": 53}), ("t5", {"pad_token_id": "x"}),
])  # fmt: skip
def test_settings_that_are_not_supported_are_named(family: str, wrong: dict[str, Any], tmp_path: Path) -> None:
    _, net = made(family)
    sequences.save(tmp_path, net, family, MARKS)
    place = tmp_path / "config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | wrong))
    with pytest.raises(BundleError, match="L438"):
        sequences.described(tmp_path)


def test_another_family_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bart"}))
    with pytest.raises(BundleError, match="L437"):
        sequences.load(tmp_path)
