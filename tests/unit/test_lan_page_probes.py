# SPDX-License-Identifier: GPL-3.0-or-later
"""A device that looks for the internet is told once of the chat, and never held."""

from __future__ import annotations

import httpx
import pytest

from bridges.lan.page import Page, PageSettings, probes
from bridges.lan.page.probes import LET_BE_S, PROBES
from tests.halls import MemoryHall

WANTED = [
    # From general knowledge: no device was at hand.
    ("http://connectivitycheck.gstatic.com/generate_204", 204, b""),
    ("http://captive.apple.com/hotspot-detect.html", 200, b"<BODY>Success</BODY>"),
    ("http://www.msftconnecttest.com/connecttest.txt", 200, b"Microsoft Connect Test"),
    ("http://detectportal.firefox.com/success.txt?ipv4", 200, b"success\n"),
    ("http://nmcheck.gnome.org/check_network_status.txt", 200, b"NetworkManager is online"),
    ("http://network-test.debian.org/nm", 200, b"NetworkManager is online"),
    ("http://connectivity-check.ubuntu.com/", 204, b""),
]


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def page(clock):
    made = Page(MemoryHall(), PageSettings(box="hilltop", port=80), monotonic_s=clock)
    yield made
    await made.close()


def device(page, peer="10.42.0.7"):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=page, client=(peer, 40000)))


async def tap(phone, address):
    host = httpx.URL(address).host
    return await phone.post(f"http://{host}/continue", headers={"Origin": f"http://{host}"})


@pytest.mark.parametrize(("address", "status", "body"), WANTED)
async def test_a_device_is_told_of_the_chat_and_after_continue_hears_what_it_wants(page, address, status, body):
    async with device(page) as phone:
        first = await phone.get(address)
        assert first.status_code == 200
        assert "location" not in first.headers
        assert 'href="http://hilltop.local/"' in first.text
        assert '<form method="post" action="/continue">' in first.text
        done = await tap(phone, address)
        assert "<form" not in done.text
        then = await phone.get(address)
    assert then.status_code == status
    assert body in then.content
    assert then.headers["cache-control"] == "no-store"


async def test_continue_is_of_one_device_and_for_a_day(page, clock):
    address = "http://connectivitycheck.gstatic.com/generate_204"
    async with device(page) as phone, device(page, "10.42.0.8") as other:
        await tap(phone, address)
        assert (await other.get(address)).status_code == 200
        clock.now_s += LET_BE_S - 1
        assert (await phone.get(address)).status_code == 204
        clock.now_s += 2
        assert (await phone.get(address)).status_code == 200


async def test_however_many_devices_continue_the_latest_are_let_be(page, monkeypatch):
    monkeypatch.setattr(probes, "MOST_LET_BE", 256)
    address = "http://captive.apple.com/"
    for number in range(257):
        async with device(page, f"10.{number >> 8}.{number & 255}.1") as phone:
            await tap(phone, address)
    async with device(page, "10.0.0.1") as first, device(page, "10.0.1.1") as second:
        assert "Continue" in (await first.get(address)).text
        assert "Success" in (await second.get(address)).text


@pytest.mark.parametrize("host", sorted(PROBES))
async def test_at_the_hosts_of_probes_there_is_no_chat(page, host):
    async with device(page) as phone:
        for path in ("/help", "/r/town/", "/qr", "/redirect"):
            found = await phone.get(f"http://{host}{path}")
            assert "<iframe" not in found.text
            assert 'href="http://hilltop.local/"' in found.text
        assert (await phone.post(f"http://{host}/join", data={"nick": "Ada"})).status_code == 405
        other = await phone.post(f"http://{host}/continue", headers={"Origin": "http://evil.example"})
        assert other.status_code == 403


async def test_probes_are_nothing_at_the_box_itself_and_no_other_host_is_answered(page):
    async with device(page) as phone:
        assert (await phone.get("http://hilltop.local/generate_204")).status_code == 404
        assert (await phone.get("http://www.google.com/generate_204")).status_code == 421
