# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node checks before a client's packet goes to the transmit queue, in the firmware's order."""

from __future__ import annotations

from typing import Protocol

from meshtastic.protobuf.mesh_pb2 import MeshPacket, Routing

from bridges.sim.airtime import PRESETS
from bridges.sim.identity import BROADCAST, DUTY_CYCLE_PERCENT, Settings
from bridges.sim.limits import largest_payload
from bridges.sim.packets import PRIORITY_TEXT, packet_airtime_s, wants_pki
from bridges.sim.radio import Radio

OK = 0
QUEUE_FULL = 32
DISABLED = 34
NO_CHANNEL = Routing.Error.NO_CHANNEL
TOO_LARGE = Routing.Error.TOO_LARGE
DUTY_CYCLE_LIMIT = Routing.Error.DUTY_CYCLE_LIMIT
RATE_LIMIT_EXCEEDED = Routing.Error.RATE_LIMIT_EXCEEDED
UNKNOWN_KEY = Routing.Error.PKI_SEND_FAIL_PUBLIC_KEY

_HOUR_S = 3600.0

Verdict = tuple[int, int, str]
"""`QueueStatus.res`, the routing error to answer with (0: none), words for the people at the client."""


class Sender(Protocol):
    """What is needed of the node."""

    @property
    def radio(self) -> Radio:
        """Its radio."""
        ...

    @property
    def settings(self) -> Settings:
        """How it is set."""
        ...

    @property
    def tx_enabled(self) -> bool:
        """Whether it may send at all."""
        ...


def send(node: Sender, packet: MeshPacket, now: float) -> Verdict:
    """Queue a client's packet for the air, or say why not; a packet that is refused is gone."""
    packet.hop_start = packet.hop_limit
    packet.priority = packet.priority or PRIORITY_TEXT
    if packet.to == node.radio.number:
        return _keep_to_itself(node, packet, now)
    packet.pki_encrypted = wants_pki(packet, broadcast=BROADCAST)
    refused = _refusal(node, packet) or _duty_cycle_refusal(node, packet, now)
    if refused is not None:
        return refused
    return (OK, 0, "") if node.radio.send(packet, now) else (QUEUE_FULL, 0, "")


def _refusal(node: Sender, packet: MeshPacket) -> Verdict | None:
    if not node.tx_enabled:
        return DISABLED, 0, ""
    if packet.channel >= len(node.settings.channels):
        return NO_CHANNEL, NO_CHANNEL, ""
    if packet.pki_encrypted and _is_stranger(node, packet.to):
        return UNKNOWN_KEY, UNKNOWN_KEY, ""
    if len(packet.decoded.payload) > largest_payload(packet.decoded, pki=packet.pki_encrypted):
        return TOO_LARGE, TOO_LARGE, ""
    return None


def _duty_cycle_refusal(node: Sender, packet: MeshPacket, now: float) -> Verdict | None:
    wait_s = _duty_cycle_wait_s(node, packet, now)
    if wait_s <= 0:
        return None
    words = f"Duty cycle limit exceeded. You can send again in {max(round(wait_s / 60), 1)} mins"
    return DUTY_CYCLE_LIMIT, DUTY_CYCLE_LIMIT, words


def _keep_to_itself(node: Sender, packet: MeshPacket, now: float) -> Verdict:
    # Packets to the own node never reach the air; the node acknowledges them itself.
    if packet.want_ack:
        node.radio.settle(packet.id, OK, now)
    return OK, 0, ""


def _is_stranger(node: Sender, number: int) -> bool:
    return number in node.radio.strangers or number not in node.radio.acquaintances()


def _duty_cycle_wait_s(node: Sender, packet: MeshPacket, now: float) -> float:
    percent = DUTY_CYCLE_PERCENT.get(node.settings.region, 100.0)
    allowed_s = _HOUR_S * percent / 100
    used_s = node.radio.airtime_within(_HOUR_S, now)
    over_s = used_s + packet_airtime_s(PRESETS[node.settings.preset], packet) - allowed_s
    if over_s <= 0:
        return 0.0
    for at, took in node.radio.airtime:
        over_s -= took
        if over_s <= 0:
            return at + _HOUR_S - now
    return _HOUR_S
