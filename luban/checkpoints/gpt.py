"""The decoder families as Hugging Face folders have them: GPT-2, Llama (and SmolLM2), Qwen2, Qwen3; their settings and names against ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from luban.checkpoints.rules import Rule, both, check_family, check_held, given, supported, taken
from luban.layers.feed_forward import hidden_of
from luban.layers.rotary import Stretch
from luban.messages import tr
from luban.models.gpt import Gpt

FAMILIES = ("gpt2", "llama", "qwen2", "qwen3")
CLASSES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"}
LEFT_OUT = (".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq")  # buffers that older files hold
HEAD = "lm_head.weight"


def family_of(settings: Mapping[str, Any], where: str = "config.json") -> str:
    """The family that `config.json` names. Raises BundleError L437 for one that is not known."""
    return check_family(settings, FAMILIES, where)


def config_of(settings: Mapping[str, Any], where: str = "config.json") -> tuple[Gpt.Config, int]:
    """(the model's settings, tokens known) from theirs. Raises BundleError L437, L438 for what is not supported here."""
    family = family_of(settings, where)
    with supported(where):
        values = gpt2_values(settings) if family == "gpt2" else llama_values(settings, family)
        return Gpt.Config(**values), int(settings["vocab_size"])


def settings(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`config.json` as settings of our model. Raises BundleError L437, L438."""
    return dict(vars(config_of(config, where)[0]))


def gpt2_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of GPT-2; what their class fills in is filled in."""
    if (
        settings.get("scale_attn_by_inverse_layer_idx")
        or not settings.get("scale_attn_weights", True)
        or settings.get("add_cross_attention")
    ):
        raise ValueError(tr("scaled or cross attention"))
    width = settings["n_embd"]
    return {
        "width": width,
        "layers": settings["n_layer"],
        "heads": settings["n_head"],
        "hidden": settings.get("n_inner") or 4 * width,
        "context": settings["n_positions"],
        "positions": "learned",
        "norm": "layer",
        "norm_eps": settings.get("layer_norm_epsilon", 1e-5),
        "activation": ACTIVATIONS[settings.get("activation_function", "gelu_new")],
        "bias": "all",
        "qk_norm": False,
        "tied": settings.get("tie_word_embeddings", True),
        "zero_init": False,
        "value_embeddings": "none",
    }


def llama_values(settings: Mapping[str, Any], family: str) -> dict[str, Any]:
    """Of Llama and Qwen; what their classes fill in is filled in."""
    if settings.get("hidden_act", "silu") != "silu":
        raise ValueError(f"hidden_act {settings['hidden_act']}")
    if settings.get("use_sliding_window"):
        raise ValueError(tr("sliding windows"))
    attention = bool(settings.get("attention_bias", False))
    feed = bool(settings.get("mlp_bias", False)) if family == "llama" else False
    if feed and not attention and family == "llama":
        bias = "feed"
    else:
        bias = "qkv" if family == "qwen2" else "all" if attention and feed else "attention" if attention else "none"
    head_dim = settings.get("head_dim") or (128 if family == "qwen3" else settings["hidden_size"] // settings["num_attention_heads"])
    base, stretch = rotary_values(settings)
    return {
        "width": settings["hidden_size"],
        "layers": settings["num_hidden_layers"],
        "heads": settings["num_attention_heads"],
        "kv_heads": settings.get("num_key_value_heads") or settings["num_attention_heads"],
        "head_dim": head_dim,
        "hidden": settings["intermediate_size"],
        "context": settings.get("max_position_embeddings", 2048),
        "positions": "rotary",
        "rotary_base": base,
        "rotary_stretch": stretch,
        "norm": "rms",
        "norm_eps": settings.get("rms_norm_eps", 1e-6),
        "activation": "swiglu",
        "bias": bias,
        "qk_norm": family == "qwen3",
        "tied": settings.get("tie_word_embeddings", False),
        "zero_init": False,
        "value_embeddings": "none",
    }


def rotary_values(settings: Mapping[str, Any]) -> tuple[float, Stretch | None]:
    """Base and stretch: beside each other in older files, in `rope_parameters` in newer ones."""
    rope = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    base = float(rope.get("rope_theta") or settings.get("rope_theta") or 10_000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return base, None
    if kind != "llama3":
        raise ValueError(f"rope_type {kind}")
    return base, Stretch(
        factor=float(rope["factor"]),
        slow=float(rope["low_freq_factor"]),
        fast=float(rope["high_freq_factor"]),
        context=int(rope["original_max_position_embeddings"]),
    )


def settings_of(config: Gpt.Config, num_tokens: int, family: str) -> dict[str, Any]:
    """`config.json` of a net that one of the families can hold. Raises BundleError L438 where the family has no such part."""
    back = {"gpt2": gpt2_settings, "llama": llama_settings, "qwen2": llama_settings, "qwen3": llama_settings}[family](config, family)
    found = {"architectures": [CLASSES[family]], "model_type": family, **back, "vocab_size": num_tokens, "torch_dtype": "float32"}
    again, _ = config_of(found)
    check_held(normal(config), again, family, free=("zero_init",))
    return found


def normal(config: Gpt.Config) -> Gpt.Config:
    """Every width written out."""
    shape = config.attention
    rotary = config.positions == "rotary"
    return replace(
        config,
        kv_heads=shape.num_kv_heads if rotary else 0,
        head_dim=shape.size if rotary else 0,
        hidden=config.hidden or hidden_of(config.width, config.activation),
        dropout=0.0,
    )


def gpt2_settings(config: Gpt.Config, family: str) -> dict[str, Any]:
    """As GPT-2 names them."""
    names = {ours: theirs for theirs, ours in ACTIVATIONS.items() if theirs != "gelu_pytorch_tanh"}
    return {
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.hidden or None,
        "n_positions": config.context,
        "n_ctx": config.context,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": names.get(config.activation, "gelu_new"),
        "tie_word_embeddings": config.tied,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": 0.0,
    }


def llama_settings(config: Gpt.Config, family: str) -> dict[str, Any]:
    """As Llama and Qwen name them."""
    whole = normal(config)
    rope: dict[str, Any] = {"rope_theta": config.rotary_base, "rope_type": "default"}
    if config.rotary_stretch is not None:
        s = config.rotary_stretch
        rope |= {"rope_type": "llama3", "factor": s.factor, "low_freq_factor": s.slow, "high_freq_factor": s.fast}
        rope["original_max_position_embeddings"] = s.context
    biases = {"attention_bias": config.bias in ("attention", "all"), "mlp_bias": config.bias in ("feed", "all")}
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": whole.attention.num_kv_heads,
        "head_dim": whole.attention.size,
        "intermediate_size": whole.hidden,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        "hidden_act": "silu",
        "tie_word_embeddings": config.tied,
        "rope_theta": config.rotary_base,
        "rope_parameters": rope,
        **({} if family == "qwen2" else biases if family == "llama" else {"attention_bias": biases["attention_bias"]}),
        **({"rope_scaling": rope} if config.rotary_stretch is not None else {}),
    }


def rules(config: Gpt.Config, family: str) -> Iterator[Rule]:
    """Every tensor of the family, in the order transformers saves them."""
    yield from gpt2_rules(config) if family == "gpt2" else llama_rules(config)
    if not config.tied:
        yield Rule(HEAD, ("head.weight",))


def gpt2_rules(config: Gpt.Config) -> Iterator[Rule]:
    """Of GPT-2, whose matrices stand turned, and whose queries, keys and values are one tensor."""
    yield Rule("transformer.wte.weight", ("embed.weight",))
    yield Rule("transformer.wpe.weight", ("places.weight",))
    for n in range(config.layers):
        theirs, ours = f"transformer.h.{n}", f"blocks.{n}"
        qkv = tuple(f"{ours}.attention.{part}" for part in ("query", "key", "value"))
        yield from both(f"{theirs}.ln_1", (f"{ours}.attention_norm",))
        yield from both(f"{theirs}.attn.c_attn", qkv, turned=True)
        yield from both(f"{theirs}.attn.c_proj", (f"{ours}.attention.out",), turned=True)
        yield from both(f"{theirs}.ln_2", (f"{ours}.feed_norm",))
        yield from both(f"{theirs}.mlp.c_fc", (f"{ours}.feed.up",), turned=True)
        yield from both(f"{theirs}.mlp.c_proj", (f"{ours}.feed.down",), turned=True)
    yield from both("transformer.ln_f", ("norm",))


def llama_rules(config: Gpt.Config) -> Iterator[Rule]:
    """Of Llama and Qwen."""
    biased = {"query": "qkv", "key": "qkv", "value": "qkv", "out": "out", "gate": "feed", "up": "feed", "down": "feed"}
    has = {"qkv": config.attention.bias, "out": config.attention.out_bias, "feed": config.bias in ("feed", "all")}
    names = {
        "self_attn.q_proj": "attention.query", "self_attn.k_proj": "attention.key", "self_attn.v_proj": "attention.value",
        "self_attn.o_proj": "attention.out", "mlp.gate_proj": "feed.gate", "mlp.up_proj": "feed.up", "mlp.down_proj": "feed.down",
    }  # fmt: skip
    norms = {"input_layernorm": "attention_norm", "post_attention_layernorm": "feed_norm"}
    if config.qk_norm:
        norms |= {"self_attn.q_norm": "attention.query_norm", "self_attn.k_norm": "attention.key_norm"}
    yield Rule("model.embed_tokens.weight", ("embed.weight",))
    for n in range(config.layers):
        for theirs, ours in names.items():
            yield Rule(f"model.layers.{n}.{theirs}.weight", (f"blocks.{n}.{ours}.weight",))
            if has[biased[ours.rsplit(".", 1)[1]]]:
                yield Rule(f"model.layers.{n}.{theirs}.bias", (f"blocks.{n}.{ours}.bias",))
        for theirs, ours in norms.items():
            yield Rule(f"model.layers.{n}.{theirs}.weight", (f"blocks.{n}.{ours}.weight",))
    yield Rule("model.norm.weight", ("norm.weight",))


def ours(tensors: Mapping[str, Tensor], config: Gpt.Config, family: str) -> dict[str, Tensor]:
    """Their tensors under our names; what no rule knows keeps its own name, so that filling a net refuses it."""
    prefix = "transformer." if family == "gpt2" else "model."
    whole = {name if name.startswith(prefix) or name == HEAD else prefix + name: tensor for name, tensor in tensors.items()}
    left = {name: tensor for name, tensor in whole.items() if not name.endswith(LEFT_OUT) and not (name == HEAD and config.tied)}
    return taken(left, rules(config, family))


def theirs(tensors: Mapping[str, Tensor], config: Gpt.Config, family: str) -> dict[str, Tensor]:
    """Our tensors under their names."""
    return given(tensors, rules(config, family))
