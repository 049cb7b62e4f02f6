# SPDX-License-Identifier: GPL-3.0-or-later
"""What a radio bridge is made of, and what each part is given. All of it outlives the bridge's connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from bridges.meshtastic.config import MeshtasticConfig
from bridges.meshtastic.connection import SerialPath, Udp
from bridges.meshtastic.inbox import Inbox
from bridges.meshtastic.keys import Keys
from bridges.meshtastic.locating import Locator
from bridges.meshtastic.meter import Meter
from bridges.meshtastic.nodes import NodeBook
from bridges.meshtastic.register import Register, Seat
from bridges.meshtastic.spelling import Spelling
from bridges.meshtastic.station import Station
from bridges.meshtastic.tally import Tally
from bridges.meshtastic.transmitter import Transmitter
from bridges.meshtastic.twins import Twins
from gateway.model import BridgeContext

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts that more than one of the bridge's activities use."""

    context: BridgeContext
    config: MeshtasticConfig
    log: Any
    """Bound to the bridge's name."""
    count: Callable[[str], None]
    seat: Seat
    station: Station
    spelling: Spelling
    nodes: NodeBook
    inbox: Inbox
    meter: Meter
    keys: Keys
    transmitter: Transmitter
    locator: Locator
    twins: Twins


def parts_of(context: BridgeContext, register: Register) -> Parts:
    """Put together the parts of the bridge that this context is for; ConfigError if its table is none of a radio's."""
    config = MeshtasticConfig.parse(context.table)
    bound = log.bind(bridge=context.name)
    count = Tally(context, bound).count
    station, inbox = Station(), Inbox()
    nodes = NodeBook(context.clock, keeps_places=config.positions.are_kept, count=count)
    seat = _seat(context, config, register)
    meter = _meter(context, config, station, count)
    keys = _keys(context, config, station, nodes, count)
    transmitter = Transmitter(
        clock=context.clock,
        station=station,
        meter=meter,
        pace_s=config.pace_s,
        state_dir=context.state_dir,
        on_report=inbox.put,
        count=count,
        judge=keys.judge,
    )
    locator = Locator(
        config, clock=context.clock, station=station, transmitter=transmitter, random=context.random, count=count
    )
    return Parts(
        context=context,
        config=config,
        log=bound,
        count=count,
        seat=seat,
        station=station,
        spelling=Spelling(station, context.conversations),
        nodes=nodes,
        inbox=inbox,
        meter=meter,
        keys=keys,
        transmitter=transmitter,
        locator=locator,
        twins=Twins(seat, clock=context.clock, heard_ms=nodes.heard_ms),
    )


def _seat(context: BridgeContext, config: MeshtasticConfig, register: Register) -> Seat:
    where = config.connection
    return register.join(context.name, node=config.board, path=where.path if isinstance(where, SerialPath) else "")


def _meter(context: BridgeContext, config: MeshtasticConfig, station: Station, count: Callable[[str], None]) -> Meter:
    return Meter(
        clock=context.clock,
        station=station,
        share_percent=config.airtime_share_percent,
        want_ack=config.want_ack,
        has_radio=not isinstance(config.connection, Udp),
        folder=context.state_dir,
        count=count,
    )


def _keys(
    context: BridgeContext,
    config: MeshtasticConfig,
    station: Station,
    nodes: NodeBook,
    count: Callable[[str], None],
) -> Keys:
    return Keys(
        clock=context.clock,
        station=station,
        random=context.random,
        hop_limit=config.hop_limit,
        channel_of=nodes.channel,
        appeared=context.appeared,
        count=count,
    )
