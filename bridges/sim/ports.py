# SPDX-License-Identifier: GPL-3.0-or-later
"""Where clients find a simulated node: a serial port that can be unplugged, and a TCP port."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import termios
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.sim.mesh import SimMesh
from bridges.sim.node import Firmware
from bridges.sim.wire import Faults, Wire

_LOOK_EVERY_S = 0.02
_LAST_BYTES_S = 0.05


class Port:
    """What both kinds of port do."""

    def __init__(self, mesh: SimMesh, *, node: str | int | None = None) -> None:
        self._mesh = mesh
        self._firmware: Firmware = mesh.firmware(node)
        self._wire: Wire | None = None
        self.faults = Faults()
        """What is wrong with the line."""
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.plug()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.unplug()

    @property
    def firmware(self) -> Firmware:
        """The node at this port."""
        return self._firmware

    @property
    def has_client(self) -> bool:
        """Whether somebody has the port open."""
        return self._wire is not None and self._wire.is_open

    async def wait_client(self, *, present: bool = True, timeout_s: float = 10.0) -> None:
        """Return once somebody has the port open, or nobody has; TimeoutError after so many real seconds."""
        async with asyncio.timeout(timeout_s):
            while self.has_client != present:
                await self._changed.wait()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def plug(self) -> None:
        """Make the port appear."""
        raise NotImplementedError

    def unplug(self) -> None:
        """Make it go away, in the middle of whatever it was doing."""
        raise NotImplementedError

    def reboot(self) -> None:
        """Restart the node: its queues, its memory of ids and what it kept for the client are gone."""
        self._mesh.pump()
        self._firmware.reboot(self._mesh.now)
        self._mesh.pump()

    def noise(self, data: bytes) -> None:
        """Put raw bytes on the line, now; nothing if nobody listens."""
        if self._wire is not None and self._wire.is_open:
            self._wire.write(data)

    def push(self, record: FromRadio) -> None:
        """Have the node say any `FromRadio`."""
        self._firmware.push(record)

    def cut_next_frame(self, keep_bytes: int, *, unplug: bool = False) -> None:
        """Lose the end of the next frame to the client; with `unplug`, the port goes with it."""
        self.faults.cut_next_at = keep_bytes
        self.faults.after_cut = self._unplug_soon if unplug else None

    def _unplug_soon(self) -> None:
        # The client is given the time to read what did arrive: a hang-up throws away what is unread.
        asyncio.get_running_loop().call_later(_LAST_BYTES_S, self.unplug)


class PtyPort(Port):
    """A serial port at a stable path, a symbolic link to the PTY of the moment.

    Plugged in anew it is another PTY under the same path, as with ``/dev/serial/by-id``. With
    `notices_close` the node learns that a client closed the port (boards with USB of their own); without
    it, it goes on talking to nobody until 15 minutes have passed (boards with a serial converter).
    """

    def __init__(self, mesh: SimMesh, path: Path, *, node: str | int | None = None, notices_close: bool = True) -> None:
        super().__init__(mesh, node=node)
        self.path = path
        self._notices_close = notices_close
        self._master: int | None = None
        self._slave = ""
        self._look: asyncio.TimerHandle | None = None

    @property
    def is_plugged(self) -> bool:
        """Whether the port is there."""
        return self._master is not None

    def plug(self) -> None:
        """Make a new PTY and point the path at it."""
        if self._master is not None:
            return
        master, slave = os.openpty()
        try:
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._slave = os.ttyname(slave)
            self._point_at(self._slave)
        finally:
            os.close(slave)
        self._master = master
        self._look_for_client()

    def unplug(self) -> None:
        """Remove the path and hang up; a client sees an end of file or an error."""
        if self._master is None:
            return
        self.path.unlink(missing_ok=True)
        if self._look is not None:
            self._look.cancel()
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        os.close(self._master)
        self._master = None
        self._note_change()

    def power_cycle(self, off_s: float = 0.0) -> None:
        """Cut a board's power, as a hub does: its USB port is gone until it runs again, `off_s` real seconds more."""
        self.unplug()
        self.reboot()
        self._mesh.call_later(self._mesh.settings.boot_s / self._mesh.time_scale + off_s, self.plug)

    def _point_at(self, target: str) -> None:
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(self.path)

    def _look_for_client(self) -> None:
        # With no client a PTY is always "hung up" to a selector, so look now and then instead.
        self._look = None
        if self._master is None:
            return
        if self._is_opened(self._master):
            self._wire = Wire(
                self._master,
                self._mesh,
                self._firmware,
                self.faults,
                is_serial=True,
                notices_close=self._notices_close,
            )
            self._wire.lost = self._lost
            self._firmware.attach(self._wire)
            self._note_change()
        else:
            self._look = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look_for_client)

    @staticmethod
    def _is_opened(master: int) -> bool:
        poll = select.poll()
        poll.register(master, select.POLLHUP)
        return not poll.poll(0)

    def _lost(self) -> None:
        if self._master is not None:
            self._forget_unread(self._slave)
        self._note_change()
        self._look_for_client()

    @staticmethod
    def _forget_unread(slave: str) -> None:
        # What the client left unread must not meet the next one, and only the slave's side can be emptied.
        opened = os.open(slave, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            termios.tcflush(opened, termios.TCIFLUSH)
        finally:
            os.close(opened)


def swap(one: PtyPort, other: PtyPort) -> None:
    """Unplug two boards and plug each in where the other was: what two ttyACM do that come back in another order."""
    one.unplug()
    other.unplug()
    one.path, other.path = other.path, one.path
    one.plug()
    other.plug()


class TcpPort(Port):
    """The node's TCP port (0: any free one); a second client makes it drop the first."""

    def __init__(self, mesh: SimMesh, port: int = 0, *, host: str = "127.0.0.1", node: str | int | None = None) -> None:
        super().__init__(mesh, node=node)
        self.host = host
        self.port = port
        self._listening: socket.socket | None = None
        self._connection: socket.socket | None = None
        self._abandoned: list[socket.socket] = []

    def plug(self) -> None:
        """Start to listen; after the first time on the same port again."""
        if self._listening is not None:
            return
        listening = socket.create_server((self.host, self.port), backlog=4)
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._listening = listening
        asyncio.get_running_loop().add_reader(listening.fileno(), self._accept)

    def unplug(self) -> None:
        """Close everything."""
        self._hang_up()
        while self._abandoned:
            self._abandoned.pop().close()
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None

    def lose_peer(self) -> None:
        """Let the client's connection go half-open: the node knows no client any more, and nobody tells the client.

        So it is when a node loses its power, or Wi-Fi and its address with it. It listens on.
        """
        if self._connection is not None:
            self._abandoned.append(self._connection)
            self._connection = None
        self._hang_up()

    def _accept(self) -> None:
        if self._listening is None:
            return
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return  # it went away while it waited
        connection.setblocking(False)
        connection.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # each word at once, whatever the last one's fate
        self._hang_up()
        self._connection = connection
        self._wire = Wire(connection.fileno(), self._mesh, self._firmware, self.faults, is_serial=False)
        self._wire.lost = self._hang_up
        self._firmware.attach(self._wire)
        self._note_change()

    def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        connection, self._connection = self._connection, None
        if wire is not None:
            wire.close()
        if connection is not None:
            connection.close()
        self._note_change()
