# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``[bridges.NAME]`` table of a radio. Pure; imports no protobufs, so that `check` is cheap."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from bridges.meshtastic.node import setup as own
from bridges.meshtastic.places import BROADCAST, node_id, node_number
from bridges.meshtastic.shorten import Shorten
from gateway.model import ConfigError
from gateway.model.units import seconds

DEFAULT_TCP_PORT = 4403
MOST_HOPS = 7
SHORTEST_PACE_S = 2.0
LONGEST_PACE_S = 60.0
MOST_PARTS = 9
LONGEST_CORRECTION_S = 86_400.0
LEAST_SHARE_PERCENT = 0.1
MOST_SHARE_PERCENT = 100.0
_HIGHEST_PORT = 65535
_KEYS = frozenset({"kind", "connection", "direct", "hop_limit", "answer_direct", "want_ack", "pace_s", "max_parts"}) | {
    "positions",
    "positions_every",
    "correct_within_s",
    "telemetry_every",
    "answers",
    *own.KEYS,
    "shorten",
    "airtime_share",
    "node",
}
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


class Positions(StrEnum):
    """What is done with the positions of nodes."""

    OFF = "off"
    """Nothing: they are neither passed on nor asked for."""
    REQUEST = "request"
    """A node is asked for its own where somebody asks the gateway, and only they are told."""
    KEEP = "keep"
    """Besides, those that nodes broadcast stand in the node directory."""
    ON = "on"
    """Besides, those that nodes broadcast, and waypoints, are messages."""

    @property
    def are_kept(self) -> bool:
        """Whether the node directory says where nodes are."""
        return self in (Positions.KEEP, Positions.ON)


class Question(StrEnum):
    """What can be asked of the gateway on the air, with a ``!`` before it."""

    PING = "ping"
    """How our node hears the asker."""
    NODES = "nodes"
    """Who was heard lately."""
    GW = "gw"
    """How the gateway is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshtasticConfig:
    """What an operator may set of a radio bridge."""

    connection: Connection
    board: int | None = None
    """The number of the one node that it is for (`node`); None: whichever is there."""
    direct: str = ""
    """Where direct messages to the node go; the core routes by it, we only name it in answers."""
    hop_limit: int = 3
    answer_direct: bool = False
    """Answer a direct message with one line on air, at most once an hour to one node."""
    want_ack: bool = True
    """Ask for an acknowledgement of broadcasts: without it `heard` is never known."""
    pace_s: float = 2.3
    """Seconds between two texts. The firmware drops what comes less than 2 s after the last one."""
    max_parts: int = 4
    positions: Positions = Positions.OFF
    positions_every_s: int = 600
    """Of one node, one position in so long is passed on."""
    telemetry_every_s: int = 3600
    """Of one node's instruments, one line in so long is passed on."""
    answers: frozenset[Question] = frozenset()
    """Which questions are answered on the air."""
    correct_within_s: float = 300.0
    """How old what was sent may be for a correction of it to be said."""
    node: own.NodeSetup = field(default_factory=own.NodeSetup)
    """How our own node is set, where there is no radio."""
    shorten: frozenset[Shorten] = frozenset()
    """How texts may be said in fewer bytes."""
    airtime_share_percent: float | None = None
    """Of every hour, what our texts may be on the air. None: 5 %, or half of the legal duty cycle if that is less."""

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        """Read the raw table; ConfigError with the key and the mend."""
        for key in table:
            if key not in _KEYS:
                raise ConfigError(f"unknown key {key!r}", key=key, mend=f"known are {', '.join(sorted(_KEYS))}")
        connection = parse_connection(table.get("connection"))
        if not isinstance(connection, Udp):
            own.refuse(table)
        return cls(
            connection=connection,
            board=_board(table.get("node"), connection),
            node=own.NodeSetup.parse(table),
            direct=_text(table, "direct"),
            hop_limit=_whole(table, "hop_limit", 3, 0, MOST_HOPS),
            answer_direct=_flag(table, "answer_direct", default=False),
            want_ack=_flag(table, "want_ack", default=True),
            pace_s=_seconds(table, "pace_s", 2.3, SHORTEST_PACE_S, LONGEST_PACE_S),
            max_parts=_whole(table, "max_parts", 4, 1, MOST_PARTS),
            positions=_positions(table.get("positions", Positions.OFF)),
            positions_every_s=_every(table, "positions_every", "10m"),
            telemetry_every_s=_every(table, "telemetry_every", "1h"),
            answers=_answers(table.get("answers", [])),
            correct_within_s=_seconds(table, "correct_within_s", 300.0, 0.0, LONGEST_CORRECTION_S),
            shorten=_shorten(table.get("shorten", [])),
            airtime_share_percent=_share(table.get("airtime_share")),
        )


def check(table: Mapping[str, Any]) -> frozenset[str]:
    """Validate the raw table; return the port and the node it will hold alone (a node takes one client)."""
    return frozenset(_claims(MeshtasticConfig.parse(table)))


def _claims(config: MeshtasticConfig) -> Iterator[str]:
    if config.board is not None:
        yield f"node {node_id(config.board)}"
    match config.connection:
        case SerialAuto() if config.board is not None:
            pass
        case Tcp() as where:
            yield str(where).lower()
        case Udp(interfaces=names):
            # Two nodes on one LAN would say everything twice; one has up to 8 channels.
            yield from (str(Udp((name,))) for name in names)
        case where:
            yield str(where)


def apart(claim: str) -> str:
    """Return how two bridges that want the same are told apart."""
    if claim == str(SerialAuto()):
        return 'Say in each which board it is for: node = "!a1b2c301", the number that the apps show'
    return "Give each its own"


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


def _board(value: object, connection: Connection) -> int | None:
    if value is None:
        return None
    if isinstance(connection, Udp):
        raise ConfigError("node says which radio is wanted, and there is none", key="node", mend="leave it out")
    number = node_number(value.lower()) if isinstance(value, str) else None
    if number in (None, 0, BROADCAST):
        mend = 'node = "!a1b2c301", the number that the apps show of the radio'
        raise ConfigError(f"{value!r} is not a node", key="node", mend=mend)
    return number


def _positions(value: object) -> Positions:
    try:
        return Positions(value if isinstance(value, str) else "")
    except ValueError:
        mend = 'positions = "off"  # off | request | keep | on'
        raise ConfigError(f"{value!r} is not what can be done with positions", key="positions", mend=mend) from None


def _answers(value: object) -> frozenset[Question]:
    known = [each.value for each in Question]
    if not isinstance(value, list) or not all(each in known for each in value):
        raise ConfigError(
            f"{value!r} is not a list of questions to answer", key="answers", mend=f"list any of {', '.join(known)}"
        )
    return frozenset(map(Question, value))


def _shorten(value: object) -> frozenset[Shorten]:
    known = ", ".join(Shorten)
    try:
        return frozenset(Shorten(str(each)) for each in (value if isinstance(value, list) else [value]))
    except ValueError:
        mend = f'shorten = ["spaces", "homoglyphs"]  # any of {known}'
        raise ConfigError(f"{value!r} is not how texts can be shortened", key="shorten", mend=mend) from None


def _every(table: Mapping[str, Any], key: str, default: str) -> int:
    value = table.get(key, default)
    try:
        return seconds(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ConfigError(str(error), key=key, mend=f'{key} = "{default}"') from error


def _share(value: object) -> float | None:
    if value is None:
        return None
    text = value.removesuffix("%").strip() if isinstance(value, str) else value
    try:
        percent = float(text) if isinstance(text, str | int | float) and not isinstance(text, bool) else -1.0
    except ValueError:
        percent = -1.0
    if not LEAST_SHARE_PERCENT <= percent <= MOST_SHARE_PERCENT:
        mend = 'airtime_share = "5%"  # of every hour, from 0.1 to 100'
        raise ConfigError(f"{value!r} is no share of the time", key="airtime_share", mend=mend)
    return percent


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(f"{key} must be text", key=key, mend=f'write {key} = "..."')
    return value


def _flag(table: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{key} must be true or false", key=key, mend=f"write {key} = true or {key} = false")
    return value


def _whole(table: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{key} is out of range", key=key, mend=f"a whole number from {low} to {high}")
    return value


def _seconds(table: Mapping[str, Any], key: str, default: float, low: float, high: float) -> float:
    value = table.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{key} is out of range", key=key, mend=f"seconds from {low} to {high}")
    return float(value)
