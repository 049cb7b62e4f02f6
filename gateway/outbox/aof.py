# SPDX-License-Identifier: GPL-3.0-or-later
r"""Where an append-only file stops making sense. Pure: bytes in, numbers out.

A file is a row of commands, each ``*2\r\n$4\r\nINCR\r\n$1\r\na\r\n``, with lines of comment
(``#TS:1700000000``) between them. After power loss its tail may be cut, zeros or old disk content.
A script's effects are one MULTI..EXEC, so a cut at the end of a transaction never halves a step.
"""

from __future__ import annotations

from mmap import mmap

Buffer = bytes | mmap

_LONGEST_LINE = 1024
_MOST_ARGUMENTS = 1024 * 1024


def sound_length(data: Buffer) -> int:
    """Return how many bytes from the start are whole commands, none of them in an unfinished transaction."""
    sound = position = 0
    in_transaction = False
    size = len(data)
    while position < size:
        past = _end_of_comment(data, position)
        if past is None:
            command = _end_of_command(data, position)
            if command is None:
                return sound
            past, name = command
            if name == b"MULTI":
                in_transaction = True
            elif name == b"EXEC":
                in_transaction = False
        position = past
        if not in_transaction:
            sound = position
    return sound


def last_increment(manifest: str) -> str | None:
    """Return the name of the file that was being appended to, from the set's manifest; None if there is none."""
    name = None
    for line in manifest.splitlines():
        words = line.split()
        fields = dict(zip(words[::2], words[1::2], strict=False))
        if fields.get("type") == "i" and "file" in fields:
            name = fields["file"].strip('"')
    return name


def _end_of_comment(data: Buffer, position: int) -> int | None:
    if data[position : position + 1] != b"#":
        return None
    end = data.find(b"\r\n", position, position + _LONGEST_LINE)
    return None if end < 0 else end + 2


def _end_of_command(data: Buffer, position: int) -> tuple[int, bytes] | None:
    """Return where the command that starts here ends, and its first word; None if it isn't whole."""
    header = _number(data, position, b"*")
    if header is None or not 0 < header[0] <= _MOST_ARGUMENTS:
        return None
    arguments, position = header
    name = b""
    for index in range(arguments):
        length = _number(data, position, b"$")
        if length is None or length[0] < 0:
            return None
        start = length[1]
        position = start + length[0] + 2
        if data[position - 2 : position] != b"\r\n":
            return None
        if index == 0:
            name = data[start : position - 2].upper()
    return position, name


def _number(data: Buffer, position: int, mark: bytes) -> tuple[int, int] | None:
    """Return the number after `mark` and where its line ends; None for anything else."""
    if data[position : position + 1] != mark:
        return None
    end = data.find(b"\r\n", position, position + 32)
    digits = data[position + 1 : end] if end > 0 else b""
    return (int(digits), end + 2) if digits.isdigit() else None
