# SPDX-License-Identifier: GPL-3.0-or-later
"""How our radio is set: told to whoever asks, looked up, changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridges.meshtastic import places
from bridges.meshtastic.admin import Administrator
from bridges.meshtastic.connecting import Connector
from bridges.meshtastic.connection import Udp
from bridges.meshtastic.orders import Orders
from bridges.meshtastic.parts import Parts
from bridges.meshtastic.setup import Setup
from gateway.model import Alteration, Declined


class Adjusting:
    """Kept across connections."""

    def __init__(self, parts: Parts, connector: Connector) -> None:
        self._parts = parts
        self._connector = connector
        self.setup = Setup(parts.station, parts.context.clock, parts.log)
        self.orders = Orders(
            station=parts.station,
            clock=parts.context.clock,
            random=parts.context.random,
            link=lambda: connector.link,
        )
        self._administrator = Administrator(
            orders=self.orders, station=parts.station, clock=parts.context.clock, hold=parts.transmitter.held
        )

    def describe(self) -> Mapping[str, str]:
        """As `Describes.describe`."""
        station, nodes = self._parts.station, self._parts.nodes
        facts = {
            "port": self._connector.port,
            "node": places.node_id(station.number) if station.number else "",
            "replaces": self._connector.replaced,
            "name": nodes.name(station.number) if station.number else "",
            "firmware": station.firmware,
            "region": station.region if station.number else "",
            "preset": station.preset if station.number else "",
            "channels": ", ".join(each.name for each in station.channels.values()),
            "notice": station.notice,
            "warnings": self.setup.warnings(self._parts.spelling.routed),
        }
        return {key: value for key, value in facts.items() if value}

    def settings(self) -> Mapping[str, Any]:
        """As `Adjustable.settings`."""
        link = self._connector.link
        connection = {"port": self._connector.port, "connected": link is not None and link.is_ready}
        return {**connection, **self.setup.settings(self._parts.spelling.routed)}

    def alterations(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """As `Adjustable.alterations`."""
        self._check_adjustable()
        return self.setup.alterations(wanted)

    async def adjust(self, wanted: Mapping[str, str]) -> Sequence[Alteration]:
        """As `Adjustable.adjust`."""
        self._check_adjustable()
        self.setup.check()
        done = await self._administrator.adjust(wanted)
        self._parts.log.warning("radio_settings_changed", settings=[each.key for each in done])
        return done

    async def look(self) -> Mapping[str, Any]:
        """Connect, read the settings and leave, if possible before the node hands over what it keeps for us."""
        self._check_adjustable()
        station = self._parts.station
        link = await self._connector.connect(enough=lambda: station.profile.is_told)
        await link.close()
        station.settle()
        return {**self.settings(), "port": link.name, "connected": True}

    def _check_adjustable(self) -> None:
        if isinstance(self._parts.config.connection, Udp):
            raise Declined("a node in software has no settings but those in the configuration")
