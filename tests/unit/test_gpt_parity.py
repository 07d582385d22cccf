"""The decoder against transformers' own models: same random configuration, same weights, logits alike before and after a step.

Needs transformers, which is not needed to run; without it these tests are passed over, and `test_gpt.py` holds figures by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from decoder_examples import folder_of

from luban import pretrained
from luban.checkpoints import gpt as names
from luban.generating.settings import Generation
from luban.generating.slots import generate
from luban.language import decoders
from luban.layers import lora
from luban.models.gpt import Gpt
from luban.tokenizing.tokenizer import Tokenizer, of_spec

transformers = pytest.importorskip("transformers", reason="transformers is the oracle here: pip install -e '.[oracle]'")

TOKENS = 97
GPT2 = {
    "n_embd": 42,
    "n_layer": 3,
    "n_head": 7,
    "n_positions": 53,
    "vocab_size": TOKENS,
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
}
LLAMA = {
    "hidden_size": 42, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 10, "intermediate_size": 59,
    "max_position_embeddings": 53, "vocab_size": TOKENS,
}  # fmt: skip
STRETCHED = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 11}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", GPT2),
    "gpt2-untied": ("GPT2", GPT2 | {"tie_word_embeddings": False, "n_inner": 71, "activation_function": "gelu"}),
    "llama": ("Llama", LLAMA | {"rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    "llama-biases": ("Llama", LLAMA | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "llama-stretched": ("Llama", LLAMA | {"rope_parameters": STRETCHED | {"rope_theta": 10_000.0}}),
    "qwen2": ("Qwen2", {key: value for key, value in LLAMA.items() if key != "head_dim"} | {"num_attention_heads": 3, "num_key_value_heads": 1}),
    "qwen3": ("Qwen3", LLAMA | {"tie_word_embeddings": True}),
}  # fmt: skip

every = pytest.mark.parametrize("case", CASES)


def pair(case: str) -> tuple[Any, Gpt, str]:
    """Their model with random weights, ours with the same, and the family."""
    kind, settings = CASES[case]
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(**settings)
    model = getattr(transformers, names.CLASSES[config.model_type])(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # biases and gains too
    own, num_tokens = names.config_of(config.to_dict())
    net = Gpt(own, num_tokens)
    net.load_state_dict(names.ours(model.state_dict(), own, config.model_type))
    return model, net.eval(), config.model_type


def tokens() -> torch.Tensor:
    """(5, 23)."""
    return torch.randint(0, TOKENS, (5, 23), generator=torch.Generator().manual_seed(5))


@every
def test_logits_are_those_of_transformers(case: str) -> None:
    model, net, _ = pair(case)
    with torch.no_grad():
        theirs, own = model(tokens()).logits, net(tokens())
    assert (theirs - own).norm() <= 1e-5 * theirs.norm()


@every
def test_after_one_optimizer_step_too(case: str) -> None:
    model, net, _ = pair(case)
    x = tokens()
    for one, logits in ((model, lambda: model(x).logits), (net, lambda: net(x))):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        torch.nn.functional.cross_entropy(logits()[:, :-1].flatten(0, 1), x[:, 1:].flatten()).backward()
        optimizer.step()
    with torch.no_grad():
        theirs, own = model(x).logits, net(x)
    assert (theirs - own).norm() <= 1e-5 * theirs.norm()


@every
def test_names_and_settings_go_back_to_the_bit(case: str) -> None:
    model, net, family = pair(case)
    back = names.theirs(net.state_dict(), net.config, family)
    wanted = {name: tensor for name, tensor in model.state_dict().items() if name != names.HEAD or not net.config.tied}
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in wanted.items())
    settings = names.settings_of(net.config, TOKENS, family)
    again = getattr(transformers, type(model.config).__name__).from_dict(settings)
    twin = type(model)(again).eval()
    twin.load_state_dict(back, strict=False)
    twin.tie_weights()
    with torch.no_grad():
        assert torch.equal(twin(tokens()).logits, model(tokens()).logits)


@every
def test_the_same_greedy_tokens_as_transformers(case: str) -> None:
    """Ragged prompts, padded on the left over there and in slots here; with and without the penalty."""
    model, net, _ = pair(case)
    prompts = [tokens()[0, :9].numpy(), tokens()[1, :2].numpy(), tokens()[2, :17].numpy()]
    own = Tokenizer(form="characters", tokenizer="[]", stops=(), begin=None)
    for penalty in (1.0, 1.7):
        settings = Generation(temperature=0, max_tokens=23, repetition_penalty=penalty)
        found = [answer.tokens for answer in generate(net, own, prompts, settings)]
        for prompt, tokens_found in zip(prompts, found, strict=True):
            theirs = model.generate(
                torch.from_numpy(prompt)[None], attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=23,
                do_sample=False, repetition_penalty=penalty, pad_token_id=0, eos_token_id=None,
            )  # fmt: skip
            assert tokens_found == theirs[0, len(prompt) :].tolist()


def test_an_exported_folder_opens_over_there_with_its_adapters_merged(tmp_path: Path) -> None:
    place = folder_of(tmp_path)
    section = {"kind": "gpt", "pretrained": str(place)}
    spec, rest = decoders.adopt(section)
    net = Gpt(pretrained.speaker_of(section, rest["architecture"]), rest["num_tokens"])
    lora.attach(net, 3, alpha=5.0)
    decoders.load(net, section)
    with torch.no_grad():
        for _, layer in lora.adapters(net):
            layer.lora_b.normal_(std=0.2)
    decoders.save(tmp_path / "out", net, of_spec(spec), "llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    x = torch.randint(0, 200, (3, 17))
    with torch.no_grad():
        theirs, own = model(x).logits, net.eval()(x)
    assert (theirs - own).norm() <= 1e-5 * theirs.norm()
    library = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "say 你好 to the world<|im_end|>"
    assert library(text, add_special_tokens=False).input_ids == of_spec(spec).encode_marked(text)
