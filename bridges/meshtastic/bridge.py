# SPDX-License-Identifier: GPL-3.0-or-later
"""The radio as a bridge: glue between port, session, conversion and the core.

Also a `Directory` (the nodes heard of), `Locates` (asks one of them where it is), `Offers` (our node's channels),
`Describes` (who our radio is), `Adjustable` (how it is set), `Rerouted`, `Costs` (what a text takes on the air) and
`Schedules` (what goes next).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, assert_never

import structlog
from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import MeshPacket
from meshtastic.protobuf.portnums_pb2 import PortNum

from bridges.meshtastic import places, replays
from bridges.meshtastic.admin import Administrator
from bridges.meshtastic.airtime import airtime_s
from bridges.meshtastic.answering import Answering
from bridges.meshtastic.config import MeshtasticConfig, SerialPath, Udp
from bridges.meshtastic.convert import (
    Ear,
    Transmission,
    native_id,
    packet_id,
    remote_id,
    sender_of,
    to_message,
    to_packet,
    why_not,
)
from bridges.meshtastic.courtesy import Courtesy, answer
from bridges.meshtastic.finding import Finder
from bridges.meshtastic.inbox import Inbox
from bridges.meshtastic.keeping import KeptNodes
from bridges.meshtastic.keys import Keys
from bridges.meshtastic.line import Line
from bridges.meshtastic.link import Link
from bridges.meshtastic.locating import Locator
from bridges.meshtastic.meter import Meter
from bridges.meshtastic.nodes import NodeBook
from bridges.meshtastic.port import candidates
from bridges.meshtastic.register import SHARED, Register
from bridges.meshtastic.session import Arrived, Event, Lost, Met, Noticed, Queued, Ready, Restarted, Session
from bridges.meshtastic.setup import Setup
from bridges.meshtastic.shorten import shorter
from bridges.meshtastic.station import Station
from bridges.meshtastic.tapbacks import Tapbacks
from bridges.meshtastic.traffic import Traffic
from bridges.meshtastic.transmitter import Transmitter
from bridges.meshtastic.twins import Twins
from gateway.model import (
    Address,
    Airtime,
    Alteration,
    BridgeContext,
    BridgeError,
    BridgeName,
    Candidate,
    Capabilities,
    Certainty,
    Declined,
    Foreseen,
    Go,
    Hold,
    LinkDown,
    Location,
    Message,
    Node,
    NotThere,
    Receipt,
    Refuse,
    Rejected,
    Report,
    RoutedConversation,
    SenderId,
    Text,
)

if TYPE_CHECKING:
    from bridges.meshtastic.node.own import OwnNode

log = structlog.get_logger()

MOST_ANSWERS = 16
ANSWER_BYTES = 120
"""Of an answer on the air, as airtime is reckoned before it is worded, with what goes around it."""


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
        self._config = MeshtasticConfig.parse(context.table)
        where = self._config.connection
        path = where.path if isinstance(where, SerialPath) else ""
        self._seat = register.join(context.name, node=self._config.board, path=path)
        self._finder = Finder(self._config, self._seat, clock=context.clock, boards=boards, greet=self._greeted)
        self._twins = Twins(self._seat, clock=context.clock, heard_ms=self._heard_ms)
        self._log = log.bind(bridge=context.name)
        self._routed = _names(context.conversations)
        self._noticed: set[str] = set()
        self._inbox = Inbox()
        self._nodes = NodeBook(context.clock, keeps_places=self._config.positions.are_kept, count=self._count)
        self._kept_nodes = KeptNodes(
            self._nodes, context.state_dir, clock=context.clock, count=self._count, bridge=context.name
        )
        self._station = Station()
        self._courtesy = Courtesy()
        self._answers: asyncio.Queue[Message] = asyncio.Queue(MOST_ANSWERS)
        self._keys = Keys(
            clock=context.clock,
            station=self._station,
            random=context.random,
            hop_limit=self._config.hop_limit,
            channel_of=self._nodes.channel,
            appeared=context.appeared,
            count=self._count,
        )
        self._meter = Meter(
            clock=context.clock,
            station=self._station,
            share_percent=self._config.airtime_share_percent,
            want_ack=self._config.want_ack,
            has_radio=not isinstance(self._config.connection, Udp),
            folder=context.state_dir,
            count=self._count,
        )
        self._transmitter = Transmitter(
            clock=context.clock,
            station=self._station,
            meter=self._meter,
            pace_s=self._config.pace_s,
            state_dir=context.state_dir,
            on_report=self._inbox.put,
            count=self._count,
            judge=self._keys.judge,
        )
        self._locator = Locator(
            self._config,
            clock=context.clock,
            station=self._station,
            transmitter=self._transmitter,
            random=context.random,
            count=self._count,
        )
        self._traffic = Traffic(
            telemetry_every_s=self._config.telemetry_every_s,
            locator=self._locator,
            clock=context.clock,
            count=self._count,
        )
        self._answering = Answering(
            self._config.answers,
            context=context,
            nodes=self.nodes,
            own=lambda: places.node_id(self._station.number),
            cost_s=lambda: airtime_s(self._station.modem, ANSWER_BYTES),
            held=lambda: self.airtime().held,
            say=self._say,
            count=self._count,
        )
        self._administrator = Administrator(
            station=self._station,
            clock=context.clock,
            random=context.random,
            link=lambda: self._link,
            hold=self._transmitter.held,
        )
        self._setup = Setup(self._station, context.clock, self._log)
        self._tapbacks = Tapbacks()
        self._link: Link | None = None
        self._enough: Callable[[], bool] = lambda: False
        """When a greeting has brought what it is for."""
        self._own_node: OwnNode | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def name(self) -> BridgeName:
        """Its name in the configuration."""
        return self._context.name

    def foresee(self, key: str) -> Foreseen:
        """Return the packet id that what is sent under this key has, and what it is called with our number."""
        packet, own = packet_id(key), self._station.number
        return Foreseen(remote_id=remote_id(packet), native_id=native_id(own, packet) if own else None)

    @property
    def capabilities(self) -> Capabilities:
        """What a radio can carry."""
        config = self._config
        return places.capabilities(config.max_parts, config.correct_within_s, shorter(config.shorten))

    async def __aenter__(self) -> Self:
        """Open the port and greet the radio; LinkDown, with nothing left open, if there is none."""
        self._transmitter.load()
        await self._kept_nodes.load()
        link = await self._connect()
        self._link = link
        self._meter.load()
        self._inbox.open()
        if link.failure is not None:
            self._inbox.fail(link.failure)
        self._tasks = (
            asyncio.create_task(link.keep(), name=f"{self.name}: radio's time"),
            asyncio.create_task(self._answer(link), name=f"{self.name}: thanks on air"),
            asyncio.create_task(self._answering.answer(link), name=f"{self.name}: answers on air"),
            asyncio.create_task(self._keys.run(link, self._transmitter), name=f"{self.name}: introductions"),
            asyncio.create_task(self._kept_nodes.keep(), name=f"{self.name}: node directory"),
        )
        for task in self._tasks:
            task.add_done_callback(self._ended)
        self._log.info("radio_connected", port=link.name, node=places.node_id(self._station.number))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Say goodbye and let go of the port, within a second or so."""
        link, self._link = self._link, None
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        try:
            if link is not None:
                await link.close()
        finally:
            self._seat.release()
            error = (link.failure if link else None) or LinkDown("the radio is not connected")
            self._lost(error)
            self._inbox.fail(error)
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._kept_nodes.close(for_good=not isinstance(exc, BridgeError))
            await self._meter.keep()

    async def receive(self) -> AsyncGenerator[Message | Report]:
        """Yield what comes; what is asked past counts as stored. LinkDown once all before it is out."""
        while True:
            item = await self._inbox.head()
            yield item
            self._inbox.stored()
            if self._link is not None and self._inbox.has_room:
                self._link.resume()
            if isinstance(item, Message) and item.direct:
                self._thank(item)

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        """Send one packet under the key's packet id, at the radio's pace."""
        packet = packet_id(key)
        known = self._transmitter.receipt(packet, key)
        if known is not None:
            return known
        link = self._link
        if link is None:
            raise LinkDown("the radio is not connected")
        if self._tapbacks.stands(message, to):
            self._count("tapback_stands")
            return Receipt(remote_id=remote_id(packet))
        await link.wait_ready()
        said = self._packet(message, to, packet)
        if said.to == self._station.number:
            raise Rejected(f"{to.conversation} is this radio's own node")
        self._keys.check(said.to)
        if (copy := self._twins.copy(message, to)) is not None:
            self._count("copy_was_there")
            return Receipt(remote_id=copy, certainty=Certainty.HEARD)
        called = native_id(self._station.number, packet)
        with self._twins.turn(message, to, called, self.airtime_ms(message, to)):
            receipt = await self._transmitter.transmit(link, said, key=key)
        self._meter.served(message, to)
        self._tapbacks.sent(message, to)
        if (number := places.node_number(to.conversation)) is not None:
            self._nodes.spoke(number)
        return receipt

    def choose(self, waiting: Sequence[Candidate]) -> Go | Hold | Refuse:
        """Say which goes on the air next, or why none may."""
        return self._meter.choose(waiting, self._transmitter.pace_left_s)

    def airtime(self) -> Airtime:
        """Return how much of the hour is used."""
        return self._meter.airtime()

    def drain_s(self, cost_ms: int) -> float:
        """Return how long so much more takes to go out, within the budget."""
        return self._meter.drain_s(cost_ms)

    async def locate(self, node: SenderId) -> Location:
        """Ask a node on air where it is; Declined, LinkDown or another BridgeError if nothing comes of it."""
        number, link = places.node_number(node), self._link
        if number is None or number == self._station.number:
            raise Declined(f"{node} is no other node")
        if link is None:
            raise LinkDown("the radio is not connected")
        await link.wait_ready()
        return await self._locator.locate(link, number, self._nodes.channel(number))

    def nodes(self) -> Sequence[Node]:
        """Return the nodes heard of, most recently heard first."""
        return self._nodes.listed()

    def conversations(self) -> Sequence[str]:
        """Return our node's channels, as they are spelled."""
        channels = self._station.channels
        return [places.spelling(index, channels, self._routed) for index in channels]

    def spelled(self, conversation: str) -> str:
        """Return how a channel is spelled, of whose names or index this is one."""
        channels = self._station.channels
        try:
            place = places.find(conversation, channels)
        except NotThere:
            return conversation
        return conversation if place.is_direct else places.spelling(place.channel, channels, self._routed)

    def reroute(self, conversations: tuple[RoutedConversation, ...]) -> None:
        """Spell channels as these do from now on."""
        self._routed = _names(conversations)

    def describe(self) -> Mapping[str, str]:
        """Return who our radio is and how it is set."""
        station = self._station
        facts = {
            "port": self._link.name if self._link else str(self._config.connection),
            "node": places.node_id(station.number) if station.number else "",
            "replaces": self._finder.replaced,
            "name": self._nodes.name(station.number) if station.number else "",
            "firmware": station.firmware,
            "region": station.region if station.number else "",
            "preset": station.preset if station.number else "",
            "channels": ", ".join(each.name for each in station.channels.values()),
            "notice": station.notice,
            "warnings": self._setup.warnings(self._routed),
        }
        return {key: value for key, value in facts.items() if value}

    def settings(self) -> Mapping[str, Any]:
        """Return how our radio is set, as it last told; its keys are not in it."""
        connection = {"port": self.describe()["port"], "connected": self._link is not None and self._link.is_ready}
        return {**connection, **self._setup.settings(self._routed)}

    def alterations(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Return what setting these would change."""
        self._check_adjustable()
        return self._setup.alterations(wanted)

    async def adjust(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Set these, through the restart that follows, and read them back."""
        self._check_adjustable()
        self._setup.check()
        done = await self._administrator.adjust(wanted)
        self._log.warning("radio_settings_changed", settings=[each.key for each in done])
        return done

    def _check_adjustable(self) -> None:
        if isinstance(self._config.connection, Udp):
            raise Declined("a node in software has no settings but those in the configuration")

    async def look(self) -> Mapping[str, Any]:
        """Connect, read the settings and leave, if possible before the node hands over what it keeps for us."""
        self._check_adjustable()
        link = await self._connect(enough=lambda: self._station.profile.is_told)
        await link.close()
        self._station.settle()
        return {**self.settings(), "port": link.name, "connected": True}

    @property
    def unclaimed(self) -> int:
        """How many messages came in that nobody asked for."""
        return len(self._inbox)

    def airtime_ms(self, message: Message, to: Address) -> int:
        """Return how long this would be on the air, by the preset in use."""
        return self._meter.message_ms(message, to)

    @property
    def airtime_basis(self) -> str:
        """The preset in use, or which is assumed."""
        return self._station.modem_words

    async def _connect(self, *, enough: Callable[[], bool] = lambda: False) -> Link:
        where, self._enough = self._config.connection, enough
        if isinstance(where, Udp):
            return await self._greeted(self._node_on(where).connect(), is_certain=True)
        return await self._finder.connect(where)

    def _node_on(self, where: Udp) -> OwnNode:
        """Return the node that stands in for a radio; it outlives its connections."""
        if self._own_node is None:
            # With a radio, nobody pays for the cryptography.
            from bridges.meshtastic.node.own import OwnNode  # noqa: PLC0415

            config = self._config
            self._own_node = OwnNode(
                where.interfaces, config.node, self._context, hop_limit=config.hop_limit, count=self._count
            )
        return self._own_node

    async def _greeted(self, port: Line, is_certain: bool) -> Link:
        context = self._context
        session = Session(
            station=self._station,
            random=context.random,
            count=self._count,
            now=context.clock.monotonic(),
            objection=partial(self._objection, port),
            strays=self._seat.register.claim,
        )
        link = Link(port, session, context.clock, on_event=self._on_event, count=self._count)
        try:
            await link.greet(is_certain=is_certain, enough=self._enough)
        except BaseException:
            await link.close()
            self._seat.register.keep(session.stranger, session.strays)
            raise
        station = self._station
        self._seat.learn(station.number, f"{station.region} {station.preset}", station.channels)
        self._twins.connected()
        return link

    def _objection(self, port: Line, number: int) -> str:
        if port.is_serial:
            self._seat.register.prove(port.name, number, self._context.clock.monotonic())
        return self._seat.objection(number)

    def _heard_ms(self, number: int) -> int | None:
        wanted = places.node_id(number)
        return next((node.last_heard_ms for node in self._nodes.listed() if node.id == wanted), None)

    def _packet(self, message: Message, to: Address, id: int) -> MeshPacket:
        return to_packet(
            message,
            to,
            places.find(to.conversation, self._station.channels),
            id=id,
            own=self._station.number,
            settings=Transmission(hop_limit=self._config.hop_limit, want_ack=self._config.want_ack),
        )

    def _on_event(self, event: Event) -> None:
        match event:
            case Arrived(packet=packet):
                self._on_packet(packet)
            case Met(info=info):
                self._nodes.learn(info)
            case Queued(status=status) if self._administrator.has_said(status.mesh_packet_id):
                pass
            case Queued(status=status):
                self._transmitter.on_status(status)
            case Noticed(text=text):
                self._station.notice = text
                self._meter.noticed(text)
                self._log.warning("radio_notice", notice=text)
            case Ready():
                self._setup.greeted(self._routed)
            case Restarted():
                self._restarted()
            case Lost(error=LinkDown() as error):
                # While it is greeted, whoever greets it hears of it.
                down = error if self._link is None else self._finder.lost(error)
                self._lost(down)
                self._inbox.fail(down)
            case Lost():
                pass  # the link says it again, with the error
            case _:
                assert_never(event)

    def _restarted(self) -> None:
        self._log.warning("radio_restarted")
        self._lost(LinkDown("the radio restarted"))
        if not isinstance(self._config.connection, Udp):
            # A node in software says so when it takes another number: it forgot nothing, and under that
            # number what it said would be new to everybody.
            self._transmitter.restarted()

    def _lost(self, error: LinkDown) -> None:
        self._transmitter.lost(error)
        self._locator.lost(error)
        self._administrator.lost(error)

    def _on_packet(self, packet: MeshPacket) -> None:
        if sender_of(packet) == self._station.number:
            self._setup.heard(packet.rx_time)
            if self._administrator.take(packet):
                return
        replayed = replays.as_said(packet)
        if replayed is None:
            self._nodes.hear(packet)
            self._keys.hear(packet)
        self._meter.heard(packet)
        packet = replayed or packet
        if packet.decoded.portnum == PortNum.ROUTING_APP:
            self._on_routing(packet)
        elif self._seat.register.is_ours(sender_of(packet), packet.id):
            self._count("answer_of_another_radio")
        else:
            self._on_words(packet, is_replay=replayed is not None)

    def _on_routing(self, packet: MeshPacket) -> None:
        self._locator.on_routing(packet)
        self._keys.on_routing(packet)
        try:
            self._transmitter.on_routing(packet)
        except DecodeError:
            self._count("routing_unparsable")

    def _on_words(self, packet: MeshPacket, *, is_replay: bool) -> None:
        other = None
        if self._traffic.reads(packet) and not why_not(packet, self._station.number):
            other = self._traffic.take(packet)
            if other is None:
                return
        message = to_message(packet, self._ear(), self._context.clock.now_ms(), other, is_replay=is_replay)
        if message is None or self._answering.take(message, packet, is_replay=is_replay):
            return
        self._twins.hear(message)
        self._inbox.put(message)
        if self._inbox.is_full and self._link is not None:
            self._link.pause()

    def _ear(self) -> Ear:
        return Ear(
            bridge=self.name,
            own=self._station.number,
            channels=self._station.channels,
            routed=self._routed,
            name_of=self._nodes.name,
            count=self._count,
        )

    def _thank(self, message: Message) -> None:
        wanted = self._config.answer_direct and self._config.direct and isinstance(message.content, Text)
        if not wanted or self._answers.full():
            return
        if self._courtesy.is_due(message.sender.id, self._context.clock.monotonic()):
            self._answers.put_nowait(message)

    async def _answer(self, link: Link) -> None:
        while True:
            asked = await self._answers.get()
            try:
                await self._say(link, asked, asked.origin, answer(self._config.direct), wants_ack=True)
            except BridgeError as error:
                self._count("answer_failed")
                self._log.info("radio_answer_failed", reason=str(error))

    async def _say(self, link: Link, asked: Message, to: Address, words: str, *, wants_ack: bool = False) -> None:
        """Say something of our own in reply. Without an acknowledgement it goes out once: who misses it asks again."""
        number = self._context.random.getrandbits(32) or 1
        said = Message(
            native_id=asked.native_id,
            origin=asked.origin,
            sender=asked.sender,
            content=Text(body=words),
            received_ms=asked.received_ms,
            reply_to=asked.remote_id,
        )
        packet = self._packet(said, to, number)
        packet.want_ack = packet.want_ack and wants_ack
        if not self._seat.register.speak(self._seat, asked.native_id, number):
            self._count("answered_by_another_radio")
            return
        await self._transmitter.transmit(link, packet, key=None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("radio_task_failed", task=task.get_name(), exc_info=error)
            self._inbox.fail(LinkDown(f"{task.get_name()} failed: see the log"))

    def _count(self, kind: str) -> None:
        self._context.count(kind)
        if kind not in self._noticed:
            # Once a kind: a noisy line would fill the disk.
            self._noticed.add(kind)
            self._log.info("radio_input_noticed", kind=kind)


def _names(conversations: Sequence[RoutedConversation]) -> tuple[str, ...]:
    return tuple(each.name for each in conversations)
