# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.matrix.wire import MAX_DEPTH, _shallow, mapping, read_json, sequence, text

JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def depth(value: Any) -> int:
    levels = 0
    while isinstance(value, list):
        levels, value = levels + 1, value[0] if value else None
    return levels


def test_an_answer_nested_without_end_loses_only_what_is_too_deep() -> None:
    nested = "[" * 100_000 + '"]}"' + "]" * 100_000
    answer = read_json(f'{{"before": 1, "deep": {nested}, "after": "[{{\\"", "again": {nested}}}'.encode())
    assert (answer["before"], answer["after"]) == (1, '[{"')
    assert depth(answer["deep"]) <= sys.getrecursionlimit()


@given(JSON)
def test_what_is_not_too_deep_is_not_touched(value: Any) -> None:
    raw = json.dumps(value).encode()
    assert _shallow(raw) == raw or depth(value) > MAX_DEPTH


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b'{"a":', b"[" * 100_000])
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_json(body)


def test_values_of_another_type_are_empty() -> None:
    assert (mapping([]), sequence({}), text(3)) == ({}, (), "")
