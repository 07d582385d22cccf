"""English to French within a budget: chrF of the network against the table of words; descriptions in one line: ROUGE-1 against their first words.

    python benchmarks/seq2seq/en_fr.py --budget "30 min"             # chrF must lie 10 above the table's, by the interval of the difference
    python benchmarks/seq2seq/en_fr.py --example synopses            # ROUGE-1 must lie above the lead's by the interval
    python benchmarks/seq2seq/en_fr.py --example en-de --budget "3 min" --least 0

The data is fetched as `luban example` does (Debian's archive, by apt). Exit code 1 where the margin is not reached.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from luban import examples
from luban.recipe import read
from luban.run import train

MARGINS = {"en-fr": ("chrf", 10.0), "en-de": ("chrf", 10.0), "synopses": ("rouge_1", 0.0)}


def main() -> int:
    """Train, then print both scores and the margin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", choices=sorted(MARGINS), default="en-fr")
    parser.add_argument("--budget", default="30 min")
    parser.add_argument("--least", type=float, help="margin to reach; left out, that of the promise")
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    metric, least = MARGINS[asked.example]
    least = least if asked.least is None else asked.least
    recipe = read(examples.fetch(asked.example, asked.folder / asked.example), (f'training.budget="{asked.budget}"', *asked.set))
    run = train(recipe, runs=asked.folder / "runs")
    baseline, network = run.report["ladder"][0], run.report["ladder"][-1]
    scores = {row["name"]: row["test"] for row in (baseline, network)}
    found, other = scores[network["name"]][metric], scores[baseline["name"]][metric]
    margin = found["low"] - other["high"]  # both at their worst: stricter than the interval of the difference
    facts = {
        "example": asked.example, "budget": asked.budget, "metric": metric, "scores": scores, "parameters": network["parameters"],
        "seconds": run.report["run"]["seconds"], "margin": found["value"] - other["value"], "margin_at_worst": margin,
    }  # fmt: skip
    print(json.dumps(facts, indent=1))
    return 0 if margin >= least else 1


if __name__ == "__main__":
    sys.exit(main())
