# SPDX-License-Identifier: GPL-3.0-or-later
"""How a command asks the running gateway: the same API, over a private unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from gateway.model import GatewayError

TIMEOUT_S = 20.0
PAGE = 500


class NotRunning(GatewayError):
    """No gateway answers on the socket."""


class Unanswered(NotRunning):
    """Something is there, and it did not answer, or not us: whether what was asked was done is not known."""


class Refused(GatewayError):
    """The gateway answered that it won't, or can't; the text is its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Control:
    """One gateway. Each call is one connection; raises NotRunning or Refused."""

    def __init__(self, socket_path: Path, *, within_s: float = TIMEOUT_S) -> None:
        """`within_s`: how long an answer may take."""
        self._path = socket_path
        self._within_s = within_s

    def get(self, path: str, **query: str | int | None) -> Any:
        """Ask for something; returns the decoded JSON."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def pages(self, path: str, items: str, **query: str | int | None) -> Iterator[Any]:
        """Yield every item of an answer that is paged forward (``next_after``) or backward (``next_before``)."""
        place: dict[str, str | int | None] = {}
        while True:
            page = self.get(path, limit=PAGE, **place, **query)
            yield from page[items]
            following = {name: page[f"next_{name}"] for name in ("after", "before") if page.get(f"next_{name}")}
            if not following or following == place:
                return
            place = following

    def post(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> Any:
        """Ask for something to be done; returns the decoded JSON."""
        return self._ask("POST", path, json.dumps(body or {}).encode(), headers)

    def delete(self, path: str) -> Any:
        """Ask for something to be forgotten; returns the decoded JSON."""
        return self._ask("DELETE", path)

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        connection = _UnixConnection(self._path, self._within_s)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        try:
            connection.request(method, f"/api/v1{path}", body=body, headers=sent)
            response = connection.getresponse()
            answer = response.read()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(f"no gateway is running ({self._path}). Start it with `crossband run`") from error
        except PermissionError as error:
            raise Unanswered(f"the gateway belongs to another user ({self._path}). Ask as that user") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(f"the gateway does not answer: {error}") from error
        finally:
            connection.close()
        return _answer(response.status, answer)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, within_s: float) -> None:
        super().__init__("localhost", timeout=within_s)
        self._path = path
        self._within_s = within_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._within_s)
        self.sock.connect(str(self._path))


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="")


def _answer(status: int, body: bytes) -> Any:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if status >= http.client.BAD_REQUEST:
        reason = answer.get("detail") if isinstance(answer, dict) else None
        raise Refused(status, str(reason or f"the gateway answered {status}"))
    return answer
