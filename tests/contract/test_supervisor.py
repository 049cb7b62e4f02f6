# SPDX-License-Identifier: GPL-3.0-or-later
"""One bridge, kept connected: what it yields is stored before it is asked for more."""

import asyncio
import random
from dataclasses import replace

from gateway.clock import ManualClock
from gateway.link import Link, LinkState
from gateway.model import (
    Address,
    AuthFailed,
    BridgeName,
    Capabilities,
    Certainty,
    JournalError,
    LinkDown,
    Message,
    NativeId,
    Report,
    Sender,
    SenderId,
    Text,
    Topic,
)
from gateway.supervisor import Supervisor
from gateway.turn import Turn
from tests.steady_time import SteadyClock

NAME = BridgeName("radio")


def said(number):
    return Message(
        native_id=NativeId(f"mt:{number}"),
        origin=Address(NAME, "LongFast"),
        sender=Sender(id=SenderId("!a1b2c301"), name="Ridge"),
        content=Text(body=f"text {number}"),
        received_ms=0,
    )


class ScriptedBridge:
    """Each session is a list of items to yield; an error in it is raised, also by connecting if it is the session."""

    def __init__(self, *sessions):
        self.name = NAME
        self.capabilities = Capabilities(room_for=lambda *_: 100, reconnect_within_s=0.01)
        self.sessions = list(sessions)
        self.asked = []

    async def __aenter__(self):
        session = self.sessions[0] if self.sessions else []
        if isinstance(session, Exception):
            self.sessions.pop(0)
            raise session
        return self

    async def __aexit__(self, *_):
        return None

    async def receive(self):
        for item in self.sessions.pop(0) if self.sessions else []:
            if isinstance(item, Exception):
                raise item
            self.asked.append(item)
            yield item
        await asyncio.Event().wait()


class Store:
    def __init__(self, fails=0):
        self.stored = []
        self.fails = fails
        self.bridge = None
        self.asked_before_stored = []

    def wants(self, message):
        return message.topic is not Topic.TELEMETRY

    async def accept(self, message):
        if self.fails:
            self.fails -= 1
            raise JournalError("no space left on the disk")
        await asyncio.sleep(0)
        self.asked_before_stored.append(len(self.bridge.asked))
        self.stored.append(message)


class Run:
    def __init__(self, bridge, store=None, clock=None, turn=None):
        self.store = store or Store()
        self.store.bridge = bridge
        self.link = Link(0)
        self.reports = []
        self.ups = 0
        self.states = []
        self.supervisor = Supervisor(
            bridge=bridge,
            link=self.link,
            intake=self.store,
            clock=clock or SteadyClock(),
            random=random.Random(1),
            report=self.reports.append,
            came_up=self._came_up,
            changed=lambda link: self.states.append(link.state),
            turn=turn or Turn(bridge, None, None, SteadyClock(), owner="box", shared=False),
        )

    async def _came_up(self):
        self.ups += 1

    async def until(self, condition):
        task = asyncio.create_task(self.supervisor.run())
        try:
            async with asyncio.timeout(8):
                while not condition():
                    await asyncio.sleep(0.005)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_the_next_item_is_asked_for_only_when_the_last_is_stored():
    bridge = ScriptedBridge([said(1), said(2), said(3)])
    run = Run(bridge)

    await run.until(lambda: len(run.store.stored) == 3)

    assert run.store.asked_before_stored == [1, 2, 3]


async def test_a_disk_without_space_holds_the_source_and_loses_nothing():
    run = Run(ScriptedBridge([said(1), said(2)]), Store(fails=2))

    await run.until(lambda: len(run.store.stored) == 2)

    assert [message.content.body for message in run.store.stored] == ["text 1", "text 2"]


async def test_what_nobody_wants_costs_the_disk_nothing_and_holds_nothing_up():
    run = Run(ScriptedBridge([replace(said(1), topic=Topic.TELEMETRY), said(2)]))

    await run.until(lambda: len(run.store.stored) == 1)

    assert run.store.stored[0].content.body == "text 2"


async def test_a_lost_link_is_connected_again_and_what_waited_is_due():
    run = Run(ScriptedBridge([said(1), LinkDown("unplugged")], LinkDown("still out"), [said(2)]))

    await run.until(lambda: len(run.store.stored) == 2)

    assert run.ups == 2
    assert run.states == [LinkState.UP, LinkState.DOWN, LinkState.UP]


async def test_a_server_that_asks_for_patience_is_not_asked_again_before():
    clock = ManualClock()
    run = Run(ScriptedBridge(LinkDown("503", retry_after_s=90.0), [said(1)]), clock=clock)
    task = asyncio.create_task(run.supervisor.run())
    for _ in range(5):
        await asyncio.sleep(0)

    clock.advance(89)
    await asyncio.sleep(0.01)
    assert run.ups == 0
    clock.advance(2)
    async with asyncio.timeout(8):
        while not run.store.stored:
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_refused_login_stops_this_bridge_and_says_why():
    run = Run(ScriptedBridge(AuthFailed("the homeserver does not know our token")))

    async with asyncio.timeout(8):
        await run.supervisor.run()

    assert run.link.state is LinkState.STOPPED
    assert run.link.reason == "the homeserver does not know our token"


async def test_late_reports_are_handed_on_and_not_stored():
    report = Report(key="x.0", outcome=Certainty.HEARD)
    run = Run(ScriptedBridge([report, said(1)]))

    await run.until(lambda: run.store.stored)

    assert run.reports == [report]
