# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths in the configuration: relative to its file, or a systemd credential by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gateway.config.problems import KeyPath, Problem

CREDENTIAL = "credential:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Makes paths absolute. Looks at names only, never at files."""

    base: Path
    credentials: Path | None

    @classmethod
    def of(cls, file: Path, environ: Mapping[str, str]) -> Self:
        """Take the configuration's directory and systemd's ``$CREDENTIALS_DIRECTORY``."""
        credentials = environ.get("CREDENTIALS_DIRECTORY")
        return cls(base=file.absolute().parent, credentials=Path(credentials) if credentials else None)

    def absolute(self, text: str) -> Path:
        """Return the path meant by `text`; ValueError if it is a credential and there are none."""
        if not text.startswith(CREDENTIAL):
            return self.base / Path(text).expanduser()
        name = text.removeprefix(CREDENTIAL)
        if self.credentials is None:
            msg = f"{text!r} is a systemd credential, but $CREDENTIALS_DIRECTORY isn't set"
            raise ValueError(msg)
        if not name or "/" in name or name in {".", ".."}:
            msg = f"{text!r} is not the name of a credential"
            raise ValueError(msg)
        return self.credentials / name

    def optional(self, path: Path | None, key: KeyPath, problems: list[Problem]) -> Path | None:
        """Return it absolute; what is wrong with it goes into `problems`."""
        return None if path is None else self.read(str(path), key, problems)

    def read(self, value: Any, key: KeyPath, problems: list[Problem]) -> Path | None:
        """Return the path meant by a value of the file; what is wrong with it goes into `problems`."""
        if not isinstance(value, str) or not value:
            problems.append(Problem(path=key, reason="is not a path", mend="Write the name of a file"))
            return None
        try:
            return self.absolute(value)
        except (ValueError, RuntimeError) as error:
            mend = "Name a file, or run it by systemd with LoadCredential="
            problems.append(Problem(path=key, reason=str(error), mend=mend))
            return None
