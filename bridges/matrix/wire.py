# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of an HTTP answer to JSON values, whatever a server sends. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_DEPTH = 100
"""What is nested deeper is replaced by null: no event we read needs more than six."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)


def read_json(body: bytes) -> Any:
    """Return the JSON value, cut at `MAX_DEPTH` where it is too deep to parse; ValueError if it isn't JSON."""
    try:
        return json.loads(body)
    except RecursionError:
        return json.loads(_shallow(body))


def mapping(value: object) -> Mapping[str, Any]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[Any]:
    """Return the value if it is an array, else an empty one."""
    return value if isinstance(value, list) else ()


def text(value: object) -> str:
    """Return the value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def _shallow(body: bytes) -> bytes:
    # One event that no parser can take must not keep the whole sync from being read.
    kept: list[bytes] = []
    depth = start = 0
    for token in _TOKEN.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += (body[start : token.start()], b"null")
        elif token[0] in b"]}":
            depth -= 1
            if depth == MAX_DEPTH:
                start = token.end()
    return b"".join((*kept, body[start:]))
