"""A bundle's transformer as a checkpoint folder that others open; what was written is read again and must say the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from luban.bundle.eight_bits import is_light
from luban.bundle.model import Model, load
from luban.checkpoints import exporting, folder, gpt, sequences
from luban.checkpoints.filling import fill
from luban.errors import BundleError
from luban.generating.restraint import Marks
from luban.language import decoders, translators
from luban.layers import lora
from luban.messages import tr
from luban.models.bert import Bert
from luban.models.encoder_decoder import EncoderDecoder
from luban.models.gpt import Gpt

PAIRS = ("marian", "t5")  # of encoders and decoders
FIRST = ("llama", "qwen3", "qwen2", "gpt2")  # families, the ones that most programs open first
CLOSE = 1e-5  # of the logits, against their largest


def to_checkpoint(bundle: str | Path, place: str | Path) -> str:
    """Write it, and name the family. Raises BundleError L438, L442 for what no family holds, L444, L446; then nothing is left at `place`."""
    model, place = load(bundle), Path(place)
    if is_light(model.net):
        what, fix = tr("layers in 8 bits have no place in a checkpoint"), tr("export the bundle that they were made from")
        raise BundleError("L446", what, where=str(bundle), fix=fix)
    if place.exists():
        raise BundleError("L447", tr("something stands there already"), where=str(place), fix=tr("choose another with --out FOLDER"))
    try:
        return written(model, place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def written(model: Model, place: Path) -> str:
    """By the only transformer of the net."""
    found = [module for module in model.net.modules() if isinstance(module, Bert | Gpt | EncoderDecoder)]
    if len(found) != 1:
        what, fix = (
            tr("there is no one encoder or decoder that a checkpoint can hold"),
            tr("train one of the models bert, gpt, encoder_decoder"),
        )
        raise BundleError("L446", what, where=str(place), received=type(model.net).__name__, fix=fix)
    (net,) = found
    if isinstance(net, Gpt):
        return decoder(net, model, place)
    if isinstance(net, EncoderDecoder):
        return pair(net, model, place)
    spec = model.task.state["inputs"][net.columns[0]]
    exporting.export(place, net, spec, head=getattr(model.net, "head", None) if hasattr(model.net, "encoder") else None)
    return "bert"


def decoder(net: Gpt, model: Model, place: Path) -> str:
    """The first family that holds all its parts."""
    refused: BundleError | None = None
    for family in FIRST:
        try:
            decoders.save(place, net, model.task.tokenizer, family)
        except BundleError as error:
            if error.code != "L438":
                raise
            refused = refused or error
            continue
        compare(net, place, family)
        return family
    raise refused or BundleError("L438", tr("no family holds this decoder"), where=str(place))


def pair(net: EncoderDecoder, model: Model, place: Path) -> str:
    """The first family that holds all parts of an encoder and its decoder. Raises BundleError L438, L444."""
    sides, refused, whole = model.task.sides, None, lora.merged(net)
    marks = Marks(start=(sides.begin,), end=sides.answer.stops, never=sides.never)
    files = translators.files_of(model.task.state.get("adopted"), sides.source)
    for family in PAIRS:
        try:
            sequences.save(place, whole, family, marks, files)  # type: ignore[arg-type]
        except BundleError as error:
            if error.code != "L438":
                raise
            refused = refused or error
            continue
        again, _ = sequences.load(place)
        tokens = torch.linspace(0, net.num_tokens - 1, min(8, net.context)).long()[None]
        with torch.inference_mode():
            before, after = (
                made.eval()(tokens, torch.ones_like(tokens, dtype=torch.bool), tokens.flip(1)).float() for made in (net, again)
            )
        if not torch.allclose(before, after, rtol=0, atol=CLOSE * float(before.abs().max())):
            raise BundleError("L444", tr("what was written says something else than the bundle"), where=str(place))
        return family
    raise refused or BundleError("L438", tr("no family holds this decoder"), where=str(place))


def compare(net: Gpt, place: Path, family: str) -> None:
    """Raises BundleError L444 where the folder, read again, says something else."""
    whole: Any = lora.merged(net)
    config, tensors = folder.read(place)
    own, count = gpt.config_of(config, str(place))
    again = Gpt(own, count)
    fill(again, gpt.ours(tensors, own, family), where=str(place))
    tokens = torch.linspace(0, count - 1, min(16, own.context)).long()[None]
    before, after = (logits(part, tokens) for part in (whole, again))
    if not torch.allclose(before, after, rtol=0, atol=CLOSE * float(before.abs().max())):
        raise BundleError("L444", tr("what was written says something else than the bundle"), where=str(place))


def logits(net: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """(1, T, V)."""
    made: Any = net.eval()
    with torch.inference_mode():
        return made.logits(made.hidden(tokens)).float()
