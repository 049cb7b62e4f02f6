# SPDX-License-Identifier: GPL-3.0-or-later
"""The USB boards that may be radios: what they are called and where they are plugged in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

from bridges.meshtastic.connection import SerialPath

BY_ID = Path("/dev/serial/by-id")

FAMILIES = {
    (0x10C4, 0xEA60): "CP210x converter: Heltec V1 to V3, T-LoRa V1.3; Zigbee sticks too",
    (0x1A86, 0x7523): "CH340 converter: RAK11200, many others",
    (0x1A86, 0x55D4): "CH9102 converter: T-Beam, T-LoRa V2, Nano G1",
    (0x1A86, 0x55D3): "CH343 converter: ESP32-S3 boards",
    (0x303A, 0x1001): "ESP32-S3 or C3 by its own USB: T-Deck, Heltec V4, Station G2, XIAO ESP32-S3",
    (0x303A, 0x0002): "ESP32-S2 or S3 by its own USB",
    (0x239A, 0x8029): "nRF52840: RAK4631, T1000-E, Nano G2 Ultra, ProMicro",
    (0x239A, 0x0029): "nRF52840: RAK4631, T-Echo and others, also in their boot loader",
    (0x239A, 0x4405): "nRF52840: Heltec T114, T-Echo",
    (0x239A, 0x0071): "nRF52840: Heltec T114, also in its boot loader",
    (0x239A, 0x00B3): "nRF52840: ProMicro boards",
    (0x2886, 0x0057): "Seeed: T1000-E",
    (0x2886, 0x0059): "Seeed: Solar Node, XIAO ESP32-S3",
    (0x2886, 0x0166): "Seeed: XIAO nRF52840 kit",
    (0x2886, 0x1667): "Seeed: Wio Tracker L1",
    (0x2886, 0x1668): "Seeed: Wio Tracker L1",
}
"""By vendor and product: these are opened. What they are is a hint for people: only the greeting tells."""
_NEVER = frozenset({0x1366, 0x0483, 0x1915, 0x0925, 0x04B4})
"""Debug probes, logic analysers and bare development boards: opening one may upset what it is at."""


def is_board(vendor: int | None, product: int | None) -> bool:
    """Tell whether a USB device may be a radio."""
    return vendor not in _NEVER and (vendor, product) in FAMILIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One that is plugged in."""

    path: str
    """Its lasting name where it has one."""
    device: str
    vendor: int
    product: int
    name: str
    """What it calls itself."""

    @property
    def usb(self) -> str:
        """Vendor and product, as `lsusb` writes them."""
        return f"{self.vendor:04x}:{self.product:04x}"

    @property
    def family(self) -> str:
        """What it may be."""
        return FAMILIES.get((self.vendor, self.product), "")


def plugged_in() -> Sequence[Board]:
    """Return the boards there are, by their lasting names."""
    lasting = _lasting_names()
    found = [
        Board(
            path=lasting.get(port.device, port.device),
            device=port.device,
            vendor=port.vid,
            product=port.pid,
            name=port.product or "",
        )
        for port in list_ports.comports()
        if is_board(port.vid, port.pid)
    ]
    return sorted(found, key=lambda board: board.path)


def candidates() -> list[SerialPath]:
    """Return their devices, in a fixed order."""
    return [SerialPath(board.path) for board in plugged_in()]


def _lasting_names() -> dict[str, str]:
    """Map ``/dev/ttyACM0`` to its name under by-id: ttyACM numbers swap."""
    try:
        return {str(link.resolve()): str(link) for link in sorted(BY_ID.iterdir())}
    except OSError:
        return {}
