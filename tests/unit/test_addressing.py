# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever names a conversation in their own words gets its address, or is told why not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.addressing import meant
from gateway.model import Address, BridgeName, Declined, Node, SenderId

HOME, HILL, LAKE = BridgeName("home"), BridgeName("hill"), BridgeName("lake")
NODE = re.compile(r"![0-9a-f]{8}\Z")
BRIDGES = {
    HOME: lambda conversation: conversation.startswith("@"),
    HILL: lambda conversation: bool(NODE.match(conversation)),
    LAKE: lambda conversation: bool(NODE.match(conversation)),
}
TOWN, CHANNEL = Address(HOME, "#town:example.org"), Address(HILL, "LongFast")
KIM = Node(id=SenderId("!a1b2c301"), name="Kim's radio", short_name="KIM", last_heard_ms=1000)
LEE = Node(id=SenderId("!00000002"), name="Lee", last_heard_ms=5)


def resolved(there, *, conversations=(TOWN, CHANNEL), nodes=((HILL, KIM), (HILL, LEE)), bridges=BRIDGES):
    return str(meant(there, bridges=bridges, conversations=conversations, nodes=nodes))


@pytest.mark.parametrize(
    ("there", "address"),
    [
        ("home/#new/room:example.org", "home/#new/room:example.org"),
        (" LongFast ", "hill/LongFast"),
        ("longfast", "hill/LongFast"),
        ("#town:example.org", "home/#town:example.org"),
        ("!a1b2c301", "hill/!a1b2c301"),
        ("kim's RADIO", "hill/!a1b2c301"),
        ("kim", "hill/!a1b2c301"),
        ("@ali:example.org", "home/@ali:example.org"),
    ],
)
def test_what_people_call_a_conversation_is_its_address(there, address):
    assert resolved(there) == address


def test_a_node_that_two_radios_know_is_reached_by_the_one_that_heard_it_last():
    later = replace(KIM, last_heard_ms=2000)

    assert resolved("Kim", nodes=((HILL, KIM), (LAKE, later))) == "lake/!a1b2c301"
    assert resolved("!a1b2c301", nodes=((LAKE, later), (HILL, KIM))) == "lake/!a1b2c301"


def test_a_node_nobody_heard_of_is_reached_by_the_only_radio_there_is():
    assert resolved("!0badcafe", bridges={HOME: BRIDGES[HOME], HILL: BRIDGES[HILL]}) == "hill/!0badcafe"
    with pytest.raises(Declined, match=r"may be hill/!0badcafe, lake/!0badcafe: write one of these"):
        resolved("!0badcafe")


def test_a_name_that_a_node_had_still_means_it_until_another_takes_it():
    renamed = replace(KIM, name="Base camp", short_name="BASE", former_names=("Kim's radio", "KIM"))
    taker = replace(LEE, name="Kim's radio")

    assert resolved("kim's radio", nodes=((HILL, renamed), (HILL, LEE))) == "hill/!a1b2c301"
    with pytest.raises(Declined, match=r"is hill/!00000002 now and was hill/!a1b2c301 before: write one of these"):
        resolved("Kim's radio", nodes=((HILL, renamed), (HILL, taker)))


def test_a_name_told_apart_by_digits_of_its_number_is_that_nodes():
    twin = replace(LEE, name="Kim's radio")

    assert resolved("Kim's radio/c301", nodes=((HILL, KIM), (HILL, twin))) == "hill/!a1b2c301"
    assert resolved("Kim's radio/0002", nodes=((HILL, KIM), (HILL, twin))) == "hill/!00000002"


def test_no_node_keeps_people_from_a_channel_by_having_been_called_like_it():
    once = replace(KIM, former_names=("LongFast",))

    assert resolved("LongFast", nodes=((HILL, once),)) == "hill/LongFast"


def test_names_that_several_have_are_declined_with_all_that_may_be_meant():
    others = tuple((HILL, replace(KIM, id=SenderId(f"!0000000{digit}"), name="twin")) for digit in range(9))
    with pytest.raises(Declined, match=r"Twin may be (hill/!\d{8}, ){7}hill/!\d{8} or 1 more: write"):
        resolved("Twin", nodes=others)
    with pytest.raises(Declined, match=r"may be hill/LongFast, lake/LongFast"):
        resolved("LongFast", conversations=(CHANNEL, Address(LAKE, "LongFast")))


@pytest.mark.parametrize("there", ["nowhere", "cellar/LongFast", "hill/"])
def test_what_nobody_knows_is_declined_and_says_what_to_write(there):
    with pytest.raises(Declined, match=r"not known here: write bridge/conversation; bridges here: home, hill, lake"):
        resolved(there)


@pytest.mark.parametrize("there", ["", "  ", "a\nb", "\u202eLongFast", "ä" * 128])
def test_what_can_be_no_name_is_declined(there):
    with pytest.raises(Declined, match="say which conversation"):
        resolved(there)


@given(st.text(max_size=300), st.lists(st.sampled_from(["LongFast", "longfast", "Kim", "a/b"]), max_size=4))
def test_whatever_is_written_is_an_address_or_declined(there, names):
    conversations = [Address(bridge, name) for name in names for bridge in (HILL, LAKE)]
    try:
        found = resolved(there, conversations=conversations)
    except Declined:
        return
    assert found.partition("/")[0] in BRIDGES
