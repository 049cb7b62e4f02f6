# SPDX-License-Identifier: GPL-3.0-or-later
"""The chat page in a real browser: with script and without, by name and as localhost, small and large."""

from __future__ import annotations

import asyncio
import base64
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import segno

from tests.browsing import chromium, chromium_or_skip, served
from tests.halls import MemoryHall

pytestmark = pytest.mark.asyncio(loop_scope="module")

PHONE = {"width": 360, "height": 640}
DESK = {"width": 1280, "height": 800}
PATIENCE_MS = 15_000
SHOTS = os.environ.get("CROSSBAND_SCREENSHOTS")
"""A folder to keep pictures in, for somebody to look at."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    chromium_or_skip()
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def box():
    hall = MemoryHall()
    hall.hear("Is the road to the bridge open?", name="Bea")
    hall.hear("Yes, since noon.", name="Ali", network="matrix", verified=True, reply_to=hall.said[0].id)
    hall.hear("Water at the school until six. " * 5, name="Олена", network="lan", late=True)
    async with served(hall) as port:
        yield hall, port


@asynccontextmanager
async def tab(browser, box, *, host="gateway.local", **options):
    """A fresh browser window; at its end no other host was asked, and nothing was blocked or failed."""
    _, port = box
    asked, said = set(), []
    context = await browser.new_context(base_url=f"http://{host}:{port}", **{"viewport": PHONE, **options})
    context.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
    context.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    try:
        yield page
        assert asked <= {host}
        assert said == []
    finally:
        await context.close()


def expect(locator):
    from playwright.async_api import expect as playwrights

    playwrights.set_options(timeout=PATIENCE_MS)  # by itself it has another than what waits
    return playwrights(locator)


async def join(page, nick="Ada"):
    await page.goto("/")
    await page.get_by_label("Your name").fill(nick)
    await page.get_by_role("button", name="Join").click()
    await page.wait_for_url("**/r/town/")


async def shoot(page, name):
    if SHOTS:
        await page.screenshot(path=Path(SHOTS) / f"{name}.png")


async def fits(page):
    """Whether nobody has to scroll sideways."""
    return await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("host", ["gateway.local", "localhost"])
async def test_lines_come_and_go_live_where_there_is_script(browser, box, host):
    hall, _ = box
    async with tab(browser, box, host=host) as page:
        await join(page)
        await page.get_by_text("Yes, since noon.").first.wait_for()
        hall.hear("The bus comes at five.")
        line = page.get_by_text("The bus comes at five.")
        await line.wait_for()
        assert await page.locator("iframe").count() == 0
        await page.get_by_label("Message from Ada").fill("Thanks!")
        await page.get_by_text("188 bytes left, 1.3 s of airtime").wait_for()
        await page.get_by_label("Message from Ada").press("Enter")
        await page.locator(".line", has_text="Thanks!").get_by_text("radio: waiting").wait_for()
        await expect(page.get_by_label("Message from Ada")).to_have_value("")
        hall.change(hall.said[-1], state="radio: heard")
        await page.locator(".line", has_text="Thanks!").get_by_text("radio: heard").wait_for()
        assert await page.locator(".line", has_text="Thanks!").count() == 1
        assert await fits(page)
        await shoot(page, f"live-{host}")
    assert hall.said[-1].text == "Thanks!"


async def test_a_reply_and_a_sign_with_script(browser, box):
    hall, _ = box
    async with tab(browser, box) as page:
        await join(page)
        await page.get_by_label("Message from Ada").fill("half writ")
        await page.get_by_role("link", name="Reply Bea").click()
        await page.get_by_text("Bea: Is the road").first.wait_for()
        assert await page.get_by_label("Message from Ada").input_value() == "half writ"
        await shoot(page, "reply")
        await page.get_by_role("button", name="👍").click()
        await page.get_by_text("👍 1").wait_for()
        assert await page.get_by_label("Message from Ada").input_value() == "half writ"
        await page.get_by_role("link", name="Reply Ali").click()
        await page.get_by_label("Message from Ada").fill("good")
        await page.get_by_role("button", name="Send").click()
        await page.locator(".line", has_text="good").wait_for()
    assert hall.said[-1].reply_to == hall.said[1].id


async def test_what_is_typed_while_a_text_is_on_its_way_stays(browser, box):
    async with tab(browser, box) as page:
        await join(page)
        arrived = asyncio.Event()

        async def slowly(route):
            await arrived.wait()
            await route.continue_()

        await page.route("**/say", slowly)
        text = page.get_by_label("Message from Ada")
        await text.fill("first")
        await text.press("Enter")
        await text.fill("second, half")
        arrived.set()
        await page.locator(".line", has_text="first").wait_for()
        await expect(page.locator("#say")).not_to_have_attribute("aria-busy", "true")
        assert await text.input_value() == "second, half"


async def test_what_stands_around_the_lines_changes_while_the_page_is_open(browser, box, monkeypatch):
    monkeypatch.setattr("bridges.lan.page.around.AGAIN_S", 0.0)
    hall, _ = box
    async with tab(browser, box) as page:
        await join(page)
        assert not await page.locator("#notice").is_visible()
        rooms = hall.rooms()
        monkeypatch.setattr(hall, "rooms", lambda: (replace(rooms[0], notice="radio silence"), rooms[1]))
        hall.stands = "you asked to be heard on radio, and you may"
        hall.join("Bo", "another key")
        hall.hear("one more")  # or within a ping
        await page.locator("#notice").get_by_text("radio silence").wait_for()
        await page.locator("#standing").get_by_text("and you may").wait_for()
        await page.get_by_text("2 people at this page").wait_for()
        monkeypatch.setattr(hall, "rooms", lambda: rooms)
        hall.hear("one more")
        await page.locator("#notice").wait_for(state="hidden")


async def test_a_long_text_leaves_in_sight_what_it_takes(browser, box):
    async with tab(browser, box) as page:
        await join(page)
        await page.get_by_label("Message from Ada").fill("a long text \n" * 60)
        await page.get_by_text("of airtime").wait_for()
        seen = await page.locator("#cost").bounding_box()
        assert seen["y"] + seen["height"] <= PHONE["height"]


async def test_a_command_and_a_refusal_are_answered_with_script(browser, box):
    hall, _ = box
    async with tab(browser, box) as page:
        await join(page)
        text = page.get_by_label("Message from Ada")
        await text.fill("/who")
        await text.press("Enter")
        await page.get_by_text("you said /who").wait_for()
    from bridges.lan.hall import Refusal

    hall.refusal = Refusal(reason="slow mode: one line a minute", retry_after_s=30)
    context = await browser.new_context(base_url=f"http://gateway.local:{box[1]}", viewport=PHONE)
    page = await context.new_page()
    await join(page, "Bo")
    await page.get_by_label("Message from Bo").fill("too soon")
    await page.get_by_role("button", name="Send").click()
    await page.get_by_text("slow mode: one line a minute").wait_for()
    assert await page.get_by_label("Message from Bo").input_value() == "too soon"
    await context.close()


@pytest.mark.parametrize("host", ["gateway.local", "localhost"])
async def test_without_script_the_lines_load_themselves_and_typing_stays(browser, box, host, monkeypatch):
    monkeypatch.setattr("bridges.lan.page.reading.REFRESH_S", 1)
    hall, _ = box
    async with tab(browser, box, host=host, java_script_enabled=False) as page:
        await join(page)
        frame = page.frame_locator("iframe")
        await frame.get_by_text("Yes, since noon.").first.wait_for()
        await page.get_by_label("Message from Ada").fill("half a sent")
        hall.hear("The bus comes at five.")
        await frame.get_by_text("The bus comes at five.").wait_for()
        assert await page.get_by_label("Message from Ada").input_value() == "half a sent"
        await page.get_by_label("Message from Ada").fill("No script here")
        await page.get_by_role("button", name="Send").click()
        await frame.get_by_text("No script here").wait_for()
        await shoot(page, f"no-script-{host}")
        await frame.get_by_role("link", name="Reply Ali").click()
        await page.wait_for_url("**/r/town/?reply=*")
        await page.get_by_role("button", name="✅").click()
        await frame.get_by_text("✅ 1").wait_for()
        await page.get_by_label("Message from Ada").fill("x" * 300)
        await page.get_by_role("button", name="Send", exact=True).click()
        await page.get_by_text("2 radio packets, 2.6 s of airtime").wait_for()
        await shoot(page, f"preview-{host}")
        await page.get_by_role("button", name="Send all the same").click()
        await frame.get_by_text("x" * 300).wait_for()
    assert [line.text for line in hall.said[-2:]] == ["No script here", "x" * 300]


async def test_without_script_and_cookies_one_still_writes(browser, box):
    hall, _ = box
    async with tab(browser, box, java_script_enabled=False) as page:
        await join(page)
        (cookie,) = await page.context.cookies()
        await page.context.clear_cookies()  # as a captive portal's window does; the address is all that is left
        await page.goto(f"/g/{cookie['value']}/r/town/")
        await page.get_by_label("Message from Ada").fill("captive")
        await page.get_by_role("button", name="Send", exact=True).click()
        await page.frame_locator("iframe").get_by_text("captive").wait_for()
        assert "/g/" in page.url
        assert await page.context.cookies() == []
    assert hall.said[-1].text == "captive"


async def test_history_comes_by_a_link_and_a_tab_that_was_hidden_long_has_no_hole(browser, box):
    hall, _ = box
    for number in range(120):
        hall.hear(f"before {number}.")
    async with tab(browser, box) as page:
        await join(page)
        await page.get_by_text("before 119.").wait_for()
        assert await page.get_by_text("before 50.").count() == 0
        await page.get_by_role("link", name="Earlier messages").click()
        await page.get_by_text("before 50.").wait_for()
        await _show(page, is_shown=False)
        for number in range(150):
            hall.hear(f"while away {number}.")
        await _show(page, is_shown=True)
        await page.get_by_text("while away 149.").wait_for()
        await page.get_by_role("link", name="Earlier messages").click()
        await page.get_by_text("while away 70.").wait_for()
        ats = await page.locator(".line").evaluate_all("lines => lines.map(line => Number(line.dataset.at))")
    assert ats == list(range(ats[0], ats[0] + len(ats)))


async def _show(page, *, is_shown):
    """Pages without a screen are all in front: say it to the page as a browser would."""
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
    await page.evaluate(hide + "document.dispatchEvent(new Event('visibilitychange')) }", not is_shown)


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_a_room_fills_the_window_with_the_newest_line_and_the_field_to_write_in_sight(browser, box, script):
    hall, _ = box
    for number in range(60):
        hall.hear(f"before {number}.")
    async with tab(browser, box, java_script_enabled=script) as page:
        await join(page)
        lines = page if script else page.frame_locator("iframe")
        newest = lines.get_by_text("before 59.")
        await newest.wait_for()
        await expect(page.get_by_label("Message from Ada")).to_be_in_viewport(ratio=1)
        await expect(page.get_by_role("heading", name="town")).to_be_in_viewport(ratio=1)
        await expect(newest).to_be_in_viewport(ratio=1)
        if script:  # nothing of what only screen readers have is below the newest line
            end = "document.querySelector('.scroll').lastElementChild.getBoundingClientRect().bottom"
            assert await page.evaluate(f"document.querySelector('#lines').getBoundingClientRect().bottom - {end}") < 12


async def test_what_comes_while_nobody_looks_is_counted_marked_and_one_step_away(browser, box):
    hall, _ = box
    for number in range(60):
        hall.hear(f"before {number}.", name=f"Bea {number}")
    async with tab(browser, box) as page:
        await join(page)
        await page.get_by_text("before 59.").wait_for()
        await page.evaluate("document.hasFocus = () => false; document.querySelector('.scroll').scrollTop = 0")
        hall.hear("The bus comes.", name="Bea 59")
        hall.hear("It is late.", name="Bea 59")
        newest = page.get_by_role("button", name="To the newest")
        await newest.click()
        await expect(page.get_by_text("It is late.")).to_be_in_viewport()
        await expect(newest).to_be_hidden()
        assert await page.title() == "(2) town – hilltop"
        assert await page.locator(".unread .text").all_inner_texts() == ["The bus comes."]
        assert await page.locator(".same .text").all_inner_texts() == ["The bus comes.", "It is late."]
        assert await page.locator(".newday").count() == 1
        await page.evaluate("dispatchEvent(new Event('focus'))")
        assert await page.title() == "town – hilltop"


async def test_what_comes_for_one_alone_is_hinted_at_in_another_room_until_they_look(browser, box):
    hall, _ = box
    async with tab(browser, box) as page:
        await join(page)
        await page.get_by_text("Yes, since noon.").first.wait_for()
        await expect(page).to_have_title("town – hilltop")
        for count in ("1 new line", "2 new lines"):
            hall.hear("for Ada alone", room="~Ada@hilltop")
            await expect(page.locator("#whispers")).to_have_text(f"{count} for you alone")
        await expect(page).to_have_title("(2) town – hilltop")
        await page.reload()
        await expect(page).to_have_title("(2) town – hilltop")
        await page.get_by_role("link", name="~Ada@hilltop").click()
        await page.get_by_text("for Ada alone").first.wait_for()
        hall.hear("seen as it came", room="~Ada@hilltop")
        await page.get_by_text("seen as it came").wait_for()
        await page.get_by_role("link", name="town").click()
        await page.get_by_text("Yes, since noon.").first.wait_for()
        await expect(page).to_have_title("town – hilltop")
        await expect(page.locator("#whispers")).to_be_empty()


async def test_without_script_the_frame_tells_of_what_came_for_one_alone(browser, box, monkeypatch):
    monkeypatch.setattr("bridges.lan.page.reading.REFRESH_S", 1)
    hall, _ = box
    async with tab(browser, box, java_script_enabled=False) as page:
        await join(page)
        await page.frame_locator("iframe").get_by_text("Yes, since noon.").first.wait_for()
        hall.hear("for Ada alone", room="~Ada@hilltop")
        await page.frame_locator("iframe").get_by_role("link", name="1 new line for you alone").click()
        await page.wait_for_url("**/r/~Ada%40hilltop/")
        await page.frame_locator("iframe").get_by_text("for Ada alone").wait_for()


async def test_who_goes_back_without_script_and_sends_again_is_asked_first(browser, box):
    hall, _ = box
    async with tab(browser, box, java_script_enabled=False) as page:
        await join(page)
        field = page.get_by_label("Message from Ada")
        await field.fill("the ferry is late")
        await page.get_by_role("button", name="Send", exact=True).click()
        await page.frame_locator("iframe").get_by_text("the ferry is late").wait_for()
        await page.go_back()
        await expect(field).to_have_value("the ferry is late")  # as the browser fills it in
        await page.get_by_role("button", name="Send", exact=True).click()
        await page.get_by_text("You said just that a moment ago.").wait_for()
        assert [line.text for line in hall.said].count("the ferry is late") == 1
        await page.get_by_role("button", name="Send all the same").click()
        await page.wait_for_url("**/r/town/")
    assert [line.text for line in hall.said].count("the ferry is late") == 2


async def test_a_new_name_stands_everywhere_at_once(browser, box):
    hall, _ = box
    async with tab(browser, box) as page:
        await join(page)
        (ada,) = hall.persons.values()
        hall.persons[ada.key] = replace(ada, nick="Ida", id="~Ida@hilltop")
        await page.get_by_label("Message from Ada").fill("/nick Ida")
        await page.get_by_label("Message from Ada").press("Enter")
        await page.get_by_label("Message from Ida").wait_for()
        await page.get_by_text("1 person at this page").click()
        await page.locator(".people").get_by_text("Ida").wait_for()


async def test_the_stream_comes_again_after_the_box_went_away(browser, box):
    hall, _ = box
    async with tab(browser, box) as page:
        await join(page)
        await page.get_by_text("Yes, since noon.").first.wait_for()
        await page.context.set_offline(True)
        await page.context.set_offline(False)
        hall.hear("Are you back?")
        await page.get_by_text("Are you back?").wait_for()


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
async def test_the_code_on_the_wall_is_what_a_camera_sees(browser, box, viewport):
    """Every module of it, as it is on the screen, in the middle."""
    async with tab(browser, box, viewport=viewport, color_scheme="dark") as page:
        await page.goto("/qr")
        image = page.locator("img").first
        shown = base64.b64encode(await image.screenshot()).decode()
        address = f"http://gateway.local:{box[1]}/"
        assert await image.get_attribute("alt") == f"QR code of {address}"
        code = [list(row) for row in segno.make(address, error="m", micro=False).matrix_iter(border=4)]
        await page.goto("about:blank")  # where the page's own policy has no say over the picture
        seen = await page.evaluate(
            """async ([shown, size]) => {
                const image = new Image();
                image.src = "data:image/png;base64," + shown;
                await image.decode();
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [image.width, image.height];
                const pen = canvas.getContext("2d");
                pen.drawImage(image, 0, 0);
                const at = (n, whole) => Math.floor((n + 0.5) * whole / size);
                const red = (x, y) => pen.getImageData(at(x, image.width), at(y, image.height), 1, 1).data[0];
                return [...Array(size).keys()].map((y) => [...Array(size).keys()].map((x) => Number(red(x, y) < 128)));
            }""",
            [shown, len(code)],
        )
    assert seen == code


async def test_everything_is_reached_by_the_keyboard_alone(browser, box):
    hall, _ = box
    async with tab(browser, box) as page:
        await join(page)
        await page.get_by_text("Yes, since noon.").first.wait_for()
        await page.goto(page.url)
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to writing"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab") if await page.evaluate("document.activeElement.id") != "text" else None
        await page.get_by_label("Message from Ada").focus()
        await page.keyboard.type("by keyboard")
        await page.keyboard.press("Enter")
        await page.locator(".line", has_text="by keyboard").wait_for()
        assert await page.locator("[role=log][aria-live=polite] ol").count() == 1
    assert hall.said[-1].text == "by keyboard"


async def test_seven_tabs_of_one_browser_all_load(browser, box):
    """Browsers have six connections for a host: only the tab that is looked at may hold one."""
    async with tab(browser, box) as page:
        await join(page)
        for _ in range(7):
            another = await page.context.new_page()
            await another.goto("/r/town/")
            await another.get_by_text("Yes, since noon.").first.wait_for()
            await _show(another, is_shown=False)
