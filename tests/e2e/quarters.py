# SPDX-License-Identifier: GPL-3.0-or-later
"""One homeserver and one gateway, in either mode, and four rooms, each with a radio of its own and two people in it."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bridges.sim.airwaves import Airwaves, Heard
from bridges.sim.box import GatewayBox, Wiring
from bridges.sim.control import SimProcess
from bridges.sim.loopback import LOOPBACK, free_port
from bridges.sim.synapse import Account, Synapse
from bridges.sim.town import TIME_SCALE
from gateway.model import PENDING
from tests.appservice import Registered
from tests.e2e.world import LISTENER, WITHIN_S
from tests.peers.js_peer import JsPeer, Sight, js_peer
from tests.peers.nio_peer import NioPeer, nio_peer

KINDS = (("11", False), ("12", False), ("11", True), ("12", True))
"""Versions of the rooms, and whether they are encrypted."""
CREATORS = {"bot": ("nio", "js", "js", "nio"), "appservice": ("js", "nio", "nio", "js")}
"""Whose client makes which of them."""
NAMES = {"nio": "Nia", "js": "Jess"}


def relates(sight: Sight) -> dict[str, Any]:
    """Return what an event says of others: it is in clear also where the rest isn't."""
    found = sight.wire_content.get("m.relates_to") or sight.content.get("m.relates_to")
    return dict(found or {})


@dataclass(kw_only=True)
class Someone:
    """Somebody with a client."""

    kind: str
    account: Account
    peer: JsPeer | NioPeer

    @property
    def id(self) -> str:
        return self.account.user_id

    @property
    def name(self) -> str:
        return NAMES[self.kind]


@dataclass(kw_only=True)
class Quarter:
    """One room with its radio."""

    version: str
    encrypted: bool
    radio: Airwaves
    bridge: str
    """The radio's."""
    people: dict[str, Someone]
    creator: Someone
    room_id: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    """What one row leaves for the next: by its name and whose it is."""

    @property
    def channel(self) -> str:
        return f"{self.bridge}/LongFast"

    @property
    def name(self) -> str:
        return f"v{self.version} {'encrypted' if self.encrypted else 'plain'}"

    async def heard(self, wanted: str | Callable[[Heard], bool], *, node: str = LISTENER) -> Heard:
        """Wait until a far radio got this, or something like it, from the gateway's."""
        fits = (lambda heard: heard.text == wanted) if isinstance(wanted, str) else wanted
        return await self.radio.heard.wait_for(
            lambda heard: fits(heard) and heard.node == node and heard.sender == self.radio.gateway,
            timeout_s=WITHIN_S,
        )


class District:
    """All of it."""

    def __init__(self, mode: str, home: Registered, folder: Path, *, has_guests: bool) -> None:
        self.has_guests = has_guests
        self.mode = mode
        self.home = home
        self.folder = folder
        self.quarters: list[Quarter] = []
        self.bot = ""
        self.token = ""
        """The gateway's own, in bot mode."""
        self.box: GatewayBox

    @property
    def server(self) -> Synapse:
        return self.home.server

    async def call(self, who: Someone, method: str, path: str, body: Any = None) -> Any:
        """Ask the client-server API for somebody: what a client's buttons do that the peers have none for."""
        return await self.server.request(method, f"/_matrix/client/v3/{path}", body, token=who.account.access_token)

    async def member(self, who: Someone, room_id: str, user_id: str, is_there: str = "join") -> dict[str, Any]:
        """Wait until somebody's membership is this, as `who` is told; return it."""
        for _ in range(int(WITHIN_S / 0.1)):
            found = await self.call(who, "GET", f"rooms/{quote(room_id)}/state/m.room.member/{quote(user_id)}")
            if found.get("membership") == is_there:
                return dict(found)
            await asyncio.sleep(0.1)
        raise AssertionError(f"{user_id} isn't {is_there} in {room_id}: {found}")

    async def ask(self, who: Someone, room_id: str, words: str) -> str:
        """Give the gateway a command; return its answer."""
        asked = await who.peer.say(room_id, words)
        answer = await who.peer.wait_for(
            lambda sight: (
                relates(sight).get("m.in_reply_to", {}).get("event_id") == asked
                and (sight.sender, sight.type) == (self.bot, "m.room.message")
            )
        )
        assert answer.content["msgtype"] == "m.notice"
        return answer.body

    async def settled(self, bridge: str) -> None:
        """Wait until nothing is on its way there: until then an answer can be quicker than what the network tells."""

        async def is_settled() -> bool:
            states = (await self.box.status())["deliveries"].get(bridge, {})
            return not any(states.get(state) for state in PENDING)

        await self.box.wait_until(is_settled, timeout_s=WITHIN_S)

    def is_from(self, sight: Sight, node: str, quarter: Quarter) -> None:
        """Check that a message looks as one of that node's should: a ghost's, or under its name by the gateway."""
        number = quarter.radio.nodes[node]
        if self.mode == "appservice" and not quarter.encrypted:
            assert sight.sender == f"@mesh_{number:08x}:{self.server.server_name}"
            assert "com.beeper.per_message_profile" not in sight.content
        else:
            assert sight.sender == self.bot
            assert sight.content["com.beeper.per_message_profile"]["displayname"] == node
            assert sight.body.startswith(f"{node}: ") or sight.type != "m.room.message"
        if quarter.encrypted:
            assert (sight.wire_type, sight.shield) == ("m.room.encrypted", "none")


@asynccontextmanager
async def district(mode: str, home: Registered, *, has_guests: bool) -> AsyncIterator[District]:
    """Build it around a homeserver that knows the gateway's registration; without guests each room has its maker."""
    folder = Path(tempfile.mkdtemp(prefix="cb-"))  # pytest's names are too long for the sockets in it
    made = District(mode, home, folder, has_guests=has_guests)
    try:
        async with AsyncExitStack() as stack:
            await _bot(made)
            await asyncio.gather(*(_quarter(made, at, *kind, stack) for at, kind in enumerate(KINDS)))
            made.quarters.sort(key=lambda quarter: quarter.bridge)
            made.box = GatewayBox(folder / "box", _wiring(made))
            made.box.write_config()
            made.box.config.write_text(_toml(made))
            await stack.enter_async_context(made.box)
            await asyncio.gather(*(_room(made, quarter) for quarter in made.quarters))
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _someone(made: District, kind: str, stack: AsyncExitStack) -> Someone:
    account = await made.server.register_user(f"{kind}-{secrets.token_hex(3)}")
    if kind == "js":
        peer: Any = await stack.enter_async_context(js_peer(made.server.url, account))
    else:
        peer = await stack.enter_async_context(nio_peer(made.server.url, account, made.folder / account.user_id[1:12]))
    who = Someone(kind=kind, account=account, peer=peer)
    await made.call(who, "PUT", f"profile/{quote(who.id)}/displayname", {"displayname": NAMES[kind]})
    return who


async def _bot(made: District) -> None:
    if made.mode == "appservice":  # it makes its user itself
        made.bot = f"@crossband-{secrets.token_hex(3)}:{made.server.server_name}"
        return
    account = await made.server.register_user(f"bot-{secrets.token_hex(3)}")
    made.bot, made.token = account.user_id, account.access_token


async def _quarter(made: District, at: int, version: str, encrypted: bool, stack: AsyncExitStack) -> None:
    mesh = await stack.enter_async_context(
        SimProcess(made.folder / f"mesh{at}", time_scale=TIME_SCALE, numbers_from=f"a1b2c{at}00")
    )
    radio = await stack.enter_async_context(Airwaves(mesh.directory))
    maker = CREATORS[made.mode][at]
    people = {kind: await _someone(made, kind, stack) for kind in NAMES if made.has_guests or kind == maker}
    made.quarters.append(
        Quarter(
            version=version, encrypted=encrypted, radio=radio, bridge=f"radio{at}", people=people, creator=people[maker]
        )
    )


async def _room(made: District, quarter: Quarter) -> None:
    creator = quarter.creator
    guests = [one for one in quarter.people.values() if one is not creator]
    sealed = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    # The creator of a room of version 12 stands above all levels and must not be among them.
    users = {made.bot: 50, **{guest.id: 50 for guest in guests}}
    wish = {
        "room_version": quarter.version,
        "invite": [made.bot, *(guest.id for guest in guests)],
        "initial_state": [sealed] if quarter.encrypted else [],
        "power_level_content_override": {"users": users | ({creator.id: 100} if quarter.version == "11" else {})},
    }
    quarter.room_id = (await made.call(creator, "POST", "createRoom", wish))["room_id"]
    for guest in guests:
        await guest.peer.join(quarter.room_id)
    await made.member(creator, quarter.room_id, made.bot)


def _wiring(made: District) -> Wiring:
    return Wiring(
        homeserver=made.server.url, user_id=made.bot, access_token=made.token, room="#none:gw.test", radio="none"
    )


def _toml(made: District) -> str:
    port = made.home.port if made.mode == "appservice" else free_port()
    home = {
        "kind": "matrix",
        "mode": made.mode,
        "homeserver": made.server.url,
        "user_id": made.bot,
        "allow_encrypted": "ask",
        "listen": f"{LOOPBACK}:{port}",
    } | (
        {"registration_file": str(made.home.file)}
        if made.mode == "appservice"
        else {"access_token_file": "secrets/matrix.token"}
    )
    box = made.box
    tables: dict[str, dict[str, Any]] = {
        "gateway": {"name": "hilltop", "data_dir": str(box.folder / "data"), "run_dir": str(box.folder / "run")},
        "queue": {"url": "embedded"},
        "api": {"listen": f"{LOOPBACK}:{box.port}"},
        "bridges.home": home,
        "bridges.home.files": {"url": f"http://{LOOPBACK}:{port}"},
        "permissions": {'"*"': "commands"},
    }
    for at, quarter in enumerate(made.quarters):
        serial = f"serial:{made.folder / f'mesh{at}' / 'radio'}"
        tables[f"bridges.{quarter.bridge}"] = {
            "kind": "meshtastic",
            "connection": serial,
            "positions": "on",
            "airtime_share": "100%",
        }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )
