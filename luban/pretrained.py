"""Pretrained models in a recipe: `[model] pretrained = FOLDER`, and how much of one is trained further.

What a checkpoint decides (its sizes, its tokenizer) is learnt once by `adopt` and kept in the column's spec, so that a bundle never needs
the folder; its weights are put into a fresh net by `load`. Each family is a file `checkpoints/NAME.py` with `settings` and `ours`.
"""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from torch import nn

from luban import architecture, catalog
from luban.checkpoints import folder
from luban.checkpoints.filling import fill
from luban.checkpoints.paths import folders
from luban.errors import BundleError, RecipeError
from luban.files import digest
from luban.kinds.text import Text
from luban.layers import lora
from luban.messages import tr
from luban.schema import validate
from luban.tokenizing import subwords

RATE = {"full": 5e-5, "lora": 5e-4}  # of AdamW, where the recipe states none
EPOCHS = 4
KEPT = ("dropout", "attention_dropout", "pooling")  # settings of the model that the recipe may state beside a checkpoint
DROPOUT = ("dropout",)  # the same of models that say tokens
WHOLE = ("full", "lora")  # how these are adapted
SOLVED = ("auto", "frozen", "contrastive")


@dataclass(frozen=True, kw_only=True)
class Adapting:
    """Keys of `[model]` for a pretrained model."""

    pretrained: str | None = None
    """A checkpoint folder with `config.json`, `model.safetensors` and its tokenizer, seen from the recipe's folder. Sizes and tokenizer are
    then the checkpoint's. It is read in training alone: a bundle holds all it needs."""
    adapt: Literal["auto", "frozen", "contrastive", "full", "lora"] | None = None
    """What is trained: `frozen` a linear head on the model's vectors; `contrastive` the upper layers by pulling rows of one label together,
    then the head (few labels); `full` everything; `lora` thin matrices beside every linear layer; `auto` the best of frozen, contrastive and
    tuned upper layers by cross-validation within the training rows. Left out: `auto` where the model reads every input, else `full`."""
    freeze: Annotated[int, Ge(0), Le(512)] = 0
    """Lowest layers, and the tables below them, that are not trained; with `full`."""
    lora_rank: Annotated[int, Gt(0), Le(1024)] = 16
    """Width of the thin matrices."""
    lora_alpha: Annotated[float, Gt(0), Le(65_536)] = 16.0
    """The adapters count by this over the root of the rank."""
    lora_dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of values dropped before the adapters."""


KEYS = tuple(field.name for field in fields(Adapting))


def adapting(section: dict[str, Any], where: str = "model") -> Adapting:
    """The keys of a section. Raises RecipeError L105, L128 where one has no effect."""
    found = validate(Adapting, {key: value for key, value in section.items() if key in KEYS}, where=where)
    fix = tr("name a checkpoint folder: {example}", example='pretrained = "FOLDER"')
    if not found.pretrained and (stated := [key for key in KEYS if key in section]):
        raise RecipeError("L128", tr("this key belongs to a pretrained model"), where=f"{where}.{stated[0]}", fix=fix)
    if found.pretrained and section["kind"] not in families():
        raise RecipeError("L109", tr("this model takes no checkpoint"), where=f"{where}.kind", received=section["kind"], allowed=families())
    unheard = [key for key in section if key.startswith("lora_") and found.adapt != "lora"]
    unheard += ["freeze"] if found.freeze and found.adapt != "full" else []
    if unheard:
        what = tr("this key has no effect with adapt = {adapt}", adapt=repr(found.adapt or "auto"))
        raise RecipeError("L128", what, where=f"{where}.{unheard[0]}", fix=tr("leave it out, or state `adapt`"))
    return found


def families() -> list[str]:
    """Models whose checkpoints are read: those that a file of names beside this one names as its MODEL, or is called after."""
    names = (path.stem for path in Path(folder.__file__).parent.glob("[!_]*.py"))
    files = {name: importlib.import_module(f"luban.checkpoints.{name}") for name in names}
    return sorted({getattr(file, "MODEL", name) for name, file in files.items() if hasattr(file, "settings")})


def adopt(section: dict[str, Any], config: Any) -> dict[str, Any]:
    """The spec of a text column as the checkpoint has it. Raises BundleError L430 … L432, L437, L438, L441, L442."""
    place = section["pretrained"]
    names = importlib.import_module(f"luban.checkpoints.{section['kind']}")
    settings = names.settings(folder.read_config(place), place)
    try:
        parts = subwords.of_checkpoint(folder.read_tokenizer(place))
    except ValueError as error:
        fix = tr("name a folder with tokenizer.json, or vocab.txt and tokenizer_config.json")
        raise BundleError("L442", tr("the tokenizer cannot be used: {why}", why=str(error)[:100]), where=place, fix=fix) from error
    if len(parts.vocabulary) > settings["vocabulary"]:
        what = tr("the tokenizer knows more tokens than the model")
        raise BundleError("L441", what, where=place, received=len(parts.vocabulary), allowed=[settings["vocabulary"]])
    most = settings["positions"] - settings["first_position"]
    return Text.adopt(parts, config, most) | {"architecture": settings}


def settings_of(section: dict[str, Any], spec: dict[str, Any], where: str = "model") -> dict[str, Any]:
    """The model's settings: the checkpoint's, and what the recipe may say beside them. Raises RecipeError L129 for others."""
    return spec.get("architecture", {}) | stated(section, where, KEPT)


def stated(section: dict[str, Any], where: str, kept: tuple[str, ...]) -> dict[str, Any]:
    """What the recipe says of a model beside its checkpoint. Raises RecipeError L129 for what the checkpoint decides."""
    own = {key: value for key, value in section.items() if key not in (*KEYS, "kind", "size")}
    if other := [key for key in own if key not in kept]:
        what, fix = tr("with a checkpoint this is the checkpoint's"), tr("leave it out")
        raise RecipeError("L129", what, where=f"{where}.{other[0]}", received=own[other[0]], allowed=kept, fix=fix)
    return own


def check_speaker(section: dict[str, Any], where: str, kind: str) -> None:
    """Refuse a section of a model that says tokens, of which those of one kind have checkpoints. Raises RecipeError L104, L105, L108, L109, L128, L129."""
    how = adapting(section, where)
    if not how.pretrained:
        architecture.config_of(section, where=where)
        return
    if section["kind"] != kind:
        raise RecipeError("L109", tr("this model takes no checkpoint"), where=f"{where}.kind", received=section["kind"], allowed=[kind])
    if how.adapt is not None and how.adapt not in WHOLE:
        raise RecipeError("L129", tr("unknown value"), where=f"{where}.adapt", received=how.adapt, allowed=WHOLE)
    speaker_of(section, {}, where)


def speaker_of(section: dict[str, Any], found: dict[str, Any] | None, where: str = "model") -> Any:
    """The Config of such a model: what the checkpoint has and the recipe may add, or the recipe's own. Raises RecipeError L129."""
    if not section.get("pretrained"):
        return architecture.config_of(section, where=where)
    own = stated(section, where, DROPOUT)
    return validate(catalog.load("models", section["kind"]).Config, (found or {}) | own, where=where)


def prepare(net: nn.Module, how: Adapting) -> None:
    """Say which parameters of a pretrained net learn, and how fast; adapters are attached here."""
    if how.adapt == "lora":
        lora.attach(net, how.lora_rank, alpha=how.lora_alpha, dropout=how.lora_dropout)
    if how.freeze:
        check_depth(net, how.freeze)
        for part in net.lower(how.freeze):  # type: ignore[operator]
            part.requires_grad_(False)
    net.learning_rate, net.epochs = RATE.get(how.adapt or "full", RATE["full"]), EPOCHS  # type: ignore[assignment]
    net.muon_rate = None  # type: ignore[assignment]  # what a net asks for that knows nothing yet


def check_depth(net: nn.Module, depth: int) -> None:
    """Raises RecipeError L128 where more layers are to be frozen than there are."""
    layers = len(net.blocks)  # type: ignore[arg-type]
    if depth > layers:
        raise RecipeError(
            "L128", tr("more layers are frozen than there are"), where="model.freeze", received=depth, allowed=[f"0 … {layers}"]
        )


def load(net: nn.Module, section: dict[str, Any], spec: dict[str, Any], head: nn.Module | None = None) -> None:
    """Put a checkpoint's weights into a net, and into a head for hidden tokens where the checkpoint has one; adapters keep their beginning.

    Raises BundleError L430 … L440.
    """
    place = section["pretrained"]
    config, weights = folder.read(place)
    names = importlib.import_module(f"luban.checkpoints.{section['kind']}")
    pieces = subwords.opened(spec["tokenizer"])
    pad = 0 if pieces is None else pieces.parts.pad
    found = names.ours(config, weights, pooler=getattr(net, "pooler", None) is not None, head=head is not None, pad=pad)
    of_head = {name.removeprefix("head."): tensor for name, tensor in found.items() if name.startswith("head.")}
    fill(net, {name: tensor for name, tensor in found.items() if not name.startswith("head.")}, where=place, fresh=lora.added(net))
    if head is not None and of_head:
        fill(head, of_head, where=place)


def of_file(path: Path) -> str:
    """The digest of a checkpoint that is one file. Raises BundleError L431."""
    try:
        return digest(path)
    except OSError as error:
        raise BundleError("L431", tr("a file is missing, or is a link"), where=str(path), fix=tr("check the path")) from error


def fingerprint(model: dict[str, Any]) -> list[str]:
    """Of each checkpoint folder, what decides how rows are encoded: a digest of its configuration and tokenizer."""
    found: list[str] = []

    def note(path: str) -> str:
        if Path(path).suffix.lower() == ".gguf":
            found.append(of_file(Path(path)))
            return path
        whole = hashlib.sha256(repr(folder.read_config(path)).encode())
        for name, content in folder.read_tokenizer(path).items():
            whole.update(name.encode() + content)
        found.append(whole.hexdigest())
        return path

    folders(model, note)
    return found
