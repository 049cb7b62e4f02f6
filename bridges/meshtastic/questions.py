# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the gateway on the air: which there are, how seldom they are answered, and the words. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from meshtastic.protobuf.mesh_pb2 import MeshPacket

from bridges.meshtastic.choices import Question
from bridges.meshtastic.courtesy import Courtesy
from gateway.model import Node

ONCE_IN_S = 60.0
"""One node is answered no more often, whatever it asks."""
SHARE = 0.01
"""Of the time on the air: answers together take no more."""
BURST_S = 6.0
"""What they may take at once, of the air."""
MOST_QUESTIONS = 500
"""Remembered, so that the same packet that comes again, after minutes too, is answered once."""
MOST_BYTES = 180
"""Of an answer: one packet, direct and in reply, with room to spare."""
_HEARD_LATELY_MS = 3_600_000
_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000


def question(body: str, answered: Collection[Question]) -> Question | None:
    """Return which of the questions that are answered here this text is: the word alone, in any case.

    No answer is one, so that two gateways can't keep each other talking.
    """
    word = body.strip().casefold()
    return next((each for each in answered if word == f"!{each}"), None)


class AnswerBudget:
    """How often answers may be given. Times are seconds that only grow."""

    def __init__(self) -> None:
        self._courtesy = Courtesy(ONCE_IN_S)
        self._paid_at = 0.0
        """When all that was said has had its share."""

    def take(self, node: str, now: float, *, cost_s: float) -> bool:
        """Tell whether a node may be answered now, with so much airtime; if so it counts as answered."""
        if not self._courtesy.is_due(node, now):
            return False
        paid_at = max(self._paid_at, now)
        if paid_at > now and paid_at - now + cost_s / SHARE > BURST_S / SHARE:
            return False
        self._paid_at = paid_at + cost_s / SHARE
        self._courtesy.answered(node, now)
        return True


class Questions:
    """Which packets were asked about already."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, None] = OrderedDict()

    def is_new(self, native: str) -> bool:
        """Tell whether a packet comes for the first time; from now on it doesn't."""
        if native in self._asked:
            self._asked.move_to_end(native)
            return False
        self._asked[native] = None
        while len(self._asked) > MOST_QUESTIONS:
            self._asked.popitem(last=False)
        return True


def pong(packet: MeshPacket) -> str:
    """Say how our node heard a packet: over how many hops, and how well the last of them."""
    how = ", ".join(filter(None, (_hops(packet), _signal(packet))))
    return f"pong: heard you {how}" if how else "pong: heard you"


def who_is_there(nodes: Iterable[Node], *, own: str, now_ms: int) -> str:
    """Say how many nodes were heard, and the latest of them, as many as have room."""
    others = [node for node in nodes if node.id != own and node.last_heard_ms is not None]
    others.sort(key=lambda node: -(node.last_heard_ms or 0))
    lately = sum(now_ms - (node.last_heard_ms or 0) < _HEARD_LATELY_MS for node in others)
    line = f"{len(others)} nodes, {lately} in the last hour"
    for index, node in enumerate(others):
        longer = (
            f"{line}{', ' if index else ': '}{node.short_name or node.id} {_ago(now_ms - (node.last_heard_ms or 0))}"
        )
        if len(longer.encode()) > MOST_BYTES:
            break
        line = longer
    return line


def fitting(words: str) -> str:
    """Return an answer on one line that one packet holds."""
    return " ".join(words.split()).encode()[:MOST_BYTES].decode(errors="ignore")


def _hops(packet: MeshPacket) -> str:
    if not packet.hop_start or packet.hop_start < packet.hop_limit:
        return ""  # an old firmware doesn't say
    hops = packet.hop_start - packet.hop_limit
    return f"over {hops} hop{'s' if hops > 1 else ''}" if hops else "directly"


def _signal(packet: MeshPacket) -> str:
    if not packet.rx_rssi:
        return ""  # not by radio
    return f"SNR {packet.rx_snr:.1f} dB, RSSI {packet.rx_rssi} dBm"


def _ago(age_ms: int) -> str:
    if age_ms < _MINUTE_MS:
        return "now"
    for unit_ms, name, most_ms in ((_MINUTE_MS, "min", 2 * _HOUR_MS), (_HOUR_MS, "h", 2 * _DAY_MS)):
        if age_ms < most_ms:
            return f"{age_ms // unit_ms} {name}"
    return f"{age_ms // _DAY_MS} d"
