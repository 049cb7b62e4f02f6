# SPDX-License-Identifier: GPL-3.0-or-later
"""What boxes call a channel that their radios share: the same where they talk to each other, and no key in it."""

from __future__ import annotations

import base64
import re

import pytest
from meshtastic.protobuf.channel_pb2 import Channel as RawChannel
from meshtastic.protobuf.channel_pb2 import ChannelSettings
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.meshtastic.commons import common_name, turn_s
from bridges.meshtastic.modem import PRESETS
from bridges.meshtastic.station import Station

EVERYBODYS = base64.b64decode("1PG7OiApB1nwvP+rz05pAQ==")
SECRET = bytes(range(16))
LORA = Config.LoRaConfig(use_preset=True, region=Config.LoRaConfig.EU_868)


def station(*channels: tuple[str, bytes], lora: Config.LoRaConfig = LORA) -> Station:
    """Return a station of which the first channel is the primary."""
    found = Station()
    found.begin()
    found.learn(FromRadio(config=Config(lora=lora)))
    for index, (name, psk) in enumerate(channels):
        role = RawChannel.Role.SECONDARY if index else RawChannel.Role.PRIMARY
        settings = ChannelSettings(name=name, psk=psk)
        found.learn(FromRadio(channel=RawChannel(index=index, role=role, settings=settings)))
    found.settle()
    return found


def name(conversation: str, *channels: tuple[str, bytes], mesh: str = "", lora: Config.LoRaConfig = LORA) -> str:
    found = common_name(conversation, station(*channels, lora=lora), mesh=mesh)
    assert found is not None
    return found


def test_a_channel_is_called_by_region_preset_name_and_proof_of_the_key():
    assert re.fullmatch(r"mt:EU_868/LongFast/LongFast/[0-9a-f]{8}", name("LongFast", ("", b"\x01")))


def test_two_radios_call_it_the_same_however_its_key_is_written_and_wherever_it_stands():
    assert name("LongFast", ("", b"\x01")) == name("LongFast", ("", EVERYBODYS))
    one = name("Town", ("", b"\x01"), ("Town", SECRET))
    assert one == name("#2", ("", b"\x01"), ("Else", SECRET), ("Town", SECRET))
    assert name("Town", ("", SECRET), ("Town", b"")) == name("Town", ("", SECRET), ("Town", SECRET))


@pytest.mark.parametrize("other", [SECRET[:-1] + b"\0", bytes(32), b"\x01", b"\x02", b""])
def test_radios_with_another_key_call_it_otherwise(other: bytes):
    assert name("Town", ("Town", SECRET)) != name("Town", ("Town", other))


@pytest.mark.parametrize(
    "other",
    [
        Config.LoRaConfig(use_preset=True, region=Config.LoRaConfig.US),
        Config.LoRaConfig(use_preset=True, region=Config.LoRaConfig.EU_868, modem_preset=Config.LoRaConfig.SHORT_FAST),
        Config.LoRaConfig(use_preset=True, region=Config.LoRaConfig.EU_868, channel_num=3),
        Config.LoRaConfig(use_preset=True, region=Config.LoRaConfig.EU_868, override_frequency=869.5),
        Config.LoRaConfig(use_preset=False, region=Config.LoRaConfig.EU_868, spread_factor=9, bandwidth=250),
    ],
)
def test_radios_that_cannot_hear_each_other_for_how_they_are_set_call_it_otherwise(other: Config.LoRaConfig):
    assert name("Town", ("Town", SECRET)) != name("Town", ("Town", SECRET), lora=other)


def test_a_frequency_that_goes_by_another_primary_channel_is_another_mesh():
    assert name("Town", ("", SECRET), ("Town", SECRET)) != name("Town", ("Hill", SECRET), ("Town", SECRET))


def test_a_mesh_that_the_operator_calls_otherwise_is_another():
    assert name("Town", ("Town", SECRET), mesh="valley") != name("Town", ("Town", SECRET))


def test_a_direct_chat_is_the_same_whatever_the_keys_are():
    assert name("!a1b2c301", ("", b"\x01")) == name("!a1b2c301", ("", SECRET))
    assert name("!a1b2c301", ("", b"\x01")).startswith("mt:EU_868/LongFast/!a1b2c301/")


def test_what_the_radio_has_not_told_has_no_name():
    assert common_name("Town", Station(), mesh="") is None
    assert common_name("Town", station(("", b"\x01")), mesh="") is None
    told_anew = station(("Town", SECRET))
    before = common_name("Town", told_anew, mesh="")
    told_anew.begin()
    assert common_name("Town", told_anew, mesh="") == before


def test_no_key_is_in_it():
    said = name("Town", ("Town", SECRET))
    assert SECRET.hex() not in said
    assert base64.b64encode(SECRET).decode() not in said


def test_a_turn_is_as_long_as_a_text_may_take_to_be_heard():
    assert turn_s(PRESETS["SHORT_FAST"]) == 20.0
    assert 20.0 < turn_s(PRESETS["LONG_FAST"]) < 30.0
    assert turn_s(PRESETS["LONG_SLOW"]) == 30.0
