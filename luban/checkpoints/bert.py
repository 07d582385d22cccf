"""bert: the names that BERT, RoBERTa and MiniLM have for configuration and weights, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from luban.errors import BundleError
from luban.messages import tr

FAMILY = ("bert", "roberta", "xlm-roberta", "camembert")
OFFSET = 2  # places RoBERTa leaves free before the first token: its padding's number and one
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
STATED = (
    ("hidden_act", "gelu", tuple(ACTIVATIONS)),
    ("position_embedding_type", "absolute", ("absolute",)),
    ("is_decoder", False, (False,)),
)
SIZES = {  # theirs: ours
    "hidden_size": "width",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "feed",
    "vocab_size": "vocabulary",
    "max_position_embeddings": "positions",
    "type_vocab_size": "segments",
}
SHARES = {"layer_norm_eps": "norm_eps", "hidden_dropout_prob": "dropout", "attention_probs_dropout_prob": "attention_dropout"}
BODY = (  # theirs, ours; {} is the number of the layer
    ("embeddings.word_embeddings", "words"),
    ("embeddings.position_embeddings", "places"),
    ("embeddings.token_type_embeddings", "segments"),
    ("embeddings.LayerNorm", "norm"),
    ("encoder.layer.{}.attention.self.query", "blocks.{}.attention.query"),
    ("encoder.layer.{}.attention.self.key", "blocks.{}.attention.key"),
    ("encoder.layer.{}.attention.self.value", "blocks.{}.attention.value"),
    ("encoder.layer.{}.attention.output.dense", "blocks.{}.attention.out"),
    ("encoder.layer.{}.attention.output.LayerNorm", "blocks.{}.attention_norm"),
    ("encoder.layer.{}.intermediate.dense", "blocks.{}.feed.up"),
    ("encoder.layer.{}.output.dense", "blocks.{}.feed.down"),
    ("encoder.layer.{}.output.LayerNorm", "blocks.{}.feed_norm"),
    ("pooler.dense", "pooler"),
)
HEADS = {
    "bert": (("cls.predictions.transform.dense", "head.dense"), ("cls.predictions.transform.LayerNorm", "head.norm")),
    "roberta": (("lm_head.dense", "head.dense"), ("lm_head.layer_norm", "head.norm")),
}
BIASES = {"bert": "cls.predictions.bias", "roberta": "lm_head.bias"}
LEFT_OUT = re.compile(  # tied to the table, counted rather than learnt, or of another task
    r"(embeddings\.(position_ids|token_type_ids)|cls\.predictions\.decoder\.(weight|bias)|lm_head\.decoder\.(weight|bias)"
    r"|cls\.seq_relationship\..*|classifier\..*|qa_outputs\..*)"
)


def style(config: Mapping[str, Any]) -> str:
    """`bert` or `roberta`."""
    return "bert" if config.get("model_type", "bert") == "bert" else "roberta"


def settings(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`config.json` as settings of our model. Raises BundleError L437, L438 for what the model is not."""
    if (family := config.get("model_type", "bert")) not in FAMILY:
        fix = tr("choose a checkpoint of one of these families")
        what = tr("no model here reads this family")
        raise BundleError("L437", what, where=f"{where}: model_type", received=family, allowed=FAMILY, fix=fix)
    for key, default, able in STATED:
        if (value := config.get(key, default)) not in able:
            raise BundleError("L438", tr("a setting is not supported: {why}", why=key), where=where, received=value, allowed=able)
    if missing := [key for key in SIZES if key not in config and key != "type_vocab_size"]:
        raise BundleError("L438", tr("a setting is missing: {name}", name=missing[0]), where=where)
    found = {ours: config[theirs] for theirs, ours in SIZES.items() if theirs in config}
    found |= {ours: config[theirs] for theirs, ours in SHARES.items() if theirs in config}
    first = OFFSET if style(config) == "roberta" else 0
    return {"segments": 2} | found | {"activation": ACTIVATIONS[config.get("hidden_act", "gelu")], "first_position": first}


def config_of(settings: Mapping[str, Any], *, masked: bool, pad: int = 0) -> dict[str, Any]:
    """Settings of our model as `config.json` has them."""
    roberta = settings.get("first_position", 0) == OFFSET
    kind, names = ("roberta", "Roberta") if roberta else ("bert", "Bert")
    back = {ours: theirs for theirs, ours in ACTIVATIONS.items() if theirs != "gelu_pytorch_tanh"}
    out: dict[str, Any] = {"architectures": [f"{names}ForMaskedLM" if masked else f"{names}Model"], "model_type": kind}
    out |= {theirs: settings[ours] for theirs, ours in (SIZES | SHARES).items()}
    return out | {"hidden_act": back[settings["activation"]], "pad_token_id": pad, "torch_dtype": "float32"}


def ours(config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, pooler: bool, head: bool, pad: int = 0) -> dict[str, Tensor]:
    """Their tensors under our names, the padding's row first; `pooler` and `head` say which of the optional parts are wanted.

    What is no part of a BERT keeps its name, so that filling the net refuses it.
    """
    prefix = next((p for p in ("bert.", "roberta.") if any(name.startswith(f"{p}embeddings.") for name in tensors)), "")
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        bare = name.removeprefix(prefix).replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        mine = translated(bare, style(config))
        if LEFT_OUT.fullmatch(bare) or (mine.startswith("pooler.") and not pooler) or (mine.startswith("head.") and not head):
            continue
        out[mine] = padding_first(tensor, pad) if mine in ("words.weight", "head.bias") else tensor
    return out


def theirs(settings: Mapping[str, Any], weights: Mapping[str, Tensor], *, pad: int = 0) -> dict[str, Tensor]:
    """Our tensors under their names; with a head, as the model for masked tokens has them."""
    kind = "roberta" if settings.get("first_position", 0) == OFFSET else "bert"
    prefix = f"{kind}." if any(name.startswith("head.") for name in weights) else ""
    out = {}
    for name, tensor in weights.items():
        back = BIASES[kind] if name == "head.bias" else renamed(name, [(o, t) for t, o in (*BODY, *HEADS[kind])])
        tensor = padding_first(tensor, pad) if name in ("words.weight", "head.bias") else tensor
        out[back if name.startswith("head.") else prefix + back] = tensor
    return out


def translated(name: str, kind: str) -> str:
    """Our name of a tensor; its own where we have none."""
    return "head.bias" if name == BIASES[kind] else renamed(name, (*BODY, *HEADS[kind]))


def renamed(name: str, pairs: Any) -> str:
    """The name by the first pair whose first part it begins with; a number stands for {}."""
    for one, other in pairs:
        pattern = re.escape(one).replace(r"\{\}", r"(\d{1,3})") + r"\.(weight|bias)"
        if found := re.fullmatch(pattern, name):
            *number, last = found.groups()
            return f"{other.format(*number)}.{last}"
    return name


def padding_first(rows: Tensor, pad: int) -> Tensor:
    """Rows 0 and `pad` exchanged: with us the padding is always token 0. Its own inverse."""
    if pad == 0:
        return rows
    out = rows.clone()
    out[0], out[pad] = rows[pad], rows[0]
    return out


def module_of(name: str) -> str:
    """Their name of one of our layers, in a model without a head."""
    return renamed(f"{name}.weight", [(ours, theirs) for theirs, ours in BODY]).removesuffix(".weight")
