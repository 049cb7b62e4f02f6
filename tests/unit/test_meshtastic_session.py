# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from collections import Counter

import pytest
from meshtastic.protobuf.channel_pb2 import Channel
from meshtastic.protobuf.mesh_pb2 import FromRadio, MeshPacket, ToRadio

from bridges.meshtastic.events import Arrived, Lost, Noticed, Queued, Ready, Restarted
from bridges.meshtastic.session import (
    ANSWER_S,
    ASK_AGAIN_S,
    HANDSHAKE_SILENCE_S,
    HEARTBEAT_S,
    KEEP_OPEN_S,
    KNOCK_S,
    MOST_NAMELESS,
    RESERVED_NONCES,
    Phase,
    Session,
    parse,
)
from bridges.meshtastic.station import Station

OWN = 0xA1B2C300


class Talk:
    """A session, and the node at its other end."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.station = Station()
        self.session = Session(
            station=self.station,
            random=chance or random.Random(),
            count=lambda kind: self.counts.update([kind]),
            now=0.0,
        )

    def asked(self) -> list[str | None]:
        return [said.WhichOneof("payload_variant") for said in self.session.outgoing()]

    def nonce(self) -> int:
        return [said.want_config_id for said in self.session.outgoing() if said.want_config_id][-1]

    def greet(self, nonce: int, *, channels: int = 8, now: float = 0.0, my_info: bool = True) -> list[object]:
        said = []
        if my_info:
            record = FromRadio()
            record.my_info.my_node_num = OWN
            said.append(record)
        for index in range(channels):
            record = FromRadio()
            record.channel.index = index
            record.channel.role = Channel.Role.DISABLED if index > 1 else Channel.Role.PRIMARY
            record.channel.settings.name = "Town" if index else ""
            said.append(record)
        record = FromRadio()
        record.config.lora.use_preset = True
        said += [record, FromRadio(config_complete_id=nonce)]
        return [event for each in said for event in self.session.take(each, now)]


def packet(number: int) -> FromRadio:
    return FromRadio(packet=MeshPacket(id=number))


def ready() -> Talk:
    talk = Talk()
    talk.greet(talk.nonce())
    return talk


def test_the_handshake_learns_who_and_where_the_node_is():
    talk = Talk()

    events = talk.greet(talk.nonce())

    assert events == [Ready()]
    assert talk.session.phase is Phase.READY
    assert talk.station.number == OWN
    assert [channel.name for channel in talk.station.channels.values()] == ["LongFast", "Town"]


def test_packets_that_come_during_the_handshake_are_kept_in_order():
    talk = Talk()
    before = [talk.session.take(packet(number), 0.0) for number in (1, 2)]

    events = talk.greet(talk.nonce())

    assert before == [[], []]
    assert [event.packet.id for event in events if isinstance(event, Arrived)] == [1, 2]
    assert isinstance(events[0], Ready)


def test_another_nonce_ends_no_handshake():
    talk = Talk()

    assert talk.greet(talk.nonce() ^ 1) == []
    assert talk.session.phase is Phase.CONFIGURING


@pytest.mark.parametrize("lost", [{"channels": 7}, {"my_info": False}])
def test_a_handshake_that_lost_a_piece_is_begun_anew(lost: dict[str, int]):
    talk = Talk()

    assert talk.greet(talk.nonce(), **lost) == []
    assert talk.greet(talk.nonce()) == [Ready()]
    assert talk.counts["greeting_incomplete"] == 1


def test_a_node_with_fewer_channels_is_taken_as_it_is_in_the_end():
    talk = Talk()
    events = [talk.greet(talk.nonce(), channels=3) for _ in range(3)]

    assert events == [[], [], [Ready()]]


def test_a_node_that_is_not_wanted_is_left_at_once_and_what_it_still_says_is_anothers():
    talk = Talk()
    talk.session = Session(
        station=talk.station,
        random=random.Random(),
        count=lambda kind: talk.counts.update([kind]),
        now=0.0,
        objection=lambda number: f"this is {number}",
    )
    talk.asked()
    mine, after = FromRadio(), FromRadio(packet=MeshPacket(id=7))
    mine.my_info.my_node_num = 5
    left = talk.session.take(mine, 1.0)

    assert left == [Lost("this is 5", is_stranger=True)]
    assert talk.asked() == ["disconnect"]
    assert talk.session.take(after, 1.1) == []
    assert (talk.session.stranger, [packet.id for packet in talk.session.strays]) == (5, [7])
    assert talk.station.number == 0


def test_a_node_that_does_not_say_again_which_it_is_may_be_another_by_now():
    talk = ready()
    again = Session(station=talk.station, random=random.Random(), count=lambda _: None, now=0.0)
    talk.session = again
    events: list[object] = []
    for _ in range(MOST_NAMELESS):
        assert events == []
        events = talk.greet(talk.nonce(), my_info=False)

    assert events == [Lost("the radio does not say which node it is")]


def test_a_number_that_a_bad_line_lost_thrice_is_asked_for_again():
    # To close the port would lose what the node, done as far as it knows, has put on the line meanwhile.
    talk = Talk()
    for _ in range(3):
        assert talk.greet(talk.nonce(), my_info=False) == []
    talk.session.take(packet(1), 0.0)

    ready, *came = talk.greet(talk.nonce())

    assert (ready, [event.packet.id for event in came]) == (Ready(), [1])


def test_a_question_about_what_was_sent_that_gets_no_answer_ends_the_connection_soon():
    talk = ready()
    talk.session.probe(5.0)

    assert talk.session.tick(5.0 + ANSWER_S - 0.1) == []
    assert talk.session.tick(5.0 + ANSWER_S) == [Lost("the radio does not answer any more")]


def test_a_lost_request_is_repeated_and_a_silent_device_given_up():
    talk = Talk()
    talk.asked()

    assert talk.session.tick(KNOCK_S - 0.1) == []
    assert talk.asked() == []
    talk.session.tick(KNOCK_S)
    assert talk.asked() == ["want_config_id"]
    assert talk.session.tick(HANDSHAKE_SILENCE_S) == [Lost("no radio answers", is_silent=True)]


def test_a_lost_end_is_asked_for_again():
    talk = Talk()
    talk.greet(talk.nonce() ^ 1)

    talk.session.tick(ASK_AGAIN_S - 0.1)
    assert talk.asked() == []
    talk.session.tick(ASK_AGAIN_S)
    assert talk.asked() == ["want_config_id"]
    assert talk.session.tick(HANDSHAKE_SILENCE_S) == [Lost("the radio does not finish its greeting")]


def test_a_lost_end_is_asked_for_again_also_where_the_mesh_never_falls_silent():
    # The node is done greeting, as far as it knows, and hands over what it hears.
    talk = Talk()
    talk.greet(0)
    talk.asked()
    times = [at * 0.1 for at in range(1, round(ASK_AGAIN_S * 10) + 1)]
    for at in times:
        talk.session.take(packet(round(at * 10)), at)
        assert talk.session.tick(at) == []

    events = talk.greet(talk.nonce(), now=ASK_AGAIN_S)

    assert events[0] == Ready()
    assert len(events) == 1 + len(times)


def test_a_long_dump_is_no_silence():
    talk = Talk()
    for second in range(60):
        talk.session.take(FromRadio(), float(second))
        assert talk.session.tick(second + 0.5) == []


def test_nonces_that_ask_for_half_are_not_used():
    numbers = iter([69420, 0, 69421, 5])

    class Rigged(random.Random):
        def getrandbits(self, k: int) -> int:
            return next(numbers)

    talk = Talk(Rigged())

    assert talk.nonce() == 5
    assert 5 not in RESERVED_NONCES


def test_silence_is_probed_and_then_is_a_lost_link():
    talk = ready()
    talk.asked()

    assert talk.session.tick(HEARTBEAT_S - 1) == []
    assert talk.asked() == []
    assert talk.session.tick(HEARTBEAT_S) == []
    (probe,) = talk.session.outgoing()
    assert probe == ToRadio(heartbeat=probe.heartbeat)
    assert probe.heartbeat.nonce == 0
    assert talk.session.tick(HEARTBEAT_S + ANSWER_S - 0.1) == []
    (lost,) = talk.session.tick(HEARTBEAT_S + ANSWER_S)
    assert isinstance(lost, Lost)


def test_any_word_is_an_answer():
    talk = ready()
    talk.session.tick(HEARTBEAT_S)
    talk.session.take(packet(1), HEARTBEAT_S + ANSWER_S - 1)

    assert talk.session.tick(HEARTBEAT_S + ANSWER_S + 1) == []


def test_a_busy_radio_still_hears_from_us_before_it_closes():
    talk = ready()
    talk.asked()
    for second in range(0, int(KEEP_OPEN_S) + 1, 10):
        talk.session.take(packet(second), float(second))
        talk.session.tick(float(second))

    assert talk.asked() == ["heartbeat"]


def test_time_we_did_not_listen_is_not_the_radios_silence():
    talk = ready()
    talk.session.resume(1000.0)
    assert talk.session.tick(1000.0 + HEARTBEAT_S - 1) == []
    assert talk.session.tick(1000.0 + HEARTBEAT_S + ANSWER_S - 1) == []


def test_a_restart_means_greeting_again_and_loses_no_packet():
    talk = ready()
    talk.asked()

    assert talk.session.take(FromRadio(rebooted=True), 50.0) == [Restarted()]
    assert talk.session.phase is Phase.CONFIGURING
    assert talk.session.take(packet(7), 51.0) == []
    events = talk.greet(talk.nonce(), now=52.0)
    assert events == [Ready(), Arrived(MeshPacket(id=7))]


def test_statuses_and_notices_are_passed_on():
    talk = ready()
    status = FromRadio()
    status.queueStatus.free = 0
    status.queueStatus.mesh_packet_id = 9
    notice = FromRadio()
    notice.clientNotification.message = "Duty cycle"

    assert talk.session.take(status, 1.0) == [Queued(status.queueStatus)]
    assert talk.station.queue_free == 0
    assert talk.session.take(notice, 1.0) == [Noticed("Duty cycle")]


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\x12\x05ab", b"\xf8\x07\x01", FromRadio(id=4).SerializeToString()])
def test_what_says_nothing_is_no_frame(payload: bytes):
    assert parse(payload) is None


def test_what_came_during_a_greeting_that_fails_comes_out_of_the_next_one():
    talk = Talk()
    talk.session.take(packet(7), 0.0)
    (lost,) = talk.session.tick(HANDSHAKE_SILENCE_S)
    assert isinstance(lost, Lost)

    again = Session(station=talk.station, random=random.Random(), count=talk.counts.__delitem__, now=20.0)
    talk.session = again

    assert talk.greet(talk.nonce(), now=20.0) == [Ready(), Arrived(packet(7).packet)]


def test_what_came_during_a_greeting_is_not_taken_for_another_boards_word():
    talk = ready()
    reboot = FromRadio(rebooted=True)
    talk.session.take(reboot, 1.0)
    talk.session.take(packet(7), 1.0)
    other = FromRadio()
    other.my_info.my_node_num = OWN + 1
    talk.session.take(other, 2.0)

    assert Arrived(packet(7).packet) not in talk.greet(talk.nonce(), my_info=False, now=2.0)
    assert talk.counts["packet_of_another_board_dropped"] == 1
