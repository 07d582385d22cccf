"""What if the network were trained on other devices: a roofline over a small table, never mixed with what was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from luban.energy import JOULES_A_KWH, Costs
from luban.errors import RecipeError
from luban.messages import both, tr
from luban.planning.forecast import Forecast, Network

FLOPS_SHARE = 0.4  # of the peak that training is believed to reach
BANDWIDTH_SHARE = 0.7
STEP_S = 3e-3  # a step takes at least so long: hundreds of kernels are launched
CONTEXT_BYTES = 600_000_000  # what the driver holds
SPARE = 1.3  # what an allocator holds beyond what is used


@dataclass(frozen=True)
class Device:
    """One device, by its maker's data sheet (dense, no sparsity)."""

    bf16_flops: float
    fp32_flops: float
    bandwidth: float  # bytes a second of its memory
    memory_bytes: float
    link: float  # bytes a second between devices, both ways together
    watts: float
    usd_hour: float  # about, on demand, 2025


DEVICES = {
    "t4": Device(65e12, 8.1e12, 0.32e12, 16e9, 32e9, 70, 0.5),
    "l4": Device(121e12, 30.3e12, 0.30e12, 24e9, 64e9, 72, 0.8),
    "rtx4090": Device(165e12, 82.6e12, 1.01e12, 24e9, 64e9, 450, 0.5),
    "a100": Device(312e12, 19.5e12, 2.04e12, 80e9, 600e9, 400, 1.8),
    "h100": Device(989e12, 67e12, 3.35e12, 80e9, 900e9, 700, 3.0),
    "h200": Device(989e12, 67e12, 4.8e12, 141e9, 900e9, 700, 3.8),
    "b200": Device(2250e12, 75e12, 8.0e12, 180e9, 1800e9, 1000, 6.0),
}


def find(name: str) -> Device:
    """The device of that name. Raises RecipeError L510."""
    if name.lower() not in DEVICES:
        raise RecipeError("L510", tr("no such device in the table"), where="--device", received=name, allowed=DEVICES)
    return DEVICES[name.lower()]


def step_seconds(network: Network, device: Device, count: int, precision: str) -> float:
    """Of one step, its rows shared by all devices: the slower of arithmetic and memory, then the gradients' ring."""
    parts = network.parts
    peak = device.bf16_flops if precision == "bfloat16" else device.fp32_flops
    arithmetic = network.flops_per_step / count / (FLOPS_SHARE * peak)
    moved = 3 * parts.weights + 2 * (parts.weights + parts.optimizer + parts.gradients) + 3 * parts.activations / count
    memory = moved / (BANDWIDTH_SHARE * device.bandwidth)
    ring = 2 * parts.gradients * (count - 1) / count / (device.link / 2)
    return max(STEP_S, arithmetic, memory) + ring


def what_if(forecast: Forecast, name: str, count: int, costs: Costs) -> dict[str, Any] | None:
    """The same steps elsewhere, the rest of the run as measured here; None without a network."""
    device, network = find(name), forecast.network
    if network is None:
        return None
    step_s = step_seconds(network, device, count, "bfloat16")
    train_s = step_s * network.steps
    seconds = train_s + sum(stage.seconds for stage in forecast.stages if stage.name != "train")
    parts = network.parts
    held = SPARE * (parts.weights + parts.gradients + parts.optimizer + parts.copies + parts.activations / count) + CONTEXT_BYTES
    kwh = device.watts * count * train_s / JOULES_A_KWH
    return {
        "device": name.lower(),
        "count": count,
        "facts": asdict(device),
        "step_seconds": step_s,
        "train_seconds": train_s,
        "seconds": seconds,
        "device_bytes": int(held),
        "fits": held <= device.memory_bytes,
        "kwh": kwh,
        "co2_kg": kwh * costs.grid_kg,
        "usd": device.usd_hour * count * seconds / 3600,
        "assumption": both(
            "estimated, not measured: bfloat16 at {flops:.0%} of the peak, memory at {bandwidth:.0%} of its bandwidth, at least {ms:.0f} ms a "
            "step; rungs, validations and report as measured on this machine; price of 2025, about",
            flops=FLOPS_SHARE,
            bandwidth=BANDWIDTH_SHARE,
            ms=1000 * STEP_S,
        ),
    }
