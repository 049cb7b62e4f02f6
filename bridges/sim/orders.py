# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked of a running simulator, and the unix socket it is asked over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from meshtastic.protobuf.mesh_pb2 import Data

from bridges.sim.control import LINE_BYTES
from bridges.sim.device_orders import DeviceOrders
from bridges.sim.mesh import SimMesh
from bridges.sim.node import Hang
from bridges.sim.people import Heard, SimNode
from bridges.sim.ports import Port, PtyPort, TcpPort, swap
from bridges.sim.wire import Faults

Order = Callable[[Mapping[str, Any]], Awaitable[Any]]
_HEARD_AT_ONCE = 5000


class Orders(DeviceOrders):
    """Carries out orders on a mesh and its ports.

    An order is an object with ``do`` and arguments; the answer is ``{"result": ...}`` or ``{"error": "..."}``.
    Nodes are given by name, short name, id or number. ``port`` is ``pty`` (as if not given), ``tcp``, or the node of
    another serial port.
    """

    def __init__(
        self, mesh: SimMesh, pty: PtyPort, tcp: TcpPort | None, more: Mapping[str, PtyPort] = MappingProxyType({})
    ) -> None:
        """`more`: serial ports of other nodes, by the names that the nodes were given in."""
        super().__init__(mesh)
        self._pty = pty
        self._tcp = tcp
        self._more = more

    async def carry_out(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked; bad orders are answered, never raised."""
        todo = getattr(self, f"do_{order.get('do')}", None)
        if todo is None:
            return {"error": f"unknown order {order.get('do')!r}"}
        try:
            return {"result": await todo(order)}
        except TimeoutError:
            return {"error": "it did not come in time"}
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    async def do_say(self, order: Mapping[str, Any]) -> int:
        """Take node, text [to channel reply_id emoji want_ack id]: the packet id. `hex` for text: raw bytes."""
        known = {key: order[key] for key in ("channel", "reply_id", "emoji", "want_ack", "id") if key in order}
        text = bytes.fromhex(order["hex"]) if "hex" in order else order["text"]
        return self._mesh[order["node"]].say(text, to=self._destination(order), **known)

    async def do_send(self, order: Mapping[str, Any]) -> int:
        """Take node, portnum, hex [to channel want_ack]: any data; the packet id."""
        data = Data(portnum=order["portnum"], payload=bytes.fromhex(order.get("hex", "")))
        known = {key: order[key] for key in ("channel", "want_ack") if key in order}
        return self._mesh[order["node"]].send(data, to=self._destination(order), **known)

    async def do_heard(self, order: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Take node [after]: what the node heard, at most 5000, oldest first."""
        after = order.get("after", 0)
        late = [heard for heard in self._mesh[order["node"]].heard if heard.seq > after]
        return [as_json(heard) for heard in late[:_HEARD_AT_ONCE]]

    async def do_wait_text(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Take node, text [timeout_s]: the first packet with exactly this text."""
        node = self._mesh[order["node"]]
        return as_json(await node.wait_text(order["text"], order.get("timeout_s", 30.0)))

    async def do_outcome(self, order: Mapping[str, Any]) -> list[list[int]]:
        """Take node, id: what the node learnt of its packet, as [who, routing error] pairs."""
        return [list(pair) for pair in self._mesh[order["node"]].outcomes.get(order["id"], [])]

    async def do_nodes(self, _order: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Name all nodes, the gateway's first."""
        return [{**asdict(node.identity), "id": node.identity.id} for node in self._mesh.nodes.values()]

    async def do_unplug(self, order: Mapping[str, Any]) -> None:
        """Take [port]: pull the plug."""
        self._port(order).unplug()

    async def do_plug(self, order: Mapping[str, Any]) -> None:
        """Take [port]: put it back."""
        self._port(order).plug()

    async def do_reboot(self, order: Mapping[str, Any]) -> dict[str, int]:
        """Take [port]: restart the node; what was lost with its memory: packets not yet sent, or not fetched."""
        port = self._port(order)
        radio = port.firmware.radio
        lost = {"unsent": radio.depth - radio.room(), "unfetched": port.firmware.buffered}
        port.reboot()
        return lost

    async def do_power_cycle(self, order: Mapping[str, Any]) -> None:
        """Take [port off_s]: cut a board's power; its serial port comes back with it."""
        self._serial(order.get("port", "pty")).power_cycle(float(order.get("off_s", 0.0)))

    async def do_swap(self, order: Mapping[str, Any]) -> None:
        """Take one, other: plug two boards in where the other was."""
        swap(self._serial(order["one"]), self._serial(order["other"]))

    async def do_hang(self, order: Mapping[str, Any]) -> None:
        """Take how (`Hang`) [port]: have a node stop working until it is restarted."""
        self._port(order).firmware.hang = Hang(order["how"])

    async def do_lose_peer(self, _order: Mapping[str, Any]) -> None:
        """Let the TCP client's connection go half-open."""
        if self._tcp is not None:
            self._tcp.lose_peer()

    async def do_noise(self, order: Mapping[str, Any]) -> None:
        """Take hex [port]: raw bytes to the client."""
        self._port(order).noise(bytes.fromhex(order["hex"]))

    async def do_cut(self, order: Mapping[str, Any]) -> None:
        """Take keep [unplug port]: lose the end of the next frame."""
        self._port(order).cut_next_frame(order["keep"], unplug=order.get("unplug", False))

    async def do_faults(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Take [port, any number of `Faults` fields]: set what is wrong with the line; the present faults."""
        faults = self._port(order).faults
        known = {field.name for field in fields(Faults)} - {"after_cut", "cut_next_at", "watch"}
        for name in known & order.keys():
            setattr(faults, name, float(order[name]))
        return {name: getattr(faults, name) for name in sorted(known)}

    async def do_link(self, order: Mapping[str, Any]) -> None:
        """Take one, other, loss [both]: how much of each other two nodes lose; 1 is out of range."""
        self._mesh.link(order["one"], order["other"], loss=float(order["loss"]), both=order.get("both", True))

    async def do_isolate(self, order: Mapping[str, Any]) -> None:
        """Take node: out of everybody's range."""
        self._mesh.isolate(order["node"])

    async def do_rejoin(self, order: Mapping[str, Any]) -> None:
        """Take node: back in everybody's range."""
        self._mesh.rejoin(order["node"])

    async def do_forget(self, order: Mapping[str, Any]) -> None:
        """Take node, other: the node forgets the other one's public key, until it hears it again."""
        self._mesh[order["node"]].radio.strangers.add(self._mesh[order["other"]].number)

    async def do_introduce(self, order: Mapping[str, Any]) -> None:
        """Take node [answers has_key]: whether it tells who asks who it is, and whether with a key; tells all, else."""
        introductions = self._mesh[order["node"]].introductions
        for name in ("answers", "has_key") & order.keys():
            setattr(introductions, name, bool(order[name]))
        if not {"answers", "has_key"} & order.keys():
            self._mesh[order["node"]].introduce()

    async def do_clock(self, order: Mapping[str, Any]) -> None:
        """Take known: whether the nodes know the time."""
        self._mesh.knows_time = bool(order["known"])

    async def do_notify(self, order: Mapping[str, Any]) -> None:
        """Take text: a client notification from the gateway's node."""
        self._pty.firmware.notify(order["text"], self._mesh.now)

    async def do_status(self, _order: Mapping[str, Any]) -> dict[str, Any]:
        """Figures: clients, what is buffered, what became of the client's packets, the air."""
        firmware = self._pty.firmware
        return {
            "serial_plugged": self._pty.is_plugged,
            "serial_client": self._pty.has_client,
            "tcp_client": self._tcp is not None and self._tcp.has_client,
            "configured": firmware.has_client,
            "buffered": firmware.buffered,
            "room": firmware.radio.room(),
            "counts": dict(firmware.counts),
            "transmissions": self._mesh.air.transmissions,
            "airtime_s": self._mesh.air.airtime_used_s,
            "mesh_s": self._mesh.now,
        }

    def watch(self, told: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
        """Call back for all that any node hears, until the returned function is called."""

        def tell(node: SimNode, heard: Heard) -> None:
            told({"node": node.identity.long_name, **as_json(heard)})

        for node in self._mesh.nodes.values():
            node.on_heard.append(tell)

        def stop() -> None:
            for node in self._mesh.nodes.values():
                node.on_heard.remove(tell)

        return stop

    def _port(self, order: Mapping[str, Any]) -> Port:
        name = order.get("port", "pty")
        if name != "tcp":
            return self._serial(name)
        if self._tcp is None:
            msg = "there is no TCP port"
            raise ValueError(msg)
        return self._tcp

    def _serial(self, name: str) -> PtyPort:
        return self._pty if name == "pty" else self._more[name]


def as_json(heard: Heard) -> dict[str, Any]:
    """Return what was heard as plain JSON values; the payload as text, and in hexadecimal."""
    values = asdict(heard)
    values["text"] = heard.text
    values["hex"] = values.pop("payload").hex()
    values["direct"] = heard.is_direct
    return values


async def serve(orders: Orders, path: Path) -> asyncio.Server:
    """Listen for orders on a unix socket; the caller closes the server."""
    _clear(path)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                await _answer(orders, line, reader, writer)
        except (ConnectionError, ValueError):
            pass  # gone, or a line beyond all measure
        except asyncio.CancelledError:
            pass  # the loop ends; Python 3.11's streams would log a cancelled connection as an error
        finally:
            writer.close()

    return await asyncio.start_unix_server(talk, path, limit=LINE_BYTES)


def _clear(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _answer(orders: Orders, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        order = json.loads(line)
    except ValueError:
        order = None
    if not isinstance(order, dict):
        await _write(writer, {"error": "an order is a JSON object on one line"})
    elif order.get("do") == "watch":
        await _watch(orders, reader, writer)
    else:
        await _write(writer, await orders.carry_out(order))


async def _watch(orders: Orders, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _write(writer, {"result": None})

    def told(event: dict[str, Any]) -> None:
        if writer.transport.get_write_buffer_size() < LINE_BYTES:  # who doesn't read misses some
            writer.write(_line(event))

    stop = orders.watch(told)
    try:
        while await reader.read(1024):
            pass
    finally:
        stop()


async def _write(writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
    writer.write(_line(answer))
    await writer.drain()


def _line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"
