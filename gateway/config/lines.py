# SPDX-License-Identifier: GPL-3.0-or-later
"""On which line a key of a TOML document stands. tomllib gives no positions.

It only has to be right about text that tomllib has accepted; about any other text it may be wrong,
but it ends, in time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.config.problems import KeyPath

_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'", re.DOTALL
)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\n#]*")


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """Return the line (from 1) of every key, array element and table header in the document."""
    return _Scanner(text).scan()


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of this key or, where it is missing, of the nearest table around it."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._lines: dict[KeyPath, int] = {}
        self._arrays: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            before = self._at
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
            if self._at == before:
                break
        return self._lines

    def _header(self) -> KeyPath:
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        name = self._key()
        self._at += 2 if is_array else 1
        path = self._resolved(name[:-1] if is_array else name)
        if is_array:
            path = (*path, name[-1])
            self._arrays[path] = self._arrays.get(path, -1) + 1
            self._note(path)
            path = (*path, self._arrays[path])
        self._note(path)
        return path

    def _resolved(self, name: KeyPath) -> KeyPath:
        """Follow a header below an array of tables into the array's latest table."""
        path: KeyPath = ()
        for part in name:
            path = (*path, part)
            if path in self._arrays:
                path = (*path, self._arrays[path])
        return path

    def _pair(self, table: KeyPath) -> None:
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path)
        if self._peek() == "=":
            self._at += 1
            self._value(path)

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while found := _KEY_PART.match(self._text, self._at):
            parts.append(_unquoted(found[1]))
            self._at = found.end()
            if self._peek() != ".":
                break
            self._at += 1
        return tuple(parts) or ("",)

    def _value(self, path: KeyPath) -> None:
        while self._peek() in {" ", "\t"}:
            self._at += 1
        if self._peek() == "[":
            self._elements(path)
        elif self._peek() == "{":
            self._members(path)
        elif not self._skip(_STRING):
            self._skip(_SCALAR)

    def _elements(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        self._skip(_BLANK)
        while self._peek() not in {"]", ""}:
            before = self._at
            self._note((*path, index))
            self._value((*path, index))
            index += 1
            self._after_item(before)
        self._at += 1

    def _members(self, path: KeyPath) -> None:
        self._at += 1
        self._skip(_BLANK)
        while self._peek() not in {"}", ""}:
            before = self._at
            self._pair(path)
            self._after_item(before)
        self._at += 1

    def _after_item(self, before: int) -> None:
        self._skip(_BLANK)
        if self._peek() == "," or self._at == before:
            self._at += 1  # the second is no TOML: go on, so that it ends
        self._skip(_BLANK)

    def _note(self, path: KeyPath) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        self._lines.setdefault(path, self._line)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found is not None

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]


def _unquoted(part: str) -> str:
    if part.startswith('"'):
        return re.sub(r"\\(.)", r"\1", part[1:-1])
    return part[1:-1] if part.startswith("'") else part
