# SPDX-License-Identifier: GPL-3.0-or-later
"""What other boxes said, as the network itself shows it: boxes that are cut off from each other still meet there.

Three things tell it. What a network lets us foresee (a packet's id) is the same for every box that has the same
message to say at an address of the same name: so is what a box puts beside its words (`Overheard.key`). And what one
box said on one network, and another hears there and is to carry on, has the words that the first has said elsewhere.
Only boxes are believed: those whose words the log names as a box's, as long as the box that logged that belongs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.doubles import SAME_WORDS_S, Doubles
from gateway.model import (
    Address,
    Bridge,
    BridgeName,
    Clock,
    Delivery,
    DeliveryId,
    Foresees,
    Message,
    NativeId,
    Overheard,
    RemoteId,
    delivery_id,
    key_of,
    message_id,
    parse_key,
    words_of,
)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
MOST_EXPECTED = 8192
"""Deliveries that are known by what they will be called; past it a copy of the oldest is news."""
MOST_OVERHEARD = 8192
MOST_DOUBTED = 256
"""Words of which it isn't known whose they are."""
MOST_VOICES = 1024
"""Accounts that speak for boxes."""
APART_S = 600.0
"""So long after a box that the log doesn't tell of was heard in a conversation, it is taken to be there."""
MOST_MET = 256
"""Words of such boxes, by which it is known that they are there."""


@dataclass(frozen=True, slots=True)
class _Spoken:
    remote_id: RemoteId
    at_s: float


class Overhearing:
    """What is known of it. Bounded."""

    def __init__(self, bridges: Mapping[BridgeName, Bridge], clock: Clock) -> None:
        every: Mapping[BridgeName, object] = bridges
        self._foresees = {name: bridge for name, bridge in every.items() if isinstance(bridge, Foresees)}
        self._clock = clock
        self._expected: OrderedDict[tuple[Address, RemoteId], Delivery] = OrderedDict()
        self._there: OrderedDict[DeliveryId, RemoteId] = OrderedDict()
        self._words: OrderedDict[tuple[Address, str], list[_Spoken]] = OrderedDict()
        self._voices: OrderedDict[tuple[BridgeName, str], tuple[Address, RemoteId]] = OrderedDict()
        """By which words each is known for a box's."""
        self._doubted: OrderedDict[tuple[Address, RemoteId], Overheard] = OrderedDict()
        self._ours: OrderedDict[DeliveryId, None] = OrderedDict()
        self._met: OrderedDict[tuple[str, NativeId], float] = OrderedDict()
        self._heard: OrderedDict[tuple[Address, RemoteId], None] = OrderedDict()
        """Whose words are counted: what is looked for in a room comes by its stream, too."""
        self.doubles = Doubles()

    def planned(self, deliveries: Iterable[Delivery]) -> None:
        """Know these, should another box say one of them first."""
        for delivery in deliveries:
            if (bridge := self._foresees.get(delivery.to.bridge)) is not None:
                remote_id = bridge.foresee(key_of(delivery.id, 0)).remote_id
                _keep(self._expected, (delivery.to, remote_id), delivery, MOST_EXPECTED)

    def copied(self, message: Message) -> Delivery | None:
        """Return which delivery of this box's a message is that came in: another said it, word for word."""
        if message.remote_id is None:
            return None
        delivery = self._expected.get((message.origin, message.remote_id))
        if delivery is None or words_of(delivery.message.content) != words_of(message.content):
            return None
        return delivery

    def ours(self, delivery: Delivery, *, is_copy: bool = False) -> None:
        """Know that this box says this: by an account that speaks for it, it is no other's."""
        _keep(self._ours, delivery.id, None, MOST_OVERHEARD)
        if is_copy:
            self.doubles.carries(delivery.id, words_of(delivery.message.content))

    def overheard(self, at: Address, said: Overheard) -> None:
        """Take what another gateway said. It counts once `consider` finds that a box of ours is behind it."""
        delivery = _delivery(said.key)
        if said.is_own or (said.is_ours and delivery in self._ours):
            if delivery is not None:
                self._own(at, delivery, said)
        else:
            _keep(self._doubted, (at, said.remote_id), said, MOST_DOUBTED)

    def consider(self, is_told: Callable[[Address, RemoteId], bool]) -> list[tuple[Address, RemoteId]]:
        """Look again at what was overheard; return what another box said that the log doesn't tell of yet.

        `is_told`: whether the log names it as words of a box that belongs. That may come later than the words.
        """
        met: list[tuple[Address, RemoteId]] = []
        for (at, remote_id), said in list(self._doubted.items()):
            if is_told(at, remote_id):
                _keep(self._voices, (at.bridge, said.by), (at, remote_id), MOST_VOICES)
                del self._doubted[at, remote_id]
        for voice, words in list(self._voices.items()):
            if not is_told(*words):  # its box was put out
                del self._voices[voice]
        for (at, remote_id), said in list(self._doubted.items()):
            if (at.bridge, said.by) in self._voices:  # anybody can write our mark beside their words
                del self._doubted[at, remote_id]
                self._believe(at, said)
                if said.age_s < APART_S:  # one that looks in a room finds what the log has forgotten
                    met.append((at, remote_id))
        return met

    def _own(self, at: Address, delivery: DeliveryId, said: Overheard) -> None:
        """See our own words there: another box may have said them, too."""
        self.doubles.see(at, delivery, said, is_own=True)
        words = self.doubles.copy(at, delivery, said.remote_id, self._clock.monotonic())
        for spoken in self._fresh((at, words or ""))[:1]:
            self.doubles.original(at, replace(said, words=words or "", remote_id=spoken.remote_id), spoken.at_s)
            self._words[at, words or ""].remove(spoken)

    def _believe(self, at: Address, said: Overheard) -> None:
        if (delivery := _delivery(said.key)) is not None:
            # Also if we tried to say it: the try may have been lost, and another box have said it since.
            _keep(self._there, delivery, said.remote_id, MOST_OVERHEARD)
            self.doubles.see(at, delivery, said, is_own=False)
        if not said.words or (at, said.remote_id) in self._heard or said.age_s > SAME_WORDS_S:
            return
        _keep(self._heard, (at, said.remote_id), None, MOST_OVERHEARD)
        if self.doubles.original(at, said, self._clock.monotonic()):
            return
        spoken = self._words.get((at, said.words), [])
        spoken.append(_Spoken(said.remote_id, self._clock.monotonic() - said.age_s))
        _keep(self._words, (at, said.words), spoken, MOST_OVERHEARD)

    def hears(self, bridge: BridgeName) -> bool:
        """Whether that network shows us by themselves what boxes say there."""
        return any(voice[0] == bridge for voice in self._voices)

    def there(self, delivery: Delivery, *, is_copy: bool, called: Iterable[NativeId] = ()) -> RemoteId | None:
        """Return as what a delivery is there already; None: as far as is known it isn't.

        `is_copy`: it may be what another box said elsewhere in these words, and said here, too. `called`: what else
        the message is known as.
        """
        alike = (delivery_id(message_id(native_id), delivery.to, delivery.part) for native_id in called)
        found = next((self._there[each] for each in (delivery.id, *alike) if each in self._there), None)
        if found is not None or not is_copy:
            return found
        spoken = self._fresh((delivery.to, words_of(delivery.message.content)))
        if not spoken:
            return None
        remote_id = spoken.pop(0).remote_id  # said twice, it is there twice
        _keep(self._there, delivery.id, remote_id, MOST_OVERHEARD)
        return remote_id

    def _fresh(self, words: tuple[Address, str]) -> list[_Spoken]:
        spoken = self._words.get(words, [])
        while spoken and self._clock.monotonic() - spoken[0].at_s > SAME_WORDS_S:
            del spoken[0]
        return spoken

    def met(self, where: str, native_id: NativeId) -> None:
        """Note that another box said this in a conversation, and the log doesn't tell of it: it may be out of reach."""
        _keep(self._met, (where, native_id), self._clock.monotonic(), MOST_MET)

    def silent_s(self, where: str, is_told: Callable[[NativeId], bool]) -> float | None:
        """Return how long ago a box out of reach spoke there; None: not lately. What is told since is in reach."""
        now_s = self._clock.monotonic()
        for said, at_s in list(self._met.items()):
            if now_s - at_s >= APART_S or is_told(said[1]):
                del self._met[said]
        return min((now_s - at_s for (place, _), at_s in self._met.items() if place == where), default=None)


def _delivery(key: str) -> DeliveryId | None:
    with suppress(ValueError):
        return parse_key(key)[0]
    return None


def _keep(known: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > most:
        known.popitem(last=False)
