# SPDX-License-Identifier: GPL-3.0-or-later
"""Damages protobufs and frames: as bytes, as fields, as lengths. Pure; knows the wire format and no message."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

START = b"\x94\xc3"
MOST_PAYLOAD_BYTES = 512
DEEPEST = 6
_VARINT, _EIGHT, _LENGTH, _OPEN, _CLOSE, _FOUR = range(6)
_HUGE = (2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**70)

Field = tuple[int, int, bytes]
"""Number, wire type, and the value as it is on the wire: of a length-delimited one, what it holds."""


def varint(value: int) -> bytes:
    """Return an unsigned varint, also one that is longer than any may be."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def fields_of(data: bytes) -> list[Field] | None:
    """Split a message into its fields; None if it is none."""
    fields, at = [], 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag is None or not tag >> 3:
            return None
        begin, wire = at, tag & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            if value is None:
                return None
        elif wire == _LENGTH:
            size, begin = _read_varint(data, at)
            if size is None:
                return None
            at = begin + size
        elif wire in (_EIGHT, _FOUR):
            at += 8 if wire == _EIGHT else 4
        else:
            return None
        if at > len(data):
            return None
        fields.append((tag >> 3, wire, data[begin:at]))
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int | None, int]:
    value = 0
    for count, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, at + count + 1
    return None, at


def joined(fields: Sequence[Field]) -> bytes:
    """Return the message of these fields."""
    return b"".join(_field(*field) for field in fields)


def _field(number: int, wire: int, value: bytes) -> bytes:
    return varint(number << 3 | wire) + (varint(len(value)) if wire == _LENGTH else b"") + value


class Mutator:
    """One source of damage. `others`: messages to splice with."""

    def __init__(self, chance: random.Random, others: Sequence[bytes]) -> None:
        self._chance = chance
        self._others = others
        self._of_bytes: tuple[Callable[[bytes], bytes], ...] = (
            self._flip, self._overwrite, self._truncate, self._insert, self._remove, self._double, self._splice,
        )  # fmt: skip
        self._of_fields: tuple[Callable[[list[Field]], None], ...] = (
            self._repeat_field, self._drop_field, self._swap_fields, self._retype_field, self._renumber_field,
            self._huge_value, self._garbage_value, self._foreign_field, self._nest_field,
        )  # fmt: skip

    def payload(self, data: bytes) -> bytes:
        """Return a damaged message, one to three times."""
        for _ in range(self._chance.choice((1, 1, 1, 1, 1, 2, 3))):
            data = self._fields(data, 0) if self._chance.random() < 0.85 else self._chance.choice(self._of_bytes)(data)
        return data

    def frame(self, data: bytes) -> bytes:
        """Return what a broken line makes of the frame of this message, which may be damaged before."""
        chance = self._chance
        kind = chance.randrange(12)
        whole = _framed(self.payload(data)[:MOST_PAYLOAD_BYTES])
        if kind < 8:
            return whole
        whole = whole if chance.random() < 0.5 else _framed(data)
        if kind == 8:
            return START + self._length(len(whole) - 4).to_bytes(2, "big") + whole[4:]
        if kind == 9:
            return whole[: chance.randrange(len(whole))]
        if kind == 10:
            return chance.choice(self._of_bytes)(whole)
        return self._around(whole)

    def _length(self, true: int) -> int:
        chance = self._chance
        near = true + chance.choice((-2, -1, 1, 2, chance.randrange(1, 200)))
        return max(0, chance.choice((near, near, chance.randrange(513), chance.randrange(2**16), 512, 513, 0)))

    def _around(self, whole: bytes) -> bytes:
        """Put a start, a header or another frame into it or in front of it."""
        chance = self._chance
        at = chance.randrange(len(whole) + 1)
        thing = chance.choice(
            (START, START[:1], START * 3, START + b"\0\0", START + chance.randbytes(2), _framed(self._other()),
             _framed(self._other())[: chance.randrange(1, 20)], b"DEBUG | ??:??:?? 7 \x1b[0m\r\n", chance.randbytes(40))
        )  # fmt: skip
        return whole[:at] + thing + whole[at:]

    def _other(self) -> bytes:
        return self._chance.choice(self._others)[:MOST_PAYLOAD_BYTES]

    # Bytes.

    def _flip(self, data: bytes) -> bytes:
        out = bytearray(data or b"\0")
        for _ in range(self._chance.randrange(1, 5)):
            out[self._chance.randrange(len(out))] ^= 1 << self._chance.randrange(8)
        return bytes(out)

    def _overwrite(self, data: bytes) -> bytes:
        at = self._chance.randrange(len(data) + 1)
        some = self._chance.randbytes(self._chance.randrange(1, 9))
        return data[:at] + some + data[at + len(some) :]

    def _truncate(self, data: bytes) -> bytes:
        return data[: self._chance.randrange(len(data) + 1)]

    def _insert(self, data: bytes) -> bytes:
        at = self._chance.randrange(len(data) + 1)
        return data[:at] + self._chance.randbytes(self._chance.randrange(1, 20)) + data[at:]

    def _remove(self, data: bytes) -> bytes:
        at = self._chance.randrange(len(data) + 1)
        return data[:at] + data[at + self._chance.randrange(1, 20) :]

    def _double(self, data: bytes) -> bytes:
        at, size = self._chance.randrange(len(data) + 1), self._chance.randrange(1, 60)
        return data[: at + size] + data[at:]

    def _splice(self, data: bytes) -> bytes:
        other = self._other()
        return data[: self._chance.randrange(len(data) + 1)] + other[self._chance.randrange(len(other) + 1) :]

    # Fields.

    def _fields(self, data: bytes, depth: int) -> bytes:
        fields = fields_of(data)
        if not fields:
            return self._chance.choice(self._of_bytes)(data)
        inner = [at for at, (_, wire, value) in enumerate(fields) if wire == _LENGTH and value]
        if inner and depth < DEEPEST and self._chance.random() < 0.7:
            at = self._chance.choice(inner)
            number, wire, value = fields[at]
            fields[at] = (number, wire, self._fields(value, depth + 1))
        else:
            self._chance.choice(self._of_fields)(fields)
        return joined(fields)

    def _pick(self, fields: list[Field]) -> int:
        return self._chance.randrange(len(fields))

    def _repeat_field(self, fields: list[Field]) -> None:
        field = fields[self._pick(fields)]
        fields[self._pick(fields) : 0] = [field] * self._chance.choice((1, 2, 30))

    def _drop_field(self, fields: list[Field]) -> None:
        del fields[self._pick(fields)]

    def _swap_fields(self, fields: list[Field]) -> None:
        self._chance.shuffle(fields)

    def _retype_field(self, fields: list[Field]) -> None:
        at = self._pick(fields)
        number, _, value = fields[at]
        fields[at] = (number, self._chance.randrange(8), value)

    def _renumber_field(self, fields: list[Field]) -> None:
        at = self._pick(fields)
        number = self._chance.choice((self._chance.randrange(1, 40), self._chance.randrange(1, 2**29), 0))
        fields[at] = (number, *fields[at][1:])

    def _huge_value(self, fields: list[Field]) -> None:
        """Numbers that no enum names, no 32 bits hold, or no varint may be."""
        at = self._pick(fields)
        number, wire, value = fields[at]
        if wire == _VARINT:
            some = self._chance.choice((*_HUGE, self._chance.randrange(600)))
            fields[at] = (number, wire, varint(some) if self._chance.random() < 0.9 else b"\xff" * 11)
        elif wire == _LENGTH:
            # It says that it is longer than all there is.
            fields[at] = (number, _VARINT, varint(self._chance.choice(_HUGE)) + value)
        else:
            fields[at] = (number, wire, self._chance.choice((b"\xff", b"\0", b"\x7f")) * len(value))

    def _garbage_value(self, fields: list[Field]) -> None:
        at = self._pick(fields)
        size = self._chance.choice((0, 1, self._chance.randrange(300)))
        junk = self._chance.choice((self._chance.randbytes(size), b"\0" * size, b"\xff" * size, START * (size // 2)))
        fields[at] = (fields[at][0], _LENGTH, junk)

    def _foreign_field(self, fields: list[Field]) -> None:
        fields.insert(self._pick(fields), (self._chance.randrange(1, 2**20), _LENGTH, self._other()))

    def _nest_field(self, fields: list[Field]) -> None:
        """Put it into itself, or into groups, deeper than a parser goes."""
        at = self._pick(fields)
        number, wire, value = fields[at]
        levels = self._chance.choice((1, 5, 110))
        if self._chance.random() < 0.5:
            opened = varint(number << 3 | _OPEN) * levels
            fields[at] = (number, _OPEN, opened + varint(number << 3 | _CLOSE) * levels)
            return
        for _ in range(levels):
            value = _field(number, wire, value)[:400]
        fields[at] = (number, _LENGTH, value)


def _framed(payload: bytes) -> bytes:
    return START + len(payload).to_bytes(2, "big") + payload
