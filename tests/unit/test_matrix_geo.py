# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.matrix.geo: geo URIs as RFC 5870 has them, and what clients read and write around them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridges.matrix.geo import place_keys, place_uri, read_uri, to_place
from gateway.model import Location

places = st.builds(
    Location,
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 180),
    altitude_m=st.none() | st.floats(-11_000, 100_000),
    accuracy_m=st.none() | st.floats(0, 1e7),
)


@given(places)
@example(Location(latitude=-0.0000001, longitude=-0.0, altitude_m=-0.4))
def test_a_place_that_is_written_is_read_to_the_decimetre(place: Location) -> None:
    read = read_uri(place_uri(place))
    assert read is not None
    assert abs(read.latitude - place.latitude) < 1e-6
    assert abs(read.longitude - place.longitude) < 1e-6
    assert (read.altitude_m is None) == (place.altitude_m is None)
    assert (read.accuracy_m is None) == (place.accuracy_m is None)
    assert "-0," not in place_uri(place)
    assert "e" not in place_uri(place).removeprefix("geo:")


@given(st.text(alphabet="geo:0123456789.,;=-ucrswgs84% \n", max_size=60).map("geo:".__add__) | st.text(max_size=60))
def test_no_text_makes_reading_fail(uri: str) -> None:
    place = read_uri(uri)
    assert place is None or -90 <= place.latitude <= 90


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("geo:46.5,8.1", Location(latitude=46.5, longitude=8.1)),
        ("GEO:46.5,-8.1,1200", Location(latitude=46.5, longitude=-8.1, altitude_m=1200)),
        ("geo:90,180;crs=WGS84;u=35.5", Location(latitude=90, longitude=180, accuracy_m=35.5)),
        ("geo:1,2;u=0;z=12;name=a%20b", Location(latitude=1, longitude=2, accuracy_m=0)),
    ],
)
def test_geo_uris_are_read(uri: str, place: Location) -> None:
    assert read_uri(uri) == place


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "geo:",
        "geo:46.5",
        "geo:46.5,8.1,",
        "geo:46.5, 8.1",
        "geo:46.5,8.1\n",
        "geo:+46.5,8.1",
        "geo:4e1,8.1",
        "geo:.5,8.1",
        "geo:46.,8.1",
        "geo:٤٦,8",
        "geo:90.1,0",
        "geo:0,-180.01",
        "geo:1,2;crs=moon-2011",
        "geo:1,2;u=-1",
        "geo:1,2;u=35;crs=wgs84;crs=nad27 x",
        "geo:1,2?q=3",
        "http://46.5,8.1",
        "geo:1,2;" + "a" * 300,
    ],
)
def test_what_is_no_geo_uri_is_no_place(uri: str) -> None:
    assert read_uri(uri) is None


@pytest.mark.parametrize(
    ("content", "body", "words"),
    [
        ({"geo_uri": "geo:1,2"}, "the hut", "the hut"),
        ({"geo_uri": "geo:1,2"}, "Location geo:1,2 at 2026-11-26", ""),
        ({"geo_uri": "geo:1,2", "org.matrix.msc3488.location": {"description": " Camp "}}, "geo:1,2", "Camp"),
        ({"org.matrix.msc3488.location": {"uri": "geo:1,2", "description": None}}, "", ""),
    ],
)
def test_the_words_of_a_place_are_those_a_person_wrote(content: dict[str, Any], body: str, words: str) -> None:
    assert to_place(content, body) == Location(latitude=1, longitude=2, words=words)


@pytest.mark.parametrize("uri", ["geo:91,0", 7, None])
def test_without_a_place_there_is_none(uri: object) -> None:
    assert to_place({"geo_uri": uri, "org.matrix.msc3488.location": "x"}, "somewhere") is None


def test_clients_find_a_pin_its_time_and_whose_it_is() -> None:
    assert place_keys(Location(latitude=46.5, longitude=8.1, accuracy_m=2918.2), "Ridge relay: hut", 1_700) == {
        "geo_uri": "geo:46.5,8.1;u=2918",
        "org.matrix.msc3488.location": {"uri": "geo:46.5,8.1;u=2918", "description": "Ridge relay: hut"},
        "org.matrix.msc3488.asset": {"type": "m.pin"},
        "org.matrix.msc3488.ts": 1_700,
    }
