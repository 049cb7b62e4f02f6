# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meshtastic.protobuf.apponly_pb2 import ChannelSet
from meshtastic.protobuf.channel_pb2 import ChannelSettings
from meshtastic.protobuf.config_pb2 import Config

from bridges.meshtastic.node.channels import DEFAULT_PLAN, ChannelKey, Unreadable, read_plan, read_url

KEY = bytes(range(32))


def url(*channels: tuple[str, bytes], lora: Config.LoRaConfig | None = None, padded: bool = False) -> str:
    said = ChannelSet(settings=[ChannelSettings(name=name, psk=psk) for name, psk in channels], lora_config=lora)
    text = base64.urlsafe_b64encode(said.SerializeToString()).decode()
    return f"https://meshtastic.org/e/#{text if padded else text.rstrip('=')}"


def test_the_public_link_that_every_app_knows_is_read():
    plan = read_url("https://meshtastic.org/e/#CgMSAQESBggBQANIAQ")

    assert plan.channels == (ChannelKey(name="", psk=b"\x01"),)
    assert plan.lora is not None
    assert plan.lora.hop_limit == 3


@pytest.mark.parametrize("padded", [True, False])
def test_a_link_names_channels_keys_and_the_modem(padded: bool):
    lora = Config.LoRaConfig(use_preset=True, modem_preset=Config.LoRaConfig.MEDIUM_FAST)

    plan = read_plan("# from the app\n" + url(("", b"\x01"), ("Town", KEY), lora=lora, padded=padded) + "\n")

    assert plan.channels == (ChannelKey(name="", psk=b"\x01"), ChannelKey(name="Town", psk=KEY))
    assert plan.lora == lora


def test_lines_name_channels_and_keys_in_order():
    plan = read_plan(f"# ours\n\nLongFast AQ==\n  Town   {base64.b64encode(KEY).decode()}\nOpen AA==\n")

    assert [(each.name, each.psk) for each in plan.channels] == [
        ("LongFast", b"\x01"),
        ("Town", KEY),
        ("Open", b"\x00"),
    ]
    assert plan.channels[2].key == b""
    assert plan.lora is None


def test_a_named_channel_and_an_unnamed_one_of_the_same_preset_are_one():
    (unnamed,) = DEFAULT_PLAN.channels

    assert unnamed.hash("LongFast") == ChannelKey(name="LongFast", psk=b"\x01").hash("anything") == 8
    assert unnamed.hash("MediumFast") != 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no channel"),
        ("# nothing\n", "no channel"),
        ("Town\n", "line 1: the key is missing"),
        ("LongFast AQ==\nTown *!*\n", "line 2: write NAME BASE64KEY"),
        (f"Town {base64.b64encode(bytes(33)).decode()}", "line 1: .* 32 bytes"),
        ("A-far-too-long-name AQ==", "line 1: .* 11 bytes"),
        ("Town AQ==\nTown AQ==", "twice"),
        ("\n".join(f"T{number} AQ==" for number in range(9)), "9 channels"),
        ("https://meshtastic.org/e/#", "0 channels"),
        ("https://meshtastic.org/e/#%%%", "not a channel URL"),
        ("https://meshtastic.org/e/#CgMSAQES", "not a channel URL"),
        ("https://meshtastic.org/e/#CgMSAQE\nTown AQ==", "stands alone"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, says: str):
    with pytest.raises(Unreadable, match=says):
        read_plan(text)


def test_no_complaint_and_no_repr_shows_a_key():
    secret = base64.b64encode(KEY).decode()
    with pytest.raises(Unreadable) as caught:
        read_plan(f"Town {secret}\nTown {secret}")

    assert secret not in str(caught.value)
    assert repr(KEY) not in repr(ChannelKey(name="Town", psk=KEY))


@given(st.text() | st.binary().map(lambda raw: "https://meshtastic.org/e/#" + base64.urlsafe_b64encode(raw).decode()))
def test_no_text_is_more_than_unreadable(text: str):
    with contextlib.suppress(Unreadable):
        read_plan(text)
