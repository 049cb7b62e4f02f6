# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own node as a bridge's port: the bytes of a radio's line on one side, the LAN on the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import ToRadio

from bridges.meshtastic.framing import Deframer, frame
from bridges.meshtastic.node.firmware import Firmware
from bridges.meshtastic.node.keeping import Kept, save
from bridges.meshtastic.node.multicast import Multicast
from gateway.model import Clock, LinkDown

log = structlog.get_logger()

TICK_S = 0.5
SAVE_EVERY_S = 60.0
"""New nodes and keys are kept at most so often; a number of our own, at once."""


class NodePort:
    """An open line to our own node, for a `Link`: what it does is what `meshtastic.port.Port` does.

    Built on open sockets; LinkDown, and nothing stays open, if no interface can be used.
    """

    is_serial = False
    is_flushed = True

    def __init__(
        self,
        names: Sequence[str],
        firmware: Firmware,
        *,
        keep_in: Path,
        clock: Clock,
        count: Callable[[str], None],
    ) -> None:
        self.name = f"udp:{','.join(names)}"
        self._firmware = firmware
        self._keep_in = keep_in
        self._clock = clock
        self._deframer = Deframer(_request, count)
        self._multicast = Multicast(names, self._on_datagram, count)
        self._count = count
        self._is_open = True
        self._is_reading = False
        self._is_delivering = False
        self._saved_at = clock.monotonic()
        self._told_missing: dict[str, str] = {}
        self._on_bytes: Callable[[bytes], None] = lambda _: None
        self._on_lost: Callable[[LinkDown], None] = lambda _: None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    def start(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[LinkDown], None]) -> None:
        """Begin to read."""
        self._on_bytes, self._on_lost = on_bytes, on_lost
        self._firmware.attach()
        self._task = asyncio.create_task(self._live(), name=f"{self.name}: own node's time")
        self._task.add_done_callback(self._ended)
        self.resume()

    @property
    def is_reading(self) -> bool:
        """Whether what comes is taken."""
        return self._is_reading

    def pause(self) -> None:
        """Leave what comes with the kernel."""
        self._is_reading = False
        self._multicast.pause()

    def resume(self) -> None:
        """Read on."""
        if self._is_open and not self._is_reading:
            self._is_reading = True
            self._multicast.resume()
            self._deliver_soon()

    def write(self, data: bytes) -> None:
        """Tell the node something: a frame as a radio gets it."""
        if not self._is_open:
            return
        for request in self._deframer.feed(data):
            self._firmware.take(request, self._clock.monotonic(), self._unix())
        self._send_out()

    def close(self) -> None:
        """Leave the LAN; nothing is called any more."""
        if not self._is_open:
            return
        self._is_open = self._is_reading = False
        self._multicast.close()
        if self._task is not None:
            self._task.cancel()
        self._save()

    def _on_datagram(self, datagram: bytes) -> None:
        try:
            self._firmware.hear(datagram, self._clock.monotonic(), self._unix())
        except Exception:  # one odd datagram must not take its neighbours along
            self._count("lan_failed")
            log.exception("lan_datagram_failed", size=len(datagram))
        self._send_out()

    async def _live(self) -> None:
        while True:
            await self._clock.sleep(TICK_S)
            self._multicast.look_again()
            self._tell_missing()
            self._firmware.tick(self._clock.monotonic(), self._unix())
            self._send_out()
            self._save_sometimes()

    def _send_out(self) -> None:
        if self._firmware.has_changed:
            # A number of our own is kept before anybody hears of it.
            self._save()
        for datagram in self._firmware.outgoing():
            self._multicast.send(datagram)
        self._deliver_soon()
        failure = self._multicast.failure
        if failure is not None and self._is_open:
            on_lost = self._on_lost
            self.close()
            on_lost(LinkDown(f"{self.name}: {failure}"))

    def _deliver_soon(self) -> None:
        # Not at once: whoever writes isn't answered before the writing returns, as on any line.
        if not self._is_delivering:
            self._is_delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_delivering = False
        if self._is_reading:
            for said in self._firmware.said():
                self._on_bytes(frame(said.SerializeToString()))

    def _tell_missing(self) -> None:
        missing = self._multicast.missing
        if missing != self._told_missing:
            self._told_missing = missing
            words = "; ".join(f"{name} {why}" for name, why in missing.items())
            self._firmware.notify(f"not on every interface: {words}" if words else "on every interface again")

    def _save_sometimes(self) -> None:
        now = self._clock.monotonic()
        if self._firmware.roster.has_changed and now - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = now
            self._save()

    def _save(self) -> None:
        firmware = self._firmware
        if not (firmware.has_changed or firmware.roster.has_changed):
            return
        kept = Kept(keys=firmware.identity.keys, roster=firmware.roster, announced_unix=firmware.announced_unix)
        try:
            save(self._keep_in, kept)
        except OSError as error:
            self._count("lan_not_kept")
            log.warning("lan_not_kept", reason=os.strerror(error.errno or 0))
            return
        firmware.has_changed = firmware.roster.has_changed = False

    def _unix(self) -> int:
        return self._clock.now_ms() // 1000

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("lan_node_failed", exc_info=error)
        on_lost = self._on_lost
        self.close()
        on_lost(LinkDown(f"{self.name}: failed: see the log"))


def _request(payload: bytes) -> ToRadio | None:
    try:
        return ToRadio.FromString(payload)
    except DecodeError:
        return None
