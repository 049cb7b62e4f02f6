# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio's serial line without a kernel in it: what stands where `open_serial` returns a port.

Its far end is the simulator's: its framing, its greeting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meshtastic.protobuf.mesh_pb2 import FromRadio, QueueStatus, ToRadio

from bridges.sim import SimMesh
from bridges.sim.framing import Deframer, frame
from bridges.sim.handshake import answers, node_info
from bridges.sim.identity import FAR_NODES, GATEWAY, Identity, Settings


class RadioLine:
    """What `open_serial` returns: written to, it answers as a radio; `say` puts bytes on it."""

    is_serial = True
    is_flushed = True

    def __init__(self, name: str = "radio", own: Identity = GATEWAY) -> None:
        self.name = name
        self._own = own
        self.is_reading = False
        self.is_open = True
        self.is_greeted = False
        self.on_closed: Callable[[], None] = lambda: None
        self._unread = bytearray()
        self._deframer = Deframer()
        self._settings = Settings()
        self._preferences = SimMesh(seed=1).gateway.firmware.admin.now_set
        self._on_bytes: Callable[[bytes], None] = lambda _: None

    def start(self, on_bytes, _on_lost) -> None:
        self._on_bytes = on_bytes
        self.is_reading = True

    def pause(self) -> None:
        self.is_reading = False

    def resume(self) -> None:
        self.is_reading = True
        self._pass_on()

    def close(self) -> None:
        if self.is_open:
            self.is_open = self.is_reading = False
            self.on_closed()

    def say(self, data: bytes) -> None:
        """Put bytes on the line, as one read of it."""
        self._unread += data
        self._pass_on()

    def write(self, data: bytes) -> None:
        for payload in self._deframer.feed(data):
            asked = ToRadio.FromString(payload)
            # Not before the writing has returned, as on any line.
            soon = asyncio.get_running_loop().call_soon
            if asked.want_config_id:
                soon(self._greet, asked.want_config_id)
            elif asked.HasField("packet") or asked.HasField("heartbeat"):
                soon(self._report, asked.packet.id)

    def _report(self, id: int) -> None:
        status = FromRadio(queueStatus=QueueStatus(free=16, maxlen=16, mesh_packet_id=id))
        self.say(frame(status.SerializeToString()))

    def _greet(self, nonce: int) -> None:
        others = [node_info(each) for each in FAR_NODES]
        for record in answers(nonce, self._own, others, self._settings, self._preferences):
            self.say(frame(record.SerializeToString()))
        self.is_greeted = True

    def _pass_on(self) -> None:
        if self.is_reading and self._unread:
            data, self._unread = bytes(self._unread), bytearray()
            self._on_bytes(data)
