"""A checkpoint folder: `config.json`, weights as safetensors (whole or in shards), tokenizer files; read without trusting it.

Nothing in a folder is run and no path is followed out of it: links are refused, JSON is strict and of bounded size, and pickled weights
are refused with the way to convert them. What is written is what transformers writes, and reads back to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from luban import strict_json
from luban.checkpoints import shards
from luban.errors import BundleError
from luban.files import open_plain, whole_folder
from luban.messages import tr

CONFIG = "config.json"
TOKENIZER_FILES = {  # bytes at most
    "tokenizer.json": 64_000_000,
    "tokenizer_config.json": 16_000_000,
    "special_tokens_map.json": 1_000_000,
    "added_tokens.json": 4_000_000,
    "vocab.txt": 32_000_000,
    "vocab.json": 32_000_000,
    "merges.txt": 32_000_000,
    "spiece.model": 32_000_000,
    "source.spm": 32_000_000,
    "target.spm": 32_000_000,
    "chat_template.jinja": 1_000_000,
    "generation_config.json": 1_000_000,
}
MOST_CONFIG = 4_000_000
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth", "model.ckpt")
FOREIGN = ("tf_model.h5", "flax_model.msgpack", "model.gguf", "model.onnx")
CONVERT = (
    'python -c "from transformers import AutoModel as M, AutoTokenizer as T; '
    "M.from_pretrained('OLD').save_pretrained('NEW'); T.from_pretrained('OLD').save_pretrained('NEW')\""
)


def read(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the weights, mapped from the disk: a tensor takes memory when it is looked at.

    Raises BundleError L430 … L434.
    """
    return read_config(folder), read_weights(folder)


def read_config(folder: str | Path) -> dict[str, Any]:
    """`config.json`. Raises BundleError L430 where there is no checkpoint, L431, L432."""
    folder = checked(folder)
    return read_json(folder, CONFIG, MOST_CONFIG)


def read_weights(folder: str | Path) -> dict[str, Tensor]:
    """The tensors by name. Raises BundleError L430 … L434."""
    folder = checked(folder)
    if not any((folder / name).exists() or (folder / name).is_symlink() for name in (shards.WHOLE, shards.INDEX)):
        raise no_weights(folder)
    if (folder / shards.WHOLE).exists() or (folder / shards.WHOLE).is_symlink():
        return shards.read_one(folder / shards.WHOLE)
    index = read_json(folder, shards.INDEX, shards.MOST_INDEX)
    return shards.read_all(folder, index)


def read_tokenizer(folder: str | Path) -> dict[str, bytes]:
    """Every tokenizer file there is, by name; not interpreted. Raises BundleError L430 … L432."""
    folder = checked(folder)
    return {name: read_file(folder, name, most) for name, most in TOKENIZER_FILES.items() if lies(folder / name)}


def write(
    folder: str | Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    tokenizer: Mapping[str, bytes] | None = None,
    *,
    shard_bytes: int = shards.SHARD_BYTES,
) -> None:
    """The folder, whole or not at all; an older one is replaced. Weights over `shard_bytes` are cut into shards with an index.

    Raises BundleError L439 for a tokenizer file of an unknown name.
    """
    if unknown := [name for name in tokenizer or {} if name not in TOKENIZER_FILES]:
        raise BundleError("L439", tr("no such tokenizer file"), where=str(folder), received=unknown[0], allowed=TOKENIZER_FILES)
    with whole_folder(Path(folder)) as beside:
        (beside / CONFIG).write_text(as_json(dict(config)), encoding="utf-8")
        for name, content in (tokenizer or {}).items():
            (beside / name).write_bytes(content)
        index = shards.write(beside, tensors, shard_bytes)
        if index is not None:
            (beside / shards.INDEX).write_text(as_json(index), encoding="utf-8")


def as_json(value: dict[str, Any]) -> str:
    """As transformers writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def checked(folder: str | Path) -> Path:
    """The folder. Raises BundleError L430 where it is none, or holds no configuration."""
    folder = Path(folder)
    if lies(folder / CONFIG):
        return folder
    below = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG}"))[:8] if folder.is_dir() else []
    fix = tr("name the folder that holds config.json and model.safetensors")
    what = tr("no checkpoint here") if folder.is_dir() else tr("no such folder")
    raise BundleError("L430", what, where=str(folder), allowed=below, fix=fix)


def lies(path: Path) -> bool:
    """Whether anything of this name is there, if only a link."""
    return path.is_symlink() or path.exists()


def no_weights(folder: Path) -> BundleError:
    """Why there is nothing to read: L433 where the weights are pickled, L430 where there are none."""
    found = [name for name in PICKLED if lies(folder / name)] or sorted(path.name for path in folder.glob("pytorch_model*.bin"))[:1]
    if found:
        what = tr("the weights are pickled: opening them could run any program")
        fix = tr("where you trust the source, convert them once: {command}", command=CONVERT)
        return BundleError("L433", what, where=str(folder), received=found[0], allowed=[shards.WHOLE], fix=fix)
    other = next((name for name in FOREIGN if lies(folder / name)), None)
    fix = tr("where you trust the source, convert them once: {command}", command=CONVERT)
    return BundleError("L430", tr("no weights here"), where=str(folder), received=other, allowed=[shards.WHOLE], fix=fix)


def read_json(folder: Path, name: str, most: int) -> dict[str, Any]:
    """A table in strict JSON. Raises BundleError L431, L432."""
    return parsed(folder / name, read_file(folder, name, most))


def parsed(path: Path, data: bytes) -> dict[str, Any]:
    """A table in strict JSON. Raises BundleError L432."""
    try:
        value = strict_json.loads(data)
    except ValueError as error:
        raise BundleError("L432", tr("the file is not JSON: {why}", why=str(error)[:80]), where=str(path)) from error
    if not isinstance(value, dict):
        raise BundleError("L432", tr("the file does not hold a table of names"), where=str(path))
    return value


def read_file(folder: Path, name: str, most: int) -> bytes:
    """A plain file of bounded size. Raises BundleError L431 for a link or what is no file, L432 for a larger one."""
    try:
        with open_plain(folder / name) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise not_plain(folder / name) from error
    if len(data) > most:
        raise BundleError("L432", tr("the file is larger than such a file can be"), where=str(folder / name), received=f"> {most}")
    return data


def not_plain(path: Path) -> BundleError:
    """L431: links are not followed."""
    fix = tr("copy the folder with its links resolved: cp -rL OLD NEW")
    return BundleError("L431", tr("a file is missing, or is a link"), where=str(path), fix=fix)
