# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue that refuses, is full, read-only, locked, lost or nonsense: each says so in words, and costs no message."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis

from bridges.sim.loopback import free_port
from gateway.clock import SystemClock
from gateway.model import BridgeName, OutboxError, StoreRefused, StoreUnavailable
from gateway.outbox.redis import RedisOutbox
from tests.contract.delivery_desk import running_core
from tests.queue_servers import Node, Sentinel, Server, cluster, running, state, until

RADIO = BridgeName("radio")
DOCUMENTED = "resetkeys ~xb:* +info +time +eval +evalsha +@hash +@sortedset +@list +@set +@string +@keyspace"
"""What docs/operate.md says a user of the queue needs."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="xb") as name:
        yield Path(name)


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with running(made := Server(folder)):
        yield made


@asynccontextmanager
async def queue(url: str, password_file: Path | None = None) -> AsyncIterator[RedisOutbox]:
    community = uuid.uuid4().hex
    async with RedisOutbox(
        url, community=community, shared=True, now_ms=SystemClock().now_ms, password_file=password_file
    ) as outbox:
        yield outbox


async def put(outbox: RedisOutbox) -> None:
    await outbox.put(RADIO, "box", after=0, upto=0, deliveries=[])


async def told(outbox: RedisOutbox, *, by: Any = RedisOutbox.ping) -> tuple[type[OutboxError] | None, str]:
    """What the gateway is told: the kind of error and the reason; None while all is well."""
    try:
        await by(outbox)
    except OutboxError as error:
        return type(error), str(error)
    return None, ""


async def ends_well(outbox: RedisOutbox, *, by: Any = RedisOutbox.ping) -> None:
    """Nobody does anything but ask, as the gateway does; in the end it is well."""
    async with asyncio.timeout(20):
        while await told(outbox, by=by) != (None, ""):
            await asyncio.sleep(0.05)


# --- what it says ----------------------------------------------------------------------------------


async def test_a_port_where_nobody_listens() -> None:
    async with queue(f"redis://127.0.0.1:{free_port()}") as outbox:
        kind, reason = await told(outbox)
    assert kind is StoreUnavailable
    assert "can't be reached" in reason


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:right@"])
async def test_a_wrong_or_missing_password_is_refused_without_being_told(folder: Path, login: str) -> None:
    with running(server := Server(folder, password="right")):
        async with queue(f"redis://{login}127.0.0.1:{server.port}") as outbox:
            kind, reason = await told(outbox)
    assert kind is StoreRefused
    assert "refused the login: mend user and password in [queue] url, or its password_file" in reason
    assert "wrong" not in reason
    assert "right" not in reason


async def test_a_password_file_that_is_mended_needs_no_restart(folder: Path) -> None:
    secret = folder / "password"
    with running(server := Server(folder, password="right")):
        async with queue(server.url, secret) as outbox:
            assert "password_file can't be read" in (await told(outbox))[1]
            secret.write_text("wrong\n")
            assert (await told(outbox))[0] is StoreRefused
            secret.write_text("right\n")
            assert await told(outbox) == (None, "")
            assert await told(outbox, by=put) == (None, "")


async def test_a_user_who_may_not(server: Server) -> None:
    server("ACL", "SETUSER", "box", "on", ">word", "~*", "+time")
    async with queue(f"redis://box:word@127.0.0.1:{server.port}") as outbox:
        kind, reason = await told(outbox)
        assert kind is StoreRefused
        assert "mend its ACL" in reason
        await asyncio.to_thread(server, "ACL", "SETUSER", "box", *DOCUMENTED.split())
        await ends_well(outbox)
        await put(outbox)
        fence = await outbox.acquire(RADIO, "hill", now_ms=0, ttl_ms=1000)
        assert fence is not None
        await outbox.claim(fence, now_ms=0, visible_ms=1, limit=1, run=1)


async def test_a_replica_is_named_as_one_and_its_promotion_is_noticed(folder: Path, server: Server) -> None:
    with running(replica := Server(folder, "--replicaof", f"127.0.0.1 {server.port}")):
        until(
            lambda: "master_link_status:up" in str(replica("INFO", "replication")) or replica("ROLE")[3] == "connected"
        )
        async with queue(replica.url) as outbox:
            assert await told(outbox) == (
                StoreRefused,
                "the queue's server is a replica: name the primary in [queue] url, or its Sentinels",
            )
            kind, reason = await told(outbox, by=put)
            assert kind is StoreUnavailable
            assert "read-only replica" in reason
            replica("REPLICAOF", "NO", "ONE")
            await ends_well(outbox)


async def test_a_replica_without_its_primary(folder: Path) -> None:
    nobody = f"127.0.0.1 {free_port()}"
    with running(replica := Server(folder, "--replicaof", nobody, "--replica-serve-stale-data", "no")):
        async with queue(replica.url) as outbox:
            kind, reason = await told(outbox, by=lambda one: one.cursor(RADIO, "box"))
    assert kind is StoreUnavailable
    assert "a replica whose primary is away" in reason


async def test_a_server_that_would_throw_messages_away(server: Server) -> None:
    server("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    async with queue(server.url) as outbox:
        kind, reason = await told(outbox)
        assert kind is StoreRefused
        assert "set maxmemory-policy noeviction" in reason


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("redis", "doesn't speak the Redis protocol: mend host and port"),
        ("rediss", "TLS with the queue's server failed"),
    ],
)
async def test_something_else_on_that_port(scheme: str, said: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    web = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with web, queue(f"{scheme}://127.0.0.1:{web.sockets[0].getsockname()[1]}") as outbox:
        kind, reason = await told(outbox)
    assert kind is StoreRefused
    assert said in reason


async def test_somebody_elses_endless_script(server: Server) -> None:
    server("CONFIG", "SET", "busy-reply-threshold", 1)

    def loop() -> None:
        with suppress(redis.RedisError):
            server("EVAL", "while true do end", 0)

    hog = threading.Thread(target=loop)
    hog.start()
    async with queue(server.url) as outbox:
        async with asyncio.timeout(10):
            while (await told(outbox)) == (None, ""):
                await asyncio.sleep(0.02)
        assert await told(outbox) == (StoreUnavailable, "the queue's server is busy with somebody's script")
        server("SCRIPT", "KILL")
        hog.join()
        await ends_well(outbox)


async def test_a_cluster_under_a_plain_url_and_the_other_way_round(folder: Path, server: Server) -> None:
    async with queue(f"redis+cluster://127.0.0.1:{server.port}") as outbox:
        assert await told(outbox) == (
            StoreRefused,
            "the queue's server is not part of a Cluster: write redis://HOST in [queue] url",
        )
    with running(node := Node(folder)):
        async with queue(node.url) as outbox:
            kind, reason = await told(outbox)
    assert kind is StoreRefused
    assert "write redis+cluster://HOST,HOST" in reason


async def test_sentinels_that_are_away_or_know_no_such_primary_or_cannot_elect_one(folder: Path) -> None:
    primary = Server(folder)
    nobody = free_port()
    with running(primary, watch := Sentinel(folder, primary, quorum=2)):
        async with queue(f"redis+sentinel://127.0.0.1:{nobody}/main") as outbox:
            assert "no Sentinel that answers knows such a primary" in (await told(outbox))[1]
        async with queue(f"redis+sentinel://127.0.0.1:{watch.port}/other") as outbox:
            assert (await told(outbox))[0] is StoreUnavailable
        async with queue(f"redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{watch.port}/main") as outbox:
            await ends_well(outbox)
            primary.kill9()
            async with asyncio.timeout(15):
                while "look at its name, and at how many Sentinels run" not in (await told(outbox))[1]:
                    await asyncio.sleep(0.05)
            primary.start()
            await ends_well(outbox)


# --- what it costs ---------------------------------------------------------------------------------


def refuse_writes(server: Server) -> None:
    """As with a full disk: nothing can be saved, so nothing is taken."""
    (server.folder / "dump.rdb").mkdir()
    server("CONFIG", "SET", "save", "3600 1")
    server("SET", "any", "thing")
    server("BGSAVE")
    until(lambda: "rdb_last_bgsave_status:err" in info(server))


def take_writes(server: Server) -> None:
    (server.folder / "dump.rdb").rmdir()
    server("BGSAVE")
    until(lambda: "rdb_last_bgsave_status:ok" in info(server))


def info(server: Server) -> str:
    found = server("INFO", "persistence")
    return str(found) if isinstance(found, str) else " ".join(f"{key}:{value}" for key, value in found.items())


Act = Callable[[Server], Any]
FAULTS: dict[str, tuple[Act, Act, str]] = {
    "killed": (Server.kill9, Server.start, "can't be reached"),
    "out of memory": (
        lambda server: server("CONFIG", "SET", "maxmemory", 1),
        lambda server: server("CONFIG", "SET", "maxmemory", 0),
        "out of memory",
    ),
    "disk full": (refuse_writes, take_writes, "can't write to its disk"),
    "too few replicas": (
        lambda server: server("CONFIG", "SET", "min-replicas-to-write", 1),
        lambda server: server("CONFIG", "SET", "min-replicas-to-write", 0),
        "too few replicas",
    ),
    "read-only": (
        lambda server: server("REPLICAOF", "127.0.0.1", free_port()),
        lambda server: server("REPLICAOF", "NO", "ONE"),
        "read-only replica",
    ),
    "password changed": (
        lambda server: [server("CONFIG", "SET", "requirepass", "new"), server.knows("new"), kick(server)],
        lambda server: [server("CONFIG", "SET", "requirepass", ""), server.knows(None)],
        "refused the login",
    ),
}


def kick(server: Server) -> None:
    server("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_said_meanwhile_goes_out_in_order_and_once_when_it_is_mended(
    tmp_path: Path, server: Server, fault: str
) -> None:
    broken, mend, reason = FAULTS[fault]
    async with queue(server.url) as outbox, running_core(tmp_path, outbox=outbox) as core:
        (first,) = await core.say(1)
        await core.until(first, "sent")

        await asyncio.to_thread(broken, server)
        ids = [ident for n in range(2, 12) for ident in await core.say(n)]
        async with asyncio.timeout(10):
            while reason not in core.drain.trouble:
                await asyncio.sleep(0.02)
        await asyncio.to_thread(mend, server)

        await core.until(ids[-1], "sent", timeout_s=20)
        assert core.bridge.texts == [f"text {n}" for n in range(1, 12)]
        assert core.drain.trouble == ""


async def test_a_failover_to_a_replica_that_lagged_loses_and_doubles_nothing(tmp_path: Path, folder: Path) -> None:
    primary = Server(folder)
    replica = Server(folder, "--replicaof", f"127.0.0.1 {primary.port}")
    with running(primary, replica, watch := Sentinel(folder, primary, quorum=1)):
        until(lambda: replica("ROLE")[3] == "connected")
        until(lambda: "slave0" in str(watch("SENTINEL", "REPLICAS", "main")) or watch("SENTINEL", "REPLICAS", "main"))
        url = f"redis+sentinel://127.0.0.1:{watch.port}/main"
        async with queue(url) as outbox, running_core(tmp_path, outbox=outbox) as core:
            for number in range(20):
                (ident,) = await core.say(number)
            await core.until(ident, "sent")
            await asyncio.to_thread(until, lambda: core_size(replica) == core_size(primary))

            replica.freeze()
            for number in range(20, 40):  # taken and sent, and the replica knows nothing of it
                (ident,) = await core.say(number)
            await core.until(ident, "sent")
            core.bridge.held = asyncio.Event()
            for number in range(40, 60):  # taken, not sent
                (ident,) = await core.say(number)
            await core.until(ident, "queued")
            primary.kill9()
            replica.thaw()
            core.bridge.held.set()

            await core.until(ident, "sent", timeout_s=30)
            assert core.bridge.texts == [f"text {n}" for n in range(60)]
            assert (await outbox.cursor(RADIO, core.journal.source)) > 0


def core_size(server: Server) -> int:
    return int(server("DBSIZE"))


async def test_a_cluster_whose_node_fails_over_loses_and_doubles_nothing(tmp_path: Path, folder: Path) -> None:
    with cluster(folder, replicas=True) as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        async with queue(url) as outbox, running_core(tmp_path, outbox=outbox) as core:
            (ident,) = await core.say(0)
            await core.until(ident, "sent")
            slot = int(nodes[0]("CLUSTER", "KEYSLOT", outbox._keys.tag + "skew"))
            holder = next(node for nth, node in enumerate(nodes[:3]) if slot <= (5460, 10921, 16383)[nth])
            replica = nodes[nodes.index(holder) + 3]
            await asyncio.to_thread(until, lambda: replica("ROLE")[3] == "connected")

            holder.kill9()
            for number in range(1, 20):
                (ident,) = await core.say(number)
            await core.until(ident, "sent", timeout_s=40)
            assert core.bridge.texts == [f"text {n}" for n in range(20)]


async def test_a_slot_that_moves_to_another_node_is_followed(folder: Path) -> None:
    with cluster(folder) as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        async with queue(url) as outbox:
            await put(outbox)
            slot = int(nodes[0]("CLUSTER", "KEYSLOT", outbox._keys.tag + "skew"))
            here = next(node for nth, node in enumerate(nodes) if slot <= (5460, 10921, 16383)[nth])
            there = nodes[nodes.index(here) - 1]
            await asyncio.to_thread(migrate, slot, here, there, nodes)
            assert await told(outbox) == (None, "")
            assert await told(outbox, by=put) == (None, "")
            assert int(there("CLUSTER", "COUNTKEYSINSLOT", slot)) > 0


def migrate(slot: int, here: Server, there: Server, nodes: list[Server]) -> None:
    there("CLUSTER", "SETSLOT", slot, "IMPORTING", here("CLUSTER", "MYID"))
    here("CLUSTER", "SETSLOT", slot, "MIGRATING", there("CLUSTER", "MYID"))
    for key in here("CLUSTER", "GETKEYSINSLOT", slot, 100):
        here("MIGRATE", "127.0.0.1", there.port, key, 0, 5000)
    for node in (there, here, *nodes):
        node("CLUSTER", "SETSLOT", slot, "NODE", there("CLUSTER", "MYID"))


@pytest.mark.slow
async def test_a_cluster_that_lacks_a_node_is_down_and_up_again_with_it(folder: Path) -> None:
    with cluster(folder) as nodes:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        async with queue(url) as outbox:
            await put(outbox)
            slot = int(nodes[0]("CLUSTER", "KEYSLOT", outbox._keys.tag + "skew"))
            other = next(node for nth, node in enumerate(nodes) if slot > (5460, 10921, 16383)[nth] or nth == 2)
            other.kill9()
            await asyncio.to_thread(until, lambda: all(state(node) == "fail" for node in nodes if node is not other))
            kind, reason = await told(outbox, by=put)
            assert kind is StoreUnavailable
            assert "the queue's cluster is down: not all of its slots are served" in reason
            await asyncio.to_thread(other.start)
            await ends_well(outbox, by=put)
