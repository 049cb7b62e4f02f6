# SPDX-License-Identifier: GPL-3.0-or-later
"""What was sent and is still to be answered: packet ids, their keys, and what became of them. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from meshtastic.protobuf.mesh_pb2 import Routing

from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.refusals import Refusal, of_routing
from gateway.model import Certainty, Receipt

K = TypeVar("K")
T = TypeVar("T")

MOST_SENDS = 256
MOST_IN_RADIO = 16
"""So many packets a node's transmit queue holds."""

UNHEARD = frozenset({Routing.NO_ROUTE, Routing.GOT_NAK, Routing.TIMEOUT, Routing.MAX_RETRANSMIT})
"""It was on the air: sent again under another id, a broadcast would show twice."""
_UNRELAYED = "no neighbour was heard to relay it"


@dataclass(slots=True, kw_only=True)
class Send:
    """One packet of ours, from its first try until nothing more can be said of it."""

    id: int
    key: str | None
    """None: a courtesy of our own, of which nobody wants to know."""
    node: int
    tries: int = 0
    """How often it was written to the radio without an answer."""
    known: Certainty | None = None
    """The most that was said of it."""
    receipt: Receipt | None = None
    """Given to the core: from here on news are reports."""
    within_s: float = 0.0
    """How long its last word may take."""
    given_at: float | None = None
    """When the core got its receipt, by a clock that only grows; None: not yet, or before a restart of the gateway."""
    refusal: Refusal | None = None
    """Why it will never go out under this id, which is used up: the radio would pass over it in silence."""
    is_over: bool = False
    """Nobody relayed it, our node said: nothing more is to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a routing packet said of one of our packets."""

    send: Send
    outcome: Certainty | Refusal
    reason: str = ""


class Sends:
    """The last packets of ours, at most `limit`; kept from one connection to the next.

    `changed` is told of each whose receipt was given, and again of what was said of it then.
    """

    def __init__(self, limit: int = MOST_SENDS, *, changed: Callable[[Send], None] = lambda _: None) -> None:
        self._limit = limit
        self._changed = changed
        self._sends: OrderedDict[int, Send] = OrderedDict()
        self._unclaimed: OrderedDict[int, int] = OrderedDict()
        """What our node said of ids that nobody here has sent: of those from before a restart of the gateway."""
        self._arrived: OrderedDict[tuple[int, int], None] = OrderedDict()
        """Such ids of which another node says that it has them; apart, since anybody can say so."""

    def begin(self, id: int, key: str | None, node: int) -> Send:
        """Return the send of this id: a new one, or the one that was tried before."""
        send = self._sends.pop(id, None)
        if send is None or send.key != key:
            send = Send(id=id, key=key, node=node)
        _keep(self._sends, id, send, self._limit)
        if (error := self._unclaimed.pop(id, None)) is not None:
            _judge(send, error, is_own=True)
        if (id, node) in self._arrived:
            del self._arrived[id, node]
            _judge(send, Routing.NONE, is_own=False)
        return send

    def settle(self, send: Send, receipt: Receipt, now: float) -> Receipt:
        """Note the receipt that the core gets."""
        send.receipt, send.given_at = receipt, now
        self._changed(send)
        return receipt

    def restore(self, send: Send) -> None:
        """Know one of before a restart, whose receipt the core got, or was about to."""
        _keep(self._sends, send.id, send, self._limit)

    def get(self, id: int) -> Send | None:
        """Return the send of this id, if it is still known."""
        return self._sends.get(id)

    def take_back(self, since: float) -> list[Send]:
        """Forget the receipts of what a radio that restarted may have had in its queue; return those, oldest first.

        The last 16 of which nothing was said, and none older than `since`: nodes know the same id for old
        at least that long, so that nothing shows twice.
        """
        taken = [send for send in self._sends.values() if _may_wait(send) and (send.given_at or since) > since]
        for send in taken[-MOST_IN_RADIO:]:
            send.known, send.receipt, send.tries = None, None, 0
        return taken[-MOST_IN_RADIO:]

    def judge(self, *, request: int, error: int, sender: int, own: int) -> Verdict | None:
        """Return what a routing packet says of a send of ours; None if of none, or not theirs to say.

        From our own node NONE means that a neighbour relayed it; from the destination, that it
        arrived. Errors count from these two only: anybody on the channel can make one up.
        """
        send = self._sends.get(request)
        if send is None and sender == own:
            _keep(self._unclaimed, request, error, self._limit)
        elif send is None and error == Routing.NONE:
            _keep(self._arrived, (request, sender), None, self._limit)
        if send is None or sender not in (own, send.node):
            return None
        verdict = _judge(send, error, is_own=sender == own)
        if verdict is not None and send.receipt is not None:
            self._changed(send)
        return verdict


def _may_wait(send: Send) -> bool:
    is_taken = send.receipt is not None and send.refusal is None and not send.is_over
    return is_taken and send.known is Certainty.SENT and send.key is not None


def _keep(kept: OrderedDict[K, T], id: K, value: T, limit: int) -> None:
    """Put it in as the latest, and the oldest out past the limit."""
    kept[id] = value
    kept.move_to_end(id)
    while len(kept) > limit:
        kept.popitem(last=False)


def _judge(send: Send, error: int, *, is_own: bool) -> Verdict | None:
    has_arrived = error == Routing.NONE and not is_own
    if send.known is Certainty.DELIVERED or (send.refusal is not None and not has_arrived):
        return None
    if error == Routing.NONE and is_own and send.known is Certainty.HEARD:
        return None
    if error == Routing.NONE:
        # Also when our node had given it up: only the acknowledgement was late.
        send.known, send.refusal = Certainty.HEARD if is_own else Certainty.DELIVERED, None
        return Verdict(send=send, outcome=send.known)
    if send.node == BROADCAST and (error in UNHEARD or send.known is Certainty.HEARD):
        return _unrelayed(send)
    send.refusal = of_routing(error, is_own=is_own)
    return Verdict(send=send, outcome=send.refusal)


def _unrelayed(send: Send) -> Verdict | None:
    """Of a broadcast this is no failure: it went out, and who heard it needn't have relayed it."""
    if send.known is Certainty.HEARD:
        return None
    send.known, send.is_over = Certainty.SENT, True
    return Verdict(send=send, outcome=Certainty.SENT, reason=_UNRELAYED)
