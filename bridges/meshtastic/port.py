# SPDX-License-Identifier: GPL-3.0-or-later
"""The byte line to a radio, of whatever kind, and serial ports, which are held alone. Non-blocking, without threads."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
from collections.abc import Callable

import serial

from bridges.meshtastic.reasons import of_device, reason
from gateway.model import LinkDown

BAUD = 115200
READ_BYTES = 4096
MOST_UNWRITTEN_BYTES = 16 * 1024
NO_SERIAL_PORT = "is not a serial port"


class Closed(LinkDown):
    """The other end ended the connection."""


class CannotOpen(LinkDown):
    """A device can't be opened. Who has it takes a while to find out: `in_full`."""

    def __init__(self, path: str, error: Exception) -> None:
        super().__init__(f"{path}: {reason(error)}")
        self.path = path
        self.error = error

    @property
    def is_missing(self) -> bool:
        """Whether there is no such device."""
        return isinstance(self.error, OSError) and self.error.errno == errno.ENOENT

    def in_full(self) -> LinkDown:
        """Return it with who has the device, or how it may be opened. Looks through ``/proc``."""
        return LinkDown(f"{self.path}: {of_device(self.path, self.error)}")


class Port:
    """An open line. `on_bytes` gets what is read; `on_lost` is called once when it is gone."""

    def __init__(self, fd: int, name: str, *, is_serial: bool, close: Callable[[], None]) -> None:
        self.name = name
        self.is_serial = is_serial
        self._fd = fd
        self._close = close
        self._loop = asyncio.get_running_loop()
        self._unwritten = bytearray()
        self._is_open = True
        self._is_reading = False
        self._on_bytes: Callable[[bytes], None] = lambda _: None
        self._on_lost: Callable[[LinkDown], None] = lambda _: None
        self.on_closed: Callable[[], None] = lambda: None
        """Called once when it is let go of, however that came about."""

    def start(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[LinkDown], None]) -> None:
        """Begin to read."""
        self._on_bytes, self._on_lost = on_bytes, on_lost
        self.resume()

    @property
    def is_open(self) -> bool:
        """Whether it is held."""
        return self._is_open

    @property
    def is_reading(self) -> bool:
        """Whether bytes are taken from the line."""
        return self._is_reading

    def pause(self) -> None:
        """Leave what comes with the kernel, and the rest with the radio."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read on."""
        if self._is_open and not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._fd, self._read)

    def write(self, data: bytes) -> None:
        """Write soon, in order. A line that takes nothing for long is lost, not waited for."""
        if not self._is_open:
            return
        was_idle = not self._unwritten
        self._unwritten += data
        if len(self._unwritten) > MOST_UNWRITTEN_BYTES:
            self._lose("takes nothing any more")
        elif was_idle:
            self._flush()

    @property
    def is_flushed(self) -> bool:
        """Whether all that was written has left this process."""
        return not self._unwritten or not self._is_open

    def close(self) -> None:
        """Let go of the device; nothing is called any more."""
        if not self._is_open:
            return
        self.pause()
        self._is_open = False
        self._loop.remove_writer(self._fd)
        with contextlib.suppress(OSError):
            self._close()
        self.on_closed()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(reason(error), is_closed=isinstance(error, ConnectionError))
            return
        if data:
            self._on_bytes(data)
        else:
            self._lose("was closed by the other end", is_closed=True)

    def _flush(self) -> None:
        try:
            written = os.write(self._fd, self._unwritten)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._lose(reason(error), is_closed=isinstance(error, ConnectionError))
            return
        del self._unwritten[:written]
        if self._unwritten:
            self._loop.add_writer(self._fd, self._flush)
        else:
            self._loop.remove_writer(self._fd)

    def _lose(self, words: str, *, is_closed: bool = False) -> None:
        on_lost = self._on_lost
        self.close()
        on_lost((Closed if is_closed else LinkDown)(f"{self.name}: {words}"))


def open_serial(path: str) -> Port:
    """Open a serial port and hold it alone: 115200 8N1, not reset when it is closed."""
    try:
        # pyserial takes the advisory lock, which holds for root too; TIOCEXCL doesn't, but binds
        # programs that ask for no lock.
        device = serial.Serial(path, BAUD, timeout=0, write_timeout=0, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        if isinstance(error.__context__, termios.error):
            raise LinkDown(f"{path}: {NO_SERIAL_PORT}") from error
        raise CannotOpen(path, error) from error
    fd = device.fileno()
    try:
        fcntl.ioctl(fd, termios.TIOCEXCL)
        _settle_line(fd)
    except OSError as error:
        device.close()
        raise CannotOpen(path, error) from error
    except termios.error as error:
        device.close()
        raise LinkDown(f"{path}: {NO_SERIAL_PORT}") from error
    os.set_blocking(fd, False)

    def close() -> None:
        with contextlib.suppress(OSError, termios.error):
            fcntl.ioctl(fd, termios.TIOCNXCL)
            # A close waits up to 30 s for bytes that a dead line will never take.
            termios.tcflush(fd, termios.TCOFLUSH)
        device.close()

    return Port(fd, path, is_serial=True, close=close)


def _settle_line(fd: int) -> None:
    settings = termios.tcgetattr(fd)
    # Closing with HUPCL drops DTR, which reboots many boards.
    settings[2] &= ~termios.HUPCL
    # With VMIN 0 "nothing there" and "gone for good" would read the same.
    settings[6][termios.VMIN] = 1
    settings[6][termios.VTIME] = 0
    termios.tcsetattr(fd, termios.TCSANOW, settings)
