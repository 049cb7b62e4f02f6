# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the line to the radio, or to the node that stands in for one, and greets it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from bridges.meshtastic.connection import SerialPath, Udp
from bridges.meshtastic.events import Event
from bridges.meshtastic.finding import Finder
from bridges.meshtastic.line import Line
from bridges.meshtastic.link import Link
from bridges.meshtastic.parts import Parts
from bridges.meshtastic.session import Session
from gateway.model import LinkDown

if TYPE_CHECKING:
    from bridges.meshtastic.node.own import OwnNode


class Connector:
    """Knows the link of the moment; what it learns of the ways to the radio outlives each."""

    def __init__(
        self, parts: Parts, *, boards: Callable[[], list[SerialPath]], on_event: Callable[[Event], None]
    ) -> None:
        """`boards`: the devices that may be radios. `on_event` is told what comes over each link."""
        self._parts = parts
        self._on_event = on_event
        self._finder = Finder(parts.config, parts.seat, clock=parts.context.clock, boards=boards, greet=self._greeted)
        self._enough: Callable[[], bool] = lambda: False
        """When a greeting has brought what it is for."""
        self._own_node: OwnNode | None = None
        self.link: Link | None = None
        """The one that is up; None before it was greeted, and once it is let go of."""

    @property
    def replaced(self) -> str:
        """Which node was at the port before the one that is there now; empty: none that we met."""
        return self._finder.replaced

    @property
    def port(self) -> str:
        """What the radio is at, or is looked for."""
        return self.link.name if self.link else str(self._parts.config.connection)

    def standing(self) -> Link:
        """Return the link; LinkDown if there is none."""
        if self.link is None:
            raise LinkDown("the radio is not connected")
        return self.link

    async def open(self) -> Link:
        """Connect, and keep the link as the one of the moment."""
        self.link = await self.connect()
        return self.link

    async def connect(self, *, enough: Callable[[], bool] = lambda: False) -> Link:
        """Return a link that was greeted, until that brought `enough`; LinkDown, with nothing left open."""
        where, self._enough = self._parts.config.connection, enough
        if isinstance(where, Udp):
            return await self._greeted(self._node_on(where).connect(), is_certain=True)
        return await self._finder.connect(where)

    def lost(self, error: LinkDown) -> LinkDown:
        """Take in that a link is gone; return what to say of it."""
        # While it is greeted, whoever greets it hears of it.
        return error if self.link is None else self._finder.lost(error)

    def _node_on(self, where: Udp) -> OwnNode:
        """Return the node that stands in for a radio; it outlives its connections."""
        if self._own_node is None:
            # With a radio, nobody pays for the cryptography.
            from bridges.meshtastic.node.own import OwnNode  # noqa: PLC0415

            parts, config = self._parts, self._parts.config
            self._own_node = OwnNode(
                where.interfaces, config.own_node, parts.context, hop_limit=config.hop_limit, count=parts.count
            )
        return self._own_node

    async def _greeted(self, port: Line, is_certain: bool) -> Link:
        parts, context, seat = self._parts, self._parts.context, self._parts.seat
        session = Session(
            station=parts.station,
            random=context.random,
            count=parts.count,
            now=context.clock.monotonic(),
            objection=partial(self._objection, port),
            strays=seat.register.claim,
        )
        link = Link(port, session, context.clock, on_event=self._on_event, count=parts.count)
        try:
            await link.greet(is_certain=is_certain, enough=self._enough)
        except BaseException:
            await link.close()
            seat.register.keep(session.stranger, session.strays)
            raise
        station = parts.station
        seat.learn(station.number, f"{station.region} {station.preset}", station.channels)
        parts.twins.connected()
        return link

    def _objection(self, port: Line, number: int) -> str:
        seat = self._parts.seat
        if port.is_serial:
            seat.register.prove(port.name, number, self._parts.context.clock.monotonic())
        return seat.objection(number)
