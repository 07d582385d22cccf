"""Signals: heard at once, answered at a safe place, and in time even where a library hears none."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

DEAF = """
import hashlib, sys
from luban.run import interruption
interruption.GRACE_S, interruption.AT_ONCE_S = {grace}, 0.2
with interruption.interruptible():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # minutes in C, which no signal ends
"""
ALERT = """
import time
from luban.run.interruption import Interrupted, interruptible
with interruptible() as interruption:
    print("ready", flush=True)
    try:
        while True:
            time.sleep(0.01)
            interruption.check()
    except Interrupted as error:
        raise SystemExit(error.exit_code)
"""


def sent(script: str, *numbers: signal.Signals) -> int:
    """The exit code of a script that is sent signals once it is ready."""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.3)
        return process.wait(60)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_safe_place_is_waited_for(number: signal.Signals, code: int) -> None:
    assert sent(ALERT, number) == code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_library_that_hears_nothing_is_left_after_a_while(number: signal.Signals, code: int) -> None:
    assert sent(DEAF.format(grace=0.5), number) == code


def test_the_second_signal_is_obeyed_at_once() -> None:
    assert sent(DEAF.format(grace=10_000), signal.SIGTERM, signal.SIGTERM) == 143
