# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket

from bridges.meshtastic.airtime import airtime_s
from bridges.meshtastic.modem import PRESETS, custom
from bridges.meshtastic.packet_airtime import packet_s
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.verdicts import LEAST_S, LONGEST_S, tries_s, within_s
from bridges.sim.airtime import PRESETS as FIRMWARE
from bridges.sim.airtime import airtime_s as firmware_airtime_s
from bridges.sim.airtime import retry_wait_s
from gateway.unanswered import UNANSWERED_S

LONGEST_TEXT = 232


def within(preset: str, size: int, *, hops: int = 3, is_direct: bool = False, ahead_s: float = 0.0) -> float:
    modem = PRESETS[preset]
    return within_s(modem, airtime_s(modem, size), hops=hops, is_direct=is_direct, ahead_s=ahead_s)


def test_our_node_gives_up_after_what_was_measured():
    """22 to 24 s on an idle LONG_FAST with a short text, 140 s on LONG_SLOW with a long one."""
    fast, slow = PRESETS["LONG_FAST"], PRESETS["LONG_SLOW"]

    assert 22 <= tries_s(fast, airtime_s(fast, 20)) <= 24
    assert 135 <= tries_s(slow, airtime_s(slow, 190)) <= 145
    assert within("LONG_FAST", 20) >= 46


@pytest.mark.parametrize("preset", FIRMWARE)
def test_on_no_preset_is_a_verdict_given_up_before_the_node_has_tried_three_times_on_a_busy_channel(preset: str):
    on_air_s = firmware_airtime_s(FIRMWARE[preset], LONGEST_TEXT)
    tried_s = 3 * (on_air_s + retry_wait_s(FIRMWARE[preset], on_air_s))

    assert within(preset, LONGEST_TEXT) >= 1.9 * tried_s


@pytest.mark.parametrize("preset", PRESETS)
def test_a_direct_message_waits_longer_the_farther_it_goes_and_never_past_the_cores_own_limit(preset: str):
    near, far = (within(preset, 100, hops=hops, is_direct=True) for hops in (1, 7))

    assert LEAST_S <= within(preset, 100) <= near <= far <= LONGEST_S < UNANSWERED_S


def test_settings_of_ones_own_count_by_their_airtime():
    modem = custom(12, 125, 8)

    assert within_s(modem, airtime_s(modem, 100), hops=3, is_direct=False) == within("LONG_SLOW", 100)


def test_what_waits_in_the_radio_first_is_waited_for_too():
    assert within("LONG_SLOW", 100, ahead_s=30.0) == within("LONG_SLOW", 100) + 60.0


@pytest.mark.parametrize(
    ("to", "port", "reply_id", "emoji", "extra"),
    [
        (BROADCAST, "TEXT_MESSAGE_APP", 0, 0, 0),
        (BROADCAST, "TEXT_MESSAGE_APP", 7, 0, 5),
        (BROADCAST, "TEXT_MESSAGE_APP", 7, 1, 10),
        (2, "TEXT_MESSAGE_APP", 0, 0, 12),
        (2, "NODEINFO_APP", 0, 0, 0),
    ],
)
def test_a_packets_airtime_is_that_of_all_that_is_in_it(to: int, port: str, reply_id: int, emoji: int, extra: int):
    modem = PRESETS["LONG_FAST"]
    packet = MeshPacket(to=to)
    packet.decoded.CopyFrom(Data(portnum=port, payload=b"x" * 50, reply_id=reply_id, emoji=emoji))

    assert packet_s(modem, packet) == airtime_s(modem, 50, extra_bytes=extra)
