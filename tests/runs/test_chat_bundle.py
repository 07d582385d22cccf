"""A chat learnt from messages, lists of turns, is opened again: its golden rows hold turns too; bytes and tables among them are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import luban
from luban.bundle.golden import is_plain

RECIPE = """
task = {kind = "chat", tokenizer = "characters", generation = {max_tokens = 4}}
data = "turns.jsonl"
model = {kind = "gpt", width = 16, layers = 1, heads = 2, context = 64}
training = {steps = 2, batch_size = 4, optimizer = "adamw", precision = "float32"}
evaluation = {draws = 10, baselines = false}
"""


def test_a_chat_of_messages_is_opened_again(tmp_path: Path) -> None:
    turns = [[{"role": "user", "content": f"number {i}?"}, {"role": "assistant", "content": f"it is {i}"}] for i in range(40)]
    (tmp_path / "turns.jsonl").write_text("".join(json.dumps({"messages": one}) + "\n" for one in turns), encoding="utf-8")
    (tmp_path / "chat.toml").write_text(RECIPE, encoding="utf-8")
    run = luban.train(tmp_path / "chat.toml")
    lines = (run.bundle / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["input"]["messages"][0]["role"] == "user"
    assert len(luban.load(run.bundle).predict([{"messages": turns[0][:1]}])) == 1


@pytest.mark.parametrize("value", [{"role": "user"}, [{"base64": "AAAA"}], [{"content": {"path": "/etc/passwd"}}], [{"content": [1]}]])
def test_tables_that_are_no_turns_are_refused(value: object) -> None:
    assert not is_plain(value)
    assert is_plain([{"role": "user", "content": "hello"}])
