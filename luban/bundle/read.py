"""From the files of a bundle to a fitted task and its net; every part is held against what the others say before memory is taken."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn
from torch.nn.modules import module as modules

from luban import recipe as recipes
from luban import strict_json
from luban.bundle import eight_bits, golden, migrations
from luban.bundle import format as layout
from luban.capabilities import columns_read, used_beside
from luban.errors import BundleError
from luban.messages import tr
from luban.outline import outline

TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
DESCRIPTION = {"format", "luban", "name", "task", "recipe", "signature", "labels"}
MOST_HEADER = 16_000_000
MOST_NAME = 255


def open_bundle(folder: Path) -> tuple[dict[str, Any], Any, nn.Module, dict[str, Any], dict[str, Any]]:
    """Description, task, net, report and fingerprint. Raises BundleError L401 … L413; nothing else, whatever the folder holds."""
    files = layout.open_files(folder)
    try:
        return assemble(files)
    except BundleError:
        raise
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of a library written in Rust is no Exception
        why = error.line() if hasattr(error, "line") else str(error)  # type: ignore[attr-defined]
        raise BundleError("L407", tr("the bundle's parts do not fit together: {why}", why=why[:200]), where=str(folder)) from error


def assemble(files: layout.Files) -> tuple[dict[str, Any], Any, nn.Module, dict[str, Any], dict[str, Any]]:
    """The parts; the net is built without memory until its weights were found to fit."""
    check_weights, parts = files.begin_to_check_weights(), parts_of(files)
    description = parts["luban.json"]
    task = task_of(description, migrations.put_tokenizers(parts["state.json"], parts.get("tokenizers.json", {})), files.folder)
    shapes = header(files)
    with at_most(len(shapes), files.folder):
        net = outline(task)
        with torch.device("meta"):
            light = eight_bits.make_ready(net, shapes)
    check_shapes(net, shapes, files.folder)
    check_weights()
    net.load_state_dict(read_weights(files.folder), assign=True)
    if hasattr(net, "check_buffers"):
        net.check_buffers()  # type: ignore[operator]
    net.eval()
    lines, near = files.lines("golden.jsonl", golden.NUMBER_OF_ROWS), golden.LOOSE if light else golden.TOLERANCE
    golden.check(task, net, lines, str(files.folder), near)
    return description, task, net, parts.get("report.json", {}), parts.get("fingerprint.json", {})


def parts_of(files: layout.Files) -> migrations.Parts:
    """The values of the JSON files, in the newest format. Raises BundleError L402, L403."""
    parts = {name: files.value(name) for name in files.content if name.endswith(".json")}
    if wrong := [name for name, value in parts.items() if not isinstance(value, dict) and name != "state.json"]:
        raise BundleError("L403", tr("the file does not hold a table of names"), where=str(files.folder / wrong[0]))
    layout.check_format(parts["luban.json"].get("format"), files.folder)
    if parts["luban.json"]["format"] != files.format:
        raise BundleError("L402", tr("two files name two formats"), where=str(files.folder), received=parts["luban.json"]["format"])
    return migrations.migrate(parts, files.format)


def task_of(description: dict[str, Any], state: Any, folder: Path) -> Any:
    """The fitted task. Raises BundleError L409 where description and state are not such as Luban writes."""
    where, name = str(folder / "luban.json"), description.get("name")
    if set(description) != DESCRIPTION or not isinstance(name, str) or len(name) > MOST_NAME:
        raise BundleError("L409", tr("the description has other keys than those of a bundle"), where=where, received=sorted(description))
    if description["recipe"]["data"] != "":
        raise BundleError("L409", tr("the description says otherwise than recipe and state"), where=f"{where}: recipe.data")
    recipe = recipes.parse(description["recipe"] | {"data": "none"}, name=name)
    unfitted = recipe.make_task()
    task = type(unfitted)(unfitted.config, state)
    task.check_state()
    known = {"task": recipe.task["kind"], "signature": signature_of(recipe), "labels": getattr(task, "labels", None)}
    for key, value in known.items():
        if description[key] != value:
            raise BundleError("L409", tr("the description says otherwise than recipe and state"), where=f"{where}: {key}")
    return task


def signature_of(recipe: recipes.Recipe) -> dict[str, Any]:
    """Columns it reads and their kinds, the target, and what the task reads beside them."""
    task = recipe.make_task()
    inputs = {name: section["kind"] for name, section in recipe.inputs.items()}
    signature: dict[str, Any] = {
        "inputs": inputs | {name: kind for name, kind in used_beside(task).items() if kind},
        "target": recipe.target,
    }
    own = columns_read(task)
    return signature | ({"columns": own} if own else {})


def header(files: layout.Files) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of each tensor, as the head of the weights has them. Raises BundleError L410 for a head that cannot be."""
    path, size = files.folder / layout.WEIGHTS, files.weights["bytes"]
    with layout.open_plain(path) as file:
        length = int.from_bytes(file.read(8), "little")
        data = file.read(length) if length <= min(MOST_HEADER, size) else b""
    try:
        if not data or len(data) != length:
            raise ValueError(tr("its length is {n}", n=length))
        found = {name: facts for name, facts in strict_json.loads(data).items() if name != "__metadata__"}
        ends = [facts["data_offsets"][1] for facts in found.values()]
        if 8 + length + max(ends, default=0) != size:
            raise ValueError(tr("it speaks of another number of bytes than the file has"))
        return {name: (tuple(facts["shape"]), facts["dtype"]) for name, facts in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BundleError("L410", tr("the head of the weights is damaged: {why}", why=str(error)[:80]), where=str(path)) from error


@contextmanager
def at_most(count: int, folder: Path) -> Iterator[None]:
    """Within, building a net stops as soon as it has more tensors than there are weights: a depth of a million costs nothing."""
    built = itertools.count(1)

    def counted(module: nn.Module, name: str, tensor: Any) -> None:
        if tensor is not None and next(built) > 2 * count + 64:  # some are made twice
            raise BundleError("L407", tr("the model has more tensors than there are weights"), where=str(folder))

    hooks = [modules.register_module_parameter_registration_hook(counted), modules.register_module_buffer_registration_hook(counted)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def check_shapes(net: nn.Module, found: dict[str, tuple[tuple[int, ...], str]], folder: Path) -> None:
    """The weights must be the net's in name, shape and type. Raises BundleError L407."""
    wanted = {name: (tuple(tensor.shape), TYPES.get(tensor.dtype, "")) for name, tensor in net.state_dict().items()}
    if wanted != found:
        wrong = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
        raise BundleError("L407", tr("the weights are not those of this model: {name}", name=wrong[0][:80]), where=str(folder))


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights. Raises BundleError L411 where one is NaN or infinite."""
    with safe_open(folder / layout.WEIGHTS, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no mapping
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.numel() and not torch.stack(tensor.aminmax()).isfinite().all():
            raise BundleError("L411", tr("a weight is NaN or infinite: {name}", name=name), where=str(folder / layout.WEIGHTS))
    return weights
