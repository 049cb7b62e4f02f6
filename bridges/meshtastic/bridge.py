# SPDX-License-Identifier: GPL-3.0-or-later
"""The radio as a bridge: what the core asks of it, each handed to the part that does it.

Also a `Commons` (other boxes may have radios on its mesh), a `Directory` (the nodes heard of), `Locates` (asks one of
them where it is), `Offers` (our node's channels), `Describes` (who our radio is), `Adjustable` (how it is set),
`Rerouted`, `Foresees` (what a text will be called), `Costs` (what it takes on the air) and `Schedules` (what goes
next).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from bridges.meshtastic import commons, places
from bridges.meshtastic.adjusting import Adjusting
from bridges.meshtastic.boards import candidates
from bridges.meshtastic.connecting import Connector
from bridges.meshtastic.connection import SerialPath
from bridges.meshtastic.convert import native_id
from bridges.meshtastic.dispatch import Dispatch
from bridges.meshtastic.events import Event
from bridges.meshtastic.keeping import KeptNodes
from bridges.meshtastic.link import Link
from bridges.meshtastic.own_words import OwnWords
from bridges.meshtastic.parts import parts_of
from bridges.meshtastic.receiving import Receiver
from bridges.meshtastic.register import SHARED, Register
from bridges.meshtastic.shorten import shorter
from gateway.model import (
    Address,
    Airtime,
    Alteration,
    BridgeContext,
    BridgeError,
    BridgeName,
    Candidate,
    Capabilities,
    Declined,
    Foreseen,
    Go,
    Hold,
    LinkDown,
    Location,
    Message,
    NativeId,
    Node,
    Receipt,
    Refuse,
    RemoteId,
    Report,
    RoutedConversation,
    SenderId,
)


class MeshtasticBridge:
    """One radio. What was received and not stored outlives its connections."""

    def __init__(
        self,
        context: BridgeContext,
        *,
        boards: Callable[[], list[SerialPath]] = candidates,
        register: Register = SHARED,
    ) -> None:
        """`boards`: the devices that may be radios. `register`: what the radio bridges here know of each other."""
        self._context = context
        self._parts = parts = parts_of(context, register)
        self._kept_nodes = KeptNodes(
            parts.nodes, context.state_dir, clock=context.clock, count=parts.count, bridge=context.name
        )
        self._connector = Connector(parts, boards=boards, on_event=self._on_event)
        self._dispatch = Dispatch(parts, self._connector)
        self._adjusting = Adjusting(parts, self._connector)
        self._own_words = OwnWords(parts, self._dispatch)
        self._receiver = Receiver(parts, self._connector, adjusting=self._adjusting, own_words=self._own_words)
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def name(self) -> BridgeName:
        """Its name in the configuration."""
        return self._context.name

    @property
    def capabilities(self) -> Capabilities:
        """What a radio can carry."""
        config = self._parts.config
        return places.capabilities(config.max_parts, config.correct_within_s, shorter(config.shorten))

    async def __aenter__(self) -> Self:
        """Open the port and greet the radio; LinkDown, with nothing left open, if there is none."""
        parts = self._parts
        parts.transmitter.load()
        await self._kept_nodes.load()
        link = await self._connector.open()
        parts.meter.load()
        parts.inbox.open()
        if link.failure is not None:
            parts.inbox.fail(link.failure)
        self._tasks = self._begin(link)
        parts.log.info("radio_connected", port=link.name, node=places.node_id(parts.station.number))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Say goodbye and let go of the port, within a second or so."""
        link, self._connector.link = self._connector.link, None
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        try:
            if link is not None:
                await link.close()
        finally:
            self._parts.seat.release()
            error = (link.failure if link else None) or LinkDown("the radio is not connected")
            self._receiver.lost(error)
            self._parts.inbox.fail(error)
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._kept_nodes.close(for_good=not isinstance(exc, BridgeError))
            await self._parts.meter.keep()

    def receive(self) -> AsyncGenerator[Message | Report]:
        """Yield what comes; what is asked past counts as stored. LinkDown once all before it is out."""
        return self._receiver.receive()

    @property
    def unclaimed(self) -> int:
        """How many messages came in that nobody asked for."""
        return len(self._parts.inbox)

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        """Send one packet under the key's packet id, at the radio's pace."""
        return await self._dispatch.send(message, to, key=key)

    def foresee(self, key: str) -> Foreseen:
        """Return the packet id that what is sent under this key has, and what it is called with our number."""
        return self._dispatch.foresee(key)

    def common_name(self, conversation: str) -> str | None:
        """Return what every box calls a channel or direct chat of this mesh."""
        return commons.common_name(conversation, self._parts.station, mesh=self._parts.config.mesh)

    def native_of(self, remote_id: RemoteId) -> NativeId | None:
        """Return what others call a packet of ours."""
        own = self._parts.station.number
        return native_id(own, int(remote_id, 16)) if own else None

    def remote_of(self, native_id: NativeId) -> RemoteId | None:
        """Return the packet that is called so."""
        network, _, packet = native_id.partition(":")
        return RemoteId(packet.rpartition(":")[2]) if network == "mt" else None

    @property
    def turn_s(self) -> float:
        """How long another box's radio is given to be heard."""
        return commons.turn_s(self._parts.station.modem)

    def choose(self, waiting: Sequence[Candidate]) -> Go | Hold | Refuse:
        """Say which goes on the air next, or why none may."""
        ready = self._parts.twins.ready(waiting, self.airtime_ms)
        if isinstance(ready, Hold):
            return ready
        return self._parts.meter.choose(ready, self._parts.transmitter.pace_left_s)

    def airtime(self) -> Airtime:
        """Return how much of the hour is used."""
        return self._parts.meter.airtime()

    def drain_s(self, cost_ms: int) -> float:
        """Return how long so much more takes to go out, within the budget."""
        return self._parts.meter.drain_s(cost_ms)

    def airtime_ms(self, message: Message, to: Address) -> int:
        """Return how long this would be on the air, by the preset in use."""
        return self._parts.meter.message_ms(message, to)

    @property
    def airtime_basis(self) -> str:
        """The preset in use, or which is assumed."""
        return self._parts.station.modem_words

    async def locate(self, node: SenderId) -> Location:
        """Ask a node on air where it is; Declined, LinkDown or another BridgeError if nothing comes of it."""
        parts, number = self._parts, places.node_number(node)
        if number is None or number == parts.station.number:
            raise Declined(f"{node} is no other node")
        link = self._connector.standing()
        await link.wait_ready()
        return await parts.locator.locate(link, number, parts.nodes.channel(number))

    def nodes(self) -> Sequence[Node]:
        """Return the nodes heard of, most recently heard first."""
        return self._parts.nodes.listed()

    def conversations(self) -> Sequence[str]:
        """Return our node's channels, as they are spelled."""
        return self._parts.spelling.conversations()

    def spelled(self, conversation: str) -> str:
        """Return how a channel is spelled, of whose names or index this is one."""
        return self._parts.spelling.spelled(conversation)

    def reroute(self, conversations: tuple[RoutedConversation, ...]) -> None:
        """Spell channels as these do from now on."""
        self._parts.spelling.reroute(conversations)

    def describe(self) -> Mapping[str, str]:
        """Return who our radio is and how it is set."""
        return self._adjusting.describe()

    def settings(self) -> Mapping[str, Any]:
        """Return how our radio is set, as it last told; its keys are not in it."""
        return self._adjusting.settings()

    def alterations(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Return what setting these would change."""
        return self._adjusting.alterations(wanted)

    async def adjust(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Set these, through the restart that follows, and read them back."""
        return await self._adjusting.adjust(wanted)

    async def look(self) -> Mapping[str, Any]:
        """Connect, read the settings and leave, if possible before the node hands over what it keeps for us."""
        return await self._adjusting.look()

    def _on_event(self, event: Event) -> None:
        self._receiver.on_event(event)

    def _begin(self, link: Link) -> tuple[asyncio.Task[None], ...]:
        """Begin what goes on for as long as the link is up."""
        works = {
            "radio's time": link.keep(),
            "thanks on air": self._own_words.say_thanks(link),
            "answers on air": self._own_words.answering.answer(link),
            "introductions": self._parts.keys.run(link, self._parts.transmitter),
            "node directory": self._kept_nodes.keep(),
        }
        tasks = tuple(asyncio.create_task(work, name=f"{self.name}: {what}") for what, work in works.items())
        for task in tasks:
            task.add_done_callback(self._ended)
        return tasks

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._parts.log.error("radio_task_failed", task=task.get_name(), exc_info=error)
            self._parts.inbox.fail(LinkDown(f"{task.get_name()} failed: see the log"))
