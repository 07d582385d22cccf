"""Marian and T5 against transformers' own models: same random configuration, same weights; logits, a step, answers, and folders both ways.

Needs transformers, which is not needed to run; without it these tests are passed over, and `test_sequence_folders.py` goes there and back alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from luban.checkpoints import sequences
from luban.draw import Draw
from luban.generating.search import Marks, answers
from luban.generating.settings import Search
from luban.language.translators import tokenizers_of
from luban.models.encoder_decoder import EncoderDecoder
from luban.tasks.text_to_text import TextToText
from luban.training.loop import fresh

transformers = pytest.importorskip("transformers", reason="transformers is the oracle here: pip install -e '.[oracle]'")

TOKENS, PAD, END = 97, 0, 1
MARKS = Marks(start=(PAD,), end=(END,), never=(PAD,))
SPECIAL = {"vocab_size": TOKENS, "pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": PAD}
MARIAN = SPECIAL | {
    "d_model": 42, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 6, "decoder_attention_heads": 6,
    "encoder_ffn_dim": 71, "decoder_ffn_dim": 71, "max_position_embeddings": 53, "activation_function": "swish", "dropout": 0.0,
    "forced_eos_token_id": None,
}  # fmt: skip
T5 = SPECIAL | {
    "d_model": 42, "d_kv": 10, "d_ff": 59, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 3, "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 13, "dropout_rate": 0.0,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "marian": ("Marian", MARIAN | {"scale_embedding": True}),
    "marian-unscaled-relu": ("Marian", MARIAN | {"activation_function": "relu"}),
    "t5": ("T5", T5),
    "t5-1.1": ("T5", T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
}
CLASSES = {"Marian": "MarianMTModel", "T5": "T5ForConditionalGeneration"}
every = pytest.mark.parametrize("case", CASES)


def pair(case: str) -> tuple[Any, EncoderDecoder]:
    """Their model with random weights, ours with the same."""
    kind, settings = CASES[case]
    torch.manual_seed(3)
    model = getattr(transformers, CLASSES[kind])(getattr(transformers, f"{kind}Config")(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)  # biases and gains too
        if kind == "Marian":
            model.final_logits_bias.normal_(std=0.3)
        if settings.get("tie_word_embeddings") is False:  # as in 1.1's files; newer classes tie what no file unties
            model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.3)
    names = sequences.FAMILIES[model.config.model_type]
    config, num_tokens = names.config_of(model.config.to_dict())
    net = EncoderDecoder(config, num_tokens)
    net.load_state_dict(names.ours(model.state_dict(), config))
    return model, net.eval()


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(5, 23) sources of several lengths, which tokens are there, and (5, 17) answers."""
    generator = torch.Generator().manual_seed(5)
    known = torch.arange(23) < torch.tensor([23, 4, 17, 9, 1])[:, None]
    source = torch.randint(2, TOKENS, (5, 23), generator=generator)
    return torch.where(known, source, PAD), known, torch.randint(2, TOKENS, (5, 17), generator=generator)


def theirs(model: Any) -> torch.Tensor:
    """Their logits of the batch."""
    source, known, tokens = batch()
    return model(input_ids=source, attention_mask=known.long(), decoder_input_ids=tokens).logits


@every
def test_logits_are_those_of_transformers(case: str) -> None:
    model, net = pair(case)
    with torch.no_grad():
        wanted, found = theirs(model), net(*batch())
    assert (wanted - found).norm() <= 1e-5 * wanted.norm()


@every
def test_after_one_optimizer_step_too(case: str) -> None:
    model, net = pair(case)
    if net.head_bias is not None:
        net.head_bias.requires_grad_(False)  # transformers never trains Marian's
    for one, logits in ((model, lambda: theirs(model)), (net, lambda: net(*batch()))):
        optimizer = torch.optim.SGD([parameter for parameter in one.parameters() if parameter.requires_grad], lr=0.1)
        torch.nn.functional.cross_entropy(logits()[:, :-1].flatten(0, 1), batch()[2][:, 1:].flatten()).backward()
        optimizer.step()
    with torch.no_grad():
        before, wanted, found = pair(case)[1](*batch()), theirs(model), net(*batch())
    assert (wanted - before).norm() > 1e-3 * wanted.norm()
    assert (wanted - found).norm() <= 1e-5 * wanted.norm()


@every
@pytest.mark.parametrize("settings", [
    Search(beams=1, max_tokens=19), Search(beams=1, max_tokens=19, min_tokens=5, no_repeat=2), Search(beams=4, best=4, max_tokens=19),
    Search(beams=3, max_tokens=19, length_penalty=0.6, no_repeat=3), Search(beams=5, max_tokens=19, length_penalty=2.0, min_tokens=7),
])  # fmt: skip
def test_the_same_answers_as_transformers(case: str, settings: Search) -> None:
    """A batch of sources of several lengths, padded there, sorted and leaving one by one here."""
    model, net = pair(case)
    source, known, _ = batch()
    found = answers(net, [row[there].numpy() for row, there in zip(source, known, strict=True)], settings, MARKS)
    made = model.generate(
        input_ids=source, attention_mask=known.long(), num_beams=settings.beams, num_return_sequences=settings.best, do_sample=False,
        max_new_tokens=settings.max_tokens, min_new_tokens=settings.min_tokens or None, no_repeat_ngram_size=settings.no_repeat,
        length_penalty=settings.length_penalty, bad_words_ids=[[PAD]], return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    own = [one for best in found for one in best]
    assert [one.tokens for one in own] == [[token for token in row[1:].tolist() if token not in (PAD, END)] for row in made.sequences]
    if settings.beams > 1:
        assert [one.score for one in own] == pytest.approx(made.sequences_scores.tolist(), abs=1e-4)


@every
def test_folders_go_both_ways(case: str, tmp_path: Path) -> None:
    model, net = pair(case)
    model.save_pretrained(tmp_path / "theirs")
    read, marks = sequences.load(tmp_path / "theirs")
    assert marks == MARKS
    assert read.config == net.config
    assert all(torch.equal(tensor, read.state_dict()[name]) for name, tensor in net.state_dict().items())
    sequences.save(tmp_path / "ours", net, model.config.model_type, MARKS)
    twin = type(model).from_pretrained(tmp_path / "ours").eval()
    with torch.no_grad():
        assert torch.equal(theirs(twin), theirs(model))


def test_pieces_of_a_t5_folder_are_those_of_transformers(tmp_path: Path) -> None:
    """The `tokenizer.json` that their class writes, marks and all."""
    words = ["▁", "▁the", "▁cat", "s", "▁a", "t", "c", "a", "▁天", "地", "h", "e", "▁th"]
    scored = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *[(word, -1.0 - place / 7) for place, word in enumerate(words)]]
    library = transformers.T5Tokenizer(vocab=scored, extra_ids=3)
    model, _ = pair("t5")
    model.save_pretrained(tmp_path)
    library.save_pretrained(tmp_path)
    own, _ = tokenizers_of(tmp_path)
    for text in ("the cats at the chat", "  天地  a cat ", "z天", "catthe"):
        ids = library(text, add_special_tokens=False).input_ids
        assert own.encode([text]).flat().tolist() == ids
        if 2 not in ids:
            assert own.decode([*ids, 1, 0]) == library.decode(ids)


def test_sources_beyond_one_batch_are_answered_alike() -> None:
    model, net = pair("marian")
    generator = np.random.default_rng(1)
    sources = [generator.integers(2, TOKENS, length) for length in generator.integers(1, 40, 70)]
    found = answers(net, sources, Search(beams=4, max_tokens=23), MARKS)
    for source, (best,) in list(zip(sources, found, strict=True))[::7]:
        made = model.generate(torch.from_numpy(source)[None], num_beams=4, max_new_tokens=23, bad_words_ids=[[PAD]])
        assert best.tokens == [token for token in made[0, 1:].tolist() if token not in (PAD, END)]


def test_a_recipe_reads_a_folder_as_transformers_does(tmp_path: Path) -> None:
    """Before any training: texts in, texts out, by the files that their own classes wrote."""
    words = ["▁", "▁the", "▁cat", "s", "▁a", "t", "c", "a", "▁天", "地", "h", "e", "▁th"]
    scored = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *[(word, -1.0 - place / 7) for place, word in enumerate(words)]]
    library = transformers.T5Tokenizer(vocab=scored, extra_ids=3)
    torch.manual_seed(4)
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(**T5 | {"vocab_size": 21})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(tmp_path)
    library.save_pretrained(tmp_path)
    config = TextToText.Config(
        inputs={"source": {"kind": "text"}},
        target="target",
        model={"kind": "encoder_decoder", "pretrained": str(tmp_path)},
        prefix="the a: ",
        generation=Search(beams=1, max_tokens=9),
    )
    frame = pl.DataFrame({"source": ["the cats at the chat", "天地  a cat", "catthe"], "target": ["a", "the", "天"]})
    task = TextToText(config, TextToText(config).fit(frame))
    net = fresh(task).eval()
    asked = frame.drop("target")
    batch = task.collate(task.arrange(task.encode(asked), None), Draw(0, 0, np.arange(3), training=False))
    found = task.answer(task.predict(net, batch))["text"].to_list()
    for text, own in zip(frame["source"], found, strict=True):
        read = library(f"the a: {text}", return_tensors="pt")
        made = model.generate(**read, max_new_tokens=9, do_sample=False, bad_words_ids=[[PAD]])
        assert own == library.decode(made[0], skip_special_tokens=True).strip()
    assert any(found)
