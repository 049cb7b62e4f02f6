# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that a direct message is for and whose key, or who ours, is not known: when to ask, when to stop. Pure.

A node answers such a question once in 10 minutes, whoever asks, and newer firmware the same asker once in
12 hours; so each is asked three times, and then it is said that it didn't answer.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from bridges.meshtastic.refusals import TOLD_WITHIN_S, NoKey
from gateway.model import NotThere, PermanentError, Rejected, TransientError

MOST_STRANGERS = 64
"""Past it the one asked about longest ago is forgotten, and asked anew if it is written to again."""
MOST_ASKS = 3
ASK_AGAIN_S = 610.0
"""A node describes itself once in 600 s at most."""
GIVE_UP_S = MOST_ASKS * ASK_AGAIN_S
ASK_FAILED_S = 60.0
FORGET_S = 6 * 3600.0
"""After that it is asked again, as if it had never been."""


@dataclass(slots=True, kw_only=True)
class Stranger:
    """One node, from the first message that found a key missing."""

    is_theirs: bool
    """Our radio lacks its key; else it lacks ours."""
    since: float
    asks: int = 0
    next_at: float = 0.0
    is_wanted: bool = False
    """It should be asked as soon as there is a moment."""
    asking: int = 0
    """The packet that asked last."""
    has_none: bool = False
    """It described itself, and has no key."""


class Strangers:
    """At most `limit` of them."""

    def __init__(self, limit: int = MOST_STRANGERS) -> None:
        self._limit = limit
        self._known: OrderedDict[int, Stranger] = OrderedDict()

    def missed(self, node: int, now: float, *, is_theirs: bool) -> TransientError | PermanentError:
        """Note that a message couldn't be encrypted or read; return what it waits for, or that it waits no more."""
        known = self._known.get(node)
        if known is None or now - known.since >= FORGET_S:
            known = self._known[node] = Stranger(is_theirs=is_theirs, since=now, next_at=now)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)
        known.is_theirs = is_theirs
        if known.has_none:
            reason = "that node has no key for direct messages: old firmware, or a licensed (ham) owner"
            return Rejected(reason)
        if now - known.since >= GIVE_UP_S:
            return Rejected(_given_up(known))
        self._want(known, now)
        return NoKey(_waiting(known), is_theirs=is_theirs)

    def holds(self, node: int, now: float) -> NotThere | None:
        """Return why nothing should go to this node now: it was told our key and hasn't said that it heard."""
        known = self._known.get(node)
        if known is None or known.is_theirs or now - known.since >= GIVE_UP_S:
            return None
        self._want(known, now)
        return NotThere(_waiting(known), retry_after_s=TOLD_WITHIN_S)

    def next(self) -> int | None:
        """Return whom to ask now."""
        return next((node for node, known in self._known.items() if known.is_wanted), None)

    def asking(self, node: int, packet: int) -> None:
        """Note the packet that is going to ask it."""
        if known := self._known.get(node):
            known.asking, known.is_wanted = packet, False

    def asked(self, node: int, now: float, *, is_sent: bool) -> None:
        """Note that it was asked, or couldn't be."""
        if known := self._known.get(node):
            known.asks += is_sent
            known.next_at = now + (ASK_AGAIN_S if is_sent else ASK_FAILED_S)

    def acknowledged(self, node: int, packet: int) -> bool:
        """Note that it has the packet that told it our key; tell whether that was what was missing."""
        known = self._known.get(node)
        if known is None or known.is_theirs or known.asking != packet:
            return False
        del self._known[node]
        return True

    def described(self, node: int, *, has_key: bool, to_us: bool) -> bool:
        """Note that it described itself; tell whether messages that waited for that should be tried again.

        Only what it says to us shows that it heard us, and so our key.
        """
        known = self._known.get(node)
        if known is None or not (known.is_theirs or to_us):
            return False
        if known.is_theirs and not has_key:
            known.has_none = True
        else:
            del self._known[node]
        return True

    def _want(self, known: Stranger, now: float) -> None:
        if known.asks < MOST_ASKS and now >= known.next_at:
            known.is_wanted = True


def _waiting(known: Stranger) -> str:
    if known.is_theirs:
        said = f"asked for it {known.asks} of {MOST_ASKS} times" if known.asks else "it is being asked"
        return f"our radio does not know that node's key yet: {said}"
    said = f"told it {known.asks} of {MOST_ASKS} times" if known.asks else "it is being told"
    return f"that node does not know our radio's key yet: {said}"


def _given_up(known: Stranger) -> str:
    minutes = round(GIVE_UP_S / 60)
    if known.is_theirs:
        return f"our radio does not know that node's key: asked {known.asks} times, no answer in {minutes} min"
    return f"that node does not know our radio's key: told {known.asks} times, no answer in {minutes} min"
