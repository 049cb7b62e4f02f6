# SPDX-License-Identifier: GPL-3.0-or-later
"""Every page there is, as axe-core sees it: the chat's, what it says when something is wrong, and the console's.

In a real browser, light and dark, on a phone and at a desk, with every other host blocked.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from bridges.lan.hall import Refusal
from gateway.api import create_app
from gateway.model import LinkDown
from gateway.servers import server_of
from tests.browsing import axe_or_skip, chromium, chromium_or_skip, served
from tests.contract.desk import open_desk
from tests.halls import MemoryHall

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = {"width": 360, "height": 640}
DESK = {"width": 1280, "height": 800}
LANGUAGES = ("en", "de", "es", "fr", "uk")
TOKEN = "a-token-that-is-long-enough"
MOST_BYTES = 25_000
PAPER = """{
    const root = document.documentElement, of = (one) => getComputedStyle(one).backgroundColor;
    if ([root, document.body].every((one) => of(one) === "rgba(0, 0, 0, 0)")) root.style.backgroundColor = "Canvas";
}"""
"""A page that gives no colours has the browser's own paper, dark where that is; axe would take it for white."""
looks = pytest.mark.parametrize(
    ("scheme", "viewport"),
    [
        pytest.param("light", DESK, id="light-desk"),
        pytest.param("dark", PHONE, id="dark-phone"),
        pytest.param("light", PHONE, id="light-phone", marks=pytest.mark.slow),
        pytest.param("dark", DESK, id="dark-desk", marks=pytest.mark.slow),
    ],
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    chromium_or_skip()
    axe_or_skip()
    async with chromium() as started:
        yield started


def peopled() -> MemoryHall:
    """Return a hall with a line of each kind."""
    hall = MemoryHall()
    hall.hear("Is the road to the bridge open?", name="Bea")
    hall.hear("Yes, since noon.", name="Ali", network="matrix", verified=True, reply_to=hall.said[0].id)
    hall.hear("Water at the school until six. " * 5, name="Олена", network="lan", late=True)
    hall.hear("x" * 200, name="A-name-as-long-as-may-be", network="page", state="radio: waiting, the channel is busy")
    hall.change(hall.hear("taken back"), gone=True, text="")
    return hall


@pytest_asyncio.fixture(loop_scope="module")
async def box():
    hall = peopled()
    async with served(hall) as port:
        yield hall, port


class Window:
    """A fresh browser window that notes what it asks whom."""

    def __init__(self, page):
        self.page = page
        self.faults = {}

    async def look(self, name):
        """Have axe look at what is shown, and see that nobody has to scroll sideways."""
        await self.page.wait_for_load_state()
        await self.page.evaluate(PAPER)
        found = [] if await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth") else ["too wide"]
        await self.page.evaluate(axe_or_skip())
        seen = await self.page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")
        found += [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in seen["violations"]]
        if found:
            self.faults[name] = found

    async def go(self, path, status=200):
        """Go somewhere, see the status, and look."""
        answer = await self.page.goto(path)
        assert answer.status == status, path
        await self.look(path)


@asynccontextmanager
async def window(browser, at, **options):
    asked = set()
    context = await browser.new_context(base_url=at, **options)
    context.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
    context.set_default_timeout(15_000)
    try:
        opened = Window(await context.new_page())
        yield opened
        assert opened.faults == {}
        assert asked <= {urlsplit(at).hostname}
    finally:
        await context.close()


async def join(page):
    await page.goto("/")
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_role("button", name="Join").click()
    await page.wait_for_url("**/r/town/")


@looks
async def test_every_page_of_the_chat(browser, box, scheme, viewport):
    hall, port = box
    async with window(browser, f"http://gateway.local:{port}", color_scheme=scheme, viewport=viewport) as seen:
        for path in ("/", "/help", "/qr", "/r/town/lines?hold=1", "/r/town/"):
            await seen.go(path)
        await join(seen.page)
        await seen.page.get_by_text("Yes, since noon.").first.wait_for()
        await seen.page.locator("details summary").click()
        await seen.look("room, who is there")
        await seen.page.get_by_role("link", name="Reply Bea").click()
        await seen.look("room, a reply")
        hall.refusal = Refusal(reason="slow mode: one line a minute", retry_after_s=30)
        await seen.page.get_by_label("Message from Ada").fill("too soon")
        await seen.page.get_by_role("button", name="Send", exact=True).click()
        await seen.page.get_by_text("slow mode: one line a minute").wait_for()
        await seen.look("room, a refusal")
        await seen.page.goto("/")
        await seen.page.get_by_label("Your name").fill("operator")
        await seen.page.get_by_role("button", name="Join").click()
        await seen.page.get_by_role("alert").wait_for()
        await seen.look("a name that is refused")


@looks
async def test_what_stands_between_writing_and_saying_without_script(browser, box, scheme, viewport):
    """The length that was asked for, and words that were just said; axe itself needs script, the page gets none."""
    _, port = box
    async with window(browser, f"http://gateway.local:{port}", color_scheme=scheme, viewport=viewport) as seen:
        await seen.page.route("**/a/chat.*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
        await join(seen.page)
        for button, shown in (("Check the length", "bytes left"), ("Send", ""), ("Send", "You said just that")):
            await seen.page.get_by_label("Message from Ada").fill("How long is it?")
            await seen.page.get_by_role("button", name=button, exact=True).click()
            await seen.page.wait_for_load_state()
            await seen.page.get_by_text(shown or "Message from Ada").first.wait_for()
            await seen.look(f"{button}: {shown}")
        await seen.page.locator(".skip").focus()
        await seen.look("the link past the lines, in sight")
        await seen.page.context.clear_cookies()
        await seen.go(f"/g/{'x' * 43}/r/town/")
        await seen.page.get_by_role("link", name="Join again").wait_for()


@looks
async def test_what_the_chat_says_when_something_is_wrong(browser, box, scheme, viewport):
    hall, port = box
    async with window(browser, f"http://gateway.local:{port}", color_scheme=scheme, viewport=viewport) as seen:
        await seen.go("/nothing", 404)
        await seen.go("/r/nowhere/", 404)
        await seen.go("/join", 405)
        await seen.go("/" + "a" * 1100, 414)
        for language in LANGUAGES:
            await seen.go(f"/nothing?lang={language}", 404)
        await join(seen.page)
        await seen.page.evaluate("document.querySelector('[name=token]').value = 'old'")
        async with seen.page.expect_navigation() as gone:
            await seen.page.evaluate("HTMLFormElement.prototype.submit.call(document.getElementById('say'))")
        assert (await gone.value).status == 403
        await seen.look("a form of yesterday")
        hall.failure = LinkDown("the disk refuses")
        await seen.page.goto("/r/town/")
        await seen.page.get_by_label("Message from Ada").fill("x")
        async with seen.page.expect_navigation() as gone:
            await seen.page.evaluate("HTMLFormElement.prototype.submit.call(document.getElementById('say'))")
        assert (await gone.value).status >= 400
        await seen.look("a disk that refuses")


@looks
async def test_what_a_phone_is_told_that_looks_for_the_internet(browser, box, scheme, viewport):
    _, port = box
    at = f"http://detectportal.firefox.com:{port}"
    async with window(browser, at, color_scheme=scheme, viewport=viewport) as seen:
        await seen.go("/canonical.html")
        await seen.page.get_by_role("button", name="Continue").click()
        await seen.page.get_by_text("Your device may stay").wait_for()
        await seen.look("continued")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_each_language(browser, box, language):
    _, port = box
    at = f"http://gateway.local:{port}"
    async with window(browser, at, color_scheme="dark", viewport=PHONE, locale=language) as seen:
        for path in ("/", "/help", "/qr", "/r/town/", "/r/help%2Fdesk/", "/r/town/lines?hold=1"):
            await seen.go(path)
            assert await seen.page.evaluate("document.documentElement.lang") == language


@asynccontextmanager
async def console(folder, more=""):
    """Serve the console as the gateway does, with something in each of its tables."""
    async with open_desk(folder, more) as desk:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
            server = server_of(create_app(desk, local=False))
            task = asyncio.create_task(server.serve(sockets=[sock]))
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as api:
                for text in ("waits", "too big " * 40):
                    said = await api.post("/api/v1/messages", json={"to": "radio/LongFast", "text": text})
                    assert said.status_code < 300, said.text
            await desk.fail(said.json()["deliveries"][0], reason="too big for one packet")
            try:
                yield port
            finally:
                server.should_exit = True
                await task


@looks
async def test_the_console_and_its_reference(browser, tmp_path, scheme, viewport):
    async with console(tmp_path) as port:
        at = f"http://localhost:{port}"
        async with window(browser, at, color_scheme=scheme, viewport=viewport) as seen:
            await seen.go("/")
            await seen.page.get_by_role("link", name="Stand still").click()
            await seen.page.get_by_text("Not refreshed by itself.").wait_for()
            await seen.look("/?still=1")
            await seen.go("/docs")


async def test_the_console_lets_in_by_the_token_as_a_password(browser, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    async with console(tmp_path, '[api]\nlisten = "127.0.0.1:0"\ntoken_file = "token"\n') as port:
        at = f"http://localhost:{port}"
        async with window(browser, at, http_credentials={"username": "anybody", "password": TOKEN}) as seen:
            await seen.go("/")
        context = await browser.new_context(base_url=at, http_credentials={"username": "x", "password": "wrong"})
        refused = await (await context.new_page()).goto("/")
        assert refused.status == 401
        await context.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_page_with_all_it_loads_is_more_than_25_kb_on_the_wire(box, language):
    hall, port = box
    for number in range(50):
        hall.hear(
            f"Повідомлення {number}: автобус о п'ятій, вода біля школи", name=f"Person {number}", state="radio: sent"
        )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as browser:
        for path in ("/", "/help", "/qr", "/r/town/", "/nothing"):
            sizes = await loaded(browser, f"{path}?lang={language}")
            assert 500 < sum(sizes.values()) < MOST_BYTES, sizes


async def loaded(browser, path):
    """Return the bytes of a page, and of all that it loads, as they were sent."""
    sizes, left = {}, [path]
    while left:
        one = left.pop()
        if one in sizes:
            continue
        async with browser.stream("GET", one, headers={"Accept-Encoding": "gzip, deflate"}) as answer:
            sent = b"".join([part async for part in answer.aiter_raw()])
        sizes[one] = len(sent)
        if answer.headers["content-type"].startswith("text/html"):
            text = (gzip.decompress(sent) if answer.headers.get("content-encoding") == "gzip" else sent).decode()
            found = re.findall(r'<(?:link|script|img|iframe)[^>]*(?:href|src)="([^"#]*)', text)
            assert all(each.startswith("/") and not each.startswith("//") for each in found), found
            left += [each.replace("&amp;", "&") for each in found]
    return sizes
