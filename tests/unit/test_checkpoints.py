"""Checkpoints: whole or absent, two deep, a damaged one set aside, optimizers given back to the last bit."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from luban import files
from luban.errors import TrainingError
from luban.training import checkpoints, optimizers
from luban.training.settings import Training


def write(folder: Path, step: int) -> Path:
    return checkpoints.save(folder, step, {"net/weight": torch.full((3, 2), float(step))}, {"step": step, "best": -float("inf")})


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert checkpoints.load(tmp_path) is None
    write(tmp_path, 7)
    found = checkpoints.load(tmp_path)
    assert found is not None
    assert found[0]["net/weight"].tolist() == [[7.0, 7.0]] * 3
    assert found[1] == {"step": 7, "best": -float("inf")}


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 9, 10, 11):
        write(tmp_path, step)
    assert [path.name for path in checkpoints.checkpoints(tmp_path)] == ["step-000000011", "step-000000010"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json", "MANIFEST.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "absent", "empty"])
def test_a_damaged_one_is_set_aside_and_the_one_before_is_used(
    file: str, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 1)
    path = write(tmp_path, 2) / file
    content = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(
            {"cut": content[:middle], "empty": b"", "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]}[
                damage
            ]
        )
    with caplog.at_level(logging.WARNING, "luban"):
        found = checkpoints.load(tmp_path)
    assert found is not None
    assert found[1]["step"] == 1
    assert "W320" in caplog.text
    assert (tmp_path / "damaged-step-000000002").is_dir()
    assert [path.name for path in checkpoints.checkpoints(tmp_path)] == ["step-000000001"]


def test_all_damaged_is_a_fresh_start(tmp_path: Path) -> None:
    (write(tmp_path, 1) / "state.json").write_text("{")
    assert checkpoints.load(tmp_path) is None


def test_what_a_kill_left_half_written_is_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "tmp-1").mkdir()
    (tmp_path / "tmp-1" / "state.json").write_text("{}")
    assert checkpoints.load(tmp_path) is None


def test_a_full_disk_is_a_named_error_and_leaves_the_older_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "flush", full)
    with pytest.raises(TrainingError, match=r"L320.*No space.* \d+ bytes are needed, \d+ are free"):
        write(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


@pytest.mark.parametrize("name", ["adamw", "sgd", "gd", "muon"])
def test_net_and_optimizer_come_back_to_the_last_bit(name: str, tmp_path: Path) -> None:
    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
        return net, optimizers.build(net, Training(optimizer=name, learning_rate=0.1))  # type: ignore[arg-type]

    def step(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        optimizer.zero_grad()
        net(torch.randn(7, 3)).square().mean().backward()
        optimizer.step()

    net, optimizer = fresh()
    for seed in range(3):
        step(net, optimizer, seed)
    tensors, state = checkpoints.pack(net.state_dict(), {"": optimizer}, {"average": dict(net.state_dict())})
    checkpoints.save(tmp_path, 3, tensors, state)
    found = checkpoints.load(tmp_path)
    assert found is not None
    twin, other = fresh()
    twin.load_state_dict(checkpoints.unpack_weights(found[0], "net"))
    checkpoints.unpack_optimizer(other, "", found[0], found[1]["plain"])
    for seed in range(3, 6):
        step(net, optimizer, seed)
        step(twin, other, seed)
    for (key, one), again in zip(net.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(one, again), key
    assert set(checkpoints.unpack_weights(found[0], "average")) == set(net.state_dict())
