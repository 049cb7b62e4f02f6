# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's address as something a phone's camera reads, for the wall."""

from __future__ import annotations

import io
from functools import lru_cache

import segno


@lru_cache(maxsize=16)
def qr_svg(address: str) -> bytes:
    """Return a QR code: black on white also on a dark page, with the quiet zone that readers need."""
    out = io.BytesIO()
    segno.make(address, error="m", micro=False).save(
        out, kind="svg", border=4, dark="#000", light="#fff", omitsize=True
    )
    return out.getvalue()
