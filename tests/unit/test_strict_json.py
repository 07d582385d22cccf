"""JSON from a stranger: what Luban writes is read, everything else is a ValueError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luban.bundle.format import write_json
from luban.errors import BundleError
from luban.strict_json import MOST_PARTS, loads

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=9)


@given(VALUES)
def test_what_json_writes_is_read(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"NaN", b"[-Infinity]", b"1e999", b"\xff", b'{"a": 1, "a": 1}', b'[{"a": {"b": 1, "b": 2}}]', b"[" * 100_000,
     b"1" * 5000, b"[" + b"[]," * MOST_PARTS + b"1]"],
)  # fmt: skip
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        loads(data)


def test_what_nobody_could_open_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        write_json(tmp_path / "state.json", {"names": [[]] * (MOST_PARTS + 1)})
    assert caught.value.code == "L408"
    assert not (tmp_path / "state.json").exists()
