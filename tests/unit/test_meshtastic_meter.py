# SPDX-License-Identifier: GPL-3.0-or-later
"""What our node tells of the channel, what is kept of the hour across restarts, and where both are counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import Data, FromRadio, MeshPacket, Routing
from meshtastic.protobuf.portnums_pb2 import PortNum
from meshtastic.protobuf.telemetry_pb2 import Telemetry

from bridges.meshtastic import kept
from bridges.meshtastic.airtime import retry_gap_s
from bridges.meshtastic.channel import FRESH_S, Channel, Reading, reading
from bridges.meshtastic.meter import Meter
from bridges.meshtastic.modem import PRESETS, Modem
from bridges.meshtastic.packet_airtime import packet_s
from bridges.meshtastic.places import BROADCAST
from bridges.meshtastic.regions import duty_cycle_percent
from bridges.meshtastic.station import Station
from gateway.clock import ManualClock
from gateway.model import (
    Address,
    Candidate,
    Delivery,
    Hold,
    Message,
    NativeId,
    RateLimited,
    Rejected,
    Sender,
    SenderId,
    Text,
)

OWN, FAR = 0xA1B2C300, 0xA1B2C301
LONG_FAST = PRESETS["LONG_FAST"]


def packet_ms(modem: Modem, packet: MeshPacket, *, signs: bool = False) -> int:
    return round(1000 * packet_s(modem, packet, signs=signs))


def telemetry(*, sender: int = OWN, busy: float = 12.5, sent: float = 3.0, statistics: bool = False) -> MeshPacket:
    told = Telemetry()
    said = told.local_stats if statistics else told.device_metrics
    said.channel_utilization, said.air_util_tx = busy, sent
    packet = MeshPacket(to=BROADCAST, decoded=Data(portnum=PortNum.TELEMETRY_APP, payload=told.SerializeToString()))
    setattr(packet, "from", sender)
    return packet


def text(body: str = "x" * 100, *, id: int = 1, to: int = BROADCAST, want_ack: bool = True) -> MeshPacket:
    packet = MeshPacket(id=id, to=to, want_ack=want_ack)
    packet.decoded.CopyFrom(Data(portnum=PortNum.TEXT_MESSAGE_APP, payload=body.encode()))
    return packet


def station(region: int = Config.LoRaConfig.EU_868, *, tx_enabled: bool = True, firmware: str = "2.7.26.x") -> Station:
    known = Station()
    lora = Config.LoRaConfig(use_preset=True, region=region, tx_enabled=tx_enabled)
    known.learn(FromRadio(config=Config(lora=lora)))
    known.number, known.firmware = OWN, firmware
    return known


class Rig:
    def __init__(
        self,
        folder: Path,
        known: Station | None = None,
        clock: ManualClock | None = None,
        share: float | None = None,
        has_radio: bool = True,
    ) -> None:
        self.clock = clock or ManualClock()
        self.counts: Counter[str] = Counter()
        self.meter = Meter(
            clock=self.clock,
            station=known or station(),
            share_percent=share,
            want_ack=True,
            has_radio=has_radio,
            folder=folder,
            count=lambda kind: self.counts.update([kind]),
        )

    def admit(self, packet: MeshPacket, *, is_emergency: bool = False, is_courtesy: bool = False) -> None:
        asyncio.run(self.meter.admit(packet, is_emergency=is_emergency, verdict_s=60.0, is_courtesy=is_courtesy))

    @property
    def used_ms(self) -> int:
        return self.meter.airtime().used_ms

    def chosen(self) -> object:
        message = Message(
            native_id=NativeId("mx:$1"),
            origin=Address.parse("home/#town"),
            sender=Sender(id=SenderId("@ali:x"), name="Ali"),
            content=Text(body="words"),
            received_ms=0,
        )
        return self.meter.choose(
            [Candidate(delivery=Delivery(message=message, to=Address.parse("radio/LongFast")))], 0.0
        )


@pytest.mark.parametrize(
    ("region", "percent"),
    [
        ("EU_868", 10),
        ("EU_433", 10),
        ("UA_433", 10),
        ("TH", 10),
        ("EU_866", 2.5),
        ("UA_868", 1),
        ("US", 100),
        ("99", 10),
    ],
)
def test_each_region_has_its_duty_cycle_and_one_nobody_knows_yet_a_careful_one(region, percent):
    assert duty_cycle_percent(region) == percent


def test_a_packet_takes_what_its_bytes_take_and_the_repeats_come_when_the_firmware_makes_them():
    assert packet_ms(LONG_FAST, text()) == 1174
    assert packet_ms(LONG_FAST, text(to=FAR)) == packet_ms(LONG_FAST, text("x" * 112))
    assert packet_ms(LONG_FAST, text(), signs=True) == packet_ms(LONG_FAST, text("x" * 166))
    assert packet_ms(LONG_FAST, text("x" * 200), signs=True) == 1911
    assert 8.0 < retry_gap_s(LONG_FAST, 1.174) < 8.6


def test_our_own_nodes_word_counts_whichever_way_it_tells():
    assert reading(telemetry(), OWN, 5.0) == Reading(12.5, 3.0, 5.0)
    assert reading(telemetry(statistics=True), OWN, 5.0) == Reading(12.5, 3.0, 5.0)
    assert reading(telemetry(sender=0), OWN, 5.0) is not None


def test_another_nodes_word_is_none_of_ours_and_nonsense_is_no_word():
    broken, forged, far = telemetry(), telemetry(), telemetry()
    forged.rx_rssi = -87  # it came over the air
    far.via_mqtt = True
    broken.decoded.payload = b"\xff\xff"

    assert reading(telemetry(sender=FAR), OWN, 5.0) is None
    assert reading(telemetry(busy=float("nan")), OWN, 5.0) is None
    assert reading(telemetry(sent=-1.0), OWN, 5.0) is None
    assert reading(broken, OWN, 5.0) is None
    assert reading(forged, OWN, 5.0) is None
    assert reading(far, OWN, 5.0) is None
    assert reading(text(), OWN, 5.0) is None


def test_what_was_told_a_while_ago_holds_nobody_back():
    channel = Channel(lambda _: 0)
    channel.take(Reading(60.0, 1.0, 100.0))

    assert channel.busy_percent(100.0 + FRESH_S - 1) == 60.0
    assert channel.busy_percent(100.0 + FRESH_S) is None


def test_what_the_node_sent_besides_ours_is_what_others_had_of_it():
    channel = Channel(lambda _: 30_000)
    channel.take(Reading(10.0, 2.0, 0.0))
    assert channel.others_ms(10.0) == 42_000

    channel.take(Reading(10.0, 0.5, 0.0))  # it was restarted since
    assert channel.others_ms(10.0) == 0


def test_what_is_given_to_the_radio_is_reserved_and_settled_by_what_it_says(tmp_path):
    rig = Rig(tmp_path)
    for packet in (1, 2, 3, 4):
        rig.admit(text(id=packet))
    assert rig.used_ms == 4 * 3 * 1174

    rig.meter.judged(1, Routing.NONE, is_own=True)
    rig.meter.judged(2, Routing.MAX_RETRANSMIT, is_own=True)
    rig.meter.judged(3, Routing.RATE_LIMIT_EXCEEDED, is_own=True)
    rig.meter.refused(4)
    assert rig.used_ms == (1 + 3) * 1174


def test_what_the_far_end_refuses_was_on_the_air(tmp_path):
    rig = Rig(tmp_path)
    rig.admit(text(to=FAR))
    rig.meter.judged(1, Routing.PKI_UNKNOWN_PUBKEY, is_own=False)

    assert rig.used_ms == packet_ms(LONG_FAST, text(to=FAR))


@pytest.mark.parametrize(
    ("packet", "firmware", "times"),
    [
        (text(), "2.7.26.x", 3),
        (text(to=FAR), "2.7.26.x", 3),
        (text(to=FAR), "2.8.0.x", 5),
        (text(want_ack=False), "2.8.0.x", 1),
    ],
)
def test_as_many_repeats_are_reserved_as_the_firmware_makes(tmp_path, packet, firmware, times):
    rig = Rig(tmp_path, station(firmware=firmware))
    rig.admit(packet)

    assert rig.used_ms == times * packet_ms(LONG_FAST, packet, signs=firmware.startswith("2.8"))


def test_what_is_written_again_under_its_id_is_not_asked_for_again(tmp_path):
    rig = Rig(tmp_path, share=0.1)
    rig.admit(text())
    rig.admit(text())
    assert rig.used_ms == 3 * 1174

    with pytest.raises(RateLimited, match="budget is used up") as refused:
        rig.admit(text(id=2))
    assert not refused.value.for_all, "what waits for its hour holds up no emergency"
    assert refused.value.retry_after_s


def test_what_never_fits_is_rejected(tmp_path):
    known = station()
    known.profile.lora.modem_preset = Config.LoRaConfig.LONG_SLOW
    rig = Rig(tmp_path, known, share=0.1)

    with pytest.raises(Rejected, match=r"12\.\d s on the air"):
        rig.admit(text("x" * 200))


def test_an_acknowledgement_our_node_makes_is_counted(tmp_path):
    rig = Rig(tmp_path)
    asked = text(to=OWN)
    setattr(asked, "from", FAR)
    rig.meter.heard(asked)
    once = rig.used_ms
    assert 400 < once < 700

    overheard = text(to=BROADCAST)
    setattr(overheard, "from", FAR)
    rig.meter.heard(overheard)
    assert rig.used_ms == once


def test_drafts_that_power_cuts_left_do_not_pile_up(tmp_path):
    (tmp_path / f".{kept.FILE}.x7f3").write_text("half a led")
    (tmp_path / "nodes.db").write_text("another's")
    Rig(tmp_path).meter.load()

    assert [each.name for each in tmp_path.iterdir()] == ["nodes.db"]


def test_a_node_that_writes_to_ours_without_end_takes_a_part_of_the_share_and_no_more(tmp_path):
    rig = Rig(tmp_path)
    share_ms = rig.meter.airtime().allowed_ms
    for number in range(1000):
        asked = text(to=OWN, id=number + 1)
        setattr(asked, "from", FAR + number)
        rig.meter.heard(asked)

    assert share_ms / 5 < rig.used_ms <= share_ms / 4
    assert rig.counts["acknowledgements_over_share"] > 0
    rig.admit(text(id=5000))


def test_what_the_gateway_says_of_itself_leaves_room_for_peoples_words(tmp_path):
    rig = Rig(tmp_path)
    share_ms = rig.meter.airtime().allowed_ms
    for number in range(1, 200):
        with suppress(RateLimited):
            rig.admit(text(id=number, to=FAR), is_courtesy=True)
        rig.clock.advance(10.0)
    with pytest.raises(RateLimited, match="of itself"):
        rig.admit(text(id=300, to=FAR), is_courtesy=True)

    assert share_ms / 5 < rig.used_ms <= share_ms / 2
    assert rig.counts["courtesy_over_share"] > 0
    rig.admit(text(id=5000))


def test_a_courtesy_that_was_refused_takes_nothing_of_their_part(tmp_path):
    rig = Rig(tmp_path, share=0.2)
    for number in range(1, 20):
        rig.admit(text(id=number, to=FAR), is_courtesy=True)
        rig.meter.refused(number)

    assert rig.used_ms == 0
    assert rig.counts["courtesy_over_share"] == 0


def test_a_radio_without_a_region_or_with_its_transmitter_off_is_told_in_words(tmp_path):
    unset, off = Rig(tmp_path, station(Config.LoRaConfig.UNSET)), Rig(tmp_path, station(tx_enabled=False))

    assert "no region" in unset.meter.airtime().held
    assert isinstance(unset.chosen(), Hold)
    assert "switched off" in off.meter.airtime().held
    assert isinstance(off.chosen(), Hold)
    assert Rig(tmp_path).meter.airtime().held == ""


def test_a_node_in_software_needs_no_region(tmp_path):
    rig = Rig(tmp_path, station(Config.LoRaConfig.UNSET, tx_enabled=False), has_radio=False)

    assert rig.meter.airtime().held == ""
    assert not isinstance(rig.chosen(), Hold)


def test_a_notice_with_another_nodes_name_in_it_silences_nothing(tmp_path):
    rig = Rig(tmp_path)
    rig.meter.noticed("Remote device Duty cycle limit exceeded for 60 mins has advertised your public key.")

    assert not isinstance(rig.chosen(), Hold)


def test_the_radios_own_word_on_its_duty_cycle_is_honoured_for_as_long_as_it_says(tmp_path):
    rig = Rig(tmp_path)
    rig.meter.over_duty_cycle()
    rig.meter.noticed("Duty cycle limit exceeded. You can send again in 7 mins")

    held = rig.chosen()
    assert isinstance(held, Hold)
    assert held.reason == "the radio says that the region's duty cycle is used up: 7 min more"
    assert rig.meter.airtime().held == held.reason
    rig.clock.advance(419.0)
    assert isinstance(rig.chosen(), Hold)
    rig.clock.advance(2.0)
    assert not isinstance(rig.chosen(), Hold)
    assert rig.meter.airtime().held == ""


def test_a_refusal_that_only_a_routing_packet_tells_is_honoured_too(tmp_path):
    rig = Rig(tmp_path)
    rig.admit(text())
    rig.meter.judged(1, Routing.DUTY_CYCLE_LIMIT, is_own=True)

    assert rig.used_ms == 0
    assert isinstance(rig.chosen(), Hold)


def test_other_words_of_the_radio_hold_nothing(tmp_path):
    rig = Rig(tmp_path)
    rig.meter.noticed("Low battery: 5 min left")

    assert not isinstance(rig.chosen(), Hold)


def test_a_restart_does_not_make_an_hour_of_the_law_new(tmp_path):
    rig = Rig(tmp_path)
    rig.admit(text(id=1))
    rig.meter.judged(1, Routing.NONE, is_own=True)
    rig.admit(text(id=2))  # killed before more is known

    again = Rig(tmp_path, clock=ManualClock(rig.clock.now_ms() + 1_800_000))
    again.meter.load()
    assert again.used_ms == 4 * 1174
    again.clock.advance(1801.0)
    assert again.used_ms == 0


@pytest.mark.parametrize(
    "left",
    ["", "{", "[]", '{"version":2}', '{"version":1,"at_ms":"x","spent":[]}', '{"version":1,"at_ms":1,"spent":[[1]]}'],
)
def test_a_file_that_cannot_be_read_stands_for_an_hour_used_up_and_is_told(tmp_path, left):
    (tmp_path / kept.FILE).write_text(left)
    rig = Rig(tmp_path)
    rig.meter.load()

    assert rig.used_ms == rig.meter.airtime().allowed_ms
    assert rig.counts == {"airtime_ledger_unreadable": 1}


def test_a_disk_that_takes_nothing_is_counted_and_holds_nothing_up(tmp_path):
    rig = Rig(tmp_path / "gone")
    rig.admit(text())

    assert rig.counts == {"airtime_not_kept": 1}
    assert rig.used_ms == 3 * 1174


YEAR_2026_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("at_ms", "now_ms", "since_s"),
    [
        (YEAR_2026_MS, YEAR_2026_MS + 60_000, 60),
        (YEAR_2026_MS, YEAR_2026_MS - 60_000, 0),  # set back
        (5000, YEAR_2026_MS, 0),  # set for the first time
        (5000, 65_000, 60),  # never set, and not switched off since
    ],
)
def test_a_clock_that_was_set_meanwhile_makes_nothing_older_than_it_is(at_ms, now_ms, since_s):
    assert kept.from_text(kept.to_text([(120, 900)], at_ms), now_ms) == [(120 + since_s, 900)]


def test_a_write_that_fails_leaves_what_was_there_and_no_litter(tmp_path):
    file = tmp_path / kept.FILE
    kept.write(file, "before")
    with pytest.raises(UnicodeEncodeError):
        kept.write(file, "\udc80")

    assert [each.name for each in tmp_path.iterdir()] == [kept.FILE]
    assert file.read_text() == "before\n"


@given(
    st.text(max_size=40)
    | st.builds(
        json.dumps,
        st.recursive(
            st.none() | st.integers() | st.text(max_size=3),
            lambda it: (
                st.lists(it, max_size=3)
                | st.dictionaries(st.sampled_from(["version", "at_ms", "spent"]), it, max_size=3)
            ),
            max_leaves=8,
        ),
    )
)
def test_whatever_is_in_the_file_it_is_read_or_refused(left):
    try:
        found = kept.from_text(left, YEAR_2026_MS)
    except ValueError:
        return
    assert all(ago_s >= 0 and ms >= 0 for ago_s, ms in found)


def test_what_nobody_asked_us_to_carry_is_counted_and_leaves_room_for_what_people_say(tmp_path):
    rig = Rig(tmp_path)
    rig.admit(text(id=1), is_courtesy=True)
    assert rig.used_ms == 3 * 1174

    for packet in range(2, 9):
        rig.admit(text(id=packet))
    with pytest.raises(RateLimited, match="much went out at once"):
        rig.admit(text(id=9), is_courtesy=True)
    assert rig.meter.not_spared(1174)
    rig.admit(text(id=10))


def test_what_has_no_room_keeps_no_emergency_waiting(tmp_path):
    rig = Rig(tmp_path)
    rig.meter.ledger.spend(180_000, rig.clock.monotonic())
    with pytest.raises(RateLimited, match="budget is used up") as refused:
        rig.admit(text(id=1))
    assert not refused.value.for_all
    rig.admit(text(id=2), is_emergency=True)


def test_how_long_a_queue_takes_is_not_said_while_nothing_may_go_out(tmp_path):
    assert Rig(tmp_path).meter.drain_s(65_000) == pytest.approx(1000)
    mute = Rig(tmp_path, station(tx_enabled=False)).meter
    assert mute.drain_s(65_000) == float("inf")
    assert mute.drain_s(0) == 0.0
