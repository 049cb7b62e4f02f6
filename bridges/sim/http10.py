# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request and its answer, over TCP or a unix socket; cancelled at any time like any other task."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_ANSWER_BYTES = 32 * 1024 * 1024

Place = Path | tuple[str, int]
"""A unix socket, or a host and a port."""


class NoAnswerError(OSError):
    """Nobody is there, or what came back is not an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body decoded; NoAnswerError if it isn't JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise NoAnswerError(f"status {self.status} with a body that is not JSON") from error


async def ask(
    place: Place,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    token: str = "",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> Answer:
    """Ask once; OSError where there is no answer within `timeout_s`."""
    more = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        async with asyncio.timeout(timeout_s):
            return _parse(await _exchange(place, _request(place, method, path, body, more)))
    except TimeoutError as late:
        raise NoAnswerError(f"no answer within {timeout_s:g} s") from late


def _request(place: Place, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> bytes:
    # HTTP/1.0: the answer is not chunked, and ends where the connection does.
    host = "localhost" if isinstance(place, Path) else f"{place[0]}:{place[1]}"
    lines = [f"{method} {path} HTTP/1.0", f"Host: {host}"]
    content = b"" if body is None else json.dumps(body).encode()
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + content


async def _exchange(place: Place, request: bytes) -> bytes:
    if isinstance(place, Path):
        reader, writer = await asyncio.open_unix_connection(place)
    else:
        reader, writer = await asyncio.open_connection(*place)
    try:
        writer.write(request)
        answer = bytearray()
        while piece := await reader.read(65_536):
            answer += piece
            if len(answer) > MAX_ANSWER_BYTES:
                raise NoAnswerError("the answer does not end")
        return bytes(answer)
    finally:
        writer.transport.abort()  # an answer that is still coming is of no use
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _parse(answer: bytes) -> Answer:
    head, separator, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if not separator or len(words) < 2 or not words[1].isdigit():  # noqa: PLR2004 - version and status
        raise NoAnswerError("the connection ended before the answer did")
    expected = _content_length(head)
    if expected is not None and len(body) < expected:
        raise NoAnswerError("the answer was cut short")
    return Answer(status=int(words[1]), body=body)


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None
