# SPDX-License-Identifier: GPL-3.0-or-later
"""`crossband radio` with a gateway that holds the radio, and with none; and its routes in the API."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from meshtastic.protobuf.mesh_pb2 import FromRadio

from bridges.meshtastic.boards import Board
from bridges.meshtastic.session import Session
from bridges.sim import PtyPort, SimMesh
from gateway.api import create_app
from gateway.cli.app import main
from gateway.control import Control, NotRunning
from gateway.model import BridgeName, LinkDown
from tests.contract.desk import Desk, open_desk, serving
from tests.contract.harness_meshtastic import ScaledClock, air, bridge_on
from tests.contract.test_meshtastic_settings import admin_of, kept_up, overheard

RADIO = BridgeName("radio")
CONFIG = """\
[gateway]
name = "hilltop"
data_dir = "{data}"

[bridges.radio]
kind = "meshtastic"
connection = "serial:{port}"

[[routes]]
name = "town"
from = ["radio/LongFast"]
to = ["radio/Town"]
"""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


HOLD = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, 2); print('held', flush=True); input()"

Ask = Callable[..., Awaitable[Ended]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """`await ask("radio", "show")` in a directory with a configuration; the radio's line is `radio` in it."""
    (tmp_path / "crossband.toml").write_text(CONFIG.format(data=tmp_path / "data", port=tmp_path / "radio"))
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*args: str) -> Ended:
        with pytest.raises(SystemExit) as caught:
            main(args)
        out, err = capsys.readouterr()
        return Ended(int(caught.value.code or 0), out, err)

    async def ask(*args: str) -> Ended:
        return await asyncio.to_thread(run, *args)

    return ask


@pytest.fixture
async def desk(tmp_path: Path, ask: Ask) -> AsyncIterator[Desk]:
    folder = tmp_path / "desk"
    folder.mkdir()
    async with open_desk(folder) as desk:
        yield desk


# With no gateway.


async def test_a_radio_is_shown_though_no_gateway_runs(ask: Ask, tmp_path: Path):
    async with SimMesh() as mesh, PtyPort(mesh, tmp_path / "radio") as port:
        table, whole = await ask("radio", "show"), await ask("radio", "show", "radio", "-o", "json")

        assert port.firmware.admin.orders == []
    told = json.loads(whole.out)
    assert (table.code, whole.code) == (0, 0)
    assert "LONG_FAST: SF11, 250 kHz, 4/5" in table.out
    assert "default (public)" in table.out
    assert "warning: channel 0 (LongFast) has a key that everybody has" in table.err
    assert told["node"] == mesh.gateway.identity.id
    assert told["channels"][0]["bridged"]


async def test_a_frame_that_fails_shows_nothing_of_what_is_in_it(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    take = Session.take

    def fail(session: Session, said: FromRadio, now: float) -> Any:
        if said.config.HasField("security"):
            raise RuntimeError("a mistake of ours")
        return take(session, said, now)

    monkeypatch.setattr(Session, "take", fail)
    async with SimMesh() as mesh, PtyPort(mesh, tmp_path / "radio"):
        ended = await ask("radio", "show")

    assert "a mistake of ours" in ended.err
    assert "_key: " not in ended.err + ended.out  # as a protobuf writes it
    assert "locals" not in ended.err + ended.out


async def test_a_port_that_another_program_holds_is_named_with_its_holder(ask: Ask, tmp_path: Path):
    async with SimMesh() as mesh, PtyPort(mesh, tmp_path / "radio"):
        holder = await asyncio.create_subprocess_exec(
            "python3", "-c", HOLD,
            str(tmp_path / "radio"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout is not None
        await holder.stdout.readline()
        ended = await ask("radio", "show")
        await holder.communicate(b"\n")

    assert ended.code == 1
    assert "is in use by python3 (pid" in ended.err
    assert f"(pid {holder.pid})" in ended.err


async def test_nothing_is_said_to_the_radio_without_yes(ask: Ask, tmp_path: Path):
    async with air(tmp_path) as network:
        heard = overheard(network)
        shown = await ask("radio", "show")
        looked = len(heard)
        planned = await ask("radio", "set", "radio", "preset=MEDIUM_FAST", "hop_limit=4")
        half = await ask("radio", "set", "radio", "preset=MEDIUM_FAST", "--yes")

        orders = admin_of(network).orders
    assert shown.code == 0
    assert (planned.code, half.code) == (1, 1)
    assert [line.split() for line in planned.out.splitlines() if "preset" in line] == [
        ["preset", "LONG_FAST", "MEDIUM_FAST"]
    ]
    assert "add --yes --cut-off" in planned.err
    assert orders == []
    kinds = {payload[:1] for payload in heard}
    assert kinds == {payload[:1] for payload in heard[:looked]}, "more than a greeting and a goodbye"
    assert b"\x0a" not in kinds, "a packet"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["nonsense=1"], "can't be set here"),
        (["region=MOON"], "there is no region"),
        (["hop_limit=9"], "from 1 to 7"),
        (["channel.1.key=c2VjcmV0"], "a file with it"),
        (["channel.1.key=@nowhere"], "No such file"),
        (["preset"], "KEY=VALUE"),
    ],
)
async def test_what_cannot_be_set_is_wrong_use(ask: Ask, tmp_path: Path, changes: list[str], words: str):
    async with SimMesh() as mesh, PtyPort(mesh, tmp_path / "radio"):
        ended = await ask("radio", "set", "radio", *changes, "--yes")

    assert ended.code == 2
    assert words in " ".join(ended.err.replace("│", " ").split())
    assert "c2VjcmV0" not in ended.err


async def test_the_list_names_bridges_without_a_gateway(ask: Ask):
    ended = await ask("radio", "list", "-o", "json")
    (row,) = [one for one in json.loads(ended.out) if one["bridge"]]

    assert (ended.code, row["bridge"], row["state"]) == (0, "radio", "no gateway runs")


async def test_boards_that_nobody_holds_are_asked_who_they_are_on_demand_only(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bridges.meshtastic.direct.WallClock", ScaledClock)
    found = [
        Board(path=str(tmp_path / name), device=str(tmp_path / name), vendor=0x239A, product=0x8029, name="WisCore")
        for name in ("radio", "gone")
    ]
    monkeypatch.setattr("bridges.meshtastic.commands.plugged_in", lambda: found)
    async with air(tmp_path) as network:
        heard = overheard(network)
        quiet = await ask("radio", "list", "-o", "json")
        assert heard == []
        asked = await ask("radio", "list", "--ask", "-o", "json")
        own = network.mesh.gateway.identity

    assert [row["node"] for row in json.loads(quiet.out)] == ["", ""]
    radio, gone = json.loads(asked.out)
    assert (radio["bridge"], radio["node"]) == ("radio", f"{own.id} {own.long_name}")
    assert "is not there" in gone["state"]
    assert admin_of(network).orders == []


async def test_which_radio_is_meant_is_asked(ask: Ask):
    ended = await ask("radio", "show", "sea")

    assert ended.code == 2
    assert "no radio bridge called 'sea'" in ended.err


async def test_settings_are_changed_though_no_gateway_runs(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bridges.meshtastic.direct.WallClock", ScaledClock)
    (tmp_path / "key").write_text(base64.b64encode(bytes(range(32))).decode() + "\n")
    async with air(tmp_path) as network:
        changes = ["channel.1.key=@key", "long_name=Summit"]
        done = await ask("radio", "set", "radio", *changes, "--yes", "--cut-off")
        again = await ask("radio", "set", "radio", *changes, "--yes", "--cut-off")
        saved = admin_of(network).saved

    assert (done.code, again.code) == (0, 0), done.err
    assert "done, and read back" in done.err
    assert "so already" in again.err
    assert (saved.owner.long_name, saved.channels[1].settings.psk) == ("Summit", bytes(range(32)))
    assert base64.b64encode(bytes(range(32))).decode() not in done.out + done.err


async def test_what_a_radio_keeps_as_it_was_is_said(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bridges.meshtastic.direct.WallClock", ScaledClock)
    async with air(tmp_path) as network:
        admin_of(network).refused_regions = {"LORA_24"}
        ended = await ask("radio", "set", "radio", "region=LORA_24", "--yes", "--cut-off")

    assert ended.code == 1
    assert "kept region US" in ended.err


async def test_a_command_that_is_killed_in_the_middle_leaves_the_radio_as_it_was(ask: Ask, tmp_path: Path):
    async with air(tmp_path, scale=1.0) as network:
        admin = admin_of(network)
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "--config", str(tmp_path / "crossband.toml")),
            *("radio", "set", "radio", "hop_limit=5", "long_name=Summit", "--yes"),
            cwd=Path(__file__).parents[2],
            stderr=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            while "set_config" not in admin.orders:
                await asyncio.sleep(0.01)
        command.kill()
        await command.wait()
        network.port.reboot()
        await asyncio.sleep(0)

        assert "commit_edit_settings" not in admin.orders
        assert admin.now_set.sections["lora"].lora.hop_limit == 3


async def test_a_node_in_software_has_no_settings_of_its_own(ask: Ask, tmp_path: Path):
    path = tmp_path / "crossband.toml"
    path.write_text(path.read_text().replace(f"serial:{tmp_path / 'radio'}", "udp:lo"))
    ended = await ask("radio", "set", "radio", "hop_limit=4", "--yes")

    assert ended.code == 2
    assert "those in the configuration" in ended.err


# With a gateway.


async def test_the_running_gateway_is_asked_for_its_radio(ask: Ask, desk: Desk, tmp_path: Path):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path, routed=("LongFast",))
        desk.adjustables[RADIO] = bridge
        _point_at(desk, tmp_path)
        async with kept_up(bridge), serving(desk):
            shown = await ask("radio", "show")
            planned = await ask("radio", "set", "radio", "short_name=SUM")
            before = list(admin_of(network).orders)
            done = await ask("radio", "set", "radio", "short_name=SUM", "--yes")
            refused = await ask("radio", "set", "radio", "short_name=TOOLONG", "--yes")
        saved = admin_of(network).saved

    assert "Hilltop gateway (HILL)" in shown.out
    assert (planned.code, before) == (1, [])
    assert (done.code, saved.owner.short_name) == (0, "SUM"), done.err
    assert refused.code == 2
    assert "1 to 4 bytes" in refused.err


async def test_the_api_shows_plans_and_changes_settings(desk: Desk, tmp_path: Path):
    transport = httpx.ASGITransport(app=create_app(desk, local=False), raise_app_exceptions=False)
    async with air(tmp_path) as network, httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        bridge = bridge_on(network, tmp_path)
        desk.adjustables[RADIO] = bridge
        path = "/api/v1/bridges/radio/settings"
        early = await api.get(path)
        async with kept_up(bridge):
            told = await api.get(path)
            planned = await api.post(path, json={"settings": {"preset": "SHORT_FAST"}})
            refused = await api.post(path, json={"settings": {"preset": "SHORT_FAST"}, "yes": True})
            assert admin_of(network).orders == []
            done = await api.post(path, json={"settings": {"preset": "SHORT_FAST"}, "yes": True, "cut_off": True})
            wrong = await api.post(path, json={"settings": {"preset": "FAST"}})
        others = [await api.get(f"/api/v1/bridges/{name}/settings") for name in ("home", "sea")]

    assert (early.status_code, told.status_code) == (409, 200)
    assert told.json()["settings"]["region"] == "US"
    assert (planned.json()["done"], planned.json()["alterations"][0]["becomes"]) == (False, "SHORT_FAST")
    assert refused.status_code == 409
    assert "it takes cut_off" in refused.json()["detail"]
    assert (done.status_code, done.json()["done"]) == (200, True)
    assert (wrong.status_code, [one.status_code for one in others]) == (422, [404, 404])


async def test_a_gateway_that_goes_away_in_the_middle_is_not_taken_for_done(
    ask: Ask, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with air(tmp_path) as network:
        bridge = bridge_on(network, tmp_path)
        desk.adjustables[RADIO] = bridge
        _point_at(desk, tmp_path)
        post = Control.post

        def gone(control: Control, path: str, body: Any = None, **headers: str) -> Any:
            if body.get("yes"):
                raise NotRunning("no gateway is running")
            return post(control, path, body, **headers)

        monkeypatch.setattr(Control, "post", gone)
        async with kept_up(bridge), serving(desk):
            ended = await ask("radio", "set", "radio", "short_name=SUM", "--yes")

    assert ended.code == 1
    assert "the gateway stopped meanwhile" in ended.err


async def test_a_gateway_that_does_not_answer_is_not_taken_for_none(ask: Ask, desk: Desk, tmp_path: Path):
    _point_at(desk, tmp_path)
    path = desk.settings.gateway.control_socket
    path.parent.mkdir(parents=True, exist_ok=True)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_unix_server(hang_up, path)
    async with server:
        ended = await ask("radio", "show")

    assert ended.code == 1
    assert "the gateway does not answer" in ended.err


async def test_a_radio_that_cannot_be_reached_is_said(desk: Desk, tmp_path: Path):
    class Gone:
        def settings(self) -> dict[str, object]:
            return {}

        def alterations(self, wanted: object) -> list[object]:
            from gateway.model import Alteration

            return [Alteration(key="tx", was="off", becomes="on")]

        async def adjust(self, wanted: object) -> list[object]:
            raise LinkDown("the cable is out")

    desk.adjustables[RADIO] = Gone()  # type: ignore[assignment]
    transport = httpx.ASGITransport(app=create_app(desk, local=False), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        answer = await api.post("/api/v1/bridges/radio/settings", json={"settings": {"tx": "on"}, "yes": True})

    assert (answer.status_code, answer.json()["detail"]) == (503, "the cable is out")


def _point_at(desk: Desk, folder: Path) -> None:
    """Let the command find the desk's socket where the configuration's gateway would have its own."""
    path, run_dir = folder / "crossband.toml", desk.settings.gateway.run_dir
    path.write_text(path.read_text().replace("[bridges.radio]", f'run_dir = "{run_dir}"\n\n[bridges.radio]'))
