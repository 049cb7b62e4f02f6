# SPDX-License-Identifier: GPL-3.0-or-later
"""The spellings of what a radio bridge connects to. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.model import ConfigError

DEFAULT_TCP_PORT = 4403
_HIGHEST_PORT = 65535
_SPELLINGS = 'write "serial:auto", "serial:/dev/serial/by-id/...", "tcp:HOST[:4403]" or "udp:INTERFACE"'
_INTERFACE = re.compile(r"(?!\.{1,2}\Z)[!-+\--.0-9;-~]{1,15}\Z")
"""What the kernel takes for a name, without ``,`` and ``:``."""


@dataclass(frozen=True, slots=True)
class SerialAuto:
    """Whichever USB board answers as a radio."""

    def __str__(self) -> str:
        return "serial:auto"


@dataclass(frozen=True, slots=True)
class SerialPath:
    """One serial device."""

    path: str

    def __str__(self) -> str:
        return f"serial:{self.path}"


@dataclass(frozen=True, slots=True)
class Tcp:
    """A node's TCP interface."""

    host: str
    port: int = DEFAULT_TCP_PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Udp:
    """No radio: a node of our own on the LAN mesh, on these network interfaces."""

    interfaces: tuple[str, ...]

    def __str__(self) -> str:
        return f"udp:{','.join(self.interfaces)}"


Connection = SerialAuto | SerialPath | Tcp | Udp


def parse_connection(text: object) -> Connection:
    """Read the spelling of a connection; ConfigError if it is none."""
    if not isinstance(text, str) or not text:
        raise ConfigError("a radio needs a connection", key="connection", mend=_SPELLINGS)
    scheme, _, rest = text.partition(":")
    match scheme:
        case "serial" if rest == "auto":
            return SerialAuto()
        case "serial" if rest.startswith("/"):
            return SerialPath(rest)
        case "serial":
            raise ConfigError(f"{rest!r} is not a device", key="connection", mend=_SPELLINGS)
        case "tcp":
            return _parse_tcp(rest)
        case "udp":
            return _parse_udp(rest)
        case _:
            raise ConfigError(f"{text!r} is not a connection to a radio", key="connection", mend=_SPELLINGS)


def _parse_tcp(rest: str) -> Tcp:
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        port = tail.removeprefix(":") if tail.startswith(":") else ""
        is_bad = not bracket or (tail != "" and not port)
    else:
        host, colon, port = rest.partition(":")
        is_bad = bool(colon) and not port
    if is_bad or not host or any(character.isspace() for character in host):
        raise ConfigError(f"{rest!r} is not HOST or HOST:PORT", key="connection", mend=_SPELLINGS)
    if not port:
        return Tcp(host)
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT):
        raise ConfigError(f"{port!r} is not a port", key="connection", mend=f"a number from 1 to {_HIGHEST_PORT}")
    return Tcp(host, int(port))


def _parse_udp(rest: str) -> Udp:
    names = tuple(name.strip() for name in rest.split(","))
    for name in names:
        if not _INTERFACE.match(name):
            mend = 'connection = "udp:eth0" or "udp:eth0,wlan0"; `ip link` lists them'
            raise ConfigError(f"{name!r} is not a network interface", key="connection", mend=mend)
    if len(set(names)) < len(names):
        raise ConfigError(f"{rest!r} names an interface twice", key="connection", mend="name each once")
    return Udp(names)
