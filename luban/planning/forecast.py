"""What a forecast says, as JSON: stages in the order of the run, memory, energy, and what the machine has."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from luban.energy import Energy
from luban.planning.choice import Choice
from luban.planning.machine import Machine
from luban.planning.memory import Parts

FORMAT = 1


@dataclass(frozen=True)
class Stage:
    """One part of the run."""

    name: str  # prepare, plan, solve, settle, train, validate, save, score, divide, folds, report
    model: str  # "" where it belongs to none
    seconds: float
    cpu_seconds: float
    peak_bytes: int  # resident in all, not beyond the others
    share: float = 1.0  # of the work that was done to measure it; below 1 the whole is carried on
    once_s: float = 0.0  # of the seconds, what only the first time takes: libraries are loaded

    @property
    def again(self) -> Stage:
        """The same once more."""
        factor = 1 - min(1.0, self.once_s / max(self.seconds, 1e-9))
        return replace(self.of(factor), once_s=0.0)

    def of(self, factor: float) -> Stage:
        """So many times as long."""
        return replace(self, seconds=self.seconds * factor, cpu_seconds=self.cpu_seconds * factor)


@dataclass(frozen=True)
class Network:
    """The network and its steps."""

    name: str
    parameters: int
    trained: int
    steps: int
    epochs: float
    batch_size: int
    flops_per_step: float
    step_seconds: float
    longest: int  # tokens or steps of the longest example; 1 where they do not vary
    threads: int
    precision: str
    device: str
    parts: Parts
    of_encoders: int = 0  # of the parameters
    why: str = ""  # that precision


@dataclass(frozen=True)
class Change:
    """A change of the recipe that makes the run fit, and what it would take then."""

    key: str
    value: Any
    seconds: float
    peak_bytes: int
    device_bytes: int | None


@dataclass(frozen=True)
class Forecast:
    """All of it."""

    rows: int
    splits: dict[str, int]
    lengths: dict[str, int] | None  # quantiles of the examples' sizes
    start_s: float  # before the run's clock begins: the interpreter and its libraries
    stages: list[Stage]
    network: Network | None
    base_bytes: int  # resident before the first model: interpreter, libraries, data
    device_bytes: int | None  # of the GPU
    disk_bytes: int
    first_result_s: float
    budget_s: float | None  # in seconds at the rate foreseen, whatever its unit
    early_stop: bool  # it may end before its last step, where validation no longer improves
    energy: Energy
    machine: Machine
    changes: list[Change] = field(default_factory=list)
    what_if: dict[str, Any] | None = None
    size: Choice | None = None  # of the model, where the budget decides it
    measured_s: float = 0.0  # what the forecast itself took

    @property
    def seconds(self) -> float:
        """Of the run, by its own clock."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def cpu_seconds(self) -> float:
        """Of all threads."""
        return sum(stage.cpu_seconds for stage in self.stages)

    @property
    def peak_bytes(self) -> int:
        """Resident memory at its highest."""
        return max([self.base_bytes, *(stage.peak_bytes for stage in self.stages)])

    @property
    def flops(self) -> float:
        """Of all training steps."""
        return self.network.flops_per_step * self.network.steps if self.network else 0.0

    def lacking(self) -> list[str]:
        """What the machine has too little of: memory, device, disk."""
        return self.machine.lacking(memory=self.peak_bytes, device=self.device_bytes, disk=self.disk_bytes)

    def as_dict(self) -> dict[str, Any]:
        """For `plan.json`."""
        values = asdict(self)
        values["energy"] |= self.energy.of(self.cpu_seconds, self.seconds)
        sums = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "peak_bytes": self.peak_bytes, "flops": self.flops}
        return {"format": FORMAT} | sums | {"fits": not self.lacking(), "lacking": self.lacking()} | values
