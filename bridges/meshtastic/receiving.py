# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes what comes over the link, gives each part its share, and hands the core what is for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import assert_never

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic import replays
from bridges.meshtastic.adjusting import Adjusting
from bridges.meshtastic.connecting import Connector
from bridges.meshtastic.connection import Udp
from bridges.meshtastic.convert import Ear, sender_of, to_message, why_not
from bridges.meshtastic.events import Arrived, Event, Lost, Met, Noticed, Queued, Ready, Restarted
from bridges.meshtastic.own_words import OwnWords
from bridges.meshtastic.parts import Parts
from bridges.meshtastic.traffic import Traffic
from gateway.model import LinkDown, Message, Report


class Receiver:
    """Kept across connections."""

    def __init__(self, parts: Parts, connector: Connector, *, adjusting: Adjusting, own_words: OwnWords) -> None:
        self._parts = parts
        self._connector = connector
        self._setup = adjusting.setup
        self._orders = adjusting.orders
        self._own_words = own_words
        self._traffic = Traffic(
            telemetry_every_s=parts.config.telemetry_every_s,
            locator=parts.locator,
            clock=parts.context.clock,
            count=parts.count,
        )

    async def receive(self) -> AsyncGenerator[Message | Report]:
        """As `Bridge.receive`."""
        inbox = self._parts.inbox
        while True:
            item = await inbox.head()
            yield item
            inbox.stored()
            if self._connector.link is not None and inbox.has_room:
                self._connector.link.resume()
            if isinstance(item, Message) and item.direct:
                self._own_words.thank(item)

    def lost(self, error: LinkDown) -> None:
        """Say to whoever waits for the radio that it is gone, or forgot."""
        self._parts.transmitter.lost(error)
        self._parts.locator.lost(error)
        self._orders.lost(error)

    def on_event(self, event: Event) -> None:
        """Take what happened on the link."""
        parts = self._parts
        match event:
            case Arrived(packet=packet):
                self._on_packet(packet)
            case Met(info=info):
                parts.nodes.learn(info)
            case Queued(status=status) if self._orders.has_said(status.mesh_packet_id):
                pass
            case Queued(status=status):
                parts.transmitter.on_status(status)
            case Noticed(text=text):
                parts.station.notice = text
                parts.meter.noticed(text)
                parts.log.warning("radio_notice", notice=text)
            case Ready():
                self._setup.greeted(parts.spelling.routed)
            case Restarted():
                self._restarted()
            case Lost(error=LinkDown() as error):
                down = self._connector.lost(error)
                self.lost(down)
                parts.inbox.fail(down)
            case Lost():
                pass  # the link says it again, with the error
            case _:
                assert_never(event)

    def _restarted(self) -> None:
        self._parts.log.warning("radio_restarted")
        self.lost(LinkDown("the radio restarted"))
        if not isinstance(self._parts.config.connection, Udp):
            # A node in software says so when it takes another number: it forgot nothing, and under that
            # number what it said would be new to everybody.
            self._parts.transmitter.restarted()

    def _on_packet(self, packet: MeshPacket) -> None:
        parts = self._parts
        if sender_of(packet) == parts.station.number:
            self._setup.heard(packet.rx_time)
            if self._orders.take(packet):
                return
        replayed = replays.as_said(packet)
        if replayed is None:
            parts.nodes.hear(packet)
            parts.keys.hear(packet)
        parts.meter.heard(packet)
        packet = replayed or packet
        if packet.decoded.portnum == PortNum.ROUTING_APP:
            self._on_routing(packet)
        elif parts.seat.register.is_ours(sender_of(packet), packet.id):
            parts.count("answer_of_another_radio")
        else:
            self._on_words(packet, is_replay=replayed is not None)

    def _on_routing(self, packet: MeshPacket) -> None:
        self._parts.locator.on_routing(packet)
        self._parts.keys.on_routing(packet)
        try:
            self._parts.transmitter.on_routing(packet)
        except DecodeError:
            self._parts.count("routing_unparsable")

    def _on_words(self, packet: MeshPacket, *, is_replay: bool) -> None:
        parts, other = self._parts, None
        if self._traffic.reads(packet) and not why_not(packet, parts.station.number):
            other = self._traffic.take(packet)
            if other is None:
                return
        message = to_message(packet, self._ear(), parts.context.clock.now_ms(), other, is_replay=is_replay)
        if message is None or self._own_words.answering.take(message, packet, is_replay=is_replay):
            return
        parts.twins.hear(message)
        parts.inbox.put(message)
        if parts.inbox.is_full and self._connector.link is not None:
            self._connector.link.pause()

    def _ear(self) -> Ear:
        parts = self._parts
        return Ear(
            bridge=parts.context.name,
            own=parts.station.number,
            channels=parts.station.channels,
            routed=parts.spelling.routed,
            name_of=parts.nodes.name,
            count=parts.count,
        )
