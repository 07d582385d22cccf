"""The verdict: what is said first, and on which figures."""

from __future__ import annotations

import pytest

from luban.evaluation.verdict import verdict


def rung(name, role, validation, test=None, *, chosen=False, error=None, metric="accuracy"):
    """A row of the ladder; scores are (value, low, high)."""
    keys = ("value", "low", "high")
    return {
        "name": name,
        "kind": name,
        "role": role,
        "parameters": 7,
        "fit_seconds": 1.0,
        "validation": {metric: dict(zip(keys, validation, strict=True))} if validation else {},
        "test": {metric: dict(zip(keys, test, strict=True))} if test else None,
        "chosen": chosen,
        "error": error,
    }


MAJORITY = rung("majority", "baseline", (0.5, 0.48, 0.52), (0.51, 0.49, 0.53))
LINEAR = rung("linear", "baseline", (0.85, 0.84, 0.86), (0.852, 0.84, 0.86))


def test_a_network_beyond_the_interval_wins():
    network = rung("lstm", "network", (0.88, 0.87, 0.89), (0.881, 0.871, 0.891), chosen=True)
    found = verdict([MAJORITY, LINEAR, network], metric="accuracy")
    assert found["kind"] == "network_wins"
    for text in (found["text_en"], found["text_zh"]):
        assert "lstm" in text
        assert "0.881" in text
        assert "linear" in text
        assert "0.852" in text
        assert "0.871" in text
    assert "test split" in found["text_en"]
    assert "测试集准确率" in found["text_zh"]


def test_a_network_within_the_interval_does_not_win_and_the_chosen_model_is_named():
    network = rung("lstm", "network", (0.86, 0.845, 0.87), (0.858, 0.845, 0.87), chosen=True)
    found = verdict([MAJORITY, LINEAR, network], metric="accuracy")
    assert found["kind"] == "tie"
    assert found["text_en"].endswith("The bundle holds lstm.")
    assert found["text_en"].startswith("The network does not beat the baselines")
    assert "lstm。" in found["text_zh"]


def test_the_paired_difference_decides_when_it_is_given():
    network = rung("lstm", "network", (0.86, 0.845, 0.87), (0.858, 0.845, 0.87), chosen=True)
    ladder = [MAJORITY, LINEAR, network]
    assert verdict(ladder, metric="accuracy", gain=(0.002, 0.01))["kind"] == "network_wins"
    assert verdict(ladder, metric="accuracy", gain=(-0.02, -0.001))["kind"] == "baseline_wins"
    assert verdict(ladder, metric="accuracy", gain=(-0.002, 0.01))["kind"] == "tie"


def test_lower_is_better_turns_the_comparison():
    baseline = rung("linear", "baseline", (30.0, 28, 32), (31.0, 29, 33), metric="rmse")
    network = rung("mlp", "network", (20.0, 19, 21), (21.0, 20, 22), chosen=True, metric="rmse")
    assert verdict([baseline, network], metric="rmse")["kind"] == "network_wins"
    assert verdict([baseline, network], metric="rmse", gain=(-11.0, -9.0))["kind"] == "network_wins"
    swapped = [
        rung("linear", "baseline", (20.0, 19, 21), (21.0, 20, 22), metric="rmse"),
        rung("mlp", "network", (30.0, 28, 32), metric="rmse"),
    ]
    assert verdict(swapped, metric="rmse")["kind"] == "baseline_wins"


def test_without_a_test_score_of_both_the_validation_split_is_compared_and_named():
    network = rung("lstm", "network", (0.80, 0.79, 0.81))
    chosen = rung("linear", "baseline", (0.85, 0.84, 0.86), (0.852, 0.84, 0.86), chosen=True)
    found = verdict([MAJORITY, chosen, network], metric="accuracy")
    assert found["kind"] == "baseline_wins"
    assert "validation split" in found["text_en"]
    assert "0.850" in found["text_en"]


def test_the_strongest_baseline_is_the_rival_unless_it_failed():
    broken = rung("boosted", "baseline", None, error="L203 no columns")
    network = rung("lstm", "network", (0.7, 0.69, 0.71), (0.7, 0.69, 0.71), chosen=True)
    assert "linear" in verdict([MAJORITY, LINEAR, broken, network], metric="accuracy")["text_en"]


@pytest.mark.parametrize(("ladder", "word"), [([LINEAR], "no network"), ([rung("lstm", "network", (0.7, 0.6, 0.8))], "no baseline")])
def test_alone(ladder, word):
    found = verdict(ladder, metric="accuracy")
    assert found["kind"] == "only"
    assert word in found["text_en"]
    assert found["text_zh"]


def test_nothing_scored():
    assert verdict([rung("boosted", "baseline", None, error="L203")], metric="accuracy")["kind"] == "only"


def test_an_undefined_score_is_never_a_victory():
    nan = float("nan")
    network = rung("lstm", "network", (nan, nan, nan), (nan, nan, nan), chosen=True)
    assert verdict([LINEAR, network], metric="accuracy")["kind"] == "tie"
    unscored = rung("gru", "network", (nan, nan, nan))
    assert verdict([LINEAR, unscored], metric="accuracy")["kind"] == "only"
