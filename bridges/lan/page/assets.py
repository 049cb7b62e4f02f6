# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's style and script: small, from this box, under names that change with what is in them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    path: str
    """On the page."""
    kind: str
    content: bytes
    packed: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return them by the name they have in the package."""
    names = ("chat.css", "chat.js", "icon.svg")
    return {name: _asset(name, (files(__package__) / "assets" / name).read_bytes()) for name in names}


async def served(request: Request) -> Response | None:
    """Return the file asked for, or None: there is none of that name."""
    path = "/a/" + request.path_params["name"]
    asset = next((one for one in assets().values() if one.path == path), None)
    if asset is None:
        return None
    return packed(request, asset.content, asset.packed, asset.kind, _FOR_EVER)


def packed(request: Request, content: bytes, small: bytes, kind: str, headers: dict[str, str]) -> Response:
    """Return a response that is compressed where the browser takes that: plain HTTP has gzip and deflate only."""
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(small, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(content, media_type=kind, headers=headers)


def _asset(name: str, content: bytes) -> Asset:
    stem, _, end = name.rpartition(".")
    path = f"/a/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{end}"
    return Asset(path, _KINDS[end], content, gzip.compress(content, 9, mtime=0))
