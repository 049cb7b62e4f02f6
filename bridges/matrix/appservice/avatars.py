# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture for whoever has none: a pattern out of their id, always the same. Pure."""

from __future__ import annotations

import hashlib
import struct
import zlib
from colorsys import hls_to_rgb

STYLE = "1"
"""Of the pictures this makes: ghosts with another one get a new one."""
CELLS = 5
CELL_PX = 24
MARGIN_PX = 12
SIDE_PX = CELLS * CELL_PX + 2 * MARGIN_PX
_BACKGROUND = (240, 240, 240)


def avatar(localpart: str) -> bytes:
    """Return a PNG: five by five cells, left and right alike, in one colour on light grey."""
    digest = hashlib.blake2s(localpart.encode(), person=b"avatar").digest()
    red, green, blue = hls_to_rgb(int.from_bytes(digest[:2], "big") / 65_536, 0.45, 0.55)
    colour = tuple(round(part * 255) for part in (red, green, blue))
    rows = b"".join(_line(y, _filled(digest[2:])) for y in range(SIDE_PX))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE_PX, SIDE_PX, 1, 3, 0, 0, 0)),  # 1 bit, palette
            _chunk(b"PLTE", bytes((*_BACKGROUND, *colour))),
            _chunk(b"IDAT", zlib.compress(rows, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _filled(digest: bytes) -> frozenset[tuple[int, int]]:
    half = (CELLS + 1) // 2
    cells = ((n % half, n // half) for n in range(half * CELLS) if digest[n] & 1)
    return frozenset(place for x, y in cells for place in ((x, y), (CELLS - 1 - x, y)))


def _line(y: int, filled: frozenset[tuple[int, int]]) -> bytes:
    bits = "".join("1" if _cell(x, y) in filled else "0" for x in range(SIDE_PX))
    return b"\x00" + int(bits, 2).to_bytes((SIDE_PX + 7) // 8, "big")


def _cell(x: int, y: int) -> tuple[int, int]:
    return (x - MARGIN_PX) // CELL_PX, (y - MARGIN_PX) // CELL_PX


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
