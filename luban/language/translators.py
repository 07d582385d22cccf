"""Pretrained encoders with decoders in a recipe: `[model] kind = "encoder_decoder", pretrained = FOLDER`; what a checkpoint decides is kept in the state.

Their tokenizers are SentencePiece's pieces as T5 and Marian bring them, one for sources and one for answers, or Luban's byte pairs.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from luban.checkpoints import folder, sequences
from luban.errors import BundleError, DataError
from luban.layers import lora
from luban.messages import tr
from luban.tokenizing import unigram
from luban.tokenizing.tokenizer import Tokenizer

MARIAN_FILES = ("source.spm", "target.spm", "vocab.json")
TAGS = re.compile(r">>.{1,80}<<")  # what asks a Marian of many languages for one


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """What a checkpoint decided, beside its first tokenizer."""

    architecture: dict[str, Any]
    """The model's settings."""
    answers: dict[str, Any] | None
    """The tokenizer of answers; None = that of sources."""
    never: tuple[int, ...]
    """Tokens that no answer says: padding, then what begins it."""
    tags: tuple[int, ...]
    """Tokens that ask for each of the languages."""
    files: dict[str, str]
    """Its tokenizer's files as they were, in base64, to be given along when it is exported."""


def tokenizers_of(place: str | Path) -> tuple[Tokenizer, Tokenizer]:
    """Of sources and of answers: one of `tokenizer.json` or `spiece.model`, or Marian's two with `vocab.json`.

    Raises BundleError L430 … L432, L441, L442 where files are missing, damaged or of another kind.
    """
    return opened(sequences.described(place), folder.read_tokenizer(place), str(place))


def opened(found: sequences.Described, files: Mapping[str, bytes], place: str) -> tuple[Tokenizer, Tokenizer]:
    """From the files. Raises BundleError L441, L442."""
    try:
        if all(name in files for name in MARIAN_FILES):
            names = unigram.table_of(files["vocab.json"])
            sides = [unigram.as_json(unigram.placed(unigram.of_spm(files[name]), names)) for name in MARIAN_FILES[:2]]
        elif "tokenizer.json" in files:
            sides = [files["tokenizer.json"].decode()] * 2
        elif "spiece.model" in files:
            sides = [unigram.as_json(unigram.of_spm(files["spiece.model"]))] * 2
        else:
            raise ValueError(
                tr("{names} is missing", names=", ".join(MARIAN_FILES) if found.family == "marian" else "tokenizer.json, spiece.model")
            )
        begin, ends = found.marks.start[0], found.marks.end
        source, answer = (Tokenizer(form="given", tokenizer=side, begin=begin, stops=ends) for side in sides)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        fix = tr("name a folder with the tokenizer files that the family's are trained with")
        raise BundleError("L442", tr("the tokenizer cannot be used: {why}", why=str(error)[:100]), where=place, fix=fix) from error
    if max(source.num_tokens, answer.num_tokens) > found.num_tokens:
        what = tr("the tokenizer knows more tokens than the model")
        raise BundleError("L441", what, where=place, received=source.num_tokens, allowed=[found.num_tokens])
    return source, answer


def adopt(section: dict[str, Any], languages: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the spec of the sources' column, what else the state holds). Raises BundleError L430 … L442, DataError L682 for a language it has no mark for."""
    place = section["pretrained"]
    found, files = sequences.described(place), folder.read_tokenizer(place)
    source, answer = opened(found, files, str(place))
    adopted = Adopted(
        architecture=json.loads(json.dumps(asdict(found.config))),
        answers=None if answer.tokenizer == source.tokenizer else answer.as_spec(),
        never=found.marks.never,
        tags=tags_of(files, languages, str(place)),
        files={name: base64.b64encode(data).decode() for name, data in files.items()},
    )
    return source.as_spec(), {"num_tokens": found.num_tokens, "adopted": json.loads(json.dumps(asdict(adopted)))}


def tags_of(files: Mapping[str, bytes], languages: list[str], place: str) -> tuple[int, ...]:
    """The token of each language, by its name as it is or between >> and <<. Raises DataError L682."""
    names = unigram.table_of(files["vocab.json"]) if languages and all(name in files for name in MARIAN_FILES) else {}
    tags = {name: id for name, id in names.items() if TAGS.fullmatch(name)}
    found = [tags.get(language, tags.get(f">>{language}<<")) for language in languages]
    if None in found:
        what, fix = tr("the checkpoint has no mark for this language"), tr("leave out the column of languages, or name them as it does")
        known = [name[2:-2] for name in tags]
        raise DataError("L682", what, where=place, received=languages[found.index(None)], allowed=known, fix=fix)
    return tuple(id for id in found if id is not None)


def load(net: nn.Module, section: dict[str, Any]) -> None:
    """Put a checkpoint's weights into a net; adapters keep their beginning. Raises BundleError L430 … L440."""
    sequences.fill_from(net, section["pretrained"], fresh=lora.added(net))  # type: ignore[arg-type]


def files_of(adopted: Mapping[str, Any] | None, own: Tokenizer) -> dict[str, bytes]:
    """The tokenizer as files of a checkpoint folder: as they came, or Luban's byte pairs; none of what no folder can hold.

    Raises BundleError L442 where the bundle does not hold them whole.
    """
    if adopted is not None:
        try:
            return {name: base64.b64decode(data, validate=True) for name, data in adopted["files"].items()}
        except ValueError as error:
            raise BundleError(
                "L442", tr("the tokenizer cannot be used: {why}", why=str(error)[:100]), where="state.json: adopted.files"
            ) from error
    return {"tokenizer.json": own.tokenizer.encode()} if own.form == "bpe" else {}
