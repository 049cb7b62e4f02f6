# SPDX-License-Identifier: GPL-3.0-or-later
"""What was sent and is still to be answered: packet ids, their keys, and what became of them. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from meshtastic.protobuf.mesh_pb2 import Routing

from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.refusals import Refusal, of_routing
from gateway.model import Certainty, Receipt

T = TypeVar("T")

MOST_SENDS = 256

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
    refusal: Refusal | None = None
    """Why it will never go out under this id, which is used up: the radio would pass over it in silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a routing packet said of one of our packets."""

    send: Send
    outcome: Certainty | Refusal
    reason: str = ""


class Sends:
    """The last packets of ours, at most `limit`; kept from one connection to the next."""

    def __init__(self, limit: int = MOST_SENDS) -> None:
        self._limit = limit
        self._sends: OrderedDict[int, Send] = OrderedDict()
        self._unclaimed: OrderedDict[int, int] = OrderedDict()
        """What our node said of ids that nobody here has sent: of those from before a restart of the gateway."""

    def begin(self, id: int, key: str | None, node: int) -> Send:
        """Return the send of this id: a new one, or the one that was tried before."""
        send = self._sends.pop(id, None)
        if send is None or send.key != key:
            send = Send(id=id, key=key, node=node)
        _keep(self._sends, id, send, self._limit)
        if (error := self._unclaimed.pop(id, None)) is not None:
            _judge(send, error, is_own=True)
        return send

    def get(self, id: int) -> Send | None:
        """Return the send of this id, if it is still known."""
        return self._sends.get(id)

    def judge(self, *, request: int, error: int, sender: int, own: int) -> Verdict | None:
        """Return what a routing packet says of a send of ours; None if of none, or not theirs to say.

        From our own node NONE means that a neighbour relayed it; from the destination, that it
        arrived. Errors count from these two only: anybody on the channel can make one up.
        """
        send = self._sends.get(request)
        if send is None and sender == own:
            _keep(self._unclaimed, request, error, self._limit)
        if send is None or sender not in (own, send.node):
            return None
        return _judge(send, error, is_own=sender == own)


def _keep(kept: OrderedDict[int, T], id: int, value: T, limit: int) -> None:
    """Put it in as the latest, and the oldest out past the limit."""
    kept[id] = value
    kept.move_to_end(id)
    while len(kept) > limit:
        kept.popitem(last=False)


def _judge(send: Send, error: int, *, is_own: bool) -> Verdict | None:
    if send.known is Certainty.DELIVERED or send.refusal is not None:
        return None
    if error == Routing.NONE and is_own and send.known is Certainty.HEARD:
        return None
    if error == Routing.NONE:
        send.known = Certainty.HEARD if is_own else Certainty.DELIVERED
        return Verdict(send=send, outcome=send.known)
    if error == Routing.MAX_RETRANSMIT and send.node == BROADCAST:
        return _unrelayed(send)
    send.refusal = of_routing(error)
    return Verdict(send=send, outcome=send.refusal)


def _unrelayed(send: Send) -> Verdict | None:
    """Of a broadcast this is no failure: it went out, and who heard it needn't have relayed it."""
    if send.known is Certainty.HEARD:
        return None
    send.known = Certainty.SENT
    return Verdict(send=send, outcome=Certainty.SENT, reason=_UNRELAYED)
