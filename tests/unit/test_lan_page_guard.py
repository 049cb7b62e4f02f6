# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import os
import random
import re
from urllib.parse import quote

import httpx
import pytest

from bridges.lan.page import Page, PageSettings, app
from bridges.lan.page.guests import Guests
from bridges.lan.page.rates import MOST_PREFIXES, Buckets, Places, Rate, prefix_of
from tests.halls import MemoryHall
from tests.pages import HOST, client, fields, join, submit


@pytest.fixture
def hall():
    return MemoryHall()


@pytest.fixture
async def page(hall):
    made = Page(hall, PageSettings(box="hilltop", port=8081, hosts=("chat.example.org",)))
    yield made
    await made.close()


async def asked(page, head, *, method="GET", path="/", body=b"", server="192.168.4.1"):
    """Ask with exactly these headers; return status, headers and body."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": head,
        "client": ("192.168.4.20", 1),
        "server": (server, 8081),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await page(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    "host",
    [
        "hilltop.local:8081",
        "HILLTOP.local",
        "localhost:9",
        "hilltop",
        "192.168.4.1:8081",
        "[fe80::1]:8081",
        "chat.example.org",
        "hilltop.local.:8081",
        "hilltop-2.local",  # where another host has the name
        "hilltop-9.local:8081",
    ],
)
async def test_the_boxs_own_names_and_any_address_are_let_in(page, host):
    status, _, _ = await asked(page, [(b"host", host.encode())])
    assert status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "hilltop-10.local",
        "hilltop-2.local.evil.example",
        "hilltop.local.evil.example",
        "",
        "hilltop@evil.example",
        "[::1",
        "a b",
    ],
)
async def test_a_name_that_was_pointed_at_this_box_is_refused(page, host):
    status, headers, body = await asked(page, [(b"host", host.encode())])
    assert status == 421
    assert b"This box is not called that" in body
    assert headers["content-security-policy"].startswith("default-src 'self'")


async def test_every_answer_carries_the_headers(page):
    async with client(page) as browser:
        for path in ("/", "/r/town/", "/nothing", "/qr.svg", "/r/nowhere/"):
            headers = (await browser.get(path)).headers
            policy = headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert "form-action 'self'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
        lines = (await browser.get("/r/town/lines")).headers
    assert "frame-ancestors 'self'" in lines["content-security-policy"]


@pytest.mark.parametrize(
    "told",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://hilltop.local:9999"},
        {"Referer": "http://evil.example/hilltop.local:8081"},
        {"Origin": "http://[bad"},
        {"Origin": HOST, "Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_another_sites_post_is_refused(hall, page, told):
    async with client(page) as browser:
        room = await join(browser)
        response = await browser.post("/r/town/say", data={**fields(room.text), "text": "x"}, headers=told)
    assert response.status_code == 403
    assert hall.said == []


async def test_a_browser_that_tells_only_a_referer_of_ours_may_write(hall, page):
    async with client(page) as browser:
        room = await join(browser)
        given = {**fields(room.text), "text": "old browser"}
        await browser.post("/r/town/say", data=given, headers={"Referer": HOST + "/r/town/"})
    assert [line.text for line in hall.said] == ["old browser"]


async def test_a_form_without_its_token_or_with_anothers_is_refused(hall, page):
    async with client(page) as browser, client(page) as other:
        room = await join(browser)
        theirs = await join(other, "Eve")
        for token in ("", "0" * 32, "ü", fields(theirs.text)["token"]):
            given = {**fields(room.text), "text": "x", "token": token}
            response = await browser.post("/r/town/say", data=given, headers={"Origin": HOST})
            assert response.status_code == 403
    assert hall.said == []


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ([(b"host", b"hilltop"), (b"host", b"evil.example")], 400),
        ([(b"host", b"hilltop"), (b"content-length", b"1"), (b"transfer-encoding", b"chunked")], 400),
        ([(b"host", b"hilltop"), (b"content-length", b"1"), (b"content-length", b"2")], 400),
        ([(b"host", b"hilltop"), (b"content-length", b"+5")], 400),
        ([(b"host", b"hilltop"), (b"content-length", b"65537")], 413),
        ([(b"host", b"hilltop"), (b"x-large", b"x" * 20_000)], 431),
    ],
)
async def test_what_two_readers_could_read_differently_is_refused(page, head, status):
    got, headers, _ = await asked(page, head, method="POST", path="/join")
    assert got == status
    assert headers["connection"] == "close"


async def test_a_body_over_64_kib_is_refused_however_it_is_sent(page):
    async def chunks():
        for _ in range(70):
            yield b"x" * 1024

    async with client(page) as browser:
        response = await browser.post("/join", content=chunks(), headers={"Origin": HOST})
    assert response.status_code == 413
    assert page.refused.by_status[413] == 1


async def test_a_path_that_is_too_long_is_refused(page):
    async with client(page) as browser:
        assert (await browser.get("/r/" + "x" * 2000 + "/")).status_code == 414


async def test_only_forms_change_anything(hall, page):
    async with client(page) as browser:
        await join(browser)
        for path in ("/join", "/r/town/say", "/r/town/react", "/r/town/cost"):
            response = await browser.get(path, params={"text": "x", "nick": "x"})
            assert response.status_code == 405
            assert response.headers["allow"] == "POST"
            assert "cannot be used like that" in response.text
        for path in ("/", "/r/town/lines", "/r/town/events"):
            assert (await browser.head(path)).status_code == 200
            assert (await browser.request("DELETE", path)).status_code == 405
        assert (await browser.get("/wp-login.php")).status_code == 404
    assert hall.said == []


async def test_a_household_that_posts_too_often_is_told_to_wait_and_others_are_not(hall):
    page = Page(hall, PageSettings(box="hilltop", port=8081), monotonic_s=lambda: 0.0)
    async with client(page) as browser, client(page, peer="192.168.4.21") as other:
        room = await join(browser)
        given = {**fields(room.text), "text": ""}
        answers = [await browser.post("/r/town/say", data=given, headers={"Origin": HOST}) for _ in range(60)]
        assert answers[0].status_code == 200
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await submit(other, await join(other, "Bo"), text="hi")).status_code == 200
    await page.close()


async def test_ten_thousand_nicknames_from_one_household_stop_after_twenty(hall):
    page = Page(hall, PageSettings(box="hilltop", port=8081), monotonic_s=lambda: 0.0)
    statuses = []
    async with client(page, cookies={}) as browser:
        start = await browser.get("/")
        for number in range(30):
            given = {**fields(start.text), "nick": f"nick{number}"}
            response = await browser.post("/join", data=given, headers={"Origin": HOST}, follow_redirects=False)
            browser.cookies.clear()
            statuses.append(response.status_code)
    await page.close()
    assert statuses.count(303) == 20
    assert set(statuses) == {303, 429}
    assert len(hall.persons) == 20


def test_ten_thousand_nicknames_are_all_there_may_be_until_old_ones_are_given_up(hall, monkeypatch):
    monkeypatch.setattr("bridges.lan.page.guests.MOST_GUESTS", 5)
    now = [0.0]
    guests = Guests(hall, None, lambda: now[0])
    assert all(guests.join(f"n{number}") is not None for number in range(5))
    assert guests.join("one more") is None
    now[0] = 31 * 24 * 3600
    assert guests.join("one more") is not None
    guests.close()


def test_who_takes_all_nicknames_there_are_keeps_nobody_out_for_longer_than_a_day(hall, monkeypatch):
    monkeypatch.setattr("bridges.lan.page.guests.MOST_GUESTS", 5)
    now = [0.0]
    guests = Guests(hall, None, lambda: now[0])
    _, mine = guests.join("ada")
    assert all(guests.join(f"n{number}") is not None for number in range(4))
    now[0] = 25 * 3600
    assert guests.who(mine).nick == "ada"
    guests._present.clear()
    assert all(guests.join(f"new {number}") is not None for number in range(4))
    assert guests.join("one more") is None
    assert guests.who(mine).nick == "ada"
    guests.close()


@pytest.mark.parametrize("more", [{"Origin": "http://evil.example"}, {"Referer": "http://evil.example/"}])
async def test_another_site_takes_no_place_of_those_who_read_along(page, more):
    async with client(page, headers=more) as browser:
        answer = await browser.get("/r/town/events")
        assert answer.status_code == 403
        assert (await browser.get("/r/town/")).status_code == 200  # a link


@pytest.mark.parametrize("path", ["/", "/help", "/qr", "/qr.svg", "/r/town/", "/r/town/lines"])
async def test_nothing_that_costs_more_than_a_file_is_read_without_end(hall, monkeypatch, path):
    monkeypatch.setattr(app, "READS", Rate(burst=3, per_s=1))
    page = Page(hall, PageSettings(box="hilltop", port=8081), monotonic_s=lambda: 0.0)
    async with client(page) as browser:
        statuses = [(await browser.get(path)).status_code for _ in range(4)]
    await page.close()
    assert statuses == [200, 200, 200, 429]


def test_an_ipv6_household_is_its_64():
    assert prefix_of("2001:db8:1:2:3:4:5:6") == prefix_of("2001:db8:1:2::9") != prefix_of("2001:db8:1:3::9")
    assert prefix_of("::ffff:192.168.4.20") == prefix_of("192.168.4.20") != prefix_of("192.168.4.21")
    assert prefix_of("fe80::1%wlan0") == "fe80::/64"


def test_buckets_are_as_many_as_they_may_be():
    buckets = Buckets(Rate(burst=1, per_s=0.5))
    assert buckets.take("first", 0.0) == 0
    assert buckets.take("first", 0.0) == 2.0
    assert buckets.take("first", 2.0) == 0
    for number in range(MOST_PREFIXES + 10):
        buckets.take(str(number), 3.0)
    assert len(buckets._left) == MOST_PREFIXES


def test_places_are_given_back():
    places = Places(each=1, most=2)
    with places.taken("a"):
        assert places.is_full("a")
        assert not places.is_full("b")
        with places.taken("b"):
            assert places.is_full("c")
    assert not places.is_full("a")
    assert not places._taken


async def test_nothing_that_is_logged_names_who_somebody_is(hall, page, capsys):
    async with client(page) as browser:
        room = await join(browser)
        capability = browser.cookies["crossband-8081"]
        hall.failure = RuntimeError(f"/g/{capability}/")
        failed = await browser.post(
            f"/g/{capability}/r/town/say", data={**fields(room.text), "text": "secret words"}, headers={"Origin": HOST}
        )
    assert failed.status_code == 500
    logged = "".join(capsys.readouterr())
    assert "RuntimeError" in logged
    assert capability not in logged
    assert "secret words" not in logged


async def test_noise_in_every_place_is_answered_in_words(page):
    """Random paths, forms and cookies: never a 500, always a page. Seeded by what it prints."""
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    dice = random.Random(seed)
    noise = [
        "../..",
        "\x00",
        "%",
        "é",
        "'\"><",
        "g/" + "A" * 43,
        "r/town/",
        "lines",
        "?before=-1",
        "9" * 30,
        "&reply=x",
    ]
    async with client(page) as browser:
        for _ in range(150):
            text = "/".join(dice.choices(noise, k=dice.randint(1, 4)))
            url = httpx.URL(HOST).copy_with(raw_path=quote("/" + text, safe="/?&=").encode())
            cookie = {"Cookie": "crossband-8081=" + re.sub(r"[^ -~]|;", "", text)}
            got = await browser.get(url, headers=cookie)
            sent = await browser.post("/join", content=text.encode(), headers={"Origin": HOST, **cookie})
            assert got.status_code < 500, text
            assert sent.status_code < 500, text


def test_the_capability_in_a_path_has_one_shape():
    assert app._CAPABILITY.fullmatch("/g/" + "A" * 43 + "/r/town/")
    assert not app._CAPABILITY.fullmatch("/g/" + "A" * 42 + "/r/town/")


async def test_a_body_that_never_ends_is_given_up(page, monkeypatch):
    monkeypatch.setattr("bridges.lan.page.guard.BODY_WITHIN_S", 0.01)
    never = asyncio.Event()
    sent = []

    async def receive():
        await never.wait()

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/join",
        "query_string": b"",
        "headers": [(b"host", b"hilltop")],
    }
    await page({**scope, "client": ("192.168.4.20", 1), "server": ("192.168.4.1", 80)}, receive, send)
    assert sent[0]["status"] == 408
