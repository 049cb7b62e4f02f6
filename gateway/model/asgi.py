# SPDX-License-Identifier: GPL-3.0-or-later
"""What every HTTP listener, the core's and the bridges', does with a request before anything acts on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]


async def read_body(receive: Receive, most_bytes: int) -> bytes | None:
    """Return the body; None if it is too long. What was cut off by a lost connection counts as it is."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most_bytes:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def is_of_another_site(headers: Mapping[str, str], told: str | None) -> bool:
    """Whether another site's page had a browser send this, as far as that can be told.

    `headers` by lower-case names; `told`: the URL the browser names as that of the page it comes from (``Origin``, or
    ``Referer`` where the listener lets its own pages send it); None: it names none. What isn't a URL is another site's.
    """
    same = told is None or _netloc(told) == headers.get("host", "").lower()
    return not same or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, whole, and then what comes after it."""
    waiting: list[Event] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Event:
        return waiting.pop() if waiting else await receive()

    return replay


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
