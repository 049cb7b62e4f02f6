# SPDX-License-Identifier: GPL-3.0-or-later
"""A link-local address is called the same whoever told of it: mDNS gives its cable's number, who calls shows either."""

from __future__ import annotations

import socket

import pytest

from bridges.lan.discovery import _zoned
from bridges.lan.server import _host
from bridges.lan.zones import zoned

NUMBER, NAME = socket.if_nameindex()[0]
THERE = f"fe80::1%{NAME}"


def test_what_mdns_finds_and_who_calls_are_one_place() -> None:
    assert _zoned(f"fe80::1%{NUMBER}", ["wlan7"]) == [THERE]
    assert _host(("fe80::1", 8448, 0, NUMBER)) == THERE
    assert _host((THERE, 8448, 0, NUMBER)) == THERE


def test_a_found_address_without_a_cable_may_be_on_each() -> None:
    assert _zoned("fe80::1", ["eth0", "wlan0"]) == ["fe80::1%eth0", "fe80::1%wlan0"]
    assert _zoned("fd00::1", ["eth0"]) == ["fd00::1"]
    assert _zoned("192.168.4.1", ["eth0"]) == ["192.168.4.1"]


@pytest.mark.parametrize("zone", ["", 0, "0", "4294967295", "99999999999999999999"])
def test_an_address_whose_cable_is_gone_has_none(zone: str | int) -> None:
    assert zoned("fe80::1", zone) == "fe80::1"
