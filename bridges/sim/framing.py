# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware's side of the line: ``94 C3 length payload``, both ways."""

from __future__ import annotations

START = b"\x94\xc3"
HEADER_BYTES = 4
MAX_PAYLOAD_BYTES = 512


def frame(payload: bytes) -> bytes:
    """Wrap one protobuf for the line; ValueError above 512 bytes."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        msg = f"a frame holds {MAX_PAYLOAD_BYTES} bytes, not {len(payload)}"
        raise ValueError(msg)
    return START + len(payload).to_bytes(2, "big") + payload


class Deframer:
    """Finds frames in whatever a client writes: wake-up bytes, noise, frames in pieces.

    Holds at most one frame and its header. A start with an impossible length is skipped and looked
    behind, as are the 32 x ``C3`` with which a client wakes a sleeping board.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self.skipped = 0
        """Bytes that belonged to no frame."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take what was read; return the payloads that are whole now, in order."""
        self._held += data
        payloads = []
        while (payload := self._next()) is not None:
            payloads.append(payload)
        return payloads

    def clear(self) -> None:
        """Forget a half-read frame: the client is another one now."""
        self._held.clear()

    def _next(self) -> bytes | None:
        while True:
            self._skip_to_start()
            if len(self._held) < HEADER_BYTES:
                return None
            size = int.from_bytes(self._held[2:4], "big")
            if size <= MAX_PAYLOAD_BYTES:
                break
            self._skip(1)
        end = HEADER_BYTES + size
        if len(self._held) < end:
            return None
        payload = bytes(self._held[HEADER_BYTES:end])
        del self._held[:end]
        return payload

    def _skip_to_start(self) -> None:
        at = self._held.find(START)
        if at < 0:
            at = len(self._held) - self._held.endswith(START[:1])
        self._skip(at)

    def _skip(self, count: int) -> None:
        self.skipped += count
        del self._held[:count]
