# SPDX-License-Identifier: GPL-3.0-or-later
"""One logged-in homeserver connection: requests out, JSON back, every failure one of `gateway.model`'s.

matrix-nio holds the session (connections, proxy, TLS; later the keys). Its typed calls are left
aside: they hide the status of a failed request, and one odd event can keep a whole sync from
being parsed.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from bridges.matrix.verdict import LOGIN_MEND, Refused, verdict
from bridges.matrix.wire import text
from gateway.model import LinkDown, Unconfirmed, short_hash

if TYPE_CHECKING:
    import aiohttp
    import nio

__all__ = ("Client", "Refused")  # who asks learns here, too, how he is refused

CLIENT = "/_matrix/client/v3"
CLIENT_V1 = "/_matrix/client/v1"
MEDIA = "/_matrix/media/v3"
TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024

Seal = Callable[[str, str, Mapping[str, Any]], Awaitable[tuple[str, Mapping[str, Any]]]]
"""``seal(room_id, type, content)`` returns the event to send instead. Raises BridgeError."""


class Client:
    """Speaks the client-server API as one user. Reusable: `connect` after `close`."""

    def __init__(self, homeserver: str, user_id: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.homeserver = homeserver
        self.user_id = user_id
        self._timeout_s = timeout_s
        self.token = ""
        self.login_mend = LOGIN_MEND
        """What an operator does where the token is refused."""
        self.device_id = ""
        """The device of the token, where the homeserver told; empty before."""
        self.seal: Seal | None = None
        """Encrypts what is put into rooms, whoever of us says it: nothing goes in clear by an oversight."""
        self._acting: Mapping[str, str] = {}
        self._nio: nio.AsyncClient | None = None

    async def connect(self) -> None:
        """Make ready to send requests; none is sent."""
        # 25 MB and a third of a second that only a configured bridge pays; others run on meanwhile.
        await asyncio.to_thread(importlib.import_module, "nio")
        import nio  # noqa: PLC0415

        await self.close()
        # Retries would be unbounded and unseen inside nio; ours are the queue's and the supervisor's.
        config = nio.AsyncClientConfig(
            max_timeouts=0,
            max_limit_exceeded=0,
            request_timeout=TIMEOUT_S,
            store_sync_tokens=False,
            encryption_enabled=False,
        )
        self._nio = nio.AsyncClient(self.homeserver, self.user_id, config=config)

    async def close(self) -> None:
        """Close all connections."""
        client, self._nio = self._nio, None
        if client is not None:
            await client.close()

    def act_as(self, user_id: str, device_id: str = "") -> None:
        """Speak as one of an application service's users from now on, by its token (v1.17: as a device of theirs)."""
        self.user_id = user_id
        given = {"user_id": user_id, "device_id": device_id}
        self._acting = {key: value for key, value in given.items() if value}

    def acting_as(self, user_id: str, device_id: str = "") -> Self:
        """Return the same connection, for as long as it lasts, speaking as another of those users; "": as none."""
        view = copy.copy(self)
        view.act_as(user_id, device_id)
        view.seal = None if self.seal is None else partial(_in_clear, self.seal)
        return view

    async def get(
        self, *path: str, query: Mapping[str, str | int] | None = None, timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        """Ask; LinkDown if no answer comes, AuthFailed, RateLimited or Refused if that is the answer."""
        return await self._call("GET", path, None, query=query, timeout_s=timeout_s)

    async def post(
        self,
        *path: str,
        body: Mapping[str, Any],
        query: Mapping[str, str | int] | None = None,
        base: str = CLIENT,
        timeout_s: float | None = None,
    ) -> Mapping[str, Any]:
        """Ask for something to be done; fails as `get` does."""
        return await self._call("POST", path, body, query=query, base=base, timeout_s=timeout_s)

    async def put(
        self, *path: str, body: Mapping[str, Any], query: Mapping[str, str | int] | None = None
    ) -> Mapping[str, Any]:
        """Put something there under a transaction id; Unconfirmed where no answer came, else as `get`."""
        match path:
            case ("rooms", room_id, "send", kind, key) if self.seal is not None:
                kind, body = await self.seal(room_id, kind, body)
                path = ("rooms", room_id, "send", kind, key)
        if self._acting and path[0] == "rooms":
            path = _of_the_user(path, self.user_id)
        return await self._call("PUT", path, body, query=query)

    async def upload(self, data: bytes, content_type: str) -> str:
        """Return the address (``mxc://...``) under which the homeserver keeps it; fails as `get` does."""
        return text((await self._call("POST", ("upload",), data, base=MEDIA, kind=content_type)).get("content_uri"))

    @asynccontextmanager
    async def fetch(self, *path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a file (client-server specification, "Content repository") to be read piece by piece.

        Fails as `get` does, LinkDown also for what breaks while it is read; TimeoutError where a piece doesn't come.
        """
        import aiohttp  # noqa: PLC0415 - nio brings it

        if self._nio is None:
            raise LinkDown("not connected")
        url = _url(CLIENT_V1, path, self._acting)
        limits: Any = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=2 * TIMEOUT_S)
        try:
            # The token goes in a header, never in the address; to another host it isn't sent on.
            headers = {"Authorization": f"Bearer {self.token}"}
            response = await self._nio.send("GET", url, headers=headers, timeout=limits)
            async with response:
                if response.status != HTTPStatus.OK:
                    verdict(response.status, response.headers, await _read(response), self.login_mend)
                    raise LinkDown(f"{self.homeserver} answered {response.status} where a file was asked for")
                yield response
        except aiohttp.ClientError as error:
            raise LinkDown(f"{self.homeserver} broke off: {_kind(error)}") from error

    async def _call(
        self,
        method: str,
        path: tuple[str, ...],
        body: Mapping[str, Any] | bytes | None,
        *,
        query: Mapping[str, str | int] | None = None,
        timeout_s: float | None = None,
        base: str = CLIENT,
        kind: str = "application/json",
    ) -> Mapping[str, Any]:
        import aiohttp  # noqa: PLC0415 - nio brings it

        query = {**self._acting, **(query or {})}
        url = _url(base, path, query)
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            # nio and aiohttp have no limit for some of their own steps: this one is around all.
            async with asyncio.timeout(timeout_s):
                status, headers, answer = await self._exchange(method, url, body, timeout_s, kind)
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise LinkDown(f"{self.homeserver} can't be reached: {_kind(error)}") from error
        except TimeoutError as error:
            unanswered = Unconfirmed if method == "PUT" else LinkDown
            raise unanswered(f"{self.homeserver} didn't answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            # It may have arrived, and the same key is used again; but it is the line that failed.
            raise LinkDown(f"{self.homeserver} broke off: {_kind(error)}") from error
        return verdict(status, headers, answer, self.login_mend, is_put=method == "PUT")

    async def _exchange(
        self, method: str, url: str, body: Mapping[str, Any] | bytes | None, timeout_s: float, kind: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._nio is None:
            raise LinkDown("not connected")
        headers = {"Content-Type": kind}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body, ensure_ascii=False)
        response = await self._nio.send(method, url, data, headers=headers, timeout=timeout_s)
        async with response:
            return response.status, response.headers, await _read(response)


def _url(base: str, path: tuple[str, ...], query: Mapping[str, str | int]) -> str:
    where = "/".join((base, *(quote(part, safe="") for part in path)))
    return f"{where}?{urlencode(query)}" if query else where


async def _in_clear(seal: Seal, room_id: str, kind: str, body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Let nobody but the user whose keys these are speak where what is said has to be encrypted."""
    sealed, _ = await seal(room_id, kind, body)
    if sealed != kind:
        raise Refused("the room is encrypted, and a ghost has no keys", status=403, errcode="M_FORBIDDEN")
    return kind, body


def _of_the_user(path: tuple[str, ...], user_id: str) -> tuple[str, ...]:
    """Make a transaction id the user's own: Synapse keeps those of all an application service's users together.

    (matrix-org/synapse#2937: the second of two users with one id in one room was not heard.)
    """
    return (*path[:-1], f"{path[-1]}.{short_hash(user_id)[:8]}") if path[2] in ("send", "redact") else path


async def _read(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise LinkDown("the homeserver's answer is larger than any we read")
        chunks.append(chunk)
    return b"".join(chunks)


def _kind(error: BaseException) -> str:
    # The class, not the words: they may hold an address with its query.
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return (cause.strerror if isinstance(cause, OSError) else None) or type(cause).__name__
