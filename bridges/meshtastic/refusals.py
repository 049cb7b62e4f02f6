# SPDX-License-Identifier: GPL-3.0-or-later
"""What the firmware's codes mean for a delivery: pure.

A node notes a packet's id before it looks at anything else and ignores the same id from then on
(firmware `PhoneAPI::handleToRadioPacket`). So whatever it refused needs a fresh id; only what may
never have reached it is sent again under the same one.

The same code means one thing from our own node and another from the node a message is for; and of a
far one, which anybody with the channel's key can pretend to be, nothing holds up what is bound for others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from meshtastic.protobuf.mesh_pb2 import Routing

from gateway.model import NotThere, PermanentError, RateLimited, Rejected, TransientError

Refusal = TransientError | PermanentError

# `QueueStatus.res`: the firmware's own error numbers.
STATUS_OK = frozenset({0, 35})
_QUEUE_FULL = 32
_NO_INTERFACE = 33
_DISABLED = 34

TOLD_WITHIN_S = 5.0
"""A node in range that did not know our key has been told by then, as a rule; else the message goes when it was."""
OPERATOR_S = 60.0
"""How long to wait for what only people can mend."""
DUTY_CYCLE_S = 60.0
LIMITER_S = 2.0
BUSY_S = 5.0


class NoKey(NotThere):
    """One of the two nodes lacks the other's key: nothing is wrong with the message, and introductions mend it."""

    def __init__(self, reason: str, *, is_theirs: bool) -> None:
        """`is_theirs`: our radio lacks the far node's key; else that node lacks ours, as it answered itself."""
        super().__init__(reason, retry_after_s=TOLD_WITHIN_S, fresh_key=True)
        self.is_theirs = is_theirs


def _no_channel() -> Refusal:
    return NotThere("the radio has no such channel, or no key for it", fresh_key=True)


def _too_large() -> Refusal:
    return Rejected("the radio finds it too large for one packet")


def _duty_cycle() -> Refusal:
    return RateLimited("the region's duty cycle is used up", retry_after_s=DUTY_CYCLE_S, fresh_key=True, for_all=True)


def _no_key() -> Refusal:
    return NoKey("our radio does not know that node's key yet", is_theirs=True)


def _not_known() -> Refusal:
    return NoKey("that node does not know our radio's key yet", is_theirs=False)


def _unheard() -> Refusal:
    return TransientError("that node did not acknowledge it", fresh_key=True)


def _limited() -> Refusal:
    return RateLimited("the radio takes one text in 2 s", retry_after_s=LIMITER_S, fresh_key=True, for_all=True)


def _no_interface() -> Refusal:
    return RateLimited("the radio's LoRa part does not work", retry_after_s=OPERATOR_S, fresh_key=True, for_all=True)


def _disabled() -> Refusal:
    reason = "the radio may not transmit: it has no region set, or its transmitter is off"
    return RateLimited(reason, retry_after_s=OPERATOR_S, fresh_key=True, for_all=True)


def _full() -> Refusal:
    return RateLimited("the radio's transmit queue is full", retry_after_s=BUSY_S, fresh_key=True, for_all=True)


def _other_key() -> Refusal:
    # Where a node has our key and another of our number, it takes neither (firmware `NodeDB::updateUser`).
    reason = (
        "the radio could not encrypt it for that node, which may have a new key: remove the node from the radio's list"
    )
    return Rejected(reason)


def _unreadable() -> Refusal:
    reason = "that node could not read it: it has an old key of our radio, or none for the channel"
    return Rejected(reason)


def _no_taker() -> Refusal:
    return Rejected("that node has it, and nothing there that takes texts")


def _malformed() -> Refusal:
    return Rejected("the radio finds the packet malformed")


def _forbidden() -> Refusal:
    return Rejected("the radio does not allow it: it asks for an administrator's key")


_OWN: Mapping[int, Callable[[], Refusal]] = {
    Routing.NO_ROUTE: _unheard,
    Routing.GOT_NAK: _unheard,
    Routing.TIMEOUT: _unheard,
    Routing.NO_INTERFACE: _no_interface,
    Routing.MAX_RETRANSMIT: _unheard,
    Routing.NO_CHANNEL: _no_channel,
    Routing.TOO_LARGE: _too_large,
    Routing.NO_RESPONSE: _no_taker,
    Routing.DUTY_CYCLE_LIMIT: _duty_cycle,
    Routing.BAD_REQUEST: _malformed,
    Routing.NOT_AUTHORIZED: _forbidden,
    Routing.PKI_FAILED: _other_key,
    Routing.PKI_UNKNOWN_PUBKEY: _not_known,
    Routing.ADMIN_BAD_SESSION_KEY: _forbidden,
    Routing.ADMIN_PUBLIC_KEY_UNAUTHORIZED: _forbidden,
    Routing.RATE_LIMIT_EXCEEDED: _limited,
    Routing.PKI_SEND_FAIL_PUBLIC_KEY: _no_key,
}
"""Every routing error there is in firmware 2.7, as our own node says it."""

_FAR: Mapping[int, Callable[[], Refusal]] = {
    Routing.MAX_RETRANSMIT: _unheard,
    # It has our number on record with another key, or the packet is on a channel it lacks.
    Routing.NO_CHANNEL: _unreadable,
    Routing.PKI_FAILED: _unreadable,
    Routing.NO_RESPONSE: _no_taker,
    Routing.PKI_UNKNOWN_PUBKEY: _not_known,
}

_STATUS: Mapping[int, Callable[[], Refusal]] = {
    _QUEUE_FULL: _full,
    _NO_INTERFACE: _no_interface,
    _DISABLED: _disabled,
    # Routing errors leak into the status.
    Routing.NO_CHANNEL: _no_channel,
    Routing.TOO_LARGE: _too_large,
    Routing.DUTY_CYCLE_LIMIT: _duty_cycle,
    Routing.PKI_SEND_FAIL_PUBLIC_KEY: _no_key,
}


def of_routing(error: int, *, is_own: bool = True) -> Refusal:
    """Return what a routing error other than NONE means; `is_own`: our own node says so, not the destination."""
    known = (_OWN if is_own else _FAR).get(error)
    if known:
        return known()
    who = "the mesh" if is_own else "that node"
    return TransientError(f"{who} refused it ({_name(error)})", fresh_key=True)


def of_status(res: int) -> Refusal | None:
    """Return what a queue status says against the packet; None if it was taken."""
    if res in STATUS_OK:
        return None
    known = _STATUS.get(res)
    return known() if known else TransientError(f"the radio refused it (code {res})", fresh_key=True)


def _name(error: int) -> str:
    try:
        return str(Routing.Error.Name(error))
    except ValueError:
        return str(error)
