# SPDX-License-Identifier: GPL-3.0-or-later
"""What a text takes on the air, by the radio's preset."""

from __future__ import annotations

import pytest
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.meshtastic.airtime import airtime_s, message_ms
from bridges.meshtastic.facts import preset_of
from bridges.meshtastic.modem import DEFAULT, PRESETS, Modem, custom
from bridges.meshtastic.station import Station
from gateway.model import Address, Edit, Message, NativeId, Reaction, Redaction, RemoteId, Sender, SenderId, Text

CHANNEL = Address.parse("radio/LongFast")
NODE = Address.parse("radio/!a1b2c301")
MEASURED_MS = {
    "SHORT_TURBO": (35, 53, 90),
    "SHORT_FAST": (71, 107, 181),
    "MEDIUM_TURBO": (116, 172, 285),
    "SHORT_SLOW": (126, 188, 321),
    "MEDIUM_FAST": (232, 345, 570),
    "MEDIUM_SLOW": (423, 628, 1037),
    "LONG_TURBO": (574, 869, 1459),
    "LONG_FAST": (805, 1174, 1911),
    "LONG_MODERATE": (2560, 4133, 7016),
    "LONG_SLOW": (4858, 7479, 12722),
}


def said(content, *, reply_to=None):
    return Message(
        native_id=NativeId("mx:$1"),
        origin=Address.parse("home/#town"),
        sender=Sender(id=SenderId("@ali:example.org"), name="Ali"),
        content=content,
        received_ms=0,
        reply_to=reply_to,
    )


def told(**lora):
    station = Station()
    station.learn(FromRadio(config=Config(lora=Config.LoRaConfig(**lora))))
    return station


@pytest.mark.parametrize(
    ("preset", "text_bytes", "measured_ms"),
    [(name, size, ms) for name, row in MEASURED_MS.items() for size, ms in zip((50, 100, 200), row, strict=True)],
)
def test_airtime_is_what_was_measured(preset, text_bytes, measured_ms):
    assert round(1000 * airtime_s(PRESETS[preset], text_bytes)) == measured_ms


def test_a_text_takes_its_bytes_and_more_to_one_node_or_with_what_it_answers():
    text, answer = said(Text(body="ü" * 50)), said(Text(body="ü" * 50), reply_to=RemoteId("0000002a"))

    assert message_ms(DEFAULT, text, CHANNEL) == 1174
    assert message_ms(DEFAULT, text, NODE) == round(1000 * airtime_s(DEFAULT, 112))
    assert message_ms(DEFAULT, answer, CHANNEL) == round(1000 * airtime_s(DEFAULT, 105))
    assert message_ms(DEFAULT, answer, NODE) == round(1000 * airtime_s(DEFAULT, 117))


def test_every_kind_of_content_has_its_airtime():
    target = RemoteId("0000002a")

    assert message_ms(DEFAULT, said(Edit(target=target, body="x" * 100)), CHANNEL) == 1174
    assert message_ms(DEFAULT, said(Reaction(target=target, emoji="👍")), CHANNEL) == round(
        1000 * airtime_s(DEFAULT, 14)
    )
    assert message_ms(DEFAULT, said(Redaction(target=target)), CHANNEL) == 0


def test_a_radio_that_has_told_nothing_is_taken_for_one_on_the_default_preset_and_that_is_said():
    station = Station()

    assert (station.modem, station.modem_words) == (
        DEFAULT,
        "assuming LongFast: the radio has not told its preset yet",
    )


def test_the_radios_preset_counts_and_goes_on_counting_while_it_is_greeted_again():
    station = told(use_preset=True, modem_preset=Config.LoRaConfig.SHORT_FAST)
    station.begin()

    assert (station.modem, station.modem_words) == (PRESETS["SHORT_FAST"], "ShortFast")


@pytest.mark.parametrize(
    ("number", "name", "shown"),
    [
        (7, "LONG_MODERATE", "LongMod"),
        (10, "LITE_FAST", "LiteFast"),
        (13, "NARROW_SLOW", "NarrowSlow"),
        # Of firmware 2.8, newer than the protobufs.
        (14, "TINY_FAST", "TinyFast"),
        (15, "TINY_SLOW", "TinySlow"),
        (16, "MEDIUM_TURBO", "MediumTurbo"),
    ],
)
def test_every_preset_has_its_figures_and_is_called_as_the_apps_do(number, name, shown):
    station = told(use_preset=True, modem_preset=number)

    assert (station.modem, station.modem_words) == (PRESETS[name], shown)
    assert (station.preset, preset_of(station.profile.lora)) == (shown, name)


@pytest.mark.parametrize(("told_rate", "counts"), [(0, 5), (5, 5), (4, 5), (8, 8), (99, 5)])
def test_a_coding_rate_that_is_more_robust_than_the_presets_counts(told_rate, counts):
    station = told(use_preset=True, modem_preset=Config.LoRaConfig.LONG_FAST, coding_rate=told_rate)

    assert station.modem == Modem(11, 250, counts)


def test_a_coding_rate_less_robust_than_the_presets_counts_for_nothing():
    assert told(use_preset=True, modem_preset=Config.LoRaConfig.LONG_SLOW, coding_rate=5).modem == Modem(12, 125, 8)


def test_a_preset_without_figures_is_taken_for_the_default_and_that_is_said():
    station = told(use_preset=True, modem_preset=99)

    assert station.modem == DEFAULT
    assert station.modem_words == "assuming LongFast: the radio's preset has no figures here"


def test_settings_of_ones_own_count_as_the_radio_tells_them():
    assert told(spread_factor=10, bandwidth=62, coding_rate=6).modem == Modem(10, 62.5, 6)
    assert told(bandwidth=500).modem == Modem(11, 500, 5)
    assert told(spread_factor=10).modem_words == "Custom"


@pytest.mark.parametrize("figures", [(4_000_000_000, 250, 5), (2, 1, 5), (11, 4_000_000_000, 5), (11, 250, 4_000_000)])
def test_settings_that_no_modem_has_cost_what_the_default_does(figures):
    modem = custom(*figures)

    assert 0.5 < airtime_s(modem, 50) < 1
    assert modem == DEFAULT


def test_settings_of_ones_own_are_taken_where_there_is_such_a_modem():
    assert custom(7, 62, 8) == Modem(7, 62.5, 8)
    assert custom(0, 0, 0) == DEFAULT
