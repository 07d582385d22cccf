"""Energy, carbon and money against hand calculations; counters that begin anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from luban import energy
from luban.energy import Costs, Energy, Meter
from luban.errors import RecipeError
from luban.planning import devices
from luban.planning.forecast import Network
from luban.planning.machine import Machine
from luban.planning.memory import Parts


def counter(folder: Path, value: int, top: int = 999_999) -> None:
    zone = folder / "intel-rapl:0"
    (folder / "intel-rapl:0:0").mkdir(parents=True, exist_ok=True)  # a part of the package: not counted again
    zone.mkdir(exist_ok=True)
    (zone / "energy_uj").write_text(str(value))
    (zone / "max_energy_range_uj").write_text(str(top))


def test_counters_are_joules_and_begin_anew_at_their_end(tmp_path: Path) -> None:
    counter(tmp_path, 100_000)
    before = energy.read(tmp_path)
    counter(tmp_path, 350_000)
    assert before.until(energy.read(tmp_path)) == pytest.approx(0.25)
    counter(tmp_path, 50_000)
    assert before.until(energy.read(tmp_path)) == pytest.approx(0.95)


def test_without_counters_there_is_no_measure(tmp_path: Path) -> None:
    assert energy.read(tmp_path).until(energy.read(tmp_path)) is None


def test_a_band_of_watts_carbon_and_money() -> None:
    found = Energy("band", None, Costs(grid_kg=0.5, price_kwh=0.6, price_hour=12.0, currency="¥")).of(7200.0, 3600.0)
    assert (found["kwh_low"], found["kwh"], found["kwh_high"]) == (pytest.approx(0.006), pytest.approx(0.014), pytest.approx(0.030))
    assert found["co2_kg"] == pytest.approx(0.007)
    assert found["money"] == pytest.approx(12.0 + 0.0084)


def test_counted_watts_have_no_band_and_no_price_means_no_money() -> None:
    found = Energy("counters", 36.0, Costs()).of(1.0, 7200.0)
    assert found["kwh_low"] == found["kwh"] == found["kwh_high"] == pytest.approx(0.072)
    assert found["money"] is None


def network(flops: float, weights: int = 0, activations: int = 0) -> Network:
    parts = Parts(weights, weights, 2 * weights, weights, activations, 0)
    return Network("n", 1, 1, 100, 1.0, 16, flops, 0.1, 1, 1, "float32", "cpu", parts)


def test_the_roofline_is_the_slower_of_arithmetic_and_memory() -> None:
    h200 = devices.find("H200")
    assert devices.step_seconds(network(0.0), h200, 1, "bfloat16") == devices.STEP_S
    assert devices.step_seconds(network(4e13), h200, 1, "bfloat16") == pytest.approx(4e13 / (0.4 * 989e12))
    assert devices.step_seconds(network(4e13), h200, 4, "bfloat16") == pytest.approx(1e13 / (0.4 * 989e12))
    moved = 3 * 10**10 + 2 * 4 * 10**10
    alone = devices.step_seconds(network(0.0, weights=10**10), h200, 1, "bfloat16")
    assert alone == pytest.approx(moved / (0.7 * 4.8e12))
    ring = devices.step_seconds(network(0.0, weights=10**10), h200, 2, "bfloat16") - alone
    assert ring == pytest.approx(2 * 10**10 / 2 / 450e9)


def test_an_unknown_device_names_the_nearest() -> None:
    with pytest.raises(RecipeError) as caught:
        devices.find("h20")
    assert caught.value.code == "L510"
    assert caught.value.nearest() in ("h200", "h100")


def test_what_a_machine_lacks_is_named() -> None:
    machine = Machine(1000, 50, 10)
    assert machine.lacking(memory=900, device=5, disk=50) == []
    assert machine.lacking(memory=960, device=10, disk=51) == ["memory", "device", "disk"]
    assert Machine(1000, 50).lacking(memory=1, device=None, disk=1) == []


def test_the_meter_adds_up_what_the_counters_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "COUNTERS", tmp_path)
    counter(tmp_path, 900_000)
    meter = Meter()
    for value in (950_000, 10_000, 510_000):  # began anew once
        counter(tmp_path, value)
        found = meter.kwh
    assert (meter.source, found) == ("counters", pytest.approx(0.61 / 3.6e6))
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.kwh == found


def test_without_counters_the_meter_counts_processor_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "COUNTERS", tmp_path)
    now = [3.0]
    monkeypatch.setattr(energy, "cpu_seconds", lambda: now[0])
    meter = Meter()
    now[0] = 63.0
    assert (meter.source, meter.kwh) == ("band", pytest.approx(60 * 7 / 3.6e6))


def test_what_a_budget_loses_a_second() -> None:
    costs = Costs(price_kwh=0.5, price_hour=7.2)
    band, counted = Energy("band", None, costs), Energy("counters", 36.0, costs)
    assert (band.rate("s", 2.0), counted.rate("kWh", 2.0), band.rate("kWh", 2.0)) == (1.0, pytest.approx(1e-5), pytest.approx(14 / 3.6e6))
    assert counted.rate("money", 2.0) == pytest.approx(0.5e-5 + 0.002)
