# SPDX-License-Identifier: GPL-3.0-or-later
"""A place on Earth, as a kind of content, and its words for networks that have nothing better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

MOST_LATITUDE = 90.0
MOST_LONGITUDE = 180.0
COARSE_M = 100.0
"""From this accuracy on, the words say it: five decimals would promise a metre."""
_KILOMETRE = 1000
GRID_DEGREES = 0.01
"""Of latitude, 1.1 km; of longitude as much in metres: the squares that `coarse` tells apart."""
GRID_M = 1000.0
"""What a place on that grid is exact to. One that was told no more exactly is left on its own, coarser grid."""
_FURTHEST_NORTH = 85.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where somebody or something is. ValueError where that is nowhere on Earth."""

    latitude: float
    """Degrees of WGS 84, north positive."""
    longitude: float
    """Degrees of WGS 84, east positive."""
    altitude_m: float | None = None
    """Metres, above the sea or the ellipsoid: networks don't say which."""
    accuracy_m: float | None = None
    """Within how many metres it is right; None: not said."""
    words: str = ""
    """What its sender says of the place, plain text."""
    kind: Literal["location"] = "location"

    def __post_init__(self) -> None:
        numbers = (self.latitude, self.longitude, self.altitude_m, self.accuracy_m)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise ValueError("a place has finite numbers")
        if abs(self.latitude) > MOST_LATITUDE or abs(self.longitude) > MOST_LONGITUDE:
            raise ValueError("no such place on Earth")
        if self.accuracy_m is not None and self.accuracy_m < 0:
            raise ValueError("an accuracy is not negative")

    def __str__(self) -> str:
        """Return it in words: ``geo 46.51234,8.10000 Base camp``, a metre exact; coarse ones say how coarse."""
        place = f"geo {self.latitude:.5f},{self.longitude:.5f}"
        return " ".join(filter(None, (place, _within(self.accuracy_m), self.words)))


def coarse(place: Location) -> Location:
    """Return about where that is, for people whose business it isn't exactly: within `GRID_M`, or as it was told.

    The same place is always the same square, so that many reports say no more than one. No altitude, which would
    say where on a hill; no words.
    """
    if place.accuracy_m is not None and place.accuracy_m >= GRID_M:
        return Location(latitude=place.latitude, longitude=place.longitude, accuracy_m=place.accuracy_m)
    latitude = _rounded(place.latitude, GRID_DEGREES)
    row = min(abs(latitude), _FURTHEST_NORTH)
    longitude = _rounded(place.longitude, GRID_DEGREES / math.cos(math.radians(row)))
    return Location(
        latitude=max(-MOST_LATITUDE, min(MOST_LATITUDE, latitude)),
        longitude=max(-MOST_LONGITUDE, min(MOST_LONGITUDE, longitude)),
        accuracy_m=GRID_M,
    )


def _rounded(degrees: float, step: float) -> float:
    return round(round(degrees / step) * step, 4)


def _within(accuracy_m: float | None) -> str:
    if accuracy_m is None or accuracy_m < COARSE_M:
        return ""
    return f"±{accuracy_m / _KILOMETRE:.0f} km" if accuracy_m >= _KILOMETRE else f"±{accuracy_m:.0f} m"
