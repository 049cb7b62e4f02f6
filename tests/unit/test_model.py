# SPDX-License-Identifier: GPL-3.0-or-later
"""Ids are forever: what is queued before an upgrade is sent after it, under the same key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Address, NativeId, delivery_id, key_of, message_id, parse_key, short_hash


def test_ids_are_what_they_were_in_every_release():
    message = message_id(NativeId("mx:$event"))
    delivery = delivery_id(message, Address.parse("radio/LongFast"), 1)

    assert message == "35302f15deb94c682e4747a1b7"
    assert delivery == "6b5eed394ee84c26c7b510fd41"
    assert key_of(delivery, 2) == f"{delivery}.2"


def test_an_address_is_split_at_the_first_slash_only():
    address = Address.parse("home/#town/square:example.org")

    assert (address.bridge, address.conversation) == ("home", "#town/square:example.org")
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", "home", "/room", "home/"])
def test_half_an_address_is_refused(text):
    with pytest.raises(ValueError, match="write bridge/conversation"):
        Address.parse(text)


@given(st.lists(st.text()), st.lists(st.text()))
def test_a_hash_depends_on_every_part_and_where_it_ends(one, other):
    assert (short_hash(*one) == short_hash(*other)) == (
        [part.encode("utf-8", "replace") for part in one] == [part.encode("utf-8", "replace") for part in other]
    )


@given(st.text(alphabet="0123456789abcdef", min_size=26, max_size=26), st.integers(0, 10**6))
def test_a_key_tells_its_delivery_and_generation(delivery, generation):
    assert parse_key(key_of(delivery, generation)) == (delivery, generation)


def test_what_is_no_key_is_refused():
    with pytest.raises(ValueError, match="not a delivery's key"):
        parse_key("nonsense")
