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
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from bridges.matrix.wire import mapping, read_json, text
from gateway.model import AuthFailed, BridgeError, LinkDown, RateLimited, Rejected, Unconfirmed, short_hash

if TYPE_CHECKING:
    import aiohttp
    import nio

CLIENT = "/_matrix/client/v3"
CLIENT_V1 = "/_matrix/client/v1"
MEDIA = "/_matrix/media/v3"
TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
LOGIN_MEND = "run `crossband matrix login`"
MAX_PATIENCE_S = 3600.0
"""The longest wait a server may ask of us."""

_TOKEN_GONE = frozenset({"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED"})
_HTTP_ERROR = 400
_SERVER_ERROR = 500


class Refused(Rejected):
    """The homeserver understood and said no: `errcode` in its words, `status` in HTTP's.

    `answer`: what it wants to see first, where it asks who we are (user-interactive authentication).
    """

    def __init__(self, reason: str, *, status: int, errcode: str, answer: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.errcode = errcode
        self.answer: Mapping[str, Any] = {} if answer is None else answer


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
                    _verdict(response.status, response.headers, await _read(response), self.login_mend)
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
        return _verdict(status, headers, answer, self.login_mend, is_put=method == "PUT")

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


def error_of(
    status: int,
    content: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    is_put: bool = False,
    login_mend: str = LOGIN_MEND,
) -> BridgeError:
    """Return what an answer that isn't a success means, by status and error code only. Pure."""
    errcode = text(content.get("errcode"))
    reason = f"the homeserver answered {status} {errcode}".rstrip()
    if status == _TOO_MANY or errcode == "M_RESOURCE_LIMIT_EXCEEDED":  # the latter: its owner has to act
        # What is put somewhere is limited per account; a join, asked by POST, per room.
        return RateLimited(reason, retry_after_s=_patience(content, headers), for_all=is_put)
    if errcode in _TOKEN_GONE:
        return AuthFailed(f"{reason}: the login was refused or taken back; {login_mend}")
    if status == _UNAUTHORIZED and "flows" in content:
        return Refused(f"{reason}: it asks for the account's owner", status=status, errcode=errcode, answer=content)
    if status == _TOO_LARGE or (errcode and status < _SERVER_ERROR):
        return Refused(reason, status=status, errcode=errcode or "M_TOO_LARGE")
    if is_put and status == _SERVER_ERROR:
        # It may be this event that it stumbles over: a try that counts, so that it can't block others for ever.
        return Unconfirmed(reason)
    words = f"{reason}, which isn't Matrix" if status < _SERVER_ERROR else reason
    return LinkDown(words, retry_after_s=_patience(content, headers))


_UNAUTHORIZED = 401
_TOO_MANY = 429
_TOO_LARGE = 413


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


def _verdict(
    status: int, headers: Mapping[str, str], answer: bytes, login_mend: str, *, is_put: bool = False
) -> Mapping[str, Any]:
    try:
        content = read_json(answer)
    except (ValueError, RecursionError):
        content = None
    if status < _HTTP_ERROR and isinstance(content, dict):
        return content
    raise error_of(status, mapping(content), headers, is_put=is_put, login_mend=login_mend)


def _patience(content: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    # The header is the newer way (v1.10); both may be there, and neither must.
    seconds = _seconds(headers.get("Retry-After"))
    if seconds is None:
        seconds = _until(headers.get("Retry-After"), headers.get("Date"))
    if seconds is None:
        seconds = _seconds(content.get("retry_after_ms"), unit=1000)
    return min(seconds, MAX_PATIENCE_S) if seconds is not None and seconds > 0 else None


def _seconds(given: object, *, unit: int = 1) -> float | None:
    if not isinstance(given, str | int | float):
        return None
    try:
        seconds = float(given) / unit
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _until(moment: str | None, now: str | None) -> float | None:
    """Read the header's date form, by the server's own clock: a box without an RTC may have another year."""
    if moment is None or now is None:
        return None
    try:
        return (parsedate_to_datetime(moment) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


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
