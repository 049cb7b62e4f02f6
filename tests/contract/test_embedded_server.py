# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded server comes back from whatever is done to it, and refuses what would ruin it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.model import BridgeName, StoreRefused, StoreUnavailable
from gateway.outbox import embedded
from gateway.outbox.binary import engine_of, find_binary, read_engine
from gateway.outbox.embedded import EmbeddedServer
from gateway.outbox.redis import RedisOutbox
from gateway.outbox.redis_client import connect
from gateway.outbox.redis_server import Engine, vet
from gateway.outbox.redis_server import engine_of as engine_of_info


@pytest.fixture(scope="module")
def binary() -> Path:
    try:
        return find_binary(None)
    except StoreRefused as refusal:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(refusal))


@pytest.fixture
def folder(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: it holds a socket."""
    return tmp_path_factory.mktemp("q")


def server_in(folder: Path) -> EmbeddedServer:
    return EmbeddedServer(folder / "queue", folder / "run", fsync="always")


@contextlib.asynccontextmanager
async def running(server: EmbeddedServer) -> AsyncIterator[EmbeddedServer]:
    async with server:
        task = asyncio.create_task(server.run())
        try:
            await until_ready(server)
            yield server
        finally:
            task.cancel()
            await asyncio.wait([task])


async def until_ready(server: EmbeddedServer) -> None:
    async with asyncio.timeout(15):
        await server.ready.wait()


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Wait for what no event tells: another process, a file."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.asynccontextmanager
async def client_of(server: EmbeddedServer) -> AsyncIterator[Redis]:
    client = connect(server.url, key="any")
    try:
        yield client
    finally:
        await client.aclose()


async def write(server: EmbeddedServer, value: str) -> None:
    async with client_of(server) as client:
        await client.set("kept", value)


async def read(server: EmbeddedServer) -> str | None:
    async with client_of(server) as client:
        value = await client.get("kept")
        return value.decode() if value else None


async def test_it_starts_private_and_fit_for_a_queue(folder: Path) -> None:
    async with running(server_in(folder)) as server:
        async with RedisOutbox(server.url, community="c") as outbox:
            await outbox.ping()
        assert stat.S_IMODE((folder / "run" / "queue.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "queue").stat().st_mode) == 0o700
        async with client_of(server) as client:
            assert (await client.config_get("port"))["port"] == "0"
        assert "running valkey" in server.status or "running redis" in server.status
        pid = server.pid
    assert pid
    assert not is_alive(pid)


async def test_a_killed_server_is_back_without_a_pause_with_its_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_PAUSES_S", (3600.0,))
    async with running(server_in(folder)) as server:
        await write(server, "before")
        for _ in range(3):
            assert server.pid
            os.kill(server.pid, signal.SIGKILL)
            await until(lambda: not server.ready.is_set())
            await until_ready(server)
            assert await read(server) == "before"


async def test_an_open_outbox_goes_on_with_a_server_that_came_back(folder: Path) -> None:
    radio = BridgeName("radio")
    async with running(server_in(folder)) as server, RedisOutbox(server.url, community="c") as outbox:
        await outbox.put(radio, "box", after=0, upto=7, deliveries=[])
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: not server.ready.is_set())
        with contextlib.suppress(StoreUnavailable):
            await outbox.ping()
        await until_ready(server)
        assert await outbox.cursor(radio, "box") == 7


async def test_data_outlives_a_stop(folder: Path) -> None:
    async with running(server_in(folder)) as server:
        await write(server, "kept")
    async with running(server_in(folder)) as server:
        assert await read(server) == "kept"


async def test_a_second_gateway_is_refused(folder: Path) -> None:
    async with running(server_in(folder)) as server:
        with pytest.raises(StoreRefused, match="another gateway"):
            await server_in(folder).__aenter__()
        await write(server, "still there")


GATEWAY = """
import asyncio, sys
from pathlib import Path
from gateway.outbox.embedded import EmbeddedServer

async def main():
    folder = Path(sys.argv[1])
    async with EmbeddedServer(folder / "queue", folder / "run") as server:
        task = asyncio.create_task(server.run())
        await server.ready.wait()
        print(server.pid, flush=True)
        await task

asyncio.run(main())
"""


@pytest.fixture
def gateway(folder: Path) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", GATEWAY, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:
        yield process
        process.kill()


def pid_said_by(gateway: subprocess.Popen[str]) -> int:
    assert gateway.stdout
    return next(int(line) for line in iter(gateway.stdout.readline, "") if line.strip().isdigit())


async def test_a_killed_gateway_takes_its_server_with_it(folder: Path, gateway: subprocess.Popen[str]) -> None:
    pid = await asyncio.to_thread(pid_said_by, gateway)
    gateway.kill()
    await until(lambda: not is_alive(pid))


async def test_a_gateway_started_at_once_after_a_kill_waits_for_the_orphan(
    folder: Path, gateway: subprocess.Popen[str]
) -> None:
    pid = await asyncio.to_thread(pid_said_by, gateway)
    gateway.kill()
    gateway.wait()
    async with running(server_in(folder)) as server:
        assert not is_alive(pid)
        await write(server, "mine")


async def test_a_stopped_orphan_is_waited_for_and_said(folder: Path, gateway: subprocess.Popen[str]) -> None:
    pid = await asyncio.to_thread(pid_said_by, gateway)
    os.kill(pid, signal.SIGSTOP)
    gateway.kill()
    gateway.wait()
    server = server_in(folder)
    try:
        async with server:
            task = asyncio.create_task(server.run())
            await until(lambda: "earlier gateway" in server.status)
            os.kill(pid, signal.SIGCONT)
            await until_ready(server)
            task.cancel()
            await asyncio.wait([task])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def increment_of(folder: Path) -> Path:
    return next((folder / "queue").glob("*/appendonlydir/*.incr.aof"))


@pytest.mark.parametrize("tail", [bytes(8192), b"\x93random garbage\xff" * 40, b"*2\r\n$3\r\nSET\r\n$9999\r\nhalf"])
async def test_a_damaged_tail_is_cut_off_and_kept(folder: Path, tail: bytes) -> None:
    async with running(server_in(folder)) as server:
        await write(server, "kept")
    with increment_of(folder).open("ab") as file:
        file.write(tail)
    async with running(server_in(folder)) as server:
        assert await read(server) == "kept"
    assert not list((folder / "queue").glob("*/*quarantine*"))


async def test_the_tail_that_was_cut_off_is_kept_beside_it(folder: Path) -> None:
    async with running(server_in(folder)) as server:
        await write(server, "kept")
    with increment_of(folder).open("ab") as file:
        file.write(bytes(4096))
    damaged = increment_of(folder).read_bytes()
    async with running(server_in(folder)):
        pass
    (backup,) = (folder / "queue").glob("*/*.damaged-*")
    assert backup.read_bytes() == damaged


async def test_a_set_that_cannot_be_loaded_is_moved_aside_whole(folder: Path) -> None:
    async with running(server_in(folder)) as server:
        await write(server, "lost")
    base = next((folder / "queue").glob("*/appendonlydir/*.base.rdb"))
    base.write_bytes(b"NOTANRDB" + base.read_bytes()[8:])
    damaged = base.read_bytes()
    async with running(server_in(folder)) as server:
        assert await read(server) is None
        await write(server, "new")
    (aside,) = (folder / "queue").glob("*/appendonlydir.quarantine-*")
    assert (aside / base.name).read_bytes() == damaged


async def test_another_engines_data_is_refused_and_left_alone(folder: Path) -> None:
    async with running(server_in(folder)) as server:
        await write(server, "theirs")
    stamp = folder / "queue" / "engine.json"
    own = json.loads(stamp.read_text())
    for foreign in ({**own, "engine": "other"}, {**own, "version": "99.0"}):
        stamp.write_text(json.dumps(foreign))
        with pytest.raises(StoreRefused, match="was written by"):
            await server_in(folder).__aenter__()
    stamp.write_text("{")
    with pytest.raises(StoreRefused, match="can't be read"):
        await server_in(folder).__aenter__()
    stamp.write_text(json.dumps({**own, "version": "1.0"}))
    async with running(server_in(folder)) as server:
        assert await read(server) == "theirs"
    assert json.loads(stamp.read_text()) == own


async def test_a_socket_path_that_no_kernel_takes_is_refused(folder: Path) -> None:
    with pytest.raises(StoreRefused, match="too long"):
        await EmbeddedServer(folder / "queue", folder / ("x" * 90)).__aenter__()


async def test_a_directory_that_cannot_be_made_is_refused(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(StoreRefused, match="can't use"):
        await EmbeddedServer(folder / "file" / "queue", folder / "r").__aenter__()


async def test_a_program_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(StoreRefused, match="server_path"):
        await EmbeddedServer(folder / "q", folder / "r", server_path=folder / "none").__aenter__()


async def test_a_program_that_is_no_server_is_refused(folder: Path) -> None:
    with pytest.raises(StoreRefused):
        await EmbeddedServer(folder / "q", folder / "r", server_path=Path("/bin/true")).__aenter__()


@pytest.fixture
def evicting(folder: Path, binary: Path) -> Iterator[Path]:
    path = folder / "s"
    given = {"port": "0", "unixsocket": path, "save": "", "dir": folder, "maxmemory-policy": "allkeys-lru"}
    arguments = [word for key, value in given.items() for word in (f"--{key}", value)]
    with subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL) as process:
        yield path
        process.terminate()


async def test_a_server_that_evicts_is_refused(evicting: Path) -> None:
    await until(evicting.exists)
    async with RedisOutbox(f"unix://{evicting}", community="c") as outbox:
        with pytest.raises(StoreRefused, match="allkeys-lru"):
            await outbox.ping()


def test_the_program_says_what_it_is(binary: Path) -> None:
    assert engine_of(binary).name in {"valkey", "redis"}
    line = "Valkey server v=9.1.2 sha=00000000:0 malloc=libc bits=64 build=6e2b1a"
    assert read_engine(line) == Engine("valkey", (9, 1, 2))


@pytest.mark.parametrize("line", ["Redis server v=6.2.14 sha=0", "Valkey server v=7.1 x", "Garnet 1.0", ""])
def test_a_program_too_old_or_unknown_is_refused(line: str) -> None:
    with pytest.raises(StoreRefused):
        read_engine(line)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"redis_version": "6.2.14"}, "too old"),
        ({"redis_version": "7.2.4", "valkey_version": "7.1.9"}, "too old"),
        ({"redis_version": "7.4.0", "dragonfly_version": "1.2.3"}, "dragonfly"),
        ({"redis_version": "7.0.0", "maxmemory_policy": "volatile-ttl"}, "volatile-ttl"),
        ({"redis_version": "7.0.0", "role": "slave"}, "replica"),
        ({"redis_version": "7.0.0", "cluster_enabled": 1}, "Cluster"),
        ({"redis_version": "seven"}, "version"),
    ],
)
def test_a_server_that_cannot_hold_a_queue_is_refused(info: dict[str, object], reason: str) -> None:
    with pytest.raises(StoreRefused, match=reason):
        vet(info)


@pytest.mark.parametrize(
    ("info", "engine"),
    [
        ({"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "role": "master"}, "redis 7.0.15"),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.0-rc1"}, "valkey 7.2.0"),
    ],
)
def test_a_server_that_can_is_taken(info: dict[str, object], engine: str) -> None:
    assert str(vet(info)) == str(engine_of_info(info)) == engine
