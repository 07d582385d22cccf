"""Pretrained decoders in a recipe: `[model] kind = "gpt", pretrained = FOLDER or FILE.gguf`; what a checkpoint decides is kept in the state."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from luban import strict_json
from luban.checkpoints import folder, gguf, gpt
from luban.checkpoints.filling import fill
from luban.errors import BundleError
from luban.language.template import Template, of_jinja
from luban.layers import lora
from luban.messages import tr
from luban.models.gpt import Gpt
from luban.tokenizing.tokenizer import Tokenizer

Parts = tuple[dict[str, Any], dict[str, Tensor], dict[str, bytes]]


def read(place: str) -> Parts:
    """Settings, tensors and tokenizer files of a folder or a GGUF file. Raises BundleError L430 … L434."""
    if is_file(place):
        return gguf.read(place)
    config, tensors = folder.read(place)
    return config, tensors, folder.read_tokenizer(place)


def is_file(place: str) -> bool:
    """Whether it names a GGUF file."""
    return Path(place).suffix.lower() == ".gguf"


def adopt(section: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the spec of the column, what else the state holds). Raises BundleError L430 … L442."""
    place = section["pretrained"]
    config, files = described(place)
    own, num_tokens = gpt.config_of(config, str(place))
    found = tokenizer_of(config, files, place)
    if found.num_tokens > num_tokens:
        what = tr("the tokenizer knows more tokens than the model")
        raise BundleError("L441", what, where=place, received=found.num_tokens, allowed=[num_tokens])
    return found.as_spec(), {"num_tokens": num_tokens, "architecture": json.loads(json.dumps(asdict(own)))}


def described(place: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Settings and tokenizer files; the weights of a folder are left where they are. Raises BundleError L430 … L434."""
    if is_file(place):
        config, _, files = gguf.read(place)
        return config, files
    return folder.read_config(place), folder.read_tokenizer(place)


def tokenizer_of(config: dict[str, Any], files: dict[str, bytes], place: str) -> Tokenizer:
    """The checkpoint's tokenizer, its stops and its template. Raises BundleError L442."""
    try:
        if "tokenizer.json" not in files:
            raise ValueError(tr("tokenizer.json is missing"))
        about = strict_json.loads(files["tokenizer_config.json"]) if "tokenizer_config.json" in files else {}
        generation = strict_json.loads(files["generation_config.json"]) if "generation_config.json" in files else {}
        bare = Tokenizer(form="given", tokenizer=files["tokenizer.json"].decode(), begin=None, stops=())
        ends = [generation.get("eos_token_id"), config.get("eos_token_id"), bare.id_of(name_of(about.get("eos_token")))]
        stops = list(dict.fromkeys(id for end in ends for id in (end if isinstance(end, list) else [end]) if isinstance(id, int)))
        begin = bare.id_of(name_of(about.get("bos_token"))) if about.get("add_bos_token") else None
        jinja = files["chat_template.jinja"].decode() if "chat_template.jinja" in files else about.get("chat_template")
        template = of_jinja(jinja) if isinstance(jinja, str) else None
        return Tokenizer(form="given", tokenizer=bare.tokenizer, begin=begin, stops=tuple(stops), template=template)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        fix = tr("name a folder with tokenizer.json, a byte-level BPE")
        raise BundleError("L442", tr("the tokenizer cannot be used: {why}", why=str(error)[:100]), where=place, fix=fix) from error


def name_of(mark: Any) -> str:
    """A mark as text: some files hold it as a table."""
    return str(mark.get("content", "")) if isinstance(mark, dict) else str(mark or "")


def load(net: nn.Module, section: dict[str, Any]) -> None:
    """Put a checkpoint's weights into a net; adapters keep their beginning. Raises BundleError L430 … L440."""
    place = section["pretrained"]
    config, tensors, _ = read(place)
    own, _ = gpt.config_of(config, str(place))
    fill(net, gpt.ours(tensors, own, gpt.family_of(config)), where=place, fresh=lora.added(net))


def save(place: str | Path, net: Gpt, tokenizer: Tokenizer, family: str) -> None:
    """Write a checkpoint folder that transformers opens, adapters merged. Raises BundleError L438 where the family has no such part."""
    whole: Any = lora.merged(net)
    config = gpt.settings_of(whole.config, whole.num_tokens, family)
    stops = list(tokenizer.stops)
    config |= {"eos_token_id": stops if len(stops) != 1 else stops[0], "bos_token_id": tokenizer.begin}
    files = {"tokenizer.json": tokenizer.tokenizer.encode()} if tokenizer.form != "characters" else {}
    folder.write(place, config, gpt.theirs(whole.state_dict(), whole.config, family), files)


__all__ = ["Template", "adopt", "load", "read", "save", "tokenizer_of"]
