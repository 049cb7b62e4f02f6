# SPDX-License-Identifier: GPL-3.0-or-later
"""What was sent and is still to be answered: packet ids, their keys, and what became of them. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from meshtastic.protobuf.mesh_pb2 import Routing

from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.refusals import Refusal, of_routing
from gateway.model import Certainty, Receipt

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

    def begin(self, id: int, key: str | None, node: int) -> Send:
        """Return the send of this id: a new one, or the one that was tried before."""
        send = self._sends.pop(id, None)
        if send is None or send.key != key:
            send = Send(id=id, key=key, node=node)
        self._sends[id] = send
        while len(self._sends) > self._limit:
            self._sends.popitem(last=False)
        return send

    def get(self, id: int) -> Send | None:
        """Return the send of this id, if it is still known."""
        return self._sends.get(id)

    def forget(self, id: int) -> None:
        """Drop a send that was refused: its id is used up."""
        self._sends.pop(id, None)

    def judge(self, *, request: int, error: int, sender: int, own: int) -> Verdict | None:
        """Return what a routing packet says of a send of ours; None if of none, or not theirs to say.

        From our own node NONE means that a neighbour relayed it; from the destination, that it
        arrived. Errors count from these two only: anybody on the channel can make one up.
        """
        send = self._sends.get(request)
        if send is None or sender not in (own, send.node) or send.known is Certainty.DELIVERED:
            return None
        if error == Routing.NONE and sender == own and send.known is Certainty.HEARD:
            return None
        if error == Routing.NONE:
            send.known = Certainty.HEARD if sender == own else Certainty.DELIVERED
            return Verdict(send=send, outcome=send.known)
        if error == Routing.MAX_RETRANSMIT and send.node == BROADCAST:
            return _unrelayed(send)
        self.forget(request)
        return Verdict(send=send, outcome=of_routing(error))


def _unrelayed(send: Send) -> Verdict | None:
    """Of a broadcast this is no failure: it went out, and who heard it needn't have relayed it."""
    if send.known is Certainty.HEARD:
        return None
    send.known = Certainty.SENT
    return Verdict(send=send, outcome=Certainty.SENT, reason=_UNRELAYED)
