# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the embedded server on a disk that is full or read-only, and that it needs no hands."""

from __future__ import annotations

import asyncio
import errno
import shutil
import tempfile
from pathlib import Path

import pytest
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from gateway.model import StoreRefused, StoreUnavailable
from gateway.outbox.disk import Disk
from gateway.outbox.embedded import EmbeddedServer
from gateway.outbox.redis import RedisOutbox
from gateway.outbox.redis_server import vet
from gateway.outbox.server_log import ServerLog
from tests.contract.test_embedded_server import binary, client_of, running, until, until_ready
from tests.disks import BadClock, BadDisk, fill_up, mounted, remount

__all__ = ["binary"]

KIB = 1024


@pytest.fixture
def short(binary: Path):
    """A folder whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="xb"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def server_on(disk: Path, short: Path, fsync="everysec") -> EmbeddedServer:
    return EmbeddedServer(disk / "queue", short / "run", fsync=fsync)


async def write_until_refused(server: EmbeddedServer) -> int:
    """Write numbered values; return how many were acknowledged."""
    async with client_of(server) as client:
        for n in range(100_000):
            try:
                await client.set(f"n{n}", bytes(64 * KIB))
            except (RedisError, OSError):
                return n
    pytest.fail("it was never refused")


async def kept(server: EmbeddedServer) -> int:
    async with client_of(server) as client:
        return int(await client.dbsize())


async def asked(server: EmbeddedServer) -> str:
    """Return why the queue can't be used; empty if it can."""
    async with RedisOutbox(server.url, community="c") as outbox:
        try:
            await outbox.ping()
        except StoreUnavailable as error:
            return str(error)
    return ""


async def test_a_server_that_goes_on_with_a_full_disk_is_not_said_to_be_up_and_goes_on_by_itself(short: Path) -> None:
    with mounted(short / "disk", "48m") as disk:
        async with running(server_on(disk, short)) as server:
            filler = fill_up(disk)
            acknowledged = await write_until_refused(server)
            assert await asked(server) == "the queue's server can't write to its disk"
            pid = server.pid
            filler.unlink()
            async with asyncio.timeout(10):
                while await asked(server):
                    await asyncio.sleep(0.05)
            assert server.pid == pid
            assert await kept(server) in (acknowledged, acknowledged + 1)


async def test_a_server_that_ends_with_a_full_disk_is_left_alone_until_there_is_room(short: Path) -> None:
    """With fsync = always it ends rather than lie. Starting it again before there is room would only end it again."""
    with mounted(short / "disk", "48m") as disk, capture_logs() as logs:
        async with running(server_on(disk, short, "always")) as server:
            filler = fill_up(disk)
            acknowledged = await write_until_refused(server)
            await until(lambda: "disk" in server.status)
            assert "No space left on device" in server.status
            await asyncio.sleep(1.6)
            ends = [entry for entry in logs if entry["event"] == "embedded_server_ended"]
            assert len(ends) <= 2
            filler.unlink()
            await until_ready(server)
            assert await kept(server) in (acknowledged, acknowledged + 1)
            assert await asked(server) == ""
    assert len([entry for entry in logs if entry["event"] == "embedded_server_disk"]) == 1
    assert not list(disk.glob("queue/*/*quarantine*"))


async def test_on_a_read_only_disk_it_is_refused_with_the_reason_and_starts_when_that_can_be_written(
    short: Path,
) -> None:
    with mounted(short / "disk", "48m") as disk:
        async with running(server_on(disk, short)) as server, client_of(server) as client:
            await client.set("kept", "yes")
        remount(disk, "ro")
        with pytest.raises(StoreRefused, match="Read-only file system"):
            await server_on(disk, short).__aenter__()
        remount(disk, "rw")
        async with running(server_on(disk, short)) as server:
            assert await kept(server) == 1


async def test_a_disk_that_turns_read_only_under_it_costs_nothing_and_moves_nothing_aside(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = BadDisk(short, str(short / "queue"))
    for name, value in bad.environment.items():
        monkeypatch.setenv(name, value)
    async with running(server_on(short, short, "always")) as server:
        async with client_of(server) as client:
            await client.set("n", "0")
        bad.refuses(errno.EROFS)
        await write_until_refused(server)
        await until(lambda: not server.ready.is_set())
        await asyncio.sleep(1.5)
        bad.is_good()
        async with asyncio.timeout(15):
            await server.ready.wait()
        assert await kept(server) in (1, 2)
    assert not list(short.glob("queue/*/*quarantine*"))


async def test_after_the_clock_was_set_back_the_server_syncs_every_second_again(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself it would sync nothing before it is as late again as it was."""
    bad, clock = BadDisk(short, str(short / "queue")), BadClock(short)
    for name, value in {**bad.environment, **clock.environment}.items():
        monkeypatch.setenv(name, value)
    bad.takes(300)  # so that it can be seen
    async with running(server_on(short, short)) as server:
        keeping = asyncio.create_task(server.keep_syncing())
        assert await syncs(server)
        clock.is_ahead(-3 * 24 * 3600)
        server.clock_was_set_back()
        await syncs(server)  # one may have been under way
        async with asyncio.timeout(8):
            while not await syncs(server):
                pass
        assert await kept(server) == 1
        keeping.cancel()


async def syncs(server: EmbeddedServer) -> bool:
    """Write for more than a second; return whether anything of it was synced by the way."""
    seen = 0
    async with client_of(server) as client:
        for n in range(25):
            await client.set("n", n)
            seen += (await client.info("persistence"))["aof_pending_bio_fsync"]
            await asyncio.sleep(0.05)
    return seen > 3


@pytest.mark.parametrize(
    "said",
    [
        "Can't recover from AOF write error when the AOF fsync policy is 'always': No space left on device",
        "Fatal error: can't open the append-only manifest: Read-only file system",
        "Error writing the AOF manifest file: Input/output error",
    ],
)
def test_trouble_with_the_disk_is_not_taken_for_trouble_with_the_files(tmp_path: Path, said: str) -> None:
    log = ServerLog(tmp_path / "server.log")
    log.begin()
    log.path.write_text(said + "\n")
    assert log.disk_error() == said.rpartition(": ")[2]
    assert Disk(tmp_path).fault(log.disk_error(), is_sure=True)


def test_a_server_that_can_not_write_is_not_up() -> None:
    info = {"redis_version": "7.0.15", "aof_last_write_status": "err"}
    with pytest.raises(StoreUnavailable, match="can't write to its disk"):
        vet(info)
    assert str(vet({**info, "aof_last_write_status": "ok"})) == "redis 7.0.15"
