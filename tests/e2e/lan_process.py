# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways with a LAN bridge as processes of their own, and people at their pages without a browser."""

from __future__ import annotations

import asyncio
import html
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import httpx

from bridges.sim.box import GatewayBox, Wiring
from bridges.sim.loopback import LOOPBACK, free_port
from gateway.config import control_socket
from gateway.control import Control
from tests.pages import action, fields

WITHIN_S = 60.0
_NOWHERE = Wiring(homeserver="", user_id="", access_token="", room="", radio="")
_CONFIG = """\
[gateway]
name = "{name}"
data_dir = "data"
run_dir = "run"
[api]
listen = "127.0.0.1:{api}"
[bridges.lan]
kind = "lan"
{lan}
[permissions]
{permissions}
"""
_RADIO = """
[bridges.radio]
kind = "meshtastic"
connection = "serial:{port}"
airtime_share = "100%"
[[routes]]
name = "town"
join = ["radio/LongFast", "lan/town"]
"""


class LanProcess:
    """One gateway: its folder, its ports, its process."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        radio: Path | None = None,
        syncs: bool = False,
        permissions: str = "",
        ends: str = "",
        more: str = "",
        first: str = "",
        sync: int = 0,
    ) -> None:
        """`ends`: tables of what else it is at, with its route; `more`: of its LAN table; as TOML.

        `first`: see `GatewayBox`. `sync`: the port for other boxes; 0: any.
        """
        folder.mkdir(mode=0o700)
        self.name = name
        self.page = free_port()
        self.sync = sync or free_port()
        self.box = GatewayBox(folder, _NOWHERE, first=first)
        lan = f'page = "{LOOPBACK}:{self.page}"\n{more}'
        if syncs:
            lan += f'sync = "{LOOPBACK}:{self.sync}"\ndiscover = false\n'
        rest = _CONFIG.format(name=name, api=self.box.port, lan=lan, permissions=permissions)
        self.box.config.write_text(rest + (ends or (_RADIO.format(port=radio) if radio else _ROOM)))

    async def command(self, *words: str) -> str:
        """Run `crossband` at this box; return what it printed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "--config", str(self.box.config), *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"NO_COLOR": "1"},
        )
        async with asyncio.timeout(WITHIN_S):
            out, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        return out.decode()

    async def let_in(self, other: LanProcess) -> None:
        """Have another box become part of this one's community, as people do: by a code that is read out."""
        invited = await self.command("lan", "invite")
        code = next(line for line in invited.splitlines() if line.startswith("crossband lan join ")).split()[-1]
        await other.command("lan", "join", code)

    async def order(self, words: str) -> str:
        """Have a command of moderation done, as `crossband` does, without its start; return the answer."""
        control = Control(control_socket(self.box.config, {}))
        answer = await asyncio.to_thread(control.post, "/commands", {"command": words})
        return str(answer["answer"])

    @asynccontextmanager
    async def person(self, nick: str) -> AsyncIterator[PageUser]:
        """Somebody who joins at this box's page."""
        base = f"http://{LOOPBACK}:{self.page}"
        async with httpx.AsyncClient(base_url=base, follow_redirects=True, timeout=WITHIN_S) as browser:
            user = PageUser(browser, base)
            await user.join(nick)
            yield user


_ROOM = """
[[routes]]
name = "town"
join = ["lan/town"]
"""


class PageUser:
    """Somebody at a page: forms and links, as a browser without script has them."""

    def __init__(self, browser: httpx.AsyncClient, base: str) -> None:
        self._browser = browser
        self._base = base
        self._room: httpx.Response

    async def join(self, nick: str) -> None:
        """Take a nickname."""
        self._room = await self._submit(await self._browser.get("/"), nick=nick)
        assert self._room.status_code == 200, self._room.text

    async def say(self, text: str) -> None:
        """Fill in the form of the room and send it."""
        at = await self._browser.get(self._room.url)
        said = await self._submit(at, text=text)
        assert said.status_code == 200, said.text

    async def open(self, room: str) -> None:
        """Go to another room."""
        self._room = await self._browser.get(f"/r/{quote(room)}/")
        assert self._room.status_code == 200, self._room.text

    async def try_to_say(self, text: str) -> httpx.Response:
        """Fill in the form of the room and send it; return what the page says to that."""
        return await self._submit(await self._browser.get(self._room.url), text=text)

    async def page_holds(self, words: str) -> bool:
        """Whether these stand in the room's page around its lines."""
        return words in html.unescape((await self._browser.get(self._room.url)).text)

    async def lines(self) -> str:
        """Return the room's lines as the page shows them."""
        path = str(self._room.url).split("?", maxsplit=1)[0].split("#", maxsplit=1)[0]
        shown = await self._browser.get(f"{path}lines")
        return html.unescape(shown.text)

    async def wait(self, holds: str | Callable[[str], bool]) -> str:
        """Return the lines once this is in them."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                lines = await self.lines()
                if holds in lines if isinstance(holds, str) else holds(lines):
                    return lines
                await asyncio.sleep(0.2)

    async def _submit(self, at: httpx.Response, **given: str) -> httpx.Response:
        to = action(at.text[_form_at(at.text) :])
        return await self._browser.post(to, data={**fields(at.text), **given}, headers={"Origin": self._base})


def _form_at(text: str) -> int:
    found = re.search(r'<form[^>]*method="post"', text)
    assert found is not None, text
    return found.start()
