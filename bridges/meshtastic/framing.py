# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes to frames and back: ``94 C3 length payload`` on serial and TCP. Pure.

A line may lose bytes in the middle of a frame (ESP32-S3 boards do while they dump their node
database). The length then reaches into the frames that follow, and they must not be lost with it:
whatever was taken for a frame and isn't one is searched for the start of another.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")

START = b"\x94\xc3"
HEADER_BYTES = 4
MAX_PAYLOAD_BYTES = 512
WAKE = b"\xc3" * 32
"""Wakes a sleeping board's parser before the first frame on a serial line."""


def frame(payload: bytes) -> bytes:
    """Wrap one protobuf for the line; ValueError above 512 bytes."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        msg = f"a frame holds {MAX_PAYLOAD_BYTES} bytes, not {len(payload)}"
        raise ValueError(msg)
    return START + len(payload).to_bytes(2, "big") + payload


class _Doubt(Enum):
    """Whether what looks like a frame may be a cut one that reaches into its neighbour."""

    NONE = "none"
    CUT = "cut"
    OPEN = "open"
    """The bytes that would tell haven't come yet."""


class Deframer(Generic[T]):
    """Finds frames in whatever comes; holds at most two frames' bytes.

    `parse` returns what a payload says, or None if it says nothing. `is_plain` tells whether that
    is believed even if it may be a forgery (see `_doubt`). `count` is called with ``noise`` (bytes
    outside frames: debug text), ``frame_oversized``, ``frame_unparsable``, ``frame_cut``.
    """

    def __init__(
        self,
        parse: Callable[[bytes], T | None],
        count: Callable[[str], None],
        *,
        is_plain: Callable[[T], bool] = lambda _: True,
    ) -> None:
        self._parse = parse
        self._is_plain = is_plain
        self._count = count
        self._held = bytearray()
        self._found: list[T] = []

    @property
    def is_inside(self) -> bool:
        """Whether bytes are held that may be part of a frame: if nothing more comes, call `settle`."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[T]:
        """Take what was read; return what the whole frames say, in order."""
        self._held += data
        while self._advance(quiet=False):
            pass
        return self._harvest()

    def settle(self) -> list[T]:
        """Say that the line went quiet inside a frame; return what whole frames it had swallowed.

        A frame that is merely slow is kept: only whole frames found inside prove that it was cut.
        """
        while self._rescue() or self._advance(quiet=True):
            pass
        return self._harvest()

    def _harvest(self) -> list[T]:
        found, self._found = self._found, []
        return found

    def _advance(self, *, quiet: bool) -> bool:
        """Deal with what is at the front; False when that needs more bytes."""
        self._skip_to_start()
        end = self._end_at(0)
        if end is None or (end and len(self._held) < end):
            return False
        if not end:
            self._drop(len(START), "frame_oversized")
            return True
        said = self._parse(bytes(self._held[HEADER_BYTES:end]))
        if said is None:
            # An empty payload says nothing and hides nothing.
            self._drop(len(START), "frame_unparsable")
            return True
        doubt = self._doubt(end)
        if doubt is _Doubt.OPEN and not quiet:
            return False
        if doubt is _Doubt.CUT:
            self._drop(len(START), "frame_cut")
            return True
        del self._held[:end]
        self._found.append(said)
        return True

    def _skip_to_start(self) -> None:
        at = self._held.find(START)
        if at < 0:
            at = len(self._held) - self._held.endswith(START[:1])
        if at:
            self._drop(at, "noise")

    def _drop(self, count: int, kind: str) -> None:
        del self._held[:count]
        self._count(kind)

    def _end_at(self, start: int) -> int | None:
        """Return where the frame at `start` ends, 0 if its length is impossible, None if not all there."""
        header = self._held[start : start + HEADER_BYTES]
        if len(header) < HEADER_BYTES:
            return None
        size = int.from_bytes(header[2:], "big")
        return start + HEADER_BYTES + size if size <= MAX_PAYLOAD_BYTES else 0

    def _doubt(self, end: int) -> _Doubt:
        """Judge a frame that parses but holds what looks like the start of another.

        It is a cut one if the frames inside lead past its end, nothing begins at its end, and the
        last of them parses. Anything less would let a text that spells out a frame be taken for
        one: whoever sends over the air could then speak as our own radio. (Valid UTF-8 can't:
        after ``94 C3`` it needs a byte that makes the length impossible.) Where the frames inside
        end exactly with it both may be: then they are believed if all are plain.
        """
        inner = self._held.find(START, len(START), end + 1)
        while inner >= 0 and inner < end:
            doubt = self._doubt_at(inner, end)
            if doubt is not _Doubt.NONE:
                return doubt
            inner = self._held.find(START, inner + 1, end + 1)
        return _Doubt.NONE

    def _doubt_at(self, inner: int, end: int) -> _Doubt:
        first = last = inner
        while inner < end:
            last, after = inner, self._end_at(inner)
            if not after or not START.startswith(self._held[inner : inner + len(START)]):
                return _Doubt.OPEN if after is None else _Doubt.NONE
            inner = after
        if inner == end:
            return _Doubt.CUT if self._are_plain(first, end) else _Doubt.NONE
        return self._doubt_past(last, inner, end)

    def _doubt_past(self, last: int, after: int, end: int) -> _Doubt:
        """Judge by what follows, where the last frame inside reaches past the end, up to `after`."""
        follows = bytes(self._held[end : end + len(START)])
        following = self._end_at(end) if follows == START else 0
        if following != 0:  # a frame may begin there; two bytes of a packet may look like one, but no length fits
            return _Doubt.OPEN if following is None else _Doubt.NONE
        if (follows != START and START.startswith(follows)) or len(self._held) < after:
            return _Doubt.OPEN
        return _Doubt.CUT if self._says_something(last, after) else _Doubt.NONE

    def _are_plain(self, inner: int, end: int) -> bool:
        while inner < end:
            after = self._end_at(inner) or end
            said = self._parse(bytes(self._held[inner + HEADER_BYTES : after]))
            if said is None or not self._is_plain(said):
                return False
            inner = after
        return True

    def _says_something(self, start: int, end: int) -> bool:
        return self._parse(bytes(self._held[start + HEADER_BYTES : end])) is not None

    def _rescue(self) -> bool:
        """Drop an unfinished frame in front of a whole one that parses; False if there is none."""
        end = self._end_at(0)
        if end is not None and end <= len(self._held):
            return False
        inner = self._held.find(START, len(START))
        while inner >= 0:
            after = self._end_at(inner)
            if after and after <= len(self._held) and self._says_something(inner, after):
                self._drop(inner, "frame_cut")
                return True
            inner = self._held.find(START, inner + 1)
        return False
