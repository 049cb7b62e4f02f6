# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.model.location: places and their words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Edit, Location, Reaction, Redaction, RemoteId, Text, coarse, words_of


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Location(latitude=46.5123449, longitude=8.1, words="Base camp"), "geo 46.51234,8.10000 Base camp"),
        (Location(latitude=-0.5, longitude=-180, altitude_m=1200), "geo -0.50000,-180.00000"),
        (Location(latitude=1, longitude=2, accuracy_m=99.9), "geo 1.00000,2.00000"),
        (Location(latitude=1, longitude=2, accuracy_m=364.8), "geo 1.00000,2.00000 ±365 m"),
        (Location(latitude=1, longitude=2, accuracy_m=2918, words="hut"), "geo 1.00000,2.00000 ±3 km hut"),
    ],
)
def test_a_place_in_words_is_short_and_promises_no_more_than_is_known(place: Location, words: str) -> None:
    assert str(place) == words


@pytest.mark.parametrize(
    ("latitude", "longitude", "more"),
    [(90.1, 0, {}), (0, -180.1, {}), (math.nan, 0, {}), (0, math.inf, {}), (0, 0, {"accuracy_m": -1})],
)
def test_what_is_nowhere_on_earth_is_no_place(latitude: float, longitude: float, more: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"Earth|finite|negative"):
        Location(latitude=latitude, longitude=longitude, **more)


def test_every_content_has_words() -> None:
    target = RemoteId("x")
    said = [
        Text(body="a"),
        Text(body="[image] a", link="http://l/f/1"),
        Edit(target=target, body="b"),
        Reaction(target=target, emoji="👍"),
        Redaction(target=target),
        Location(latitude=1, longitude=2),
    ]
    assert [words_of(one) for one in said] == ["a", "[image] a http://l/f/1", "b", "👍", "", "geo 1.00000,2.00000"]


# About where.


@pytest.mark.parametrize(
    ("place", "about"),
    [
        (Location(latitude=47.07123, longitude=8.33456, altitude_m=1104, words="hut"), "geo 47.07000,8.33940 ±1 km"),
        (Location(latitude=47.0, longitude=8.0, accuracy_m=2918), "geo 47.00000,8.00000 ±3 km"),
        (Location(latitude=90, longitude=180), "geo 90.00000,180.00000 ±1 km"),
    ],
)
def test_a_coarse_place_is_a_kilometre_or_as_it_was_told_whichever_is_coarser(place: Location, about: str) -> None:
    said = coarse(place)

    assert (str(said), said.altitude_m) == (about, None)


@given(st.floats(-80, 80), st.floats(-179, 179))
def test_a_coarse_place_is_within_its_accuracy_and_says_the_same_of_all_places_in_its_square(
    latitude: float, longitude: float
) -> None:
    said = coarse(Location(latitude=latitude, longitude=longitude))

    north_m = (said.latitude - latitude) * 111_320
    east_m = (said.longitude - longitude) * 111_320 * math.cos(math.radians(latitude))
    assert said.accuracy_m is not None
    assert math.hypot(north_m, east_m) <= said.accuracy_m
    assert coarse(said) == said
    assert round(said.latitude * 100, 6) == round(said.latitude * 100)
