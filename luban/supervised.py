"""Supervised learning over any mix of typed columns: encode each input by its kind, build the network its recipe names.

`classification` and `regression` stand on this; they add a target, a loss, an answer and marks.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from luban import architecture, catalog, pretrained
from luban.columns import Columns, Reject
from luban.errors import DataError, RecipeError, warn
from luban.kinds import Spec
from luban.messages import tr
from luban.models.fused import Fused
from luban.models.probe import Probe
from luban.schema import validate

if TYPE_CHECKING:
    from torch import nn

    from luban.draw import Draw

Sections = dict[str, dict[str, Any]]
NETWORK = tuple(f.name for f in dataclasses.fields(Fused.Config))
COMMON = ("kind", "size", "encoders", *NETWORK)
CHUNK = 8192
FLAT_KINDS = ("number", "category", "text", "date")
TARGET = "\x00target"  # no column of a user has this name
RUNGS = ("majority", "linear", "boosted")  # cheapest first


def fit_inputs(inputs: Sections, table: pl.DataFrame, model: dict[str, Any] | None = None) -> dict[str, Spec]:
    """One spec per column, from training rows, or from the checkpoint that reads it. Raises DataError L201 for a missing column.

    Columns of the same kind and options are fitted together where the kind can: texts share their vocabulary.
    """
    configs = {
        column: validate(catalog.load("kinds", section["kind"]).Config, without(section, "kind"), where=f"inputs.{column}")
        for column, section in inputs.items()
    }
    for column in inputs:
        column_of(table, column)
    specs = adopted(inputs, configs, model) if model else {}
    for column, section in inputs.items():
        kind, config = catalog.load("kinds", section["kind"]), configs[column]
        if column not in specs and hasattr(kind, "fit_together"):
            alike = [n for n, other in inputs.items() if n not in specs and other["kind"] == section["kind"] and configs[n] == config]
            spec: Spec = kind.fit_together([of_kind(column_of(table, name), section["kind"]) for name in alike], config)
            for name in alike:
                specs[name] = spec
        elif column not in specs:
            specs[column] = kind.fit(of_kind(column_of(table, column), section["kind"]), config)
    return {column: specs[column] for column in inputs}


def adopted(inputs: Sections, configs: dict[str, Any], model: dict[str, Any]) -> dict[str, Spec]:
    """The specs of the columns that a pretrained encoder reads; columns read as one share its places."""
    specs: dict[str, Spec] = {}
    for section, columns in assign({column: part["kind"] for column, part in inputs.items()}, model):
        if section.get("pretrained"):
            for column in columns:
                spec = pretrained.adopt(section, configs[column])
                pretrained.settings_of(section, spec)
                specs[column] = spec | {"max_length": max(2, spec["max_length"] // len(columns))}
    return specs


def hollow(state: Any) -> Any:
    """The state without what stands in its tables, which `check_specs` looks at one by one."""
    return {key: {} if isinstance(value, dict) else value for key, value in state.items()} if isinstance(state, dict) else state


def check_specs(inputs: Sections, specs: dict[str, Spec], target: Spec, targets: tuple[str, ...]) -> None:
    """Hold the specs of a state from a stranger against the recipe and the kinds. Raises RecipeError L104 … L106, L123."""
    if not all(isinstance(spec, dict) for spec in specs.values()):
        raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: inputs")
    if {column: section["kind"] for column, section in inputs.items()} != {column: spec.get("kind") for column, spec in specs.items()}:
        raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: inputs")
    if target.get("kind") not in targets:
        raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: target", received=target.get("kind"))
    for column, spec in {**specs, TARGET: target}.items():
        fitted = catalog.load("kinds", spec["kind"]).Fitted
        validate(fitted, without(spec, "kind"), where=f"state.json: {'target' if column == TARGET else column}")


def column_of(table: pl.DataFrame, column: str) -> pl.Series:
    """The column, or an error with the nearest name."""
    if column not in table.columns:
        raise DataError("L201", tr("no such column"), where=f"inputs.{column}", received=column, allowed=table.columns)
    return table[column]


def of_kind(series: pl.Series, kind: str) -> pl.Series:
    """The series, if its cells can be of that kind. Raises DataError L234 for lists where single values are wanted."""
    if series.dtype.is_nested() and kind in FLAT_KINDS:
        fix = tr("name the kind tags (names) or series (numbers)")
        raise DataError("L234", tr("the cells hold lists, not single values"), where=series.name, received=kind, fix=fix)
    return series


def encode_table(table: pl.DataFrame, specs: dict[str, Spec], *, names: dict[str, str] | None = None) -> Columns:
    """Columns of all rows but those at fault, which are listed; in chunks, so that memory stays bounded.

    `names` maps a spec's name to the table's column where they differ.
    """
    names = names or {}
    parts = [encode_chunk(table[start : start + CHUNK], specs, names).shift(start) for start in range(0, max(1, len(table)), CHUNK)]
    return Columns.join(parts) if len(parts) > 1 else parts[0]


def encode_chunk(table: pl.DataFrame, specs: dict[str, Spec], names: dict[str, str]) -> Columns:
    """One chunk; a row with a fault in any column is left out and named once."""
    encoded = {
        name: catalog.load("kinds", spec["kind"]).encode(of_kind(column_of(table, names.get(name, name)), spec["kind"]), spec)
        for name, spec in specs.items()
    }
    faults: dict[int, Reject] = {}
    for name, (_, found, _) in encoded.items():
        column = names.get(name, name)
        for place, reason in found.items():
            faults.setdefault(place, Reject(place, column, reason, str(table[column][place])[:80]))
    sizes = [size for _, _, size in encoded.values() if size is not None]
    total = np.sum(sizes, axis=0).astype(np.int64) if sizes else None
    columns = Columns({column: values for column, (values, _, _) in encoded.items()}, np.arange(len(table)), total)
    if faults:
        columns = columns.take(np.setdiff1d(columns.row, list(faults)))
    return replace(columns, rejects=tuple(faults[place] for place in sorted(faults)))


def say_missing(count: int, target: str) -> None:
    """Rows without a target are named once, when the table is read."""
    if count:
        warn("W230", tr("{n} rows have no label; they neither train nor test", n=count), where=target)


def with_column(columns: Columns, name: str, values: Any) -> Columns:
    """The columns and one more, given for all rows of the table."""
    kept = values.take(columns.row) if hasattr(values, "take") and hasattr(values, "starts") else values[columns.row]
    return replace(columns, data=columns.data | {name: kept})


def collate_inputs(examples: Columns, specs: dict[str, Spec], draw: Draw) -> dict[str, Any]:
    """Tensors by column; each column draws under its own name."""
    return {
        column: catalog.load("kinds", spec["kind"]).collate(examples[column], spec, draw.within(column)) for column, spec in specs.items()
    }


def build(model: dict[str, Any], specs: dict[str, Spec], out_dim: int, *, aim: str) -> nn.Module:
    """The predictor a model section names; `aim` is `label`, `tags` or `number`."""
    kind = network_kind(model, specs)
    entry = catalog.find("models", kind)
    if entry.role == "predictor":
        predictor = catalog.load("models", kind)
        taken = {column: spec for column, spec in specs.items() if spec["kind"] in entry.takes}
        return predictor(model_config(model), taken, out_dim, aim=aim)
    encoders = [encoder_of(section, {column: specs[column] for column in columns}) for section, columns in groups(model, specs)]
    if is_solved(model, specs):
        return Probe(validate(Probe.Config, {"adapt": adaptation(model, specs)}, where="model"), encoders, out_dim, aim=aim)
    network = {key: model[key] for key in NETWORK if key in model}
    return Fused(validate(Fused.Config, network, where="model"), encoders, out_dim)


def groups(model: dict[str, Any], specs: dict[str, Spec]) -> list[tuple[dict[str, Any], list[str]]]:
    """(encoder section, its columns) in the order the encoders are built."""
    assigned = assign({column: spec["kind"] for column, spec in specs.items()}, model)
    return [(section, columns) for section, group in assigned for columns in of_one_vocabulary(group, specs)]


def encoder_of(section: dict[str, Any], specs: dict[str, Spec]) -> nn.Module:
    """One encoder, with its first weights; a pretrained one of the checkpoint's sizes, ready to be filled."""
    encoder = catalog.load("models", section["kind"])
    if not section.get("pretrained"):
        return encoder(model_config(section), specs)
    settings = pretrained.settings_of(section, next(iter(specs.values())))
    net = encoder(validate(encoder.Config, settings, where="model"), specs)
    pretrained.prepare(net, pretrained.adapting(section))
    return net


def start(net: nn.Module, model: dict[str, Any], specs: dict[str, Spec]) -> None:
    """Fill the pretrained encoders of a fresh net from their checkpoints. Raises BundleError L430 … L440."""
    if catalog.find("models", network_kind(model, specs)).role == "predictor":
        return
    for (section, columns), encoder in zip(groups(model, specs), net.encoders, strict=True):  # type: ignore[arg-type]
        if section.get("pretrained"):
            pretrained.load(encoder, section, specs[columns[0]])


def adaptation(model: dict[str, Any], inputs: dict[str, Any]) -> str:
    """How a pretrained model is trained further: as the recipe says, else `auto` where it reads every input, else `full`."""
    if not model.get("pretrained"):
        return "full"
    alone = all(section["kind"] in catalog.find("models", model["kind"]).takes for section in inputs.values())
    plain = not any(key in model for key in ("encoders", *NETWORK))
    return model.get("adapt") or ("auto" if alone and plain and not model.get("freeze") else "full")


def is_solved(model: dict[str, Any], inputs: dict[str, Any]) -> bool:
    """Whether the model of a section is solved rather than stepped; nothing is built."""
    if model["kind"] == "auto":
        return False
    headed = catalog.find("models", model["kind"]).role == "encoder" and adaptation(model, inputs) in pretrained.SOLVED
    return headed or hasattr(catalog.load("models", model["kind"]), "solve")


def of_one_vocabulary(columns: list[str], specs: dict[str, Spec]) -> list[list[str]]:
    """The columns of a group, texts of different vocabularies apart."""
    groups: dict[str, list[str]] = {}
    for column in columns:
        groups.setdefault(specs[column].get("tokenizer", ""), []).append(column)
    return list(groups.values())


def network_kind(model: dict[str, Any], specs: dict[str, Any]) -> str:
    """The model's kind; `auto` stands for the default network of the input that says most."""
    if model["kind"] != "auto":
        return model["kind"]
    kinds = [spec["kind"] for spec in specs.values()]
    first = next((kind for kind in ("image", "text", "series") if kind in kinds), kinds[0])
    return catalog.find("kinds", first).stated["ENCODER"]


def assign(kinds: dict[str, str], model: dict[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """(encoder section, its columns): one encoder for each column, or for all where the model reads many."""
    groups: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for column, kind in kinds.items():
        section = encoder_section(column, kind, model, kinds)
        many = kind in catalog.find("models", section["kind"]).stated.get("MANY", ())
        key = repr(section) if many else column
        groups.setdefault(key, (section, []))[1].append(column)
    return list(groups.values())


def encoder_section(column: str, kind: str, model: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    """Named for the column, else for its kind, else the model itself if it takes the kind, else the kind's default."""
    named = model.get("encoders", {})
    for key in (column, kind):
        if key in named:
            return {"size": model["size"]} | as_section(named[key], f"model.encoders.{key}")
    own = network_kind(model, {c: {"kind": k} for c, k in kinds.items()})
    if kind in catalog.find("models", own).takes:
        return {"kind": own, "size": model["size"]} | without(model, *COMMON)
    return {"kind": catalog.find("kinds", kind).stated["ENCODER"], "size": model["size"]}


def as_section(value: Any, where: str) -> dict[str, Any]:
    """`"lstm"` as `{kind = "lstm"}`. Raises RecipeError L104, L105 for what names no model, or speaks of the whole network."""
    section = {"kind": value} if isinstance(value, str) else value
    if not isinstance(section, dict) or not isinstance(section.get("kind"), str):
        raise RecipeError("L105", tr("a kind, or a table of keys, is wanted here"), where=where, received=value)
    if foreign := [key for key in ("encoders", *NETWORK) if key in section]:
        raise RecipeError("L104", tr("this key belongs to the model, not to one encoder"), where=where, received=foreign[0])
    return section


def check_encoders(model: dict[str, Any], kinds: dict[str, str], where: str) -> None:
    """Refuse an encoder for a column that is not there. Raises RecipeError L104, L105."""
    named = model.get("encoders", {})
    if not isinstance(named, dict):
        raise RecipeError("L105", tr("a table of keys is wanted here"), where=f"{where}: model.encoders", received=named)
    for key in named:
        if key not in kinds and key not in kinds.values():
            good = [*kinds, *sorted(set(kinds.values()))]
            raise RecipeError("L104", tr("no input has this name or kind"), where=f"{where}: model.encoders", received=key, allowed=good)


def model_config(section: dict[str, Any], *, where: str = "model") -> Any:
    """The Config of a model, its size filled in, what the recipe says on top. Raises RecipeError L108 for an unknown size."""
    if pretrained.adapting(section, where).pretrained:
        model = catalog.load("models", section["kind"])
        return validate(model.Config, pretrained.settings_of(without(section, "encoders", *NETWORK), {}, where), where=where)
    return architecture.config_of(section, where=where, also=COMMON)


def check_kinds(inputs: Sections, where: str) -> None:
    """Refuse an unknown kind, or a setting that it does not have. Raises RecipeError L104, L105."""
    for column, section in inputs.items():
        kind = catalog.load("kinds", catalog.find("kinds", section["kind"], where=f"{where}: inputs.{column}").name)
        validate(kind.Config, without(section, "kind"), where=f"{where}: inputs.{column}", also=("kind",))


def check_model(inputs: Sections, model: dict[str, Any], where: str) -> None:
    """Refuse an unknown model, size or option, and a model that reads none of the inputs."""
    check_kinds(inputs, where)
    if model["kind"] == "auto" and not inputs:
        return
    kinds = {column: section["kind"] for column, section in inputs.items()}
    if model["kind"] != "auto":
        entry = catalog.find("models", model["kind"], where=f"{where}: model.kind")
        if entry.role not in ("encoder", "predictor") or not entry.takes:
            good = [e.name for e in catalog.entries("models").values() if e.role in ("encoder", "predictor") and e.takes]
            raise RecipeError(
                "L109", tr("this model is not for this task"), where=f"{where}: model.kind", received=model["kind"], allowed=good
            )
        unread = [column for column, kind in kinds.items() if kind not in entry.takes]
        if kinds and len(unread) == len(kinds):
            good = sorted({name for kind in kinds.values() for name in catalog.models_for(kind)})
            raise RecipeError(
                "L109", tr("this model reads none of the inputs"), where=f"{where}: model.kind", received=model["kind"], allowed=good
            )
        if unread and entry.role == "predictor":
            warn("W109", tr("{model} does not read {columns}", model=entry.name, columns=", ".join(unread)), where=f"{where}: model.kind")
        model_config(model, where=f"{where}: model")
        if entry.role == "predictor":
            if foreign := [key for key in ("encoders", *NETWORK) if key in model]:
                what = tr("{model} has no encoders and no head", model=entry.name)
                raise RecipeError("L104", what, where=f"{where}: model.{foreign[0]}", received=foreign[0])
            return
    if kinds:
        check_encoders(model, kinds, where)
        check_adaptation(model, inputs, where)
    for section, _ in assign(kinds, model):
        model_config(section, where=f"{where}: model")
    validate(Fused.Config, {key: model[key] for key in NETWORK if key in model}, where=f"{where}: model")


def check_adaptation(model: dict[str, Any], inputs: Sections, where: str) -> None:
    """Refuse a solved head beside inputs that its encoder does not read. Raises RecipeError L129."""
    if adaptation(model, inputs) not in pretrained.SOLVED:
        return
    takes = catalog.find("models", model["kind"]).takes
    unread = [column for column, section in inputs.items() if section["kind"] not in takes]
    foreign = [key for key in ("encoders", *NETWORK) if key in model]
    if unread or foreign:
        what = tr("this adaptation is a linear head on the vectors of one model alone")
        fix = tr("leave it out, or state adapt = {ways}", ways='"full"')
        raise RecipeError("L129", what, where=f"{where}: model.adapt", received=(unread + foreign)[0], fix=fix)


def rungs(model: dict[str, Any], specs: dict[str, Spec]) -> list[dict[str, Any]]:
    """Model sections cheaper than this one, cheapest first; with `auto`, the network stands last."""
    kinds = {spec["kind"] for spec in specs.values()}
    below = RUNGS[: RUNGS.index(model["kind"])] if model["kind"] in RUNGS else RUNGS
    size = "small" if model["size"] == "tiny" else model["size"]  # a small network is no reason for a weak baseline
    able = [{"kind": name, "size": size} for name in below if kinds & set(catalog.find("models", name).takes)]
    network = [model | {"kind": network_kind(model, specs)}] if model["kind"] == "auto" else []
    return able + network


def without(section: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The section less some keys."""
    return {key: value for key, value in section.items() if key not in keys}
