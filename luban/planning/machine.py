"""What this machine lets a run use: memory, a container's limit respected; disk; the memory of a GPU."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from luban.memory import free
from luban.planning.memory import resident

MARGIN = 0.95  # of the memory that is free; the rest is the system's


@dataclass(frozen=True)
class Machine:
    """Bytes that a run may use."""

    memory_bytes: int
    disk_bytes: int
    device_bytes: int | None = None

    def lacking(self, *, memory: int, device: int | None, disk: int) -> list[str]:
        """What does not suffice."""
        out = ["memory"] if memory > self.memory_bytes * MARGIN else []
        out += ["device"] if device and self.device_bytes and device > self.device_bytes * MARGIN else []
        return out + (["disk"] if disk > self.disk_bytes else [])


def this_machine(folder: Path, device: torch.device, *, memory_bytes: int | None = None) -> Machine:
    """As it is now; `memory_bytes` stands for another machine's memory."""
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    device_free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    return Machine(memory_bytes or free_memory(), shutil.disk_usage(place).free, device_free)


def free_memory() -> int:
    """Bytes this process holds or may still have."""
    return free() + resident()
