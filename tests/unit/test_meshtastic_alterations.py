# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be set of a radio, to what, whom that cuts off, and the orders that do it."""

from __future__ import annotations

import base64

import pytest
from meshtastic.protobuf.channel_pb2 import Channel
from meshtastic.protobuf.config_pb2 import Config

from bridges.meshtastic.alterations import SETTINGS, alterations, read
from bridges.meshtastic.profile import Profile
from bridges.meshtastic.sections import Draft, Part, Section, answered, message, question
from bridges.sim.handshake import answers
from bridges.sim.identity import GATEWAY, Settings
from bridges.sim.preferences import Preferences, secret
from gateway.model import Declined

NOW_MS = 1_800_000_000_000
KEY = base64.b64encode(bytes(range(32))).decode()
LoRa = Config.LoRaConfig


def profile(**settings) -> Profile:
    told, kept = Settings(**settings), Profile()
    for said in answers(7, GATEWAY, [], told, Preferences.of(GATEWAY, told)):
        kept.learn(said)
    return kept


def plan(wanted, **settings):
    return [(one.key, one.was, one.becomes, bool(one.cuts_off)) for one in of(wanted, profile(**settings))]


def of(wanted, known):
    return alterations(known, read(wanted, NOW_MS))


@pytest.mark.parametrize(
    ("wanted", "planned"),
    [
        ({"region": "eu_868"}, ("region", "US", "EU_868", True)),
        ({"preset": "ShortFast"}, ("preset", "LONG_FAST", "SHORT_FAST", True)),
        ({"preset": "medium_slow"}, ("preset", "LONG_FAST", "MEDIUM_SLOW", True)),
        ({"preset": "MediumTurbo"}, ("preset", "LONG_FAST", "MEDIUM_TURBO", True)),
        ({"hop_limit": "5"}, ("hop_limit", "3", "5", False)),
        ({"tx": "off"}, ("tx", "on", "off", True)),
        ({"long_name": " Summit  gateway "}, ("long_name", "Hilltop gateway", "Summit gateway", False)),
        ({"short_name": "SUM"}, ("short_name", "HILL", "SUM", False)),
        ({"channel.1.name": "Village"}, ("channel.1.name", "Town", "Village", True)),
        ({"channel.1.role": "disabled"}, ("channel.1.role", "secondary", "disabled", True)),
        ({"channel.0.name": "Base"}, ("channel.0.name", "(the preset's)", "Base", True)),
        ({"time": "now"}, ("time", "the node's own", "this box's", False)),
    ],
)
def test_what_would_change_is_told_before_it_is_done(wanted, planned):
    assert plan(wanted) == [planned]


@pytest.mark.parametrize(
    "wanted", [{"region": "US"}, {"preset": "LongFast"}, {"tx": "on"}, {"hop_limit": "3"}, {"channel.0.key": "default"}]
)
def test_what_is_so_already_changes_nothing(wanted):
    assert plan(wanted) == []


def test_a_first_region_cuts_nobody_off_and_turns_the_transmitter_on():
    known = profile(region="UNSET")
    known.lora.tx_enabled = False
    changes = read({"region": "EU_868"}, NOW_MS)
    (planned,) = alterations(known, changes)
    draft = Draft.of(known)
    changes["region"].apply(draft)

    assert (planned.was, planned.cuts_off) == ("UNSET", "")
    assert draft.lora.tx_enabled


def test_a_new_channel_cuts_nobody_off_and_its_key_is_not_said():
    wanted = {"channel.3.name": "Wardens", "channel.3.key": KEY, "channel.3.role": "secondary"}
    found = of(wanted, profile())

    assert [one.cuts_off for one in found] == ["", "", ""]
    assert KEY not in repr(found)
    assert bytes(range(32)).hex() not in repr(found)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "say what to set"),
        ({"tx_power": "30"}, "can't be set here"),
        ({"security.private_key": "x"}, "can't be set here"),
        ({"channel.8.name": "x"}, "can't be set here"),
        ({"region": "UNSET"}, "no region"),
        ({"preset": "FASTEST"}, "no preset"),
        ({"hop_limit": "0"}, "from 1 to 7"),
        ({"hop_limit": "3.5"}, "from 1 to 7"),
        ({"tx": "maybe"}, "on or off"),
        ({"long_name": "  "}, "1 to 39 bytes"),
        ({"long_name": "x" * 40}, "not 40"),
        ({"short_name": "\u00e9\u00e9\u00e9"}, "not 6"),
        ({"long_name": "a\u202eb"}, "printable"),
        ({"time": "12:00"}, "can be set to now"),
        ({"channel.1.name": "x" * 12}, "1 to 11 bytes"),
        ({"channel.1.name": ""}, "needs a name"),
        ({"channel.1.role": "primary"}, "channel 0 is the primary"),
        ({"channel.0.role": "disabled"}, "one primary channel"),
        ({"channel.3.name": "Wardens"}, "not in use"),
        ({"channel.3.name": "Wardens", "channel.3.role": "secondary"}, "needs a key"),
        ({"channel.3.key": "default", "channel.3.role": "secondary"}, "needs a name"),
    ],
)
def test_what_makes_no_sense_is_declined_with_the_reason(wanted, words):
    with pytest.raises(Declined, match=words):
        of(wanted, profile())


def test_a_box_without_the_time_does_not_set_a_radios():
    with pytest.raises(Declined, match="own clock"):
        read({"time": "now"}, 1000)


def test_a_section_is_written_as_it_was_told_but_for_the_change():
    known = profile()
    known.lora.tx_power = 17
    known.lora.override_frequency = 869.4
    draft = Draft.of(known)
    read({"preset": "SHORT_FAST"}, NOW_MS)["preset"].apply(draft)
    written = message(Part(Section.LORA), draft).set_config.lora

    assert (written.modem_preset, written.use_preset) == (LoRa.SHORT_FAST, True)
    assert (written.tx_power, round(written.override_frequency, 1), written.region) == (17, 869.4, LoRa.US)
    assert known.lora.modem_preset == LoRa.LONG_FAST


@pytest.mark.parametrize("setting", [each.replace("N", "1") for each in SETTINGS])
def test_nothing_that_can_be_set_is_written_with_the_nodes_own_keys(setting):
    values = {"region": "EU_868", "preset": "SHORT_FAST", "hop_limit": "4", "tx": "off", "time": "now"}
    values |= {"channel.1.key": "default", "channel.1.role": "secondary"}
    change = read({setting: values.get(setting, "SUM")}, NOW_MS)[setting]
    draft = Draft.of(profile())
    change.apply(draft)
    order, asked = message(change.part, draft), question(change.part)

    assert order.WhichOneof("payload_variant") in {"set_owner", "set_config", "set_channel", "set_time_only"}
    assert not order.set_config.HasField("security")
    assert asked.get_config_request != asked.ConfigType.SECURITY_CONFIG


def test_an_answer_to_another_question_is_none():
    told = Settings()
    channel = Channel(index=2)
    part = Part(Section.CHANNEL, 1)
    from meshtastic.protobuf.admin_pb2 import AdminMessage

    assert answered(part, AdminMessage(get_channel_response=channel), GATEWAY.number) is None
    owner = AdminMessage(get_owner_response=Preferences.of(GATEWAY, told).owner)
    assert answered(part, owner, GATEWAY.number) is None
    assert answered(Part(Section.OWNER), owner, GATEWAY.number) is not None


def test_a_profile_keeps_no_secret():
    known = profile()

    assert known.is_told
    assert known.security.serial_console
    for value in vars(known).values():
        said = value.SerializeToString() if hasattr(value, "SerializeToString") else repr(value).encode()
        assert secret(GATEWAY, "private key") not in said
        assert repr(secret(GATEWAY, "private key"))[2:-1].encode() not in said
