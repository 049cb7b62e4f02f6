# SPDX-License-Identifier: GPL-3.0-or-later
"""What detection sensors report. Pure.

They say ``Motion detected`` when it happens and, if they are set so, ``Motion state: 1`` every so often
(firmware `DetectionSensorModule`): the first is news each time, the second only when it is another state.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from enum import StrEnum

from bridges.meshtastic.positions import on_one_line

MOST_NODES = 500
"""Whose last state is remembered; past it the one that reported longest ago is told anew."""
_STATE = re.compile(r"(.*) state: -?[0-9]+\Z")


class NoReport(StrEnum):
    """Why a packet reports nothing: what is counted."""

    EMPTY = "sensor_empty"
    UNCHANGED = "sensor_unchanged"


class Sensors:
    """Remembers the state that each sensor reported last."""

    def __init__(self, limit: int = MOST_NODES) -> None:
        self._limit = limit
        self._states: OrderedDict[tuple[int, str], str] = OrderedDict()

    def take(self, node: int, payload: bytes) -> str | NoReport:
        """Return what a node's sensor reports, on one line, or why that is no news."""
        words = on_one_line(payload.decode(errors="replace"))
        if not words:
            return NoReport.EMPTY
        state = _STATE.match(words)
        if state is None:
            return words
        sensor = (node, state[1])
        is_known = self._states.get(sensor) == words
        self._states[sensor] = words
        self._states.move_to_end(sensor)
        while len(self._states) > self._limit:
            self._states.popitem(last=False)
        return NoReport.UNCHANGED if is_known else words
