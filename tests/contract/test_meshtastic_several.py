# SPDX-License-Identifier: GPL-3.0-or-later
"""Several boards on one box: which is whose, and what happens when they come, go, trade places or hang."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bridges.meshtastic import kind
from bridges.meshtastic.bridge import MeshtasticBridge
from bridges.meshtastic.connection import SerialPath
from bridges.meshtastic.convert import packet_id
from bridges.meshtastic.register import Register
from bridges.sim import Hang, PtyPort, SimMesh, swap
from gateway.model import Address, BridgeContext, BridgeName, LinkDown, TransientError
from tests.contract.harness import Reader
from tests.contract.harness_meshtastic import SCALE, ScaledClock, said

HILL, RIDGE = "!a1b2c300", "!a1b2c301"
TRIES = 12


@dataclass
class Box:
    """A gateway's box: a mesh around it, boards in its ports, bridges that share a process."""

    mesh: SimMesh
    ports: Path
    clock: ScaledClock
    register: Register = field(default_factory=Register)
    counts: Counter[str] = field(default_factory=Counter)

    def bridge(self, name: str, connection: str = "serial:auto", **table: Any) -> MeshtasticBridge:
        raw = {"kind": "meshtastic", "connection": connection, **table}
        kind.check(raw)
        context = BridgeContext(
            name=BridgeName(name),
            table=raw,
            state_dir=self.ports,
            clock=self.clock,
            random=random.Random(),
            count=lambda what: self.counts.update([what]),
        )
        return MeshtasticBridge(context, boards=self.boards, register=self.register)

    def boards(self) -> list[SerialPath]:
        return [SerialPath(str(path)) for path in sorted(self.ports.iterdir())]


@asynccontextmanager
async def box(tmp_path: Path, *, scale: float = SCALE) -> AsyncIterator[Box]:
    ports = tmp_path / "ports"
    ports.mkdir()
    async with SimMesh(time_scale=scale) as mesh:
        yield Box(mesh, ports, ScaledClock(scale))


@asynccontextmanager
async def up(bridge: MeshtasticBridge) -> AsyncIterator[Reader]:
    """Connect as the supervisor does, trying again after a pause, and receive."""
    reasons = []
    for _ in range(TRIES):
        try:
            await bridge.__aenter__()
            break
        except LinkDown as error:
            reasons.append(str(error))
            await bridge._context.clock.sleep(1.0)
    else:
        pytest.fail(f"{bridge.name} found nothing: {reasons}")
    try:
        async with Reader(bridge) as reader:
            yield reader
    finally:
        await bridge.__aexit__(None, None, None)


async def send(bridge: MeshtasticBridge, body: str, *, key: str) -> None:
    """Send as the sender does: under one key, until it is taken."""
    for _ in range(TRIES):
        try:
            await bridge.send(said(body), Address(bridge.name, "LongFast"), key=key)
        except TransientError:
            await bridge._context.clock.sleep(1.0)
        else:
            return
    pytest.fail("it was never taken")


def port_of(bridge: MeshtasticBridge) -> str:
    return Path(bridge.describe()["port"]).name


@pytest.mark.parametrize("wanted", [(HILL, RIDGE), (RIDGE, HILL)])
async def test_two_searches_at_once_end_each_at_its_own_board(tmp_path: Path, wanted: tuple[str, str]):
    async with (
        box(tmp_path) as here,
        PtyPort(here.mesh, here.ports / "a"),
        PtyPort(here.mesh, here.ports / "b", node="RDGE"),
    ):
        one, other = (here.bridge(name, node=node) for name, node in zip(("one", "other"), wanted, strict=True))
        ends: list[tuple[str, str]] = []
        together = asyncio.Barrier(2)

        async def live(bridge: MeshtasticBridge) -> None:
            async with up(bridge):
                ends.append((port_of(bridge), bridge.describe()["node"]))
                await together.wait()

        await asyncio.gather(live(one), live(other))

    assert sorted(ends) == [("a", HILL), ("b", RIDGE)]


async def test_a_search_for_no_certain_board_takes_one_that_nobody_else_is_for(tmp_path: Path):
    async with (
        box(tmp_path) as here,
        PtyPort(here.mesh, here.ports / "a"),
        PtyPort(here.mesh, here.ports / "b", node="RDGE"),
        PtyPort(here.mesh, here.ports / "c", node="MRKT"),
    ):
        any_of_them = here.bridge("any")
        for_hill = here.bridge("hill", node=HILL)
        fixed = here.bridge("fixed", f"serial:{here.ports / 'b'}")
        async with up(any_of_them), up(for_hill), up(fixed):
            found = [port_of(each) for each in (any_of_them, for_hill, fixed)]

    assert found == ["c", "a", "b"]


async def test_a_board_that_is_not_there_is_named_with_what_is(tmp_path: Path):
    async with box(tmp_path) as here, PtyPort(here.mesh, here.ports / "a"):
        with pytest.raises(LinkDown, match=rf"^{RIDGE} is not found: .*/a: this is {HILL}, wanted {RIDGE}$"):
            await here.bridge("ridge", node=RIDGE).__aenter__()
        with pytest.raises(LinkDown, match=r"/nothing: is not there; boards that are: .*/a$"):
            await here.bridge("fixed", f"serial:{tmp_path / 'nothing'}").__aenter__()


async def test_a_board_that_is_another_bridges_is_let_go_with_all_that_it_kept(tmp_path: Path):
    async with box(tmp_path) as here, PtyPort(here.mesh, here.ports / "a", notices_close=False) as port:
        here.mesh["MRKT"].say("for the hill")
        await here.mesh["HILL"].wait_text("for the hill")
        for _ in range(2):
            with pytest.raises(LinkDown, match=f"this is {HILL}, wanted {RIDGE}") as refused:
                await here.bridge("ridge", f"serial:{port.path}", node=RIDGE).__aenter__()
        assert refused.value.retry_after_s
        assert not port.firmware.has_client
        here.mesh["MRKT"].say("and this")
        await here.mesh["HILL"].wait_text("and this")

        async with up(here.bridge("hill", f"serial:{port.path}", node=HILL)) as reader:
            await reader.until(lambda r: len(r.bodies) == 2)

    assert reader.bodies == ["for the hill", "and this"]


async def test_a_wrong_board_leaves_nothing_of_itself_behind(tmp_path: Path):
    async with (
        box(tmp_path) as here,
        PtyPort(here.mesh, here.ports / "a") as port,
        PtyPort(here.mesh, here.ports / "b", node="RDGE") as another,
    ):
        bridge = here.bridge("hill", f"serial:{port.path}", node=HILL)
        async with up(bridge):
            before = (bridge.foresee("d.0"), bridge.describe()["node"])
        swap(port, another)
        with pytest.raises(LinkDown, match=f"this is {RIDGE}, wanted {HILL}"):
            await bridge.__aenter__()

        assert (bridge.foresee("d.0"), bridge.describe()["node"]) == before


async def test_boards_that_trade_places_while_they_run_are_found_again(tmp_path: Path):
    async with (
        box(tmp_path) as here,
        PtyPort(here.mesh, here.ports / "a") as hill,
        PtyPort(here.mesh, here.ports / "b", node="RDGE") as ridge,
    ):
        bridges = [here.bridge("hill", node=HILL), here.bridge("ridge", node=RIDGE)]
        began = asyncio.Barrier(3)

        async def live(bridge: MeshtasticBridge) -> tuple[str, str]:
            async with up(bridge) as reader:
                await began.wait()
                await reader.until(lambda r: r.failure is not None)
            async with up(bridge):
                return port_of(bridge), bridge.describe()["node"]

        async def trade() -> None:
            await began.wait()
            swap(hill, ridge)

        *ends, _ = await asyncio.gather(*(live(bridge) for bridge in bridges), trade())

    assert ends == [("b", HILL), ("a", RIDGE)]


async def test_a_board_that_is_plugged_in_later_is_found(tmp_path: Path):
    async with box(tmp_path, scale=5) as here:
        late = PtyPort(here.mesh, here.ports / "a")
        with pytest.raises(LinkDown, match="no USB board"):
            await here.bridge("hill").__aenter__()
        asyncio.get_running_loop().call_later(0.2, late.plug)
        async with asyncio.timeout(15), up(here.bridge("hill", node=HILL)):
            pass
        late.unplug()


async def test_another_node_at_the_same_port_is_said_and_its_number_is_ours(tmp_path: Path):
    async with (
        box(tmp_path) as here,
        PtyPort(here.mesh, here.ports / "a") as port,
        PtyPort(here.mesh, here.ports / "b", node="RDGE") as another,
    ):
        bridge = here.bridge("radio", f"serial:{port.path}")
        async with up(bridge):
            assert "replaces" not in bridge.describe()
            await send(bridge, "from the hill", key="d1.0")
        swap(port, another)
        async with up(bridge):
            facts = bridge.describe()
            await send(bridge, "from the ridge", key="d2.0")
            heard = [await here.mesh["RIVR"].wait_text(f"from the {place}") for place in ("hill", "ridge")]
        native_id = bridge.foresee("d2.0").native_id

    assert (facts["node"], facts["replaces"]) == (RIDGE, HILL)
    assert [f"!{each.sender:08x}" for each in heard] == [HILL, RIDGE]
    assert native_id == f"mt:a1b2c301:{packet_id('d2.0'):08x}"


async def test_a_hub_whose_power_goes_in_the_middle_of_sends_costs_no_text(tmp_path: Path):
    async with (
        box(tmp_path) as here,
        PtyPort(here.mesh, here.ports / "a") as hill,
        PtyPort(here.mesh, here.ports / "b", node="RDGE") as ridge,
    ):
        bridges = [here.bridge("hill", node=HILL), here.bridge("ridge", node=RIDGE)]
        here.mesh.link("HILL", "RDGE", loss=1.0)  # else one would wait for the other's copy

        async def live(bridge: MeshtasticBridge) -> None:
            sending = None
            for _ in range(2):
                async with up(bridge) as reader:
                    sending = sending or asyncio.create_task(
                        send(bridge, f"from {bridge.name}", key=f"{bridge.name}.0")
                    )
                    done = asyncio.create_task(reader.until(lambda r: r.failure is not None))
                    await asyncio.wait([sending, done], return_when=asyncio.FIRST_COMPLETED)
                    done.cancel()
                    if sending.done():
                        break
            await sending

        async def cut() -> None:
            await asyncio.gather(hill.wait_client(), ridge.wait_client())
            hill.faults.lose_frame = ridge.faults.lose_frame = 1.0
            await here.clock.sleep(1.0)
            hill.faults.lose_frame = ridge.faults.lose_frame = 0.0
            hill.power_cycle()
            ridge.power_cycle()
            hill.path, ridge.path = ridge.path, hill.path

        await asyncio.gather(cut(), *(live(bridge) for bridge in bridges))
        await asyncio.gather(*(here.mesh["RIVR"].wait_text(f"from {bridge.name}") for bridge in bridges))

    texts = [each.text for each in here.mesh["RIVR"].heard]
    assert sorted(texts) == ["from hill", "from ridge"]


async def test_a_board_that_hangs_is_left_opened_anew_and_then_said_to_need_hands(tmp_path: Path):
    async with box(tmp_path, scale=100) as here, PtyPort(here.mesh, here.ports / "a") as port:
        bridge = here.bridge("hill", f"serial:{port.path}")
        async with up(bridge) as reader:
            port.firmware.hang = Hang.DEAF
            with pytest.raises(TransientError):
                await bridge.send(said("into a wall"), Address(bridge.name, "LongFast"), key="d1.0")
            await reader.until(lambda r: r.failure is not None)
        assert "does not answer any more" in str(reader.failure)
        reasons = []
        for _ in range(4):
            with pytest.raises(LinkDown) as silent:
                await bridge.__aenter__()
            reasons.append("reset button" in str(silent.value))
        port.power_cycle()
        await asyncio.sleep(0.05)
        async with up(bridge):
            await send(bridge, "into a wall", key="d1.0")
            await here.mesh["RIVR"].wait_text("into a wall")

    assert reasons == [False, False, True, True]


async def test_a_radio_that_takes_texts_and_says_nothing_of_them_is_believed_to_have_sent_them_once(tmp_path: Path):
    async with box(tmp_path) as here, PtyPort(here.mesh, here.ports / "a") as port:
        bridge = here.bridge("hill", f"serial:{port.path}")
        async with up(bridge):
            port.firmware.hang = Hang.NO_STATUS
            await send(bridge, "no word of it", key="d1.0")
            await here.mesh["RIVR"].wait_text("no word of it")

    assert [each.text for each in here.mesh["RIVR"].heard] == ["no word of it"]


async def test_a_board_that_floods_its_debug_log_still_gets_its_texts_through(tmp_path: Path):
    line = b"\x1b[34mDEBUG\x1b[0m | ??:??:?? 12 [Router] Received \x94\xc3 nonsense\r\n" * 40
    async with box(tmp_path) as here, PtyPort(here.mesh, here.ports / "a") as port:
        bridge = here.bridge("hill", f"serial:{port.path}")
        async with up(bridge) as reader:
            for number in range(20):
                port.noise(line)
                here.mesh["MRKT"].say(f"text {number}")
                await here.clock.sleep(3)
            await send(bridge, "and back", key="d1.0")
            await here.mesh["RIVR"].wait_text("and back")
            await reader.until(lambda r: len(r.bodies) == 20)

    assert reader.bodies == [f"text {number}" for number in range(20)]


_LOCKING = "import fcntl; fcntl.flock(fd, fcntl.LOCK_EX)"
_HOLD = "import os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); {}; print(flush=True); sys.stdin.read()"


@pytest.mark.parametrize("how", [_LOCKING, "pass"], ids=["locked", "merely open"])
async def test_a_port_that_another_program_holds_is_named_with_the_program(tmp_path: Path, how: str):
    async with box(tmp_path) as here, PtyPort(here.mesh, here.ports / "a") as port:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _HOLD.format(how), str(port.path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert program.stdout
        await program.stdout.readline()
        with pytest.raises(LinkDown, match=rf"/a: is in use by \S+ \(pid {program.pid}\)"):
            await here.bridge("hill", f"serial:{port.path}").__aenter__()
        await program.communicate(b"")
        async with up(here.bridge("hill", f"serial:{port.path}")):
            pass


async def test_a_port_that_another_bridge_holds_is_named_with_the_bridge(tmp_path: Path):
    async with box(tmp_path) as here, PtyPort(here.mesh, here.ports / "a") as port:
        (tmp_path / "same").symlink_to(port.path)
        async with up(here.bridge("hill", f"serial:{port.path}")):
            with pytest.raises(LinkDown, match=r"/same: is in use by the bridge hill$"):
                await here.bridge("twin", f"serial:{tmp_path / 'same'}").__aenter__()
            with pytest.raises(LinkDown, match=r"/a: is in use by the bridge hill$"):
                await here.bridge("auto").__aenter__()
