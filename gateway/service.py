# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition root: opens what must be open, runs everything in one TaskGroup, stops in reverse.

uvicorn is a child of the group, not the other way round: a task that dies ends the process with an
error, instead of leaving a server that answers 200 with nothing behind it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import structlog

from gateway.assembly import Assembly, Parts
from gateway.clock import SystemClock
from gateway.config import Settings
from gateway.cutoff import CutOff
from gateway.delivery import deliver
from gateway.directories import unusable
from gateway.handed import take_over
from gateway.health import Health
from gateway.journal import Journal, Retention
from gateway.metrics import Metrics
from gateway.model import ConfigError, GatewayError, StoreRefused
from gateway.notify import Notifier
from gateway.operations import Operations
from gateway.outages import Outages
from gateway.outbox.embedded import EmbeddedServer
from gateway.outbox.outbox import Quota
from gateway.outbox.redis import RedisOutbox
from gateway.process import alone, keep_what_is_loaded, share_the_interpreter, signals
from gateway.registry import Registry
from gateway.servers import Servers
from gateway.status import EventHub, StoreState
from gateway.tally import Tally

log = structlog.get_logger()

SERVER_AGAIN_S = 5.0
"""How often an embedded server that was refused is tried again: the mend may be made meanwhile."""
SERVERS_WITHIN_S = 5.0
"""How long requests in hand may hold up a stop; the servers end them after three seconds."""
STOP_WITHIN_S = 20.0
"""How long everything else may take before the process is ended: twice what the embedded server has."""


def run(settings: Settings, *, registry: Registry | None = None) -> int:
    """Run the gateway until SIGTERM or SIGINT; return the exit code: 0 after a clean stop, 1 if a part died."""
    try:
        asyncio.run(serve(settings, registry=registry or Registry.installed()))
    except ConfigError:
        raise
    except GatewayError as error:
        log.critical("gateway_cannot_run", reason=str(error))
        return 1
    except BaseExceptionGroup as group:
        log.critical("task_died", exc_info=group)
        return 1
    return 0


async def serve(settings: Settings, *, registry: Registry, stop: asyncio.Event | None = None) -> None:
    """Run the gateway until `stop` (or a signal); raise what ended it if it wasn't that."""
    stop = stop or asyncio.Event()
    share_the_interpreter()
    with signals(stop.set), CutOff() as cut_off:
        async with AsyncExitStack() as stack:
            stack.enter_context(alone(settings.gateway.data_dir))
            try:
                gateway = await _open(settings, registry, stack)
            except OSError as error:
                path = Path(str(error.filename or settings.gateway.data_dir))
                raise unusable("data directory", path, error, "data_dir") from error
            await gateway.run(stop, cut_off)
    log.info("gateway_stopped")


async def _open(settings: Settings, registry: Registry, stack: AsyncExitStack) -> Gateway:
    clock = SystemClock()
    events = EventHub()
    metrics = Metrics()
    journal = await stack.enter_async_context(
        Journal(settings.gateway.data_dir / "journal.db", clock=clock, retention=_retention(settings))
    )
    server = _embedded(settings)
    outbox = await stack.enter_async_context(
        RedisOutbox(
            settings.queue.url if server is None else server.url,
            community="crossband",
            quota=Quota(deliveries=settings.queue.max_deliveries, size_bytes=settings.queue.max_bytes),
            now_ms=clock.now_ms,
            shared=server is None,
            password_file=settings.queue.password_file,
        )
    )
    outages = Outages(clock, events, metrics)
    assembly = Assembly(
        settings=settings,
        registry=registry,
        journal=journal,
        outbox=outbox,
        clock=clock,
        random=random.Random(),  # noqa: S311 - pauses, not secrets
        tally=Tally(events, metrics, link=outages.link),
        shared=server is None,
    )
    parts = await assembly.build()
    await outages.open(journal.outages, settings.bridges)
    return Gateway(
        assembly=assembly,
        parts=parts,
        clock=clock,
        server=server,
        outbox=outbox,
        events=events,
        metrics=metrics,
        outages=outages,
    )


class Gateway:
    """A gateway with its stores open."""

    def __init__(
        self,
        *,
        assembly: Assembly,
        parts: Parts,
        clock: SystemClock,
        server: EmbeddedServer | None,
        outbox: RedisOutbox,
        events: EventHub,
        metrics: Metrics,
        outages: Outages,
    ) -> None:
        self._outages = outages
        self._outage_log = assembly.journal.outages
        self._parts = parts
        self._server = server
        self._outbox = outbox
        self._server_trouble = ""
        self._events = events
        self._health = Health(
            journal=assembly.journal,
            outbox=assembly.outbox,
            clock=clock,
            intake=parts.intake,
            drains=[part.drain for part in parts.by_bridge.values()],
            engine=self._engine,
            queue_back=self._queue_back,
            watcher=outages,
            stepped=self._clock_stepped,
            dated_anew=self._dated_anew,
        )
        self.operations = Operations(
            settings=assembly.settings,
            parts=parts,
            journal=assembly.journal,
            outbox=assembly.outbox,
            clock=clock,
            events=events,
            tally=assembly.tally,
            metrics=metrics,
            health=self._health,
            outages_lost=lambda: outages.lost,
        )
        parts.desk.open(self.operations)
        self._notifier = Notifier.of_process()
        self._servers = Servers(
            self.operations,
            [part.bridge for part in parts.by_bridge.values()],
            take_over(os.environ, os.getpid()),
        )

    async def run(self, stop: asyncio.Event, cut_off: CutOff) -> None:
        """Run every task until `stop`; a task that dies takes the others down and raises.

        GatewayError or ConfigError, before anything runs, if an address can't be listened on.
        `cut_off` ends the process if the tasks don't end when they are told to.
        """
        opened = self._servers.open()
        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(serve(), name=name) for name, serve in opened]
            running = [group.create_task(job, name=name) for name, job in self._jobs()]
            try:
                keep_what_is_loaded()
                self._notifier.ready("accepting messages")
                log.info("gateway_ready", api=self._servers.listening)
                await stop.wait()
                self._notifier.stopping()
                await self._close(serving)
            finally:
                cut_off.arm(STOP_WITHIN_S, (*serving, *running))
                for task in (*serving, *running):
                    task.cancel()
        await self._outages.close(self._outage_log)

    async def _close(self, serving: list[asyncio.Task[None]]) -> None:
        """End the streams, then take no more requests."""
        self._events.close()
        self._servers.stop()
        await asyncio.wait(serving, timeout=SERVERS_WITHIN_S)

    def _jobs(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        if self._server is not None:
            yield "embedded server", self._keep_server(self._server)
            yield "sync embedded server", self._server.keep_syncing()
        yield "watch queue", self._health.watch_queue()
        yield "watch clock", self._health.watch_clock()
        yield "keep journal", self._health.keep_journal()
        yield "redrive", self.operations.redrives.run()
        yield "keep outages", self._outages.keep(self._outage_log)
        yield "watchdog", self._health.watchdog(self._notifier, self._troubles)
        yield "keep up with other boxes", self._parts.rulings.run()
        yield from self._parts.reflections.jobs()
        if self._parts.serving.is_wanted:
            yield "tell what is served", self._parts.serving.run()
            yield "withdraw what was said twice", self._parts.withdrawing.run()
        for name, part in self._parts.by_bridge.items():
            yield f"drain {name}", part.drain.run()
            yield f"deliver {name}", deliver(part.sender)
            yield f"supervise {name}", part.supervisor.run()
            if part.elsewhere is not None:
                yield f"elsewhere {name}", part.elsewhere.run()

    async def _keep_server(self, server: EmbeddedServer) -> None:
        """Run the embedded server; one that must not start is tried again, and the journal keeps filling."""
        while True:
            try:
                async with server:
                    self._server_trouble = ""
                    await server.run()
            except StoreRefused as error:
                if str(error) != self._server_trouble:
                    log.error("embedded_server_refused", reason=str(error))  # noqa: TRY400 - the reason is the news
                self._server_trouble = str(error)
            await asyncio.sleep(SERVER_AGAIN_S)

    def _engine(self) -> tuple[str, str]:
        vetted = self._outbox.vetted
        if self._server is None:
            return "external" if vetted is None else f"{vetted} (external)", ""
        engine = "embedded" if vetted is None else f"{vetted} (embedded)"
        return engine, self._server_trouble or ("" if self._server.ready.is_set() else self._server.status)

    def _queue_back(self) -> None:
        for part in self._parts.by_bridge.values():
            part.drain.wake()
            part.sender.wake()

    def _clock_stepped(self, step_ms: int) -> None:
        """Keep our ages: what began an hour ago began an hour ago."""
        if self._server is not None and step_ms < 0:
            self._server.clock_was_set_back()
        self.operations.started_ms += step_ms
        for part in self._parts.by_bridge.values():
            part.link.since_ms += step_ms

    async def _dated_anew(self) -> None:
        """Keep the ages of what was decided in chats: they are for people, and right again after the next start."""
        try:
            await self._parts.rulings.dated_anew()
            await self._parts.rerouting.dated_anew()
        except GatewayError as error:
            log.warning("decisions_not_dated_anew", reason=str(error))

    def _troubles(self) -> Iterator[str]:
        for name, store in (("journal", self._health.journal), ("queue", self._health.queue)):
            if store.state is not StoreState.UP:
                yield f"{name}: {store.reason}"
        for name, part in self._parts.by_bridge.items():
            if not part.link.state.is_well:
                yield f"{name}: {part.link.reason}"


def _embedded(settings: Settings) -> EmbeddedServer | None:
    if settings.queue.url != "embedded":
        return None
    return EmbeddedServer(
        settings.gateway.data_dir / "queue",
        run_dir=settings.gateway.run_dir,
        server_path=settings.queue.server_path,
        fsync=settings.queue.fsync,
    )


def _retention(settings: Settings) -> Retention:
    kept = settings.journal
    return Retention(age_s=kept.age_s, rows=kept.rows, size_bytes=kept.size_bytes)
