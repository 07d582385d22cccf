"""T5 and T5 1.1 as Hugging Face folders have them (mT5 and UMT5's first layers are not the same and are refused); their settings and names against ours.

Raffel et al. 2020, section 2.1: pre-norm by the root mean square, no biases, relative places shared by the blocks of a half, scores undivided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from luban.checkpoints.rules import Rule, check_family, check_held, given, num_tokens, supported, taken
from luban.models.encoder_decoder import EncoderDecoder
from luban.schema import validate

MODEL = "encoder_decoder"
FAMILIES = {"t5": "T5ForConditionalGeneration", "mt5": "MT5ForConditionalGeneration"}
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_new": "gelu_tanh", "silu": "silu", "gated-gelu": "geglu", "gated-silu": "swiglu"}
HEAD, TABLE = "lm_head.weight", "shared.weight"
COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")  # of the table
LEFT_OUT = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"  # in the oldest files, never read
FREE = ("zero_init", "dropout")  # no part of what the net computes
CONTEXT = 512  # tokens T5 was trained on; its places know no end


def config_of(settings: Mapping[str, Any], where: str = "config.json") -> tuple[EncoderDecoder.Config, int]:
    """(the model's settings, tokens known) from theirs. Raises BundleError L437 for another family, L438 for what is not supported."""
    check_family(settings, FAMILIES, where)
    with supported(where):
        return validate(EncoderDecoder.Config, values(settings), where=where), num_tokens(settings)


def settings(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`config.json` as settings of our model. Raises BundleError L437, L438."""
    return dict(vars(config_of(config, where)[0]))


def values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Our names; what their class fills in is filled in. T5 ties the head and divides what it reads, 1.1 does neither. Raises KeyError."""
    tied = settings.get("scale_decoder_outputs", settings.get("tie_word_embeddings")) is not False
    return {
        "width": settings["d_model"],
        "layers": settings["num_layers"],
        "decoder_layers": settings.get("num_decoder_layers") or settings["num_layers"],
        "heads": settings["num_heads"],
        "head_dim": settings["d_kv"],
        "hidden": settings["d_ff"],
        "context": settings.get("n_positions") or CONTEXT,
        "positions": "relative",
        "buckets": settings.get("relative_attention_num_buckets", 32),
        "distance": settings.get("relative_attention_max_distance", 128),
        "norm": "rms",
        "norm_eps": settings.get("layer_norm_epsilon", 1e-6),
        "activation": ACTIVATIONS[settings.get("feed_forward_proj", "relu")],
        "qk_norm": False,
        "scaled_scores": False,
        "tied": tied,
        "scaled_head": tied,
        "zero_init": False,
    }


def settings_of(config: EncoderDecoder.Config, tokens: int) -> dict[str, Any]:
    """`config.json` of a net that the family can hold. Raises BundleError L438 where it has no such part."""
    names = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
    found: dict[str, Any] = {"architectures": [FAMILIES["t5"]], "model_type": "t5", "is_encoder_decoder": True, "torch_dtype": "float32"}
    found |= {"vocab_size": tokens, "d_model": config.width, "d_kv": config.attention.size, "d_ff": config.parts.hidden}
    found |= {"num_layers": config.layers, "num_decoder_layers": config.decoder_depth, "num_heads": config.heads}
    found |= {"relative_attention_num_buckets": config.buckets, "relative_attention_max_distance": config.distance}
    found |= {"layer_norm_epsilon": config.norm_eps, "feed_forward_proj": names.get(config.activation, "relu")}
    found |= {"tie_word_embeddings": config.tied, "n_positions": config.context, "dropout_rate": config.dropout}
    whole = replace(config, hidden=config.parts.hidden, decoder_layers=config.decoder_depth, head_dim=config.attention.size)
    check_held(whole, config_of(found)[0], "t5", free=FREE)
    return found


def rules(config: EncoderDecoder.Config) -> Iterator[Rule]:
    """Every tensor of the family that is kept."""
    yield Rule(TABLE, ("embed.weight",))
    gated = config.activation in ("swiglu", "geglu")
    feed = (("wi_0", "gate"), ("wi_1", "up")) if gated else (("wi", "up"),)
    for half, depth in (("encoder", config.layers), ("decoder", config.decoder_depth)):
        yield Rule(f"{half}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", (f"{half}_bias.table.weight",))
        looks = [("SelfAttention", "attention")] + ([("EncDecAttention", "cross")] if half == "decoder" else [])
        for n in range(depth):
            for place, (look, name) in enumerate(looks):
                theirs = f"{half}.block.{n}.layer.{place}"
                for part, mine in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "out")):
                    yield Rule(f"{theirs}.{look}.{part}.weight", (f"{half}.{n}.{name}.{mine}.weight",))
                yield Rule(f"{theirs}.layer_norm.weight", (f"{half}.{n}.{name}_norm.weight",))
            theirs = f"{half}.block.{n}.layer.{len(looks)}"
            for part, mine in (*feed, ("wo", "down")):
                yield Rule(f"{theirs}.DenseReluDense.{part}.weight", (f"{half}.{n}.feed.{mine}.weight",))
            yield Rule(f"{theirs}.layer_norm.weight", (f"{half}.{n}.feed_norm.weight",))
        yield Rule(f"{half}.final_layer_norm.weight", (f"{half}_norm.weight",))
    if not config.tied:
        yield Rule(HEAD, ("head.weight",))


def ours(tensors: Mapping[str, Tensor], config: EncoderDecoder.Config) -> dict[str, Tensor]:
    """Their tensors under our names; copies of the table are left out, and a head that is not there is the table."""
    left = {name: tensor for name, tensor in tensors.items() if name not in (*COPIES, LEFT_OUT) and not (name == HEAD and config.tied)}
    if TABLE not in left and (copy := next((tensors[name] for name in COPIES if name in tensors), None)) is not None:
        left[TABLE] = copy
    if not config.tied and HEAD not in left and TABLE in left:
        left[HEAD] = left[TABLE]
    return taken(left, rules(config))


def theirs(tensors: Mapping[str, Tensor], config: EncoderDecoder.Config) -> dict[str, Tensor]:
    """Our tensors under their names."""
    return given(tensors, rules(config))
