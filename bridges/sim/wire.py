# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes between a node's firmware and one open file descriptor, with the faults real lines have."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from bridges.sim.framing import Deframer, frame
from bridges.sim.mesh import SimMesh
from bridges.sim.node import Firmware

_READ_BYTES = 4096
# Above this the node is not asked for more: what waits, waits in its own small queues, as on a board.
_HIGH_WATER_BYTES = 1024
_SLICE_S = 0.02


@dataclass(slots=True, kw_only=True)
class Faults:
    """What is wrong with a line, from the node to the client unless said otherwise. Change it at any time.

    The shares are 0..1: `lose_frame`, `duplicate_frame`, `cut_frame` and `stall_frame` of whole frames, `lose_byte`,
    `repeat_byte` and `corrupt_byte` of single bytes, `lose_byte_in` of bytes from the client. `bytes_per_s` 0 is as
    fast as it goes.
    """

    lose_frame: float = 0.0
    duplicate_frame: float = 0.0
    cut_frame: float = 0.0
    """Its end is lost, anywhere."""
    stall_frame: float = 0.0
    """In the middle of it the line stands still for `stall_s` real seconds."""
    stall_s: float = 1.0
    lose_byte: float = 0.0
    repeat_byte: float = 0.0
    corrupt_byte: float = 0.0
    lose_byte_in: float = 0.0
    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    cut_next_at: int | None = None
    """Keep only this many bytes of the next frame, and go on with the one after it."""
    after_cut: Callable[[], None] | None = None
    """Called, once, when that has happened."""
    watch: Callable[[bytes, bytes], None] | None = None
    """Called with each frame that the node says, and what the line makes of it."""

    def spoil(self, data: bytes, chance: random.Random) -> bytes:
        """Return what becomes of one frame on its way to the client."""
        spoiled = self._spoil_bytes(self._spoil_frame(data, chance), chance)
        if self.watch is not None:
            self.watch(data, spoiled)
        return spoiled

    def _spoil_frame(self, data: bytes, chance: random.Random) -> bytes:
        if self.cut_next_at is not None:
            data, self.cut_next_at = data[: self.cut_next_at], None
            after, self.after_cut = self.after_cut, None
            if after is not None:
                after()
        if self.lose_frame and chance.random() < self.lose_frame:
            return b""
        if self.duplicate_frame and chance.random() < self.duplicate_frame:
            data += data
        if self.cut_frame and chance.random() < self.cut_frame:
            data = data[: chance.randrange(len(data) + 1)]
        return data

    def _spoil_bytes(self, data: bytes, chance: random.Random) -> bytes:
        if self.lose_byte:
            data = thin_out(data, self.lose_byte, chance)
        if self.repeat_byte:
            data = b"".join(bytes([byte]) * (1 + (chance.random() < self.repeat_byte)) for byte in data)
        if self.corrupt_byte:
            data = bytes(chance.randrange(256) if chance.random() < self.corrupt_byte else byte for byte in data)
        return data


def thin_out(data: bytes, share: float, chance: random.Random) -> bytes:
    """Lose this share of single bytes."""
    return bytes(byte for byte in data if chance.random() >= share)


class Wire:
    """A `Line` over a non-blocking file descriptor. Never blocks: who doesn't read is not written to.

    `lost` is called once the other side is gone. The descriptor stays its owner's.
    """

    def __init__(
        self,
        fd: int,
        mesh: SimMesh,
        firmware: Firmware,
        faults: Faults,
        *,
        is_serial: bool,
        notices_close: bool = True,
    ) -> None:
        self._fd = fd
        self._mesh = mesh
        self._firmware = firmware
        self._faults = faults
        self._is_serial = is_serial
        self._notices_close = notices_close
        self._is_deaf = False
        self._loop = asyncio.get_running_loop()
        self._deframer = Deframer()
        self._out = bytearray()
        self._under_way = 0
        """Bytes that are delayed."""
        self._stalled: bytearray | None = None
        """What waits while the line stands still."""
        self._is_taking = False
        self._is_writing = False
        self._pause: asyncio.TimerHandle | None = None
        self.is_open = True
        self.lost: Callable[[], None] = lambda: None
        self._loop.add_reader(fd, self._readable)

    @property
    def keeps_ids(self) -> bool:
        """Serial clients are one client to the node."""
        return self._is_serial

    def wake(self) -> None:
        """Fetch what the node has to say, unless it is still reading."""
        while self._is_deaf and self._firmware.pull(self) is not None:
            pass  # said to nobody
        while self.is_open and not self._is_taking and self._waiting < _HIGH_WATER_BYTES:
            payload = self._firmware.pull(self)
            if payload is None:
                break
            self._say(self._faults.spoil(frame(payload), self._mesh.chance))

    def drop(self) -> None:
        """End a TCP connection; a serial line has nothing to end."""
        if not self._is_serial:
            self.close()
            self.lost()

    def chatter(self, text: bytes) -> None:
        """Print debug text, on a serial line."""
        if self._is_serial:
            self.write(text)

    def write(self, data: bytes) -> None:
        """Put any bytes on the line, after the line's delay."""
        if self._faults.delay_s > 0:
            self._under_way += len(data)
            self._loop.call_later(self._faults.delay_s, self._arrive, data)
        else:
            self._append(data)

    def close(self) -> None:
        """Stop reading and writing; the firmware is told."""
        self._let_go()
        self._is_deaf = False
        self._firmware.detach(self)

    def _let_go(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._fd)
        self._stop_writing()
        if self._pause is not None:
            self._pause.cancel()

    def _end(self) -> None:
        if self._notices_close:
            self.close()
        else:
            self._let_go()
            self._is_deaf = True
        self.lost()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: nobody has the other side of the PTY open
        if data:
            self._take(data)
        else:
            self._end()

    def _take(self, data: bytes) -> None:
        if self._faults.lose_byte_in:
            data = thin_out(data, self._faults.lose_byte_in, self._mesh.chance)
        self._mesh.pump()
        # The firmware reads all there is before it writes: that is how statuses get lost.
        self._is_taking = True
        for payload in self._deframer.feed(data):
            self._firmware.receive(self, payload, self._mesh.now)
        self._is_taking = False
        self._mesh.pump()
        self.wake()

    @property
    def _waiting(self) -> int:
        return len(self._out) + len(self._stalled or b"") + self._under_way

    def _say(self, data: bytes) -> None:
        chance, share = self._mesh.chance, self._faults.stall_frame
        at = chance.randrange(len(data) + 1) if share and chance.random() < share else len(data)
        self.write(data[:at])
        if at < len(data):
            self._stall()
            self.write(data[at:])

    def _stall(self) -> None:
        if self._stalled is None:
            self._stalled = bytearray()
            self._loop.call_later(self._faults.stall_s, self._go_on)

    def _go_on(self) -> None:
        stalled, self._stalled = self._stalled, None
        self._append(bytes(stalled or b""))
        self.wake()

    def _arrive(self, data: bytes) -> None:
        self._under_way -= len(data)
        self._append(data)
        self.wake()

    def _append(self, data: bytes) -> None:
        if self._stalled is not None:
            self._stalled += data
        elif self.is_open:
            self._out += data
            self._write_some()

    def _write_some(self) -> None:
        if not self._out or self._pause is not None:
            return
        rate = self._faults.bytes_per_s
        size = max(int(rate * _SLICE_S), 1) if rate > 0 else len(self._out)
        try:
            written = os.write(self._fd, self._out[:size])
        except BlockingIOError:
            self._start_writing()
            return
        except OSError:
            self._end()
            return
        del self._out[:written]
        self._stop_writing()
        if rate > 0:
            # Also where nothing is left: the next one finds the line busy so long.
            self._pause = self._loop.call_later(written / rate, self._resume)
        elif self._out:
            self._start_writing()

    def _resume(self) -> None:
        self._pause = None
        self._write_some()
        self.wake()

    def _start_writing(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._fd)

    def _writable(self) -> None:
        self._write_some()
        self.wake()
