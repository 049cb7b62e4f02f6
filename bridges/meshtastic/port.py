# SPDX-License-Identifier: GPL-3.0-or-later
"""The byte line to a radio: a serial port held alone, or TCP. Non-blocking, without threads."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import termios
from collections.abc import Callable
from pathlib import Path

import serial
from serial.tools import list_ports

from bridges.meshtastic.config import SerialPath, Tcp
from gateway.model import LinkDown

BAUD = 115200
READ_BYTES = 4096
MOST_UNWRITTEN_BYTES = 16 * 1024
CONNECT_WITHIN_S = 5.0

BY_ID = Path("/dev/serial/by-id")

_BOARDS = frozenset(
    {
        (0x10C4, 0xEA60),  # CP210x; also a Zigbee stick: only the handshake proves a radio
        (0x1A86, 0x7523),  # CH340
        (0x1A86, 0x55D4),  # CH9102
        (0x1A86, 0x55D3),  # CH343
        (0x303A, 0x1001),  # Espressif
        (0x303A, 0x0002),
        (0x239A, 0x8029),  # nRF52
        (0x239A, 0x0029),
        (0x239A, 0x4405),
        (0x239A, 0x0071),
        (0x239A, 0x00B3),
        (0x2886, 0x0057),  # Seeed
        (0x2886, 0x0059),
        (0x2886, 0x0166),
        (0x2886, 0x1667),
        (0x2886, 0x1668),
    }
)
_NEVER = frozenset({0x1366, 0x0483, 0x1915, 0x0925, 0x04B4})
"""Debug probes, logic analysers and bare development boards: opening one may upset what it is at."""


def candidates() -> list[SerialPath]:
    """Return the serial devices that may be radios, by their lasting names, in a fixed order."""
    names = _lasting_names()
    boards = [each for each in list_ports.comports() if is_board(each.vid, each.pid)]
    return sorted((SerialPath(names.get(each.device, each.device)) for each in boards), key=str)


def is_board(vendor: int | None, product: int | None) -> bool:
    """Tell whether a USB device may be a radio."""
    return vendor not in _NEVER and (vendor, product) in _BOARDS


def _lasting_names() -> dict[str, str]:
    """Map ``/dev/ttyACM0`` to its name under by-id: ttyACM numbers swap."""
    try:
        return {str(link.resolve()): str(link) for link in sorted(BY_ID.iterdir())}
    except OSError:
        return {}


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

    def start(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[LinkDown], None]) -> None:
        """Begin to read."""
        self._on_bytes, self._on_lost = on_bytes, on_lost
        self.resume()

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

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(_reason(error))
            return
        if data:
            self._on_bytes(data)
        else:
            self._lose("was closed by the other end")

    def _flush(self) -> None:
        try:
            written = os.write(self._fd, self._unwritten)
        except BlockingIOError:
            written = 0
        except OSError as error:
            self._lose(_reason(error))
            return
        del self._unwritten[:written]
        if self._unwritten:
            self._loop.add_writer(self._fd, self._flush)
        else:
            self._loop.remove_writer(self._fd)

    def _lose(self, reason: str) -> None:
        on_lost = self._on_lost
        self.close()
        on_lost(LinkDown(f"{self.name}: {reason}"))


async def connect(where: SerialPath | Tcp) -> Port:
    """Open a line; LinkDown with the reason if it can't be."""
    return open_serial(where.path) if isinstance(where, SerialPath) else await open_tcp(where)


def open_serial(path: str) -> Port:
    """Open a serial port and hold it alone: 115200 8N1, not reset when it is closed."""
    try:
        # pyserial takes the advisory lock, which holds for root too; TIOCEXCL doesn't, but binds
        # programs that ask for no lock.
        device = serial.Serial(path, BAUD, timeout=0, write_timeout=0, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        raise LinkDown(f"{path}: {_reason(error)}") from error
    fd = device.fileno()
    try:
        fcntl.ioctl(fd, termios.TIOCEXCL)
        _settle_line(fd)
    except OSError as error:
        device.close()
        raise LinkDown(f"{path}: {_reason(error)}") from error
    except termios.error as error:
        device.close()
        raise LinkDown(f"{path}: is not a serial port") from error
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


async def open_tcp(where: Tcp) -> Port:
    """Connect to a node's TCP interface, trying each of the host's addresses."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            found = await loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
            return await _first_of(where, [(each[0], each[4]) for each in found])
    except TimeoutError as error:
        raise LinkDown(f"{where}: no answer within {CONNECT_WITHIN_S:.0f} s") from error
    except OSError as error:
        raise LinkDown(f"{where}: {_reason(error)}") from error


async def _first_of(where: Tcp, addresses: list[tuple[socket.AddressFamily, tuple[object, ...]]]) -> Port:
    failure: OSError = OSError("the host has no address")
    for family, address in addresses:
        line = socket.socket(family, socket.SOCK_STREAM)
        try:
            line.setblocking(False)
            await asyncio.get_running_loop().sock_connect(line, address)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            line.close()
            failure = error
        except BaseException:
            line.close()
            raise
        else:
            return Port(line.fileno(), str(where), is_serial=False, close=line.close)
    raise failure


def _reason(error: Exception) -> str:
    """Return in words why a device can't be used, by its error number."""
    match getattr(error, "errno", None):
        case errno.ENOENT:
            return "is not there"
        case errno.EACCES | errno.EPERM:
            return "may not be opened: add the gateway's user to the group that owns it (dialout)"
        case errno.EBUSY | errno.EAGAIN:
            return "is in use by another program"
        case errno.EIO | errno.ENXIO | errno.ENODEV:
            return "was unplugged"
        case int() as number if number > 0:
            return os.strerror(number)
        case _:
            return str(error)
