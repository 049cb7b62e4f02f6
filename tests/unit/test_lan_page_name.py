# SPDX-License-Identifier: GPL-3.0-or-later
"""bridges.lan.page_name: what the page is called, and where it is found under that name."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridges.lan.page.settings import PageSettings
from bridges.lan.page_name import label_of, names_of, shown_at

WIFI, CABLE = ("10.42.0.1", "fe80::1%wlan0"), ("192.168.1.7", "2001:db8::7", "fe80::2%eth0")


@pytest.mark.parametrize(
    ("box", "label"),
    [("hilltop", "hilltop"), ("Hilltop", "hilltop"), ("a b", "a-b"), ("Höhe", "h-he"), ("--", "crossband")],
)
def test_a_boxs_name_is_made_a_hosts(box: str, label: str) -> None:
    assert label_of(box) == label


def test_a_name_that_is_taken_is_followed_by_one_with_a_number_that_is_still_a_label() -> None:
    assert names_of("hilltop")[:3] == ("hilltop.local", "hilltop-2.local", "hilltop-3.local")
    assert all(len(name.removesuffix(".local")) <= 63 for name in names_of("x" * 200))


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("0.0.0.0:80", {"wlan0": ("10.42.0.1",), "eth0": ("192.168.1.7",)}),
        ("[::]:80", {"wlan0": ("10.42.0.1",), "eth0": ("192.168.1.7", "2001:db8::7")}),
        ("10.42.0.1:80", {"wlan0": ("10.42.0.1",)}),
        ("[2001:db8::7]:80", {"eth0": ("2001:db8::7",)}),
        ("localhost:80", {}),
    ],
)
def test_each_interface_is_told_the_addresses_it_has_that_the_page_is_at(
    page: str, found: dict[str, tuple[str, ...]]
) -> None:
    assert shown_at(page, {"wlan0": WIFI, "eth0": CABLE, "tun0": ()}) == found


def test_where_there_is_nothing_but_a_link_local_address_that_is_told() -> None:
    assert shown_at("[::]:80", {"eth1": ("fe80::3%eth1",)}) == {"eth1": ("fe80::3%eth1",)}


def test_the_address_for_the_wall_follows_what_mdns_found_and_names_no_port_80(tmp_path: Path) -> None:
    found = [""]
    at_80 = PageSettings(box="Hilltop", port=80, announced=lambda: found[0])

    assert at_80.address == "http://hilltop.local/"
    found[0] = "hilltop-2.local"
    assert at_80.address == "http://hilltop-2.local/"
    assert PageSettings(box="hilltop", port=8081, store=tmp_path).address == "http://hilltop.local:8081/"
