"""Checkpoint folders: what is written is read back to the bit; what is not exactly such a folder is refused by name, and nothing runs."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luban.checkpoints import folder, shards
from luban.checkpoints.filling import fill
from luban.errors import BundleError

CONFIG = {"model_type": "bert", "hidden_size": 6, "layer_norm_eps": 1e-12, "label": "标签", "list": [1, 2], "none": None}
TOKENIZER = {"tokenizer.json": b'{"version": "1.0"}', "vocab.txt": "[PAD]\n好\n".encode()}


def tensors() -> dict[str, Tensor]:
    """Of every type and odd shapes; two share their memory."""
    torch.manual_seed(0)
    shared = torch.randn(5, 3)
    found = {
        "b.weight": torch.randn(7, 3),
        "a.weight": shared,
        "tied": shared.view(3, 5),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
    }
    types = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool)
    found |= {f"of.{number}": torch.randn(2, 11).mul(3).to(kind) for number, kind in enumerate(types)}
    return found | {"turned": torch.randn(4, 6).T}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype
        assert tensor.shape == other[name].shape
        assert (
            tensor.contiguous().view(torch.uint8).equal(other[name].contiguous().view(torch.uint8))
            if tensor.ndim
            else tensor == other[name]
        )


@pytest.mark.parametrize("shard_bytes", [10**9, 200, 1])
def test_what_is_written_is_read_to_the_bit(shard_bytes: int, tmp_path: Path) -> None:
    folder.write(tmp_path / "one", CONFIG, tensors(), TOKENIZER, shard_bytes=shard_bytes)
    config, found = folder.read(tmp_path / "one")
    assert config == CONFIG
    assert list(config) == list(CONFIG)
    same(tensors(), found)
    assert folder.read_tokenizer(tmp_path / "one") == TOKENIZER
    folder.write(tmp_path / "two", config, found, folder.read_tokenizer(tmp_path / "one"), shard_bytes=shard_bytes)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_it_is_what_safetensors_itself_reads_and_writes(tmp_path: Path) -> None:
    folder.write(tmp_path / "ours", CONFIG, tensors())
    same(tensors(), load_file(tmp_path / "ours" / shards.WHOLE))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(CONFIG))
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors().items()}, tmp_path / "theirs" / shards.WHOLE)
    same(tensors(), folder.read_weights(tmp_path / "theirs"))


def test_shards_and_their_index(tmp_path: Path) -> None:
    weights = {"a": torch.zeros(10), "b": torch.zeros(10), "c": torch.zeros(30), "d": torch.zeros(1)}
    folder.write(tmp_path / "x", {}, weights, shard_bytes=80)
    index = json.loads((tmp_path / "x" / shards.INDEX).read_text())
    first, second, third = (f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3))
    assert index == {"metadata": {"total_size": 204}, "weight_map": {"a": first, "b": first, "c": second, "d": third}}


def test_an_older_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder.write(tmp_path / "x", {}, {"a": torch.zeros(100)}, TOKENIZER, shard_bytes=1)
    folder.write(tmp_path / "x", {"new": 1}, {"a": torch.zeros(3)})
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["config.json", "model.safetensors"]


def test_tensors_are_mapped_not_read(tmp_path: Path) -> None:
    folder.write(tmp_path / "x", {}, {"large": torch.zeros(60_000_000), "small": torch.ones(3)})
    before = resident()
    found = folder.read_weights(tmp_path / "x")
    assert found["small"].sum() == 3
    assert resident() - before < 60_000_000, "240 MB were read to look at three numbers"


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if Path("/proc/self/statm").exists() else 0


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "run")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin", "model.pt"])
def test_pickled_weights_are_refused_with_the_way_to_convert(name: str, tmp_path: Path) -> None:
    folder.write(tmp_path / "x", CONFIG, {"a": torch.zeros(3)})
    (tmp_path / "x" / shards.WHOLE).unlink()
    (tmp_path / "x" / name).write_bytes(pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(BundleError) as caught:
        folder.read(tmp_path / "x")
    assert caught.value.code == "L433"
    assert "save_pretrained" in caught.value.fix
    assert not (tmp_path / "canary").exists()


def whole(place: Path) -> None:
    """Everything there is to read."""
    folder.read(place)
    folder.read_tokenizer(place)


def put(name: str, content: bytes) -> Callable[[Path], Any]:
    """A file with other content."""
    return lambda place: (place / name).write_bytes(content)


def link(name: str) -> Callable[[Path], Any]:
    """A file that is a link to itself elsewhere."""

    def change(place: Path) -> None:
        shutil.move(place / name, place.parent / "elsewhere")
        (place / name).symlink_to(place.parent / "elsewhere")

    return change


def index(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Another index."""

    def write(place: Path) -> None:
        value = json.loads((place / shards.INDEX).read_text())
        change(value)
        (place / shards.INDEX).write_text(json.dumps(value))

    return write


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Another head of the first shard."""

    def write(place: Path) -> None:
        path = next(iter(sorted(place.glob("model-*.safetensors"))))
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        value = json.loads(data[8 : 8 + length])
        change(value)
        new = json.dumps(value).encode()
        path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])

    return write


SHARD = "model-00001-of-00002.safetensors"
WRONG = {
    "no config": (lambda place: (place / "config.json").unlink(), "L430"),
    "config is a list": (put("config.json", b"[]"), "L432"),
    "config twice": (put("config.json", b'{"a": 1, "a": 2}'), "L432"),
    "config not finite": (put("config.json", b'{"a": NaN}'), "L432"),
    "config huge": (put("config.json", b'"' + b"a" * folder.MOST_CONFIG + b'"'), "L432"),
    "config deep": (put("config.json", b"[" * 100_000), "L432"),
    "config a link": (link("config.json"), "L431"),
    "weights a link": (link(SHARD), "L431"),
    "index a link": (link(shards.INDEX), "L431"),
    "tokenizer a link": (link("vocab.txt"), "L431"),
    "a pipe": (lambda place: ((place / SHARD).unlink(), os.mkfifo(place / SHARD)), "L431"),
    "shard missing": (lambda place: (place / SHARD).unlink(), "L431"),
    "shard elsewhere": (index(lambda value: value["weight_map"].update(a="../elsewhere.safetensors")), "L434"),
    "shard absolute": (index(lambda value: value["weight_map"].update(a="/etc/passwd.safetensors")), "L434"),
    "shard of another kind": (index(lambda value: value["weight_map"].update(a="pytorch_model.bin")), "L434"),
    "no map": (index(lambda value: value.pop("weight_map")), "L434"),
    "map of numbers": (index(lambda value: value.update(weight_map={"a": 1})), "L434"),
    "tensor in no shard": (index(lambda value: value["weight_map"].update(more=SHARD)), "L435"),
    "tensor not in the index": (index(lambda value: value["weight_map"].pop("b")), "L435"),
    "head cut": (lambda place: os.truncate(place / SHARD, 7), "L434"),
    "data cut": (lambda place: os.truncate(place / SHARD, (place / SHARD).stat().st_size - 1), "L434"),
    "data longer": (lambda place: os.truncate(place / SHARD, (place / SHARD).stat().st_size + 1), "L434"),
    "head of a terabyte": (put(SHARD, (2**40).to_bytes(8, "little") + b"{}"), "L434"),
    "shape beyond the data": (header(lambda value: value["a"].update(shape=[2**62, 2**62])), "L434"),
    "negative shape": (header(lambda value: value["a"].update(shape=[-5, -3])), "L434"),
    "another type": (header(lambda value: value["a"].update(dtype="F64")), "L434"),
    "unknown type": (header(lambda value: value["a"].update(dtype="PICKLE")), "L434"),
    "overlap": (header(lambda value: value["b"].update(data_offsets=value["a"]["data_offsets"])), "L434"),
    "no offsets": (header(lambda value: value["a"].pop("data_offsets")), "L434"),
    "shape a text": (header(lambda value: value["a"].update(shape="many")), "L434"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_such_folder_is_refused_by_its_code(name: str, tmp_path: Path) -> None:
    change, code = WRONG[name]
    place = tmp_path / "x"
    folder.write(place, CONFIG, {"a": torch.randn(5, 3), "b": torch.randn(5, 3), "c": torch.randn(40)}, TOKENIZER, shard_bytes=130)
    assert (place / SHARD).is_file()
    change(place)
    with pytest.raises(BundleError) as caught:
        whole(place)
    assert caught.value.code == code
    assert caught.value.where.startswith(str(place))


def test_a_folder_that_is_not_there_or_holds_folders_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        folder.read(tmp_path / "nowhere")
    assert caught.value.code == "L430"
    folder.write(tmp_path / "all" / "minilm", CONFIG, {"a": torch.zeros(3)})
    with pytest.raises(BundleError) as caught:
        folder.read(tmp_path / "all")
    assert caught.value.allowed == ("minilm",)


def test_a_tokenizer_file_of_another_name_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        folder.write(tmp_path / "x", {}, {}, {"../vocab.txt": b""})
    assert caught.value.code == "L439"
    assert not (tmp_path / "x").exists()


def test_a_thousand_damaged_folders_end_in_a_code_or_in_tensors(tmp_path: Path) -> None:
    place, rng = tmp_path / "x", random.Random(0)
    folder.write(place, CONFIG, {"a": torch.randn(5, 3), "b": torch.randn(7)}, TOKENIZER, shard_bytes=64)
    kept = {path.name: path.read_bytes() for path in place.iterdir()}
    refused = 0
    for _ in range(1000):
        name = rng.choice(sorted(kept))
        data = bytearray(kept[name])
        place_in = rng.randrange(len(data))
        data[place_in] ^= 1 << rng.randrange(8)
        (place / name).write_bytes(bytes(data) if rng.random() < 0.8 else bytes(data[:place_in]))
        try:
            whole(place)
        except BundleError:
            refused += 1
        (place / name).write_bytes(kept[name])
    assert refused > 300


# --- filling


def net() -> nn.Module:
    """A tied layer, and a buffer that is saved beside one that is not."""
    made = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7), nn.BatchNorm1d(7, affine=False))
    made[1].weight = made[0].weight
    made.register_buffer("kept_back", torch.zeros(3), persistent=False)
    return made


def weights() -> dict[str, Tensor]:
    torch.manual_seed(1)
    found = {"0.weight": torch.randn(7, 5).bfloat16(), "1.bias": torch.randn(7), "2.running_mean": torch.randn(7)}
    return found | {"2.running_var": torch.rand(7), "2.num_batches_tracked": torch.tensor(3)}


def test_filling_takes_every_tensor() -> None:
    made = net()
    fill(made, weights(), where="x")
    assert made[1].weight is made[0].weight
    for name, tensor in weights().items():
        assert torch.equal(made.state_dict()[name], tensor.to(made.state_dict()[name].dtype))


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"1.bias": None}, "L435", "1.bias"),
        ({"9.bias": torch.zeros(7)}, "L435", "9.bias"),
        ({"1.weight": torch.zeros(7, 5)}, "L435", "1.weight"),
        ({"0.weight": torch.zeros(8, 5)}, "L436", "0.weight"),
        ({"1.bias": torch.full((7,), torch.nan)}, "L440", "1.bias"),
        ({"0.weight": torch.full((7, 5), torch.inf)}, "L440", "0.weight"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], code: str, named: str) -> None:
    given = {name: tensor for name, tensor in (weights() | change).items() if tensor is not None}
    with pytest.raises(BundleError) as caught:
        fill(net(), given, where="x")
    assert caught.value.code == code
    assert named in str(caught.value)


def test_fresh_parts_keep_their_first_weights() -> None:
    made = net()
    before = made[1].bias.clone()
    fill(made, {name: tensor for name, tensor in weights().items() if name != "1.bias"}, where="x", fresh=("1.bias",))
    assert torch.equal(made[1].bias, before)
