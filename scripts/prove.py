"""Prove each promise of docs/promises.toml by its tests, and print one page.

prove.py [WORD …]   run those promises whose English holds a word, or all; the page is also written to build/proof.md
prove.py --docs     write docs/{en,zh}/promises.md
prove.py --check    exit code 1 where these are not what would be written
"""

from __future__ import annotations

import argparse
import platform
import shlex
import subprocess
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "promises.toml"
PROOF = ROOT / "build" / "proof.md"
COUNTED = ("kills", "faults", "damages", "signals")
WORDS: dict[str, Any] = {
    "en": {
        "title": "Promises",
        "intro": "What Luban promises, and the command that proves it. `make prove` runs them all, slow tests too, prints one page and writes it to "
        "`build/proof.md`; `python scripts/prove.py kill disk` runs those whose text holds one of the words.\n\n"
        "Bit by bit means: on the same machine, versions and number of threads, and bounded by epochs or steps. Under a budget of time the "
        "learning rate follows the clock.",
        "head": "| promise | command |",
        "training": "Training", "data": "Data", "bundle": "Bundles and recipes", "service": "The service",
    },
    "zh": {
        "title": "承诺",
        "intro": "鲁班的承诺，以及证明它的命令。`make prove` 运行全部证明（包括慢速测试），打印一页结果并写入 `build/proof.md`；"
        "`python scripts/prove.py kill disk` 只运行英文文字中含有这些词的承诺。\n\n"
        "“逐比特相同”的前提是：同一台机器、相同的版本和线程数，并以轮数或步数为界。以时间为预算时，学习率随时钟变化。",
        "head": "| 承诺 | 命令 |",
        "training": "训练", "data": "数据", "bundle": "模型包与配方", "service": "服务",
    },
}  # fmt: skip


@dataclass
class Outcome:
    """What became of one promise."""

    text: str
    commands: list[str]
    passed: bool = True
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    why: str = ""


def main() -> int:
    """0 where all is proven, or current."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    if asked.docs or asked.check:
        return write_docs(check=asked.check)
    outcomes = []
    for promise in promises():
        if not asked.words or any(word.lower() in promise["en"].lower() for word in asked.words):
            outcomes.append(prove(promise))
            print(line_of(outcomes[-1]), file=sys.stderr, flush=True)
    text = page_of(outcomes)
    PROOF.parent.mkdir(exist_ok=True)
    PROOF.write_text(text, encoding="utf-8")
    print(text)
    return 0 if outcomes and all(outcome.passed for outcome in outcomes) else 1


def promises() -> list[dict[str, Any]]:
    """The table."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))["promise"]


def commands_of(promise: dict[str, Any]) -> list[str]:
    """What a person would type."""
    tests = [f'python -m pytest -m "" {" ".join(promise["tests"])}'] if promise.get("tests") else []
    return tests + ([promise["command"]] if promise.get("command") else [])


def prove(promise: dict[str, Any]) -> Outcome:
    """Run its tests and its command."""
    outcome, begun = Outcome(promise["en"], commands_of(promise)), time.monotonic()
    if promise.get("tests"):
        run_tests(promise["tests"], outcome)
    if promise.get("command"):
        parts = [sys.executable if part == "python" else part for part in shlex.split(promise["command"])]
        done = subprocess.run(parts, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        fail(outcome, done.returncode != 0, last_line(done.stdout))
    outcome.seconds = time.monotonic() - begun
    return outcome


def run_tests(names: list[str], outcome: Outcome) -> None:
    """The tests of these files, every one; what they counted is added up."""
    files = []
    for name in names:
        found = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob(name.split("::")[0]))]
        fail(outcome, not found, f"{name} is not there")
        files += [name] if "::" in name else found
    if not files:
        return
    results = ROOT / "build" / "results.xml"
    results.parent.mkdir(exist_ok=True)
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", f"--junitxml={results}", *files]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    fail(outcome, done.returncode != 0, last_line(done.stdout))
    if results.is_file():
        count(ElementTree.parse(results).getroot(), outcome.counts)


def count(results: ElementTree.Element, counts: Counter[str]) -> None:
    """Tests that passed or were skipped, and what they recorded."""
    for case in results.iter("testcase"):
        skipped, failed = case.find("skipped") is not None, case.find("failure") is not None or case.find("error") is not None
        counts["failed" if failed else "skipped" if skipped else "tests"] += 1
        for record in case.iter("property"):
            if record.get("name") in COUNTED:
                counts[str(record.get("name"))] += int(str(record.get("value")))


def fail(outcome: Outcome, failed: bool, why: str) -> None:
    """Note the first reason."""
    if failed:
        outcome.passed, outcome.why = False, outcome.why or why


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip("= ") for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


def line_of(outcome: Outcome) -> str:
    """One row of the page."""
    counted = ", ".join(f"{number} {name}" for name, number in outcome.counts.items()) or "–"
    result = "passed" if outcome.passed else f"**failed**: {outcome.why}"
    commands = "<br>".join(f"`{command}`" for command in outcome.commands)
    return f"| {outcome.text} | {commands} | {result} | {counted} | {outcome.seconds:.0f} |"


def page_of(outcomes: list[Outcome]) -> str:
    """The page."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip() or "?"
    proven = sum(outcome.passed for outcome in outcomes)
    head = f"{proven} of {len(outcomes)} promises proven · {time.strftime('%Y-%m-%d')} · {commit} · Python {platform.python_version()}"
    table = ["| promise | command | result | counted | seconds |", "|---|---|---|---|---|", *map(line_of, outcomes)]
    return "\n".join(["# Promises, proven", "", head, "", *table, ""])


def docs() -> dict[Path, str]:
    """The pages as they should be."""
    return {ROOT / "docs" / language / "promises.md": docs_page(language) for language in WORDS}


def docs_page(language: str) -> str:
    """Every promise and its command, by area."""
    words, table = WORDS[language], promises()
    lines = [f"# {words['title']}", "", words["intro"]]
    for area in dict.fromkeys(promise["area"] for promise in table):
        lines += ["", f"## {words[area]}", "", words["head"], "|---|---|"]
        for promise in table:
            if promise["area"] == area:
                lines.append(f"| {promise[language]} | {'<br>'.join(f'`{command}`' for command in commands_of(promise))} |")
    return "\n".join(lines) + "\n"


def write_docs(*, check: bool) -> int:
    """Write the pages, or say which are old."""
    old = [path for path, text in docs().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in old:
        print(("old: " if check else "written: ") + str(path.relative_to(ROOT)))
        if not check:
            path.write_text(docs()[path], encoding="utf-8")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
