# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's checks outside this box: serial ports, radios on TCP or the LAN, homeservers.

They go by keys of the bridges' tables (`connection`, `homeserver`), because the core knows no network.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.cli.doctor import Finding, bad, ok, warn
from gateway.config import BridgeSettings, Settings
from gateway.model import devices

WITHIN_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024
BY_ID = Path("/dev/serial/by-id")
DEFAULT_RADIO_PORT = 4403
_LISTENING = ("page", "sync", "listen")


def serial_ports(settings: Settings) -> Iterator[Finding]:
    """Check that each serial radio's port is there, and that we may open it."""
    ours = _running(settings)
    for bridge, connection in _connections(settings, "serial:"):
        check = f"bridges.{bridge.name}.connection"
        if connection == "auto":
            yield from _boards(check, ours)
        else:
            yield _port(check, Path(connection), ours)


def _running(settings: Settings) -> frozenset[int]:
    """Return the gateway's process, while it runs: it is known by the lock on its data."""
    return frozenset(each.pid for each in devices.holders(str(settings.gateway.data_dir / "lock")))


def _boards(check: str, ours: frozenset[int]) -> Iterator[Finding]:
    from serial.tools.list_ports import comports  # noqa: PLC0415 - a radio on TCP needs none of it

    boards = [Path(port.device) for port in comports() if port.vid is not None]
    if not boards:
        yield bad(check, "no USB serial board is plugged in", "Plug the radio in, with a cable that carries data")
    for board in boards:
        yield _port(check, board, ours)


def _port(check: str, path: Path, ours: frozenset[int]) -> Finding:
    if not path.exists():
        there = ", ".join(sorted(map(str, BY_ID.iterdir()))) if BY_ID.is_dir() else "none"
        return bad(check, f"{path} is not there", f"Boards there are: {there}")
    if not os.access(path, os.R_OK | os.W_OK):
        return bad(check, f"{path} {devices.barred(str(path))}", "Then look again")
    if others := [each for each in devices.holders(str(path)) if each.pid not in ours]:
        return bad(check, f"{path} is in use by {' and '.join(map(str, others))}", "Close it there")
    if path.name.startswith(("ttyUSB", "ttyACM")) and path.parent == Path("/dev"):
        lasting = next((link for link in _links() if link.resolve() == path), None)
        if lasting is not None:
            return warn(check, f"{path}: its number may change", f'connection = "serial:{lasting}"')
    return ok(check, str(path))


def _links() -> list[Path]:
    return sorted(BY_ID.iterdir()) if BY_ID.is_dir() else []


def tcp_radios(settings: Settings) -> Iterator[Finding]:
    """Check that each radio on TCP takes a connection."""
    for bridge, connection in _connections(settings, "tcp:"):
        check = f"bridges.{bridge.name}.connection"
        parts = urlsplit(f"//{connection}")
        host, port = parts.hostname or "", parts.port or DEFAULT_RADIO_PORT
        if _running(settings):
            # A node takes one client, and drops the first when a second comes.
            yield ok(check, f"{host}:{port} is left to the running gateway")
            continue
        try:
            with socket.create_connection((host, port), timeout=WITHIN_S):
                yield ok(check, f"{host}:{port} answers")
        except OSError as error:
            yield bad(check, f"{host}:{port}: {error}", "Check the radio's power, Wi-Fi and address")


def lan_radios(settings: Settings) -> Iterator[Finding]:
    """Check that the network interfaces of a node without a radio are there."""
    for bridge, connection in _connections(settings, "udp:"):
        check = f"bridges.{bridge.name}.connection"
        there = {name for _, name in socket.if_nameindex()}
        for name in connection.split(","):
            if name.strip() in there:
                yield ok(check, f"{name} is there")
            else:
                yield bad(check, f"no network interface {name}", f"One of {', '.join(sorted(there))}")


def listeners(settings: Settings) -> Iterator[Finding]:
    """Check that each address where people or other boxes come to can be opened; while we run, it is open."""
    is_open = bool(_running(settings))
    for bridge in settings.bridges.values():
        for key in _LISTENING:
            address = bridge.table.get(key)
            if isinstance(address, str) and address and not is_open:
                yield _listener(f"bridges.{bridge.name}.{key}", key, address)


def _listener(check: str, key: str, address: str) -> Finding:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, int(port)))
            sock.listen(1)
        except PermissionError:
            return warn(check, f"{address}: a port below 1024", "deploy/crossband-page.socket opens it: docs/lan.md")
        except (OSError, ValueError) as error:
            mend = f"Stop what listens there, or name another port in {key}"
            return bad(check, f"{address}: {getattr(error, 'strerror', error)}", mend)
    return ok(check, f"{address} is free")


def homeservers(settings: Settings) -> Iterator[Finding]:
    """Check that each homeserver answers, and knows our token."""
    for bridge in settings.bridges.values():
        url = bridge.table.get("homeserver")
        if isinstance(url, str):
            yield from _homeserver(bridge, url.rstrip("/"))


def _homeserver(bridge: BridgeSettings, url: str) -> Iterator[Finding]:
    check = f"bridges.{bridge.name}.homeserver"
    status, versions = _ask(f"{url}/_matrix/client/versions", None)
    if status != http.client.OK or "versions" not in versions:
        yield bad(
            check, f"{url}: {versions.get('error') or f'answered {status}'}", f"curl {url}/_matrix/client/versions"
        )
        return
    yield ok(check, f"{url} answers")
    token = _token(bridge)
    if token is not None:
        yield _login(bridge, url, token)


def _login(bridge: BridgeSettings, url: str, token: str) -> Finding:
    check = f"bridges.{bridge.name}.access_token_file"
    status, who = _ask(f"{url}/_matrix/client/v3/account/whoami", token)
    found, wanted = who.get("user_id"), bridge.table.get("user_id")
    if status != http.client.OK:
        return bad(check, f"the homeserver refuses the token: {who.get('error', status)}", "crossband matrix login")
    if wanted is not None and found != wanted:
        return bad(check, f"the token is that of {found}, not {wanted}", "crossband matrix login")
    return ok(check, f"logged in as {found}")


def _token(bridge: BridgeSettings) -> str | None:
    path = bridge.table.get("access_token_file")
    try:
        return Path(path).read_text("utf-8").strip() if isinstance(path, str) else None
    except (OSError, UnicodeDecodeError):
        return None


def _ask(url: str, token: str | None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url)  # noqa: S310 - the kind's check allows http and https only
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as response:  # noqa: S310 - the same
            return response.status, _read(response)
    except urllib.error.HTTPError as error:
        return error.code, _read(error)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return 0, {"error": str(getattr(error, "reason", error))}


def _read(response: Any) -> dict[str, Any]:
    try:
        answer = json.loads(response.read(MAX_ANSWER_BYTES))
    except (ValueError, OSError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _connections(settings: Settings, prefix: str) -> Iterator[tuple[BridgeSettings, str]]:
    for bridge in settings.bridges.values():
        connection = bridge.table.get("connection")
        if isinstance(connection, str) and connection.startswith(prefix):
            yield bridge, connection.removeprefix(prefix)
