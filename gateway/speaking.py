# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this box may say something somewhere, or another box that serves the same conversation comes first.

Without a bridge between boxes, and in conversations that are this box's alone, the answer is always yes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from gateway.doubles import Doubles
from gateway.journal import Journal
from gateway.model import (
    Address,
    Bridge,
    BridgeError,
    BridgeName,
    Chorus,
    Clock,
    Commons,
    Delivery,
    DeliveryId,
    Edit,
    Lane,
    Listen,
    Looks,
    Message,
    MessageId,
    NativeId,
    Overheard,
    Redaction,
    RemoteId,
    Said,
    Speak,
    Support,
    Utterance,
    message_id,
    words_of,
)
from gateway.overhearing import Overhearing

log = structlog.get_logger()

MOST_AWAITED = 8192
"""Messages whose arrival is remembered; one that is forgotten has waited since it was first asked for."""
HURRY = 3
"""In an emergency the next box waits a third of a turn."""
LONGEST_LISTEN_S = 5.0
"""After so long it is asked anew, whatever it said: what another box told meanwhile may have changed the answer."""
COUNT_UNTOLD = "speaking_not_told"
COUNT_OVERHEARD = "overheard_out_of_reach"
LISTENING = "a box out of reach may have it: waiting whether it is heard here"
OUT_OF_REACH = "out of reach"
"""What a box is called whose word the network shows and the log doesn't have yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """One conversation that other boxes may serve."""

    where: str
    turn_s: float


class Speaking:
    """What a gateway with these bridges says where others may say it too."""

    def __init__(
        self,
        bridges: Mapping[BridgeName, Bridge],
        clock: Clock,
        *,
        count: Callable[[BridgeName, str], None] = lambda _, __: None,
    ) -> None:
        """At most one bridge is a `Chorus`: the first counts."""
        self._chorus_name, self.chorus = _chorus(bridges)
        self._commons = _commons(bridges) if self.chorus is not None else {}
        self._looks = _looks(bridges) if self.chorus is not None else {}
        self._clock = clock
        self._count = count
        self._since: OrderedDict[MessageId, float] = OrderedDict()
        self._elsewhere: OrderedDict[MessageId, None] = OrderedDict()
        """What another box heard where several may."""
        self._stands_for: dict[DeliveryId, tuple[Utterance, ...]] = {}
        self._back_s: dict[BridgeName, float] = {}
        self._showing_names = {name for name in self._commons if bridges[name].capabilities.names is Support.NATIVE}
        self._overhearing = Overhearing(bridges if self.chorus is not None else {}, clock)

    # What comes in.

    def arrived(self, message: MessageId) -> None:
        """Note that a message is here from now on."""
        if self.chorus is None or message in self._since:
            return
        self._since[message] = self._clock.monotonic()
        if len(self._since) > MOST_AWAITED:
            self._since.popitem(last=False)

    def planned(self, deliveries: Sequence[Delivery]) -> None:
        """Note what this box has to say from now on."""
        if self.chorus is None:
            return
        self._overhearing.planned(deliveries)
        for message in (each.message for each in deliveries if each.message.said_in is not None):
            self._elsewhere[message.id] = None
            if len(self._elsewhere) > MOST_AWAITED:
                self._elsewhere.popitem(last=False)

    def overheard(self, at: Address, said: Overheard) -> None:
        """Take what another gateway said in a conversation that may be shared."""
        if self.chorus is not None and self._common(at) is not None:
            self._overhearing.overheard(at, said)
            self._consider()

    @property
    def doubles(self) -> Doubles:
        """What this box said in the same moment as another."""
        return self._overhearing.doubles

    def reconnected(self, bridge: BridgeName) -> None:
        """A bridge's network is back: what others said there meanwhile is heard in a moment."""
        self._back_s[bridge] = self._clock.monotonic()

    def copied(self, message: Message) -> Delivery | None:
        """Return which delivery of this box's came in there, as another box said it; None: none."""
        common = self._common(message.origin)
        delivery = None if self.chorus is None or common is None else self._overhearing.copied(message)
        if delivery is not None and common is not None and not self._is_said(message.native_id):
            self._overhearing.met(common.where, message.native_id)
        return delivery

    # Before a send.

    def turn(self, delivery: Delivery) -> Speak | Listen | Said:
        """Say whether a delivery may be sent now."""
        common = self._common(delivery.to)
        if self.chorus is None or common is None or self._is_between_our_own(delivery.message, common):
            return Speak()
        self.arrived(delivery.message.id)
        at_home = self._is_at_home(delivery.message)
        self._consider()
        if (there := self._there(delivery)) is not None:
            self._count(delivery.to.bridge, COUNT_OVERHEARD)
            return Said(by=OUT_OF_REACH, native_id=self._commons[delivery.to.bridge].native_of(there))
        turn_s = common.turn_s / (HURRY if delivery.lane is Lane.EMERGENCY else 1)
        waited_s = self._clock.monotonic() - self._since[delivery.message.id]
        answer = self.chorus.turn(
            _utterance(delivery, common.where),
            waited_s=waited_s,
            turn_s=turn_s,
            at_home=at_home,
            amends=self._amended(delivery.message),
            overheard_s=self._overhearing.silent_s(common.where, self._is_said),
        )
        if isinstance(answer, Speak) and not at_home and (left_s := turn_s - self._listened_s(delivery, waited_s)) > 0:
            return Listen(for_s=min(left_s, LONGEST_LISTEN_S), reason=LISTENING)
        if isinstance(answer, Listen):
            return replace(answer, for_s=min(answer.for_s, LONGEST_LISTEN_S))
        return answer

    async def look(self, delivery: Delivery) -> Said | None:
        """Look on the network itself whether another box said it; None: it didn't. Raises BridgeError.

        Only where one may have: it has its turn, or is out of reach. What is about to be said there isn't found.
        """
        common, bridge = self._common(delivery.to), self._looks.get(delivery.to.bridge)
        if bridge is None or common is None or not self._may_be_there(delivery, common):
            return None
        await bridge.look(delivery.to)
        answer = self.turn(delivery)
        return answer if isinstance(answer, Said) else None

    def is_said(self, message: Message, to: Address) -> bool:
        """Whether another box has said a message there, whatever this one still has of it to say."""
        common = self._common(to)
        if self.chorus is None or common is None:
            return False
        utterance = Utterance(native_id=message.native_id, where=common.where)
        return isinstance(self.chorus.turn(utterance, waited_s=0.0, turn_s=common.turn_s), Said)

    def remote_id(self, to: Address, said: Said) -> RemoteId | None:
        """Return what the network calls what another box said there; None if that isn't known."""
        bridge = self._commons.get(to.bridge)
        return None if bridge is None or said.native_id is None else bridge.remote_of(said.native_id)

    def stands_for(self, digest: DeliveryId, folded: Iterable[Delivery]) -> None:
        """Note that a delivery carries a digest: when it is said, all these are."""
        said = ((common, one) for one in folded if (common := self._common(one.to)) is not None)
        self._stands_for[digest] = tuple(_utterance(one, common.where) for common, one in said)

    def dressed(self, message: Message, to: BridgeName) -> Message:
        """Return a message as the other boxes are to have it: with the common name of where it was said."""
        if to != self._chorus_name:
            return message
        common = self._common(message.origin)
        return message if common is None else replace(message, said_in=common.where)

    async def begin(self, delivery: Delivery, as_native: NativeId | None) -> None:
        """Tell the other boxes that a delivery is about to be sent; `as_native`: what it will be called there.

        If that can't be told, it is sent all the same: rather twice than not at all.
        """
        self._overhearing.ours(delivery, is_copy=self._may_be_copy(delivery.message))
        for utterance in self._utterances(delivery):
            await self._tell(delivery.to.bridge, utterance, as_native, is_done=False)

    async def end(self, delivery: Delivery, remote_id: RemoteId) -> None:
        """Tell them that it is there."""
        bridge = self._commons.get(delivery.to.bridge)
        as_native = None if bridge is None else bridge.native_of(remote_id)
        for utterance in self._utterances(delivery):
            await self._tell(delivery.to.bridge, utterance, as_native, is_done=True)
        self._stands_for.pop(delivery.id, None)

    def serve(self, conversations: Iterable[Address]) -> None:
        """Tell the other boxes which of these this one can speak in now."""
        if self.chorus is not None:
            found = (self._common(each) for each in conversations)
            self.chorus.serve(frozenset(common.where for common in found if common is not None))

    def where(self, address: Address) -> str | None:
        """Return the common name of a conversation; None if it is ours alone."""
        common = self._common(address)
        return None if common is None else common.where

    def turn_s(self, bridge: BridgeName) -> float:
        """Return how long one turn is on this bridge's network; 0 if it is ours alone."""
        found = self._commons.get(bridge)
        return 0.0 if found is None else found.turn_s

    async def _tell(self, to: BridgeName, utterance: Utterance, as_native: NativeId | None, *, is_done: bool) -> None:
        if self.chorus is None:
            return
        try:
            await (self.chorus.emitted if is_done else self.chorus.emitting)(utterance, as_native)
        except BridgeError as error:
            self._count(to, COUNT_UNTOLD)
            log.warning(COUNT_UNTOLD, bridge=to, reason=str(error))

    def _utterances(self, delivery: Delivery) -> Sequence[Utterance]:
        """Return what is said with it: itself first, so that an echo of a digest is what carries it."""
        common = self._common(delivery.to)
        if common is None:
            return ()
        return (_utterance(delivery, common.where), *self._stands_for.get(delivery.id, ()))

    def _there(self, delivery: Delivery) -> RemoteId | None:
        called = () if self.chorus is None else self.chorus.called(delivery.message.native_id)
        return self._overhearing.there(delivery, is_copy=self._may_be_copy(delivery.message), called=called)

    def _listened_s(self, delivery: Delivery, waited_s: float) -> float:
        """Return for how long it could have been heard that another box says what is ours to say."""
        bridge = delivery.to.bridge
        back_s = self._clock.monotonic() - self._back_s.get(bridge, float("-inf"))
        since_back_s = back_s if self._overhearing.hears(bridge) else float("inf")
        return min(since_back_s, waited_s if self._may_be_carried(delivery) else float("inf"))

    def _may_be_there(self, delivery: Delivery, common: _Common) -> bool:
        """Whether a box that speaks there may have said it already, and this one not have heard it yet."""
        if not self._overhearing.hears(delivery.to.bridge):
            return False
        waited_s = self._clock.monotonic() - self._since.get(delivery.message.id, float("-inf"))
        return waited_s >= common.turn_s or self._overhearing.silent_s(common.where, self._is_said) is not None

    def _may_be_carried(self, delivery: Delivery) -> bool:
        """Whether these may be words that a box out of reach says there itself, under their speaker's name."""
        bridge, words = delivery.to.bridge, words_of(delivery.message.content)
        # Also where none was met yet: the first that is said in a split is heard as soon as its copy.
        is_heard = bridge in self._showing_names and self._overhearing.hears(bridge)
        return is_heard and self._may_be_copy(delivery.message) and ": " in words

    def _may_be_copy(self, message: Message) -> bool:
        """Whether it was heard where other boxes speak, by this box or another: at a page nobody repeats a box."""
        return self._common(message.origin) is not None or message.id in self._elsewhere

    def _consider(self) -> None:
        for at, remote_id in self._overhearing.consider(self._is_told):
            native_id = self._commons[at.bridge].native_of(remote_id)
            if (common := self._common(at)) is not None and native_id is not None:
                self._overhearing.met(common.where, native_id)

    def _is_told(self, at: Address, remote_id: RemoteId) -> bool:
        native_id = None if (bridge := self._commons.get(at.bridge)) is None else bridge.native_of(remote_id)
        return self.chorus is not None and native_id is not None and self.chorus.vouches(native_id)

    def _is_said(self, native_id: NativeId) -> bool:
        """Whether the log tells of this as a box's words."""
        return self.chorus is not None and self.chorus.echoed(native_id) is not None

    def _common(self, address: Address) -> _Common | None:
        bridge = self._commons.get(address.bridge)
        where = None if bridge is None else bridge.common_name(address.conversation)
        return None if bridge is None or where is None else _Common(where=where, turn_s=bridge.turn_s)

    def _amended(self, message: Message) -> MessageId | None:
        """Return which message this one corrects or takes back, where ids are the same on every box."""
        if message.origin.bridge != self._chorus_name or not isinstance(message.content, Edit | Redaction):
            return None
        return message_id(NativeId(message.content.target))

    def _is_between_our_own(self, message: Message, common: _Common) -> bool:
        """Whether it came in by another bridge of this box on the same: they know of each other who hears whom."""
        heard_in = self._common(message.origin)
        return heard_in is not None and heard_in.where == common.where

    def _is_at_home(self, message: Message) -> bool:
        """Whether no other box has it but from here: neither said between boxes nor where others may listen too."""
        return message.origin.bridge != self._chorus_name and self._common(message.origin) is None


async def deliveries_of(journal: Journal, ids: Collection[DeliveryId]) -> list[Delivery]:
    """Return deliveries as far as it takes to tell of them; JournalError if they can't be read."""
    return [
        Delivery(message=record.message, to=one.to, part=one.part, parts=one.parts)
        for record in await journal.messages_of(tuple(ids))
        for one in record.deliveries
        if one.id in ids
    ]


def _utterance(delivery: Delivery, where: str) -> Utterance:
    return Utterance(native_id=delivery.message.native_id, where=where, part=delivery.part, parts=delivery.parts)


def _commons(bridges: Mapping[BridgeName, Bridge]) -> dict[BridgeName, Commons]:
    every: Mapping[BridgeName, object] = bridges
    return {name: bridge for name, bridge in every.items() if isinstance(bridge, Commons)}


def _looks(bridges: Mapping[BridgeName, Bridge]) -> dict[BridgeName, Looks]:
    every: Mapping[BridgeName, object] = bridges
    return {name: bridge for name, bridge in every.items() if isinstance(bridge, Looks)}


def _chorus(bridges: Mapping[BridgeName, Bridge]) -> tuple[BridgeName | None, Chorus | None]:
    for name, bridge in bridges.items():
        if isinstance(bridge, Chorus):
            return name, bridge
    return None, None
