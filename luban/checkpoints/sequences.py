"""Checkpoint folders of encoder–decoders: Marian and T5, told apart by their `config.json`; loaded into a net, and written from one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luban.checkpoints import folder, marian, t5
from luban.checkpoints.filling import fill
from luban.checkpoints.rules import check_family
from luban.errors import BundleError
from luban.generating.restraint import Marks
from luban.messages import tr
from luban.models.encoder_decoder import EncoderDecoder

FAMILIES: dict[str, Any] = {"marian": marian, "t5": t5, "mt5": t5}


@dataclass(frozen=True)
class Described:
    """What a checkpoint decides before its weights are read."""

    config: EncoderDecoder.Config
    num_tokens: int
    marks: Marks
    family: str


def described(place: str | Path) -> Described:
    """From `config.json` and `generation_config.json`. Raises BundleError L430 … L432, L437, L438."""
    config = folder.read_config(place)
    names = family_of(config, str(place))
    own, num_tokens = names.config_of(config, str(place))
    return Described(own, num_tokens, marks_of(config, num_tokens, str(place)), str(config["model_type"]))


def family_of(config: Mapping[str, Any], where: str) -> Any:
    """The names of the family that it says. Raises BundleError L437 for one that is not known."""
    return FAMILIES[check_family(config, FAMILIES, where)]


def marks_of(config: Mapping[str, Any], num_tokens: int, where: str) -> Marks:
    """What answers begin and end with, and padding, which is never said unless it ends them. Raises BundleError L438 for tokens that are none."""
    pad, end = config.get("pad_token_id", 0), config.get("eos_token_id", 1)
    ends = tuple(end) if isinstance(end, list) else (end,)
    start = config.get("decoder_start_token_id", pad)
    for token in (pad, start, *ends):
        if not isinstance(token, int) or not 0 <= token < num_tokens:
            what = tr("a setting is not supported: {why}", why="pad_token_id, eos_token_id, decoder_start_token_id")
            raise BundleError("L438", what, where=where, received=token, allowed=[f"0 … {num_tokens - 1}"])
    return Marks(start=(start,), end=ends, never=tuple(token for token in dict.fromkeys((pad, start)) if token not in ends))


def load(place: str | Path) -> tuple[EncoderDecoder, Marks]:
    """The net of a folder, with its weights. Raises BundleError L430 … L440."""
    found = described(place)
    net = EncoderDecoder(found.config, found.num_tokens)
    fill_from(net, place)
    return net, found.marks


def fill_from(net: EncoderDecoder, place: str | Path, fresh: Collection[str] = ()) -> None:
    """Put a folder's weights into a net. Raises BundleError L430 … L440."""
    config, tensors = folder.read(place)
    names = family_of(config, str(place))
    fill(net, names.ours(tensors, names.config_of(config, str(place))[0]), where=str(place), fresh=fresh)


def save(place: str | Path, net: EncoderDecoder, family: str, marks: Marks, files: Mapping[str, bytes] | None = None) -> None:
    """Write a folder that transformers opens, with tokenizer files where they are given.

    Raises BundleError L437 for an unknown family, L438 where it has no such part, L439 for an unknown tokenizer file.
    """
    names = family_of({"model_type": family}, str(place))
    config = names.settings_of(net.config, net.num_tokens)
    config |= {"eos_token_id": marks.end[0] if len(marks.end) == 1 else list(marks.end), "decoder_start_token_id": marks.start[0]}
    config |= {"pad_token_id": marks.never[0] if marks.never else marks.start[0]}
    folder.write(place, config, names.theirs(net.state_dict(), net.config), files)
