# SPDX-License-Identifier: GPL-3.0-or-later
"""What the firmware's codes mean for a delivery: pure.

A node notes a packet's id before it looks at anything else and ignores the same id from then on
(firmware `PhoneAPI::handleToRadioPacket`). So whatever it refused needs a fresh id; only what may
never have reached it is sent again under the same one.
"""

from __future__ import annotations

from collections.abc import Callable

from meshtastic.protobuf.mesh_pb2 import Routing

from gateway.model import NotThere, PermanentError, RateLimited, Rejected, TransientError

Refusal = TransientError | PermanentError

# `QueueStatus.res`: the firmware's own error numbers.
STATUS_OK = frozenset({0, 35})
_QUEUE_FULL = 32
_NO_INTERFACE = 33
_DISABLED = 34

KEYS_WITHIN_S = 600.0
"""Node descriptions, which carry the keys, are sent at most this often."""
OPERATOR_S = 60.0
"""How long to wait for what only people can mend."""
DUTY_CYCLE_S = 60.0
LIMITER_S = 2.0
BUSY_S = 5.0


def _no_channel() -> Refusal:
    return NotThere("the radio has no such channel, or no key for it", fresh_key=True)


def _too_large() -> Refusal:
    return Rejected("the radio finds it too large for one packet")


def _duty_cycle() -> Refusal:
    return RateLimited("the region's duty cycle is used up", retry_after_s=DUTY_CYCLE_S, fresh_key=True, for_all=True)


def _no_key() -> Refusal:
    reason = "our radio does not know that node's key yet"
    return TransientError(reason, retry_after_s=KEYS_WITHIN_S, fresh_key=True)


def _not_known() -> Refusal:
    reason = "that node does not know our radio's key yet"
    return TransientError(reason, retry_after_s=KEYS_WITHIN_S, fresh_key=True)


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


_ROUTING: dict[int, Callable[[], Refusal]] = {
    Routing.NO_ROUTE: _unheard,
    Routing.GOT_NAK: _unheard,
    Routing.TIMEOUT: _unheard,
    Routing.MAX_RETRANSMIT: _unheard,
    Routing.NO_RESPONSE: _unheard,
    Routing.NO_INTERFACE: _no_interface,
    Routing.NO_CHANNEL: _no_channel,
    Routing.TOO_LARGE: _too_large,
    Routing.DUTY_CYCLE_LIMIT: _duty_cycle,
    Routing.PKI_UNKNOWN_PUBKEY: _not_known,
    Routing.RATE_LIMIT_EXCEEDED: _limited,
    Routing.PKI_SEND_FAIL_PUBLIC_KEY: _no_key,
}

_STATUS: dict[int, Callable[[], Refusal]] = {
    _QUEUE_FULL: _full,
    _NO_INTERFACE: _no_interface,
    _DISABLED: _disabled,
    # Routing errors leak into the status.
    Routing.NO_CHANNEL: _no_channel,
    Routing.TOO_LARGE: _too_large,
    Routing.DUTY_CYCLE_LIMIT: _duty_cycle,
    Routing.PKI_SEND_FAIL_PUBLIC_KEY: _no_key,
}


def of_routing(error: int) -> Refusal:
    """Return what a routing error other than NONE means."""
    known = _ROUTING.get(error)
    if known:
        return known()
    try:
        name = str(Routing.Error.Name(error))
    except ValueError:
        name = str(error)
    return TransientError(f"the mesh refused it ({name})", fresh_key=True)


def of_status(res: int) -> Refusal | None:
    """Return what a queue status says against the packet; None if it was taken."""
    if res in STATUS_OK:
        return None
    known = _STATUS.get(res)
    return known() if known else TransientError(f"the radio refused it (code {res})", fresh_key=True)
