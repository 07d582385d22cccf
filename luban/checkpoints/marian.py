"""Marian's translators as Hugging Face folders have them (OPUS-MT); their settings and names against ours.

Junczys-Dowmunt et al. 2018; Tiedemann and Thottingal 2020. Post-norm, sinusoidal places in two halves, one table for both sides and the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from luban.checkpoints.rules import Rule, both, check_family, check_held, given, num_tokens, supported, taken
from luban.models.encoder_decoder import EncoderDecoder
from luban.schema import validate

MODEL = "encoder_decoder"
FAMILY, CLASS = "marian", "MarianMTModel"
ACTIVATIONS = {"swish": "silu", "silu": "silu", "relu": "relu", "gelu": "gelu", "gelu_new": "gelu_tanh"}
HEAD, TABLE, BIAS = "lm_head.weight", "model.shared.weight", "final_logits_bias"
COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight")  # of the table
COUNTED = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")  # sinusoids, not learnt
EPS = 1e-5  # of torch's LayerNorm
SAME = {"decoder_attention_heads": "encoder_attention_heads", "decoder_ffn_dim": "encoder_ffn_dim", "decoder_vocab_size": "vocab_size"}
FREE = ("zero_init", "dropout", "buckets", "distance")  # no part of what the net computes
PLAIN = ("normalize_before", "normalize_embedding", "add_final_layer_norm", "extra_pos_embeddings")


def config_of(settings: Mapping[str, Any], where: str = "config.json") -> tuple[EncoderDecoder.Config, int]:
    """(the model's settings, tokens known) from theirs. Raises BundleError L437 for another family, L438 for what is not supported."""
    check_family(settings, (FAMILY,), where)
    with supported(where):
        return validate(EncoderDecoder.Config, values(settings), where=where), num_tokens(settings)


def settings(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`config.json` as settings of our model. Raises BundleError L437, L438."""
    return dict(vars(config_of(config, where)[0]))


def values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Our names; what their class fills in is filled in. Raises KeyError, ValueError."""
    for one, other in SAME.items():
        if settings.get(one) not in (None, settings[other]):
            raise ValueError(f"{one} ≠ {other}")
    if not settings.get("share_encoder_decoder_embeddings", True):
        raise ValueError("share_encoder_decoder_embeddings")
    if switched := [name for name in PLAIN if settings.get(name)]:
        raise ValueError(switched[0])
    return {
        "width": settings["d_model"],
        "layers": settings["encoder_layers"],
        "decoder_layers": settings["decoder_layers"],
        "heads": settings["encoder_attention_heads"],
        "hidden": settings["encoder_ffn_dim"],
        "context": settings.get("max_position_embeddings", 1024),
        "positions": "sinusoidal",
        "norm": "layer",
        "norm_eps": EPS,
        "pre_norm": False,
        "activation": ACTIVATIONS[settings.get("activation_function", "gelu")],
        "bias": True,
        "qk_norm": False,
        "scaled_vectors": bool(settings.get("scale_embedding", False)),
        "tied": settings.get("tie_word_embeddings", True),
        "head_bias": True,
        "zero_init": False,
    }


def settings_of(config: EncoderDecoder.Config, tokens: int) -> dict[str, Any]:
    """`config.json` of a net that the family can hold. Raises BundleError L438 where it has no such part."""
    names = {ours: theirs for theirs, ours in ACTIVATIONS.items() if theirs != "silu"}
    hidden = config.parts.hidden
    found: dict[str, Any] = {"architectures": [CLASS], "model_type": FAMILY, "is_encoder_decoder": True, "torch_dtype": "float32"}
    found |= {"vocab_size": tokens, "decoder_vocab_size": tokens, "d_model": config.width}
    found |= {"encoder_layers": config.layers, "decoder_layers": config.decoder_depth}
    found |= {"encoder_attention_heads": config.heads, "decoder_attention_heads": config.heads}
    found |= {"encoder_ffn_dim": hidden, "decoder_ffn_dim": hidden, "max_position_embeddings": config.context}
    found |= {"activation_function": names.get(config.activation, "swish"), "scale_embedding": config.scaled_vectors}
    found |= {"tie_word_embeddings": config.tied, "share_encoder_decoder_embeddings": True, "static_position_embeddings": True}
    found |= {"dropout": config.dropout, "attention_dropout": 0.0, "activation_dropout": 0.0}
    head_dim = 0 if config.attention.size * config.heads == config.width else config.head_dim
    whole = replace(config, hidden=hidden, decoder_layers=config.decoder_depth, head_dim=head_dim)
    check_held(whole, config_of(found)[0], FAMILY, free=FREE)
    return found


def rules(config: EncoderDecoder.Config) -> Iterator[Rule]:
    """Every tensor of the family that is kept."""
    yield Rule(TABLE, ("embed.weight",))
    for half, depth in (("encoder", config.layers), ("decoder", config.decoder_depth)):
        for n in range(depth):
            theirs, ours = f"model.{half}.layers.{n}", f"{half}.{n}"
            looks = [("self_attn", "attention")] + ([("encoder_attn", "cross")] if half == "decoder" else [])
            for their_look, our_look in looks:
                for their_part, part in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "out")):
                    yield from both(f"{theirs}.{their_look}.{their_part}", f"{ours}.{our_look}.{part}")
                yield from both(f"{theirs}.{their_look}_layer_norm", f"{ours}.{our_look}_norm")
            yield from both(f"{theirs}.fc1", f"{ours}.feed.up")
            yield from both(f"{theirs}.fc2", f"{ours}.feed.down")
            yield from both(f"{theirs}.final_layer_norm", f"{ours}.feed_norm")
    yield Rule(BIAS, ("head_bias",), flat=True)
    if not config.tied:
        yield Rule(HEAD, ("head.weight",))


def ours(tensors: Mapping[str, Tensor], config: EncoderDecoder.Config) -> dict[str, Tensor]:
    """Their tensors under our names; copies of the table and counted places are left out, a bias that is not there is 0."""
    left = {name: tensor for name, tensor in tensors.items() if name not in (*COPIES, *COUNTED) and not (name == HEAD and config.tied)}
    if TABLE not in left and (copy := next((tensors[name] for name in (*COPIES, HEAD) if name in tensors), None)) is not None:
        left[TABLE] = copy
    if BIAS not in left and TABLE in left:
        left[BIAS] = left[TABLE].new_zeros(1, len(left[TABLE]))
    return taken(left, rules(config))


def theirs(tensors: Mapping[str, Tensor], config: EncoderDecoder.Config) -> dict[str, Tensor]:
    """Our tensors under their names."""
    return given(tensors, rules(config))
