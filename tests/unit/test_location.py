# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.model.location: places and their words."""

from __future__ import annotations

import math

import pytest

from gateway.model import Edit, Location, Reaction, Redaction, RemoteId, Text, words_of


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
