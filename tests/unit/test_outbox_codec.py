# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into an envelope comes out of it, and nothing else is taken for one."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import (
    MOST_LATE_MS,
    Address,
    BridgeName,
    Delivery,
    Edit,
    Lane,
    Location,
    Message,
    NativeId,
    Reaction,
    Redaction,
    RemoteId,
    ResumePoint,
    Sender,
    SenderId,
    Text,
    Topic,
)
from gateway.outbox.codec import LATE_OF_MESSAGE, UnreadableEnvelope, decode, decode_message, encode, encode_message

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=12)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
remote_ids = ids.map(RemoteId)
times = st.integers(0, 2**45)
addresses = st.builds(Address, names.map(BridgeName), ids)
contents = st.one_of(
    st.builds(Text, body=words, emote=st.booleans(), link=words),
    st.builds(
        Location,
        latitude=st.floats(-90, 90),
        longitude=st.floats(-180, 180),
        altitude_m=st.none() | st.floats(-500, 9000),
        accuracy_m=st.none() | st.floats(0, 1e6),
        words=words,
    ),
    st.builds(Reaction, target=remote_ids, emoji=words),
    st.builds(Edit, target=remote_ids, body=words),
    st.builds(Redaction, target=remote_ids),
)
messages = st.builds(
    Message,
    native_id=ids.map(NativeId),
    origin=addresses,
    sender=st.builds(Sender, id=ids.map(SenderId), name=words),
    content=contents,
    received_ms=times,
    late_ms=st.integers(0, MOST_LATE_MS),
    remote_id=st.none() | remote_ids,
    reply_to=st.none() | remote_ids,
    lane=st.sampled_from(Lane),
    topic=st.sampled_from(Topic),
    direct=st.booleans(),
    resume=st.none(),
)
deliveries = st.builds(
    Delivery,
    message=messages,
    to=addresses,
    part=st.integers(1, 9),
    parts=st.integers(1, 9),
    expires_ms=st.none() | times,
    direct=st.booleans(),
)


@given(messages)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(deliveries)
def test_a_delivery_comes_out_as_it_went_in_but_for_its_own_id_at_the_origin(delivery: Delivery) -> None:
    assert decode(encode(delivery)) == replace(delivery, message=replace(delivery.message, remote_id=None))


@given(messages)
def test_the_resume_point_is_not_part_of_it(message: Message) -> None:
    assert encode_message(replace(message, resume=ResumePoint("s1"))) == encode_message(message)


@given(st.binary(max_size=60))
def test_noise_is_refused_with_one_error(noise: bytes) -> None:
    for read in (decode, decode_message):
        with pytest.raises(UnreadableEnvelope):
            read(noise)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words, lambda inner: st.lists(inner, max_size=15), max_leaves=20
)


@given(
    st.tuples(st.integers(1, 2), st.lists(json_values, max_size=18)).map(lambda x: json.dumps([x[0], *x[1]]).encode())
)
def test_json_of_another_shape_is_refused_or_well_typed(data: bytes) -> None:
    with suppress(UnreadableEnvelope):
        assert isinstance(decode(data), Delivery)


def example() -> Delivery:
    message = Message(
        native_id=NativeId("mt:!a1b2c301:7"),
        origin=Address.parse("radio/LongFast"),
        sender=Sender(id=SenderId("!a1b2c301"), name="Ali"),
        content=Text(body="x" * 200),
        received_ms=1_700_000_000_000,
    )
    return Delivery(message=message, to=Address.parse("home/#town:example.org"))


def test_another_version_is_refused_by_its_number() -> None:
    data = encode(example()).replace(b"[1,", b"[9,", 1)
    with pytest.raises(UnreadableEnvelope):
        decode(data)


def test_an_envelope_of_version_one_stays_readable() -> None:
    """Queues and journals outlive an upgrade: this text may never change."""
    stored = (
        '[1,"home/#town:example.org",1,2,null,0,"mt:!a1b2c301:7","radio/LongFast","!a1b2c301","Ali",'
        '1700000000000,"n",0,"t","hé",null,"42"]'
    )
    given = decode(stored.encode())
    assert (given.to.conversation, given.parts, given.message.content) == ("#town:example.org", 2, Text(body="hé"))
    assert given.message.reply_to == "42"
    assert given.message.topic is Topic.TALK


def test_talk_is_written_as_a_release_without_topics_reads_it() -> None:
    assert encode(example()).startswith(b"[1,")
    assert encode_message(example().message).startswith(b"[1,")


def test_an_envelope_of_version_two_stays_readable() -> None:
    head = '"mt:!a1b2c301:7","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","Motion detected",null'
    message = decode_message(f'[2,{head},null,"00000007","sensors"]'.encode())
    assert (message.topic, message.remote_id, message.content) == (
        Topic.SENSOR,
        "00000007",
        Text(body="Motion detected"),
    )
    delivery = decode(f'[2,"home/#town:example.org",1,1,null,0,{head},"42",null,"telemetry"]'.encode())
    assert (delivery.message.topic, delivery.message.reply_to) == (Topic.TELEMETRY, "42")


def test_a_topic_of_a_later_release_is_refused() -> None:
    data = encode_message(replace(example().message, topic=Topic.ALERT)).replace(b'"alerts"', b'"smells"')
    with pytest.raises(UnreadableEnvelope):
        decode_message(data)


def test_what_this_release_first_wrote_of_places_and_links_stays_readable() -> None:
    head = '[1,"home/#town:example.org",1,1,null,0,"mt:1:2","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,'
    place = decode(f'{head}"g","Base camp",[46.5,8.1,null,35.0]]'.encode()).message.content
    assert place == Location(latitude=46.5, longitude=8.1, accuracy_m=35, words="Base camp")
    file = decode(f'{head}"t","[image] a","http://hilltop.lan:18031/f/x"]'.encode()).message.content
    assert file == Text(body="[image] a", link="http://hilltop.lan:18031/f/x")


@pytest.mark.parametrize("numbers", ["null", "[91,0,null,null]", '["a",0,null,null]', "[1,2]", "[null,1,null,null]"])
def test_a_place_that_is_none_is_refused(numbers: str) -> None:
    data = f'[1,"mt:1:2","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"g","",{numbers}]'
    with pytest.raises(UnreadableEnvelope):
        decode_message(data.encode())


def test_two_hundred_bytes_of_text_cost_less_than_half_as_much_again_in_names() -> None:
    assert len(encode(example())) < 330


def test_a_lone_surrogate_does_not_keep_a_message_out() -> None:
    broken = replace(example(), message=replace(example().message, content=Text(body="a\ud800b")))
    assert decode(encode(broken)).message.content == Text(body="a?b")


def test_how_late_a_message_was_is_kept_and_a_release_that_does_not_know_it_reads_the_rest() -> None:
    for topic, version in ((Topic.TALK, 1), (Topic.SENSOR, 2)):
        late = replace(example(), message=replace(example().message, late_ms=86_400_000, topic=topic))
        fields = json.loads(encode(late))
        assert (fields[0], fields[-1]) == (version, 86_400_000)
        assert decode(encode(late)).message.late_ms == 86_400_000
        # Before, four elements were read after the words, and any beyond them left alone.
        assert decode(json.dumps(fields[:-1]).encode()).message == replace(late.message, late_ms=0)


def test_what_stores_of_an_earlier_release_have_was_said_when_it_was_received() -> None:
    message = decode_message(b'[1,"mt:1:2","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","hi"]')
    assert message.said_ms == message.received_ms == 1_700_000_000_000


def test_where_the_journal_looks_for_how_late_a_message_was_is_where_it_is_written() -> None:
    place = int(LATE_OF_MESSAGE[2:-1])
    assert json.loads(encode_message(replace(example().message, late_ms=5)))[place] == 5
    assert json.loads(encode_message(replace(example().message, late_ms=5, topic=Topic.ALERT)))[place] == 5


@pytest.mark.parametrize("late", ["-1", "true", '"1"', "1.5", "2592000001"])
def test_a_time_by_which_nothing_can_be_late_is_refused(late: str) -> None:
    data = f'[1,"mt:1:2","radio/LongFast","!a1b2c301","Ali",1700000000000,"n",0,"t","hi",null,null,null,null,{late}]'
    with pytest.raises(UnreadableEnvelope):
        decode_message(data.encode())
