"""luban predict BUNDLE DATA: answers for a file, for rows on stdin, or for a sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luban.cli.output import as_json_option, quiet_option
from luban.errors import DataError, RecipeError
from luban.messages import tr

if TYPE_CHECKING:
    import polars as pl

FORMATS = (".csv", ".jsonl", ".parquet")
PART = 100  # letters shown of a text within a list


@click.command("predict", help=tr("Answer the rows of a file, of JSON lines on stdin (-), or the texts given with --text."))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("data", required=False)
@click.option("--text", "texts", multiple=True, help=tr("A text to answer, for bundles with one text input; can be repeated."))
@click.option("--out", type=click.Path(path_type=Path), help=tr("Write answers to a .csv, .jsonl or .parquet file instead of stdout."))
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help=tr("Change a setting of the answer, such as a recommender's k=20."))
@click.option(
    "--reader", type=click.Path(path_type=Path), help=tr("A bundle of question-answering or chat that reads what one of documents finds.")
)
@as_json_option
@quiet_option
def command(
    bundle: Path, data: str | None, texts: tuple[str, ...], out: Path | None, sets: tuple[str, ...], reader: Path | None, as_json: bool
) -> None:
    """Predict."""
    import polars as pl

    import luban
    from luban.recipe import apply_sets

    if bool(data) == bool(texts):
        raise RecipeError("L192", tr("give DATA or --text, one of them"), where="luban predict")
    if out and out.suffix.lower() not in FORMATS:
        raise RecipeError("L193", tr("answers are written as csv, jsonl or parquet"), where="--out", received=out.suffix, allowed=FORMATS)
    model = luban.load(bundle)
    if out and data and data != "-" and not reader and in_blocks(model, bundle, Path(data), out):
        return
    rows, lines = rows_of(model, data, texts)
    answers = answers_to(model, reader, rows, apply_sets({}, sets))
    if lines is not None:
        answers = answers.with_columns(pl.Series("line", lines))
    if out:
        write(answers, out)
        click.echo(str(out))
        return
    if as_json:
        click.echo(json.dumps(answers.to_dicts(), ensure_ascii=False, default=str))
    elif sys.stdout.isatty() or texts:
        show_lines(answers, texts)
    else:
        click.echo(answers.write_ndjson(), nl=False)


def answers_to(model: Any, reader: Path | None, rows: pl.DataFrame, settings: dict[str, Any]) -> pl.DataFrame:
    """The answers, read on by another bundle where one is given."""
    if reader is None:
        return model.answers(rows, **settings)
    import luban
    from luban.bundle.reading_on import read_on

    return read_on(model, luban.load(reader), rows, **settings)


def in_blocks(model: Any, bundle: Path, path: Path, out: Path) -> bool:
    """Answer a file that is larger than memory likes; whether it was one."""
    from luban.run import answering

    if not answering.is_large(path):
        return False
    rows = answering.answer_file(model, bundle, path, out)
    if rows is not None:
        click.echo(str(out))
    return rows is not None


def rows_of(model: Any, data: str | None, texts: tuple[str, ...]) -> tuple[pl.DataFrame, list[int] | None]:
    """Raw rows, and their lines in the file where some were left out. Raises DataError L228 where stdin is not JSON lines, RecipeError L194 where a text does not fit."""
    import polars as pl

    inputs = model.signature["inputs"]
    if texts:
        if list(inputs.values()) != ["text"] or model.signature.get("columns"):
            raise RecipeError(
                "L194",
                tr("--text needs a bundle whose only input is a text"),
                where="--text",
                received=inputs,
                fix=tr("give a file with these columns"),
            )
        return pl.DataFrame({next(iter(inputs)): list(texts)}), None
    if data == "-":
        try:
            return pl.DataFrame([json.loads(line) for line in sys.stdin if line.strip()], infer_schema_length=None, strict=False), None
        except (ValueError, RecursionError, pl.exceptions.PolarsError) as error:
            raise DataError("L228", tr("stdin does not hold JSON lines: {why}", why=str(error)[:80]), where="-") from error
    from luban.data.reading import read

    source = read(str(data), model.asking, base=Path(), used=list(inputs))
    lost = [reject for reject in source.rejects if reject.record]
    return source.table, [source.origin.of(row)[1] for row in range(len(source.table))] if lost else None


def show_lines(answers: pl.DataFrame, texts: tuple[str, ...]) -> None:
    """A line for each answer, and one below it for each part of what it lists."""
    for place, answer in enumerate(answers.to_dicts()):
        parts = {name: value for name, value in answer.items() if isinstance(value, list) and value and isinstance(value[0], dict)}
        shown = line_of({name: value for name, value in answer.items() if name not in parts})
        click.echo(f"{texts[place]} → {shown}" if texts else f"{place + 1}: {shown}")
        for name, values in parts.items():
            for number, value in enumerate(values, 1):
                click.echo(f"   {name} {number}: {line_of(value, most=PART)}")


def line_of(values: dict[str, Any], *, most: int | None = None) -> str:
    """Names and values in one line, longer texts cut; what holds chances of many labels is left to --json and files."""
    return " · ".join(f"{name} {said(value, most)}" for name, value in values.items() if not isinstance(value, dict))


def said(value: Any, most: int | None) -> str:
    """One value as people read it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value) if most is None else " ".join(str(value).split())
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def write(answers: pl.DataFrame, out: Path) -> None:
    """In the format of the suffix; csv holds chances as columns."""
    import polars as pl

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".parquet":
            answers.write_parquet(out)
        elif out.suffix.lower() == ".jsonl":
            answers.write_ndjson(out)
        else:
            flat = answers.unnest("chances", separator=".") if "chances" in answers.columns else answers
            lists = [name for name, dtype in flat.schema.items() if isinstance(dtype, pl.List)]
            flat.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join("|") for name in lists).write_csv(out)
    except OSError as error:
        raise DataError("L229", tr("the answers cannot be written: {why}", why=error.strerror or str(error)), where=str(out)) from error
