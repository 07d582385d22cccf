"""The tokenizers of encoder–decoder folders: SentencePiece's pieces as T5 and Marian bring them, one for sources and one for answers."""

from __future__ import annotations

from pathlib import Path

from luban.checkpoints import folder, sequences
from luban.errors import BundleError
from luban.messages import tr
from luban.tokenizing import unigram
from luban.tokenizing.tokenizer import Tokenizer

MARIAN_FILES = ("source.spm", "target.spm", "vocab.json")


def tokenizers_of(place: str | Path) -> tuple[Tokenizer, Tokenizer]:
    """Of sources and of answers: one of `tokenizer.json` or `spiece.model`, or Marian's two with `vocab.json`.

    Raises BundleError L430 … L432, L442 where files are missing, damaged or of another kind.
    """
    found, files = sequences.described(place), folder.read_tokenizer(place)
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
        ends = found.marks.end
        source, answer = (Tokenizer(form="given", tokenizer=side, begin=None, stops=ends) for side in sides)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        fix = tr("name a folder with the tokenizer files that the family's are trained with")
        raise BundleError("L442", tr("the tokenizer cannot be used: {why}", why=str(error)[:100]), where=str(place), fix=fix) from error
    if max(source.num_tokens, answer.num_tokens) > found.num_tokens:
        what = tr("the tokenizer knows more tokens than the model")
        raise BundleError("L441", what, where=str(place), received=source.num_tokens, allowed=[found.num_tokens])
    return source, answer
