# SPDX-License-Identifier: GPL-3.0-or-later
"""What about a radio's settings an operator should mend, or at least know. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bridges.meshtastic.facts import ChannelFacts, RadioFacts

CLOCK_OFF_S = 120
"""A node's clock this far from ours is wrong."""
USUAL_HOPS = 3
LEAST_WITH_KEYS = (2, 5)
LEAST_WITH_GOOD_KEYS = (2, 6, 11)
_PUSHY = frozenset({"ROUTER", "ROUTER_CLIENT", "REPEATER", "ROUTER_LATE"})
_ODD = frozenset({"TRACKER", "SENSOR", "TAK", "TAK_TRACKER", "CLIENT_HIDDEN", "LOST_AND_FOUND"})
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Caution:
    """One thing to mend. `code` is for programs."""

    code: str
    words: str

    def __str__(self) -> str:
        return self.words


def cautions(facts: RadioFacts) -> tuple[Caution, ...]:
    """Return all there are, those that stop the radio from working first."""
    return (*_sending(facts), *_clock(facts), *_firmware(facts), *_manners(facts), *_privacy(facts), *_port(facts))


def _sending(facts: RadioFacts) -> Iterator[Caution]:
    if facts.region == "UNSET":
        yield Caution("region_unset", "no region is set, so it sends nothing: set region=... to where it stands")
    elif not facts.tx_enabled:
        yield Caution("tx_off", "its transmitter is off, so it sends nothing: set tx=on")
    if facts.managed:
        yield Caution("managed", "it is managed: settings can be changed by its admins on the air only")


def _clock(facts: RadioFacts) -> Iterator[Caution]:
    if facts.clock_unset:
        yield Caution("clock_unset", "its clock is not set: set time=now")
    elif facts.clock_off_s is not None and abs(facts.clock_off_s) >= CLOCK_OFF_S:
        way = "ahead of" if facts.clock_off_s > 0 else "behind"
        yield Caution("clock_wrong", f"its clock is {abs(facts.clock_off_s)} s {way} ours: set time=now")


def _firmware(facts: RadioFacts) -> Iterator[Caution]:
    version = version_of(facts.firmware)
    if version is None:
        return
    if version[:2] < LEAST_WITH_KEYS:
        words = f"firmware {facts.firmware} is too old: before 2.5 direct messages are read by all who have the channel"
        yield Caution("firmware_without_keys", words)
    elif version < LEAST_WITH_GOOD_KEYS:
        words = (
            f"firmware {facts.firmware} is old: before 2.6.11 a node's own key may be one that others have "
            "(CVE-2025-52464); bring it up to date, then make new keys"
        )
        yield Caution("firmware_weak_keys", words)
    if version[:2] >= LEAST_WITH_KEYS and not facts.has_keys and not facts.licensed:
        yield Caution("no_keys", "it has no key pair, so nobody can send it a private message")


def _manners(facts: RadioFacts) -> Iterator[Caution]:
    if facts.override_duty_cycle:
        words = "it ignores the legal duty cycle (override_duty_cycle): turn that off, unless your licence allows it"
        yield Caution("duty_cycle_overridden", words)
    if facts.hop_limit > USUAL_HOPS:
        yield Caution(
            "many_hops", f"hop_limit is {facts.hop_limit}: every hop takes the air once more; {USUAL_HOPS} is usual"
        )
    if facts.role in _PUSHY:
        yield Caution(
            "role_relays_first", f"its role {facts.role} is for a relay on a high site: CLIENT suits a gateway"
        )
    elif facts.role in _ODD:
        yield Caution("role_odd", f"its role {facts.role} is not for a gateway: CLIENT is")


def _privacy(facts: RadioFacts) -> Iterator[Caution]:
    for channel in facts.channels:
        yield from _of_channel(facts, channel)
    if facts.mqtt and not facts.mqtt_encrypted:
        yield Caution("mqtt_in_clear", "it hands messages to MQTT without encryption")
    if facts.mqtt_map:
        yield Caution("mqtt_map", "it reports itself to the public map over MQTT")


def _of_channel(facts: RadioFacts, channel: ChannelFacts) -> Iterator[Caution]:
    name = f"channel {channel.index} ({channel.name})"
    if channel.public and channel.bridged:
        yield Caution("public_channel", f"{name} has a key that everybody has: what is bridged there is public")
    if channel.uplink and channel.bridged:
        yield Caution("uplink", f"{name} is handed on to MQTT (uplink): what is bridged there leaves the mesh")
    if channel.downlink and channel.bridged and not facts.ignore_mqtt:
        yield Caution("downlink", f"{name} takes messages from MQTT (downlink): the internet's traffic goes on the air")
    if channel.public and channel.position_precision >= _EXACT_BITS:
        yield Caution("exact_position", f"{name} is public, and tells where this radio is to within some metres")


_EXACT_BITS = 24


def _port(facts: RadioFacts) -> Iterator[Caution]:
    if facts.debug_log:
        yield Caution(
            "debug_log", "it writes its debug log between what it tells us (debug_log_api_enabled): turn it off"
        )
    if facts.serial_module:
        yield Caution("serial_module", "its serial module is on: it may take the port that we use")


def version_of(text: str) -> tuple[int, ...] | None:
    """Read ``2.7.26.54e0d8d``; None if it is none."""
    found = _VERSION.match(text)
    return tuple(int(part or 0) for part in found.groups()) if found else None
