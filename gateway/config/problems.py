# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a configuration, in words: file, line, key, reason and mend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails, PydanticCustomError

from gateway.model import ConfigError

KeyPath = tuple[str | int, ...]
"""Where in the document: ``("routes", 0, "join", 2)``."""

Locate = Callable[[KeyPath], str]
"""Names the place of a key for people: ``crossband.toml:12`` or ``environment: CROSSBAND_API__LISTEN``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    path: KeyPath
    reason: str
    mend: str = ""

    def render(self, locate: Locate) -> str:
        """Return one line: place, key, reason, mend."""
        key = dotted(self.path)
        told = ": ".join(part for part in (locate(self.path), key, self.reason) if part)
        return f"{told.rstrip('.')}. {self.mend.rstrip('.')}" if self.mend else told


class InvalidConfig(ConfigError):
    """Everything that is wrong, a line each; `str()` is for the operator as it stands."""

    def __init__(self, problems: Sequence[Problem], locate: Locate) -> None:
        ordered = sorted(problems, key=lambda problem: _line(locate(problem.path)))
        lines = [problem.render(locate) for problem in ordered]
        super().__init__("\n".join(lines), key=dotted(ordered[0].path), mend=ordered[0].mend)
        self.problems = tuple(ordered)


def _line(place: str) -> int:
    number = place.rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def dotted(path: KeyPath) -> str:
    """Write a path as people write it: ``routes[0].join[2]``, ``permissions."@*:x"``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if part.replace("_", "").replace("-", "").isalnum() else f'"{part}"'
            text += f".{shown}" if text else shown
    return text


def bad(reason: str, mend: str = "") -> PydanticCustomError:
    """Return what a validator raises: a reason and its mend."""
    return PydanticCustomError("config", "{reason}", {"reason": reason, "mend": mend})


def from_pydantic(error: ErrorDetails, models: dict[str, type[BaseModel]]) -> Problem:
    """Put one of pydantic's findings into our words."""
    path = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return Problem(path=path, reason="unknown key", mend=_known_keys(path, models))
    if error["type"] == "missing":
        return Problem(path=path, reason="is missing", mend=_what_it_is(path, models))
    context: dict[str, Any] = error.get("ctx") or {}
    if error["type"] == "config":
        return Problem(path=path, reason=context["reason"], mend=context["mend"])
    mend = _what_it_is(path, models)
    return Problem(path=path, reason=error["msg"][:1].lower() + error["msg"][1:], mend=mend)


def _model_at(path: KeyPath, models: dict[str, type[BaseModel]]) -> type[BaseModel]:
    return models.get(str(path[0]), models[""]) if len(path) > 1 else models[""]


def _known_keys(path: KeyPath, models: dict[str, type[BaseModel]]) -> str:
    known = [field.alias or name for name, field in _model_at(path, models).model_fields.items()]
    close = get_close_matches(str(path[-1]), known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known keys here: {', '.join(known)}"


def _what_it_is(path: KeyPath, models: dict[str, type[BaseModel]]) -> str:
    fields = _model_at(path, models).model_fields.items()
    found = [field for name, field in fields if path[-1] in {field.alias, name}]
    return (found[0].description or "") if found else ""
