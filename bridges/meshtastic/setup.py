# SPDX-License-Identifier: GPL-3.0-or-later
"""How our radio is set, put together for whoever asks; what is new to mend goes to the log once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bridges.meshtastic.alterations import alterations, read
from bridges.meshtastic.cautions import Caution, cautions
from bridges.meshtastic.facts import facts_of
from bridges.meshtastic.node_clock import NodeClock
from bridges.meshtastic.station import Station
from gateway.model import Alteration, Clock, Declined


class Setup:
    """Kept across connections, as the station is."""

    def __init__(self, station: Station, clock: Clock, log: Any) -> None:
        self._station = station
        self._clock = clock
        self._log = log
        self._node_clock = NodeClock()
        self._logged: set[str] = set()

    def check(self) -> None:
        """Raise Declined while the radio has told nothing."""
        if not self._station.profile.is_known:
            raise Declined("the radio has not told yet how it is set")

    def greeted(self, routed: Collection[str]) -> None:
        """A handshake is over: say in the log what is to mend."""
        self._node_clock.greeted(self._clock.monotonic())
        for caution in self._cautions(routed):
            if caution.words not in self._logged:
                self._logged.add(caution.words)
                self._log.warning("radio_setting_warning", code=caution.code, warning=caution.words)

    def heard(self, stamped_s: int) -> None:
        """Our own node stamped a packet with its time."""
        self._node_clock.heard(stamped_s, now=self._clock.monotonic(), now_ms=self._clock.now_ms())

    def settings(self, routed: Collection[str]) -> Mapping[str, Any]:
        """Return everything that is shown, with what to mend."""
        self.check()
        facts = facts_of(self._station, routed, self._node_clock)
        told = [{"code": caution.code, "words": caution.words} for caution in cautions(facts)]
        return {**facts.as_json(), "warnings": told}

    def alterations(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """Return what setting these would change, as the radio is known."""
        self.check()
        return alterations(self._station.profile, read(wanted, self._clock.now_ms()))

    def warnings(self, routed: Collection[str]) -> str:
        """Return what to mend in one line; empty if there is nothing."""
        return "; ".join(caution.words for caution in self._cautions(routed))

    def _cautions(self, routed: Collection[str]) -> tuple[Caution, ...]:
        if not self._station.profile.is_known:
            return ()
        return cautions(facts_of(self._station, routed, self._node_clock))
