# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway itself says on the air: thanks for a direct message, and answers to questions."""

from __future__ import annotations

import asyncio

from bridges.meshtastic import places
from bridges.meshtastic.airtime import airtime_s
from bridges.meshtastic.answering import Answering
from bridges.meshtastic.courtesy import THANKS_EVERY_S, Courtesy, answer
from bridges.meshtastic.dispatch import Dispatch
from bridges.meshtastic.link import Link
from bridges.meshtastic.parts import Parts
from gateway.model import Address, BridgeError, Message, Text

MOST_ANSWERS = 16
ANSWER_BYTES = 120
"""Of an answer on the air, as airtime is reckoned before it is worded, with what goes around it."""


class OwnWords:
    """Kept across connections."""

    def __init__(self, parts: Parts, dispatch: Dispatch) -> None:
        self._parts = parts
        self._dispatch = dispatch
        self._courtesy = Courtesy(THANKS_EVERY_S)
        self._to_thank: asyncio.Queue[Message] = asyncio.Queue(MOST_ANSWERS)
        self.answering = Answering(
            parts.config.answers,
            context=parts.context,
            nodes=parts.nodes.listed,
            own=lambda: places.node_id(parts.station.number),
            cost_s=lambda: airtime_s(parts.station.modem, ANSWER_BYTES),
            held=lambda: parts.meter.not_spared(round(1000 * airtime_s(parts.station.modem, ANSWER_BYTES))),
            say=self._say,
            count=parts.count,
        )

    def thank(self, message: Message) -> None:
        """Thank for a direct message that was stored, if that is wanted and due."""
        config = self._parts.config
        wanted = config.answer_direct and config.direct and isinstance(message.content, Text)
        if not wanted or self._to_thank.full():
            return
        now = self._parts.context.clock.monotonic()
        if self._courtesy.is_due(message.sender.id, now):
            self._courtesy.answered(message.sender.id, now)
            self._to_thank.put_nowait(message)

    async def say_thanks(self, link: Link) -> None:
        """Say them one after the other, for as long as the link lasts."""
        parts = self._parts
        while True:
            asked = await self._to_thank.get()
            try:
                await self._say(link, asked, asked.origin, answer(parts.config.direct), wants_ack=True)
            except BridgeError as error:
                parts.count("answer_failed")
                parts.log.info("radio_answer_failed", reason=str(error))

    async def _say(self, link: Link, asked: Message, to: Address, words: str, *, wants_ack: bool = False) -> None:
        """Say something of our own in reply. Without an acknowledgement it goes out once: who misses it asks again."""
        parts = self._parts
        number = parts.context.random.getrandbits(32) or 1
        said = Message(
            native_id=asked.native_id,
            origin=asked.origin,
            sender=asked.sender,
            content=Text(body=words),
            received_ms=asked.received_ms,
            reply_to=asked.remote_id,
        )
        packet = self._dispatch.packet(said, to, number)
        packet.want_ack = packet.want_ack and wants_ack
        if not parts.seat.register.speak(parts.seat, asked.native_id, number):
            parts.count("answered_by_another_radio")
            return
        await parts.transmitter.transmit(link, packet, key=None)
