# SPDX-License-Identifier: GPL-3.0-or-later
"""``CROSSBAND_SECTION__KEY`` overrides the file: pure functions on the document and a given environment."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.config.problems import KeyPath, Problem

PREFIX = "CROSSBAND_"
_SEPARATOR = "__"
_ONLY_IN_FILE = frozenset({"routes", "permissions"})


@dataclass(slots=True, kw_only=True)
class Overridden:
    """The document with the environment's values in it, and which variable gave what."""

    document: dict[str, Any]
    sources: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def override(document: Mapping[str, Any], environ: Mapping[str, str]) -> Overridden:
    """Return a copy of the document with every ``CROSSBAND_SECTION__KEY`` put in.

    Names are matched without regard to case, and ``_`` matches ``-``. A value replaces a text as it
    stands; elsewhere it is read as TOML (``true``, ``5``, ``["a"]``) if it can be.
    """
    result = Overridden(document=_copied(document))
    for variable in sorted(environ):
        parts = variable.removeprefix(PREFIX).lower().split(_SEPARATOR)
        if variable.startswith(PREFIX) and len(parts) > 1:
            _put(result, variable, parts, environ[variable])
    return result


def _put(result: Overridden, variable: str, parts: list[str], value: str) -> None:
    if parts[0] in _ONLY_IN_FILE:
        reason, mend = f"{parts[0]} can't be set by the environment", "Write them in the file"
        _refuse(result, (parts[0],), variable, reason, mend)
        return
    table = result.document
    path: KeyPath = ()
    for part in parts[:-1]:
        key = _matching(table, part)
        path = (*path, key)
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            _refuse(result, path, variable, "is not a table", "Name the key itself, with two underscores per level")
            return
        table = inner
    key = _matching(table, parts[-1])
    table[key] = _read(value, table.get(key))
    result.sources[(*path, key)] = variable


def _refuse(result: Overridden, path: KeyPath, variable: str, reason: str, mend: str) -> None:
    result.sources[path] = variable
    result.problems.append(Problem(path=path, reason=reason, mend=mend))


def _matching(table: Mapping[str, Any], part: str) -> str:
    return next((key for key in table if key.lower().replace("-", "_") == part.replace("-", "_")), part)


def _read(value: str, replaced: Any) -> Any:
    if isinstance(replaced, str):
        return value
    try:
        read = tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return value
    return read if isinstance(read, bool | int | float | list | dict) else value


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    return value
