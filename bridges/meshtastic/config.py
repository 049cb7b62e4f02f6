# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``[bridges.NAME]`` table of a radio. Pure; imports no protobufs, so that `check` is cheap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from bridges.meshtastic import values
from bridges.meshtastic.choices import Positions, Question
from bridges.meshtastic.connection import Connection, SerialAuto, Tcp, Udp, parse_connection
from bridges.meshtastic.node import setup as own
from bridges.meshtastic.places import BROADCAST, node_id, node_number
from bridges.meshtastic.shorten import Shorten
from gateway.model import ConfigError

MOST_HOPS = 7
SHORTEST_PACE_S = 2.0
LONGEST_PACE_S = 60.0
MOST_PARTS = 9
LONGEST_CORRECTION_S = 86_400.0
KEYS = own.KEYS | {
    "airtime_share",
    "answer_direct",
    "answers",
    "connection",
    "correct_within_s",
    "direct",
    "hop_limit",
    "kind",
    "max_parts",
    "mesh",
    "node",
    "pace_s",
    "positions",
    "positions_every",
    "shorten",
    "telemetry_every",
    "want_ack",
}


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
    own_node: own.NodeSetup = field(default_factory=own.NodeSetup)
    """How our own node is set, where there is no radio."""
    shorten: frozenset[Shorten] = frozenset()
    """How texts may be said in fewer bytes."""
    mesh: str = ""
    """What this mesh is called, where another box's radio is on one that is set alike and out of this one's range."""
    airtime_share_percent: float | None = None
    """Of every hour, what our texts may be on the air. None: 5 %, or half of the legal duty cycle if that is less."""

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        """Read the raw table; ConfigError with the key and the mend."""
        for key in table:
            if key not in KEYS:
                raise ConfigError(f"unknown key {key!r}", key=key, mend=f"known are {', '.join(sorted(KEYS))}")
        connection = parse_connection(table.get("connection"))
        if not isinstance(connection, Udp):
            own.refuse(table)
        return cls(
            connection=connection,
            board=_board(table.get("node"), connection),
            own_node=own.NodeSetup.parse(table),
            direct=values.text(table, "direct"),
            hop_limit=values.whole(table, "hop_limit", 3, 0, MOST_HOPS),
            answer_direct=values.flag(table, "answer_direct", default=False),
            want_ack=values.flag(table, "want_ack", default=True),
            pace_s=values.seconds(table, "pace_s", 2.3, SHORTEST_PACE_S, LONGEST_PACE_S),
            max_parts=values.whole(table, "max_parts", 4, 1, MOST_PARTS),
            positions=values.positions(table.get("positions", Positions.OFF)),
            positions_every_s=values.every(table, "positions_every", "10m"),
            telemetry_every_s=values.every(table, "telemetry_every", "1h"),
            answers=values.answers(table.get("answers", [])),
            correct_within_s=values.seconds(table, "correct_within_s", 300.0, 0.0, LONGEST_CORRECTION_S),
            shorten=values.shorten(table.get("shorten", [])),
            mesh=values.text(table, "mesh"),
            airtime_share_percent=values.share(table.get("airtime_share")),
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
