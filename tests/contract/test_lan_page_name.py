# SPDX-License-Identifier: GPL-3.0-or-later
"""The page's name by mDNS: what a phone asks is answered, and a name that somebody has is left to them."""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import struct
from collections.abc import Callable, Sequence

import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from bridges.lan.announcing import Announcing

GROUP = ("224.0.0.251", 5353)
WITHIN_S = 20.0
A, SRV, ANY = 1, 33, 255


@pytest.fixture
def box() -> str:
    """A name that no other test of this machine has: they all hear each other."""
    return f"hill-{secrets.token_hex(4)}"


def announcing(box: str, *addresses: str, host: Sequence[str] = (), seed: int = 1) -> Announcing:
    """Return what a box at these addresses of the loopback does; `host`: all that its host has."""
    ours = frozenset({*addresses, *host})
    return Announcing(box, 8081, lambda: {"lo": addresses}, chance=random.Random(seed), ours=lambda: ours)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.02)


def _name(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


async def asked(name: str, kind: int) -> bytes:
    """Ask as a resolver does that knows nothing of mDNS but the group (RFC 6762, section 6.7); return the answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.bind(("127.0.0.1", 0))
        question = struct.pack("!6H", 0xC0DE, 0, 1, 0, 0, 0) + _name(name) + struct.pack("!2H", kind, 1)
        async with asyncio.timeout(WITHIN_S):
            while True:
                await loop.sock_sendto(sock, question, GROUP)
                try:
                    async with asyncio.timeout(1.0):
                        return await loop.sock_recv(sock, 9000)
                except TimeoutError:
                    continue


async def addresses_of(name: str) -> set[str]:
    """Return the addresses in the answer: each A record ends in a length of 4 and the address."""
    answer = await asked(name, A)
    _, flags, _, answers, _, _ = struct.unpack("!6H", answer[:12])
    assert flags & 0x8400 == 0x8400, "an answer, with authority"
    assert answers
    parts = answer.split(struct.pack("!H", A) + b"\x00\x01")[2:]  # behind the question's, the records' type and class
    return {socket.inet_ntoa(part[6:10]) for part in parts if part[4:6] == b"\x00\x04"}


async def test_a_phone_that_asks_for_the_name_is_told_the_address_and_that_there_is_a_page(box: str) -> None:
    async with announcing(box, "127.0.0.1") as page:
        await until(lambda: bool(page.name))

        assert page.name == f"{box}.local"
        assert page.told("http://x/") == "http://x/"
        assert await addresses_of(page.name) == {"127.0.0.1"}
        service = await asked(f"Crossband {box}._http._tcp.local", SRV)
        assert struct.pack("!H", 8081) in service


async def test_a_box_that_comes_second_takes_another_name_and_says_so(box: str) -> None:
    async with announcing(box, "127.0.0.2") as first:
        await until(lambda: bool(first.name))
        async with announcing(box, "127.0.0.3") as second:
            await until(lambda: bool(second.name))

            assert (first.name, second.name) == (f"{box}.local", f"{box}-2.local")
            assert first.reason == ""
            assert second.told("http://x/") == f"http://x/ (another host here is called {box}.local)"
            assert await addresses_of(first.name) == {"127.0.0.2"}
            assert await addresses_of(second.name) == {"127.0.0.3"}


async def test_of_two_that_come_at_once_exactly_one_keeps_the_name(box: str) -> None:
    async with announcing(box, "127.0.0.2") as low, announcing(box, "127.0.0.3") as high:
        await until(lambda: low.name == f"{box}-2.local")

        assert high.name == f"{box}.local"
        assert await addresses_of(high.name) == {"127.0.0.3"}


async def test_what_the_hosts_own_responder_tells_is_told_alike_and_is_no_conflict(box: str) -> None:
    avahi = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    told = AsyncServiceInfo(
        "_workstation._tcp.local.",
        f"{box}._workstation._tcp.local.",
        port=9,
        addresses=[socket.inet_aton("127.0.0.9")],
        server=f"{box}.local.",
    )
    try:
        await (await avahi.async_register_service(told, cooperating_responders=True))
        async with announcing(box, "127.0.0.1", host=["127.0.0.9"]) as page:
            await until(lambda: bool(page.name))

            assert (page.name, page.reason) == (f"{box}.local", "")
            assert page._responders["lo"]._told == {"127.0.0.9"}
    finally:
        await avahi.async_close()


async def test_where_all_its_names_are_taken_it_says_so_and_tells_none(
    box: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.lan.announcing.names_of", lambda box: (f"{box}.local",))
    async with announcing(box, "127.0.0.2") as first:
        await until(lambda: bool(first.name))
        async with announcing(box, "127.0.0.1") as second:
            await until(lambda: bool(second.reason))

            assert second.name == ""
            assert second.told("http://x/") == f"mDNS: other hosts here have {box}.local and all names like it"


async def test_a_box_without_an_address_waits_for_one(box: str) -> None:
    there: dict[str, list[str]] = {}  # as before the Wi-Fi is up
    page = Announcing(box, 8081, lambda: there, chance=random.Random(1), ours=lambda: frozenset({"127.0.0.1"}))
    async with page:
        await until(lambda: bool(page.reason))
        assert page.told("http://x/") == "mDNS: no interface has an address under which the page is"

        there["lo"] = ["127.0.0.1"]
        page.look_again()
        await until(lambda: bool(page.name))
        assert await addresses_of(page.name) == {"127.0.0.1"}


async def test_interfaces_that_can_not_be_looked_at_are_looked_at_again_later_and_not_at_once() -> None:
    looks = 0

    def look() -> dict[str, tuple[str, ...]]:
        nonlocal looks
        looks += 1
        raise OSError("too many open files")

    page = Announcing("hilltop", 8081, look, chance=random.Random(1), ours=frozenset)
    page.look_again()
    async with page:
        for _ in range(100):
            await asyncio.sleep(0)
        assert looks == 1
        assert page.told("") == "mDNS: too many open files"
