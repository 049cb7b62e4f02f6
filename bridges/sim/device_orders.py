# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked of a simulated mesh besides texts: what devices say on their own, and what comes again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridges.sim import devices
from bridges.sim.identity import BROADCAST
from bridges.sim.mesh import SimMesh


class DeviceOrders:
    """Orders to nodes; `bridges.sim.orders` has the rest."""

    def __init__(self, mesh: SimMesh) -> None:
        self._mesh = mesh

    async def do_position(self, order: Mapping[str, Any]) -> int:
        """Take node [precision]: the node broadcasts where it is; the packet id."""
        place = self._mesh[order["node"]].place
        place.precision_bits = int(order.get("precision", place.precision_bits))
        return place.tell()

    async def do_waypoint(self, order: Mapping[str, Any]) -> int:
        """Take node, name, latitude, longitude [description expire icon id]: the node sends one; the packet id."""
        known = {key: order[key] for key in ("description", "expire", "icon", "id") if key in order}
        return self._mesh[order["node"]].place.put_waypoint(
            order["name"], order["latitude"], order["longitude"], **known
        )

    async def do_replay(self, order: Mapping[str, Any]) -> None:
        """Take node, id [after_s via_mqtt]: a packet that node once sent comes in at the gateway's node again."""
        mqtt = bool(order.get("via_mqtt", False))
        self._mesh.replay(order["node"], order["id"], after_s=order.get("after_s", 0.0), via_mqtt=mqtt)

    async def do_store_and_forward(self, order: Mapping[str, Any]) -> None:
        """Take node, id [after_s]: a Store & Forward node replays that text to the gateway's node."""
        self._mesh.store_and_forward(order["node"], order["id"], after_s=order.get("after_s", 0.0))

    async def do_detect(self, order: Mapping[str, Any]) -> int:
        """Take node, name [state bell]: its sensor detects something, or tells its state; the packet id."""
        known = {key: order[key] for key in ("state", "bell") if key in order}
        return self._mesh[order["node"]].send(devices.detection_data(order["name"], **known))

    async def do_alert(self, order: Mapping[str, Any]) -> int:
        """Take node [text to]: the node raises an alert; the packet id."""
        data = devices.alert_data(order.get("text", ""))
        return self._mesh[order["node"]].send(data, to=self._destination(order), want_ack=True)

    async def do_measure(self, order: Mapping[str, Any]) -> int:
        """Take node, figures [group to]: the node tells what it measures, by name; the packet id."""
        data = devices.telemetry_data(order.get("group", "environment_metrics"), **order["figures"])
        return self._mesh[order["node"]].send(data, to=self._destination(order))

    async def do_range_test(self, order: Mapping[str, Any]) -> int:
        """Take node, number: the node sends a range test; the packet id."""
        return self._mesh[order["node"]].send(devices.range_test_data(order["number"]))

    def _destination(self, order: Mapping[str, Any]) -> int:
        to = order.get("to", BROADCAST)
        return BROADCAST if to == BROADCAST else self._mesh[to].number
