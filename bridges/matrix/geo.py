# SPDX-License-Identifier: GPL-3.0-or-later
"""Places in events, both ways: geo URIs (RFC 5870) and the keys of MSC3488. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridges.matrix.plain import clean
from bridges.matrix.wire import mapping, text
from gateway.model import Location

LOCATION_KEY = "org.matrix.msc3488.location"
ASSET_KEY = "org.matrix.msc3488.asset"
MOMENT_KEY = "org.matrix.msc3488.ts"
"""MSC3488 by its unstable names: what clients send and read."""

MAX_URI_CHARS = 200

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,20})?"
_GEO = re.compile(
    rf"geo:(?P<lat>-?{_NUMBER}),(?P<lon>-?{_NUMBER})(?:,(?P<alt>-?{_NUMBER}))?"
    rf"(?:;crs=(?P<crs>[a-z0-9-]+))?(?:;u=(?P<u>{_NUMBER}))?"
    r"(?:;(?!(?:crs|u)(?:[=;]|$))[a-z0-9-]+(?:=(?:[\[\]:&+$a-z0-9_.!~*'()-]|%[0-9a-f]{2})*)?)*",
    re.IGNORECASE,
)
"""RFC 5870 section 3.3, with an end to its numbers."""


def read_uri(uri: str, words: str = "") -> Location | None:
    """Return the place that a geo URI names, strictly; None if it is none, or none on this Earth."""
    found = _GEO.fullmatch(uri) if len(uri) <= MAX_URI_CHARS else None
    if found is None or (found["crs"] or "wgs84").lower() != "wgs84":
        return None
    try:
        return Location(
            latitude=float(found["lat"]),
            longitude=float(found["lon"]),
            altitude_m=None if found["alt"] is None else float(found["alt"]),
            accuracy_m=None if found["u"] is None else float(found["u"]),
            words=words,
        )
    except ValueError:
        return None


def to_place(content: Mapping[str, Any], body: str) -> Location | None:
    """Return what an ``m.location`` says; None if that is no place, and its body is all there is."""
    extensible = mapping(content.get(LOCATION_KEY, content.get("m.location")))
    uri = text(content.get("geo_uri")) or text(extensible.get("uri"))
    described = clean(text(extensible.get("description"))).strip()
    # Where nobody wrote anything, clients put the coordinates themselves into the body.
    return read_uri(uri, described or ("" if "geo:" in body.lower() else body))


def place_uri(place: Location) -> str:
    """Return the geo URI of a place, to a decimetre."""
    numbers = [_number(place.latitude, 6), _number(place.longitude, 6)]
    if place.altitude_m is not None:
        numbers.append(_number(place.altitude_m, 0))
    uncertain = "" if place.accuracy_m is None else f";u={_number(place.accuracy_m, 0)}"
    return f"geo:{','.join(numbers)}{uncertain}"


def place_keys(place: Location, described: str, at_ms: int) -> dict[str, Any]:
    """Return the keys beside the body that make an event a place, as clients read it."""
    uri = place_uri(place)
    location = {"uri": uri, "description": described} if described else {"uri": uri}
    return {
        "geo_uri": uri,
        LOCATION_KEY: location,
        # Not `m.self`: clients would put the picture of our own account there.
        ASSET_KEY: {"type": "m.pin"},
        MOMENT_KEY: at_ms,
    }


def _number(value: float, decimals: int) -> str:
    """Write a number as the RFC's grammar has it: no exponent, no minus before a zero."""
    written = f"{value:.{decimals}f}"
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written
