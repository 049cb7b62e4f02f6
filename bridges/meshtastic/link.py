# SPDX-License-Identifier: GPL-3.0-or-later
"""One live connection: a port, its frames, its session, and the time that passes on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from meshtastic.protobuf.mesh_pb2 import FromRadio, MeshPacket

from bridges.meshtastic.events import Event, Lost, Queued, Ready, Restarted
from bridges.meshtastic.framing import WAKE, Deframer, frame
from bridges.meshtastic.line import Line
from bridges.meshtastic.session import Session, is_plain, parse
from gateway.model import Clock, LinkDown


class Silent(LinkDown):
    """The device is there, and nothing that a radio says comes from it."""


class Stranger(LinkDown):
    """A radio answers, but not the one that is wanted."""


log = structlog.get_logger()

TICK_S = 0.25
STALL_S = 3.0
"""Without a tick for so long it was us who were silent (a machine that slept, a disk that hung), not the radio."""
QUIET_S = 0.5
"""A pause inside a frame after which it is looked at whether it was cut."""
WAKE_S = 0.1
FIRST_WORD_S = 4.0
"""How long a board that may be something else has to speak like a radio."""
LINGER_S = 1.0
SETTLE_S = 0.2
"""What is written needs this long to leave a serial port's own buffer, and what was on its way to us to come."""


class Link:
    """Built on an open port; `on_event` is called in order, from the loop."""

    def __init__(
        self,
        port: Line,
        session: Session,
        clock: Clock,
        *,
        on_event: Callable[[Event], None],
        count: Callable[[str], None],
    ) -> None:
        self._port = port
        self._clock = clock
        self._on_event = on_event
        self._count = count
        self._deframer = Deframer(parse, count, is_plain=is_plain)
        self._session = session
        self._read_at = self._wrote_at = self._ticked_at = clock.monotonic()
        self._ready = asyncio.Event()
        self._status: asyncio.Future[None] | None = None
        self.failure: LinkDown | None = None
        """Why it is lost; None while it isn't."""

    @property
    def name(self) -> str:
        """The device or host it goes to."""
        return self._port.name

    @property
    def is_ready(self) -> bool:
        """Whether the radio has greeted, and is not restarting."""
        return self._ready.is_set() and self.failure is None

    async def greet(self, *, is_certain: bool, enough: Callable[[], bool] = lambda: False) -> None:
        """Begin the session and wait for its handshake; LinkDown if it fails.

        Not `is_certain`: give a device that doesn't speak like a radio a few seconds only. `enough`: return
        as soon as that is true, in the middle of the handshake; nothing but `close` may follow then.
        """
        self._port.start(self._on_bytes, self._on_lost)
        if self._port.is_serial:
            self._port.write(WAKE)
            await self._clock.sleep(WAKE_S)
        self._write_out()
        began = self._clock.monotonic()
        while not (self._ready.is_set() or enough()):
            self.check()
            if not (is_certain or self._session.has_heard) and self._clock.monotonic() - began > FIRST_WORD_S:
                raise Silent(f"{self.name}: no radio answers")
            await self._clock.sleep(TICK_S / 5)
            self._tick()
        self.check()

    async def keep(self) -> None:
        """Let time pass for the session until the link is lost."""
        while self.failure is None:
            await self._clock.sleep(TICK_S)
            self._tick()

    async def wait_ready(self) -> None:
        """Wait while the radio restarts; LinkDown if it doesn't come back."""
        await self._ready.wait()
        self.check()

    def check(self) -> None:
        """Raise why the link is lost, if it is."""
        if self.failure is not None:
            raise self.failure

    def send(self, packet: MeshPacket) -> None:
        """Write a packet."""
        self.check()
        self._session.send(packet, self._clock.monotonic())
        self._write_out()

    def probe(self) -> asyncio.Future[None]:
        """Ask for a sign of life; the future is done when it, or any word of the queue, comes."""
        self.check()
        if self._status is None or self._status.done():
            self._status = asyncio.get_running_loop().create_future()
        self._session.probe(self._clock.monotonic())
        self._write_out()
        return self._status

    def pause(self) -> None:
        """Stop reading; the radio is not held to be silent meanwhile."""
        self._port.pause()

    def resume(self) -> None:
        """Read on after `pause`."""
        if not self._port.is_reading and self.failure is None:
            now = self._clock.monotonic()
            self._read_at = now
            self._session.resume(now)
            self._port.resume()

    async def close(self) -> None:
        """Say goodbye, let the last bytes leave, let go of the port."""
        try:
            if self.failure is None:
                self._session.farewell(self._clock.monotonic())
                self._write_out()
            await self._linger()
        finally:
            self._port.close()
            if self.failure is None:
                self._fail(LinkDown("the radio was disconnected"), tell=False)

    async def _linger(self) -> None:
        until = self._clock.monotonic() + LINGER_S
        while (now := self._clock.monotonic()) < until and (self.failure is None or self._session.stranger):
            last = max(self._wrote_at, self._read_at) if self._session.stranger else self._wrote_at
            if self._port.is_flushed and now - last >= SETTLE_S:
                return
            await self._clock.sleep(SETTLE_S / 4)

    def _write_out(self) -> None:
        for to_radio in self._session.outgoing():
            self._wrote_at = self._clock.monotonic()
            if self._port.is_serial and to_radio.HasField("want_config_id"):
                self._port.write(WAKE)
            self._port.write(frame(to_radio.SerializeToString()))

    def _on_bytes(self, data: bytes) -> None:
        self._read_at = self._clock.monotonic()
        self._take(self._deframer.feed(data))

    def _tick(self) -> None:
        now = self._clock.monotonic()
        if now - self._ticked_at >= STALL_S:
            # This process stood still: what the radio said meanwhile is there, and not read yet.
            self._session.stood_still(now)
        self._ticked_at = now
        if self._deframer.is_inside and now - self._read_at >= QUIET_S:
            self._take(self._deframer.settle())
        if self._port.is_reading:
            self._publish(self._session.tick(now))
            self._write_out()

    def _take(self, heard: list[FromRadio]) -> None:
        for said in heard:
            try:
                self._publish(self._session.take(said, self._clock.monotonic()))
            except Exception:  # one odd frame must not take its neighbours along
                self._count("frame_failed")
                log.exception("radio_frame_failed", variant=said.WhichOneof("payload_variant"))
        self._write_out()

    def _publish(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Lost():
                    self._on_lost(self._why(event))
                    return
                case Ready():
                    self._ready.set()
                case Restarted():
                    self._ready.clear()
                case Queued() if self._status is not None and not self._status.done():
                    self._status.set_result(None)
                case _:
                    pass
            self._on_event(event)

    def _why(self, lost: Lost) -> LinkDown:
        words = f"{self.name}: {lost.reason}"
        if lost.is_stranger:
            return Stranger(words)
        return Silent(words) if lost.is_silent else LinkDown(words)

    def _on_lost(self, error: LinkDown) -> None:
        if self.failure is not None:
            return
        if isinstance(error, Stranger):
            # Our goodbye has to leave, and what it says until it has it to come, before `close` closes the port.
            self._write_out()
        else:
            self._port.close()
        self._fail(error, tell=True)

    def _fail(self, error: LinkDown, *, tell: bool) -> None:
        self.failure = error
        self._ready.set()
        if self._status is not None and not self._status.done():
            self._status.cancel()
        if tell:
            self._on_event(Lost(str(error), error=error))
