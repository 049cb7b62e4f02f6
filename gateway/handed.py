# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that systemd opened for us, ``sd_listen_fds(3)``: on ports that our user may not bind, such as 80.

A socket is found by its address: whatever the configuration says to listen on, and systemd has opened, is taken over.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

FIRST = 3
"""The first descriptor that is handed over."""
MOST = 64
_KEYS = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_V4_ANY = "0.0.0.0"  # noqa: S104  # compared with, not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    name: str
    sock: socket.socket

    def serves(self, host: str, port: int) -> bool:
        """Whether who asks for this address gets here: all of IPv6 has all of IPv4 with it, unless told not to."""
        at, bound, *_ = self.sock.getsockname()
        if bound != port:
            return False
        is_dual = at == "::" and not self.sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        return at == host or (is_dual and host == _V4_ANY)


class Handed:
    """The sockets, until each is taken."""

    def __init__(self, opened: Mapping[str, socket.socket] | None = None) -> None:
        """`opened`: by what the socket unit calls them."""
        self._open = [_Open(name=name, sock=sock) for name, sock in (opened or {}).items()]

    def take(self, host: str, port: int) -> socket.socket | None:
        """Return what listens at this address, from now on the caller's; None: nothing was handed over for it."""
        found = next((one for one in self._open if one.serves(host, port)), None)
        if found is None:
            return None
        self._open.remove(found)
        return found.sock

    def close(self) -> None:
        """Close what nobody took: whoever connects would wait for ever. What that is, is said."""
        for one in self._open:
            host, port, *_ = one.sock.getsockname()
            log.warning("socket_not_wanted", unit=one.name, at=f"{host} {port}", mend="name it as page, or listen")
            one.sock.close()
        self._open.clear()


def names_of(environ: Mapping[str, str], pid: int) -> list[str]:
    """Return what each descriptor from `FIRST` on is called; none: nothing was handed to this process. Pure."""
    pid_text, count_text, names_text = (environ.get(key, "") for key in _KEYS)
    if pid_text != str(pid) or not (count_text.isascii() and count_text.isdigit()):
        return []
    names = names_text.split(":") if names_text else []
    count = min(int(count_text[:4]), MOST)
    return [*names[:count], *["unknown"] * (count - len(names))]


def take_over(environ: MutableMapping[str, str], pid: int, *, first: int = FIRST) -> Handed:
    """Return the sockets that were handed over; what we start after this inherits neither them nor word of them."""
    opened: dict[str, socket.socket] = {}
    for at, name in enumerate(names_of(environ, pid)):
        sock = _listening(first + at)
        if sock is None:
            log.warning("socket_not_usable", unit=name, mend="ListenStream= of a port in the socket unit")
        else:
            opened[name if name not in opened else f"{name} {at}"] = sock
    for key in _KEYS:
        environ.pop(key, None)
    return Handed(opened)


def _listening(descriptor: int) -> socket.socket | None:
    """Return the socket if it is a TCP one that listens."""
    with contextlib.suppress(OSError):
        sock = socket.socket(fileno=descriptor)
        is_tcp = sock.family in {socket.AF_INET, socket.AF_INET6} and sock.type == socket.SOCK_STREAM
        if is_tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.set_inheritable(False)
            return sock
        sock.close()
    return None
