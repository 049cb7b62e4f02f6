# SPDX-License-Identifier: GPL-3.0-or-later
"""What an assembled core makes of messages that aren't talk, and of the same message that comes again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.journal import Accepted, Seen
from gateway.model import (
    Address,
    BridgeName,
    Lane,
    Message,
    NativeId,
    ResumePoint,
    Sender,
    SenderId,
    Text,
    Topic,
)
from tests.contract.assembled import Core, assembled, quiet

CONFIG = """
[gateway]
name = "hilltop"
data_dir = "data"
[bridges.home]
kind = "quiet"
[bridges.radio]
kind = "quiet"
[[routes]]
name = "town"
join = ["home/#town", "radio/LongFast"]
also = ["alerts", "sensors"]
[[routes]]
name = "weather"
from = ["radio/LongFast"]
to = ["home/#weather"]
also = ["telemetry"]
"""
RADIO = BridgeName("radio")
LONG_FAST, ADMIN = Address.parse("radio/LongFast"), Address.parse("radio/Admin")
RIDGE = Sender(id=SenderId("!a1b2c301"), name="Ridge relay")


class Gateway(Core):
    """A gateway that is put together and doesn't run."""

    async def take(self, message: Message) -> Accepted | Seen | None:
        """Do what a bridge's supervisor does with what comes in."""
        return await self.parts.intake.accept(message) if self.parts.intake.wants(message) else None

    async def bound_for(self, message: Message) -> set[str]:
        record = await self.assembly.journal.message(message.id)
        assert record is not None
        assert record.message.topic is message.topic
        return {str(delivery.to) for delivery in record.deliveries}

    @property
    def skipped(self) -> dict[str, int]:
        return dict(self.assembly.tally.skipped.get(RADIO, {}))


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[Gateway]:
    async with assembled(folder, CONFIG, {"quiet": quiet()}) as core:
        yield Gateway(core.assembly, core.parts)


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as one:
        yield one


def heard(number: int, topic: Topic = Topic.TALK, *, body: str = "words", at: Address = LONG_FAST) -> Message:
    return Message(
        native_id=NativeId(f"mt:a1b2c301:{number:08x}"),
        origin=at,
        sender=RIDGE,
        content=Text(body=body),
        received_ms=0,
        topic=topic,
    )


async def test_each_route_carries_what_it_lists_and_talk(core: Gateway) -> None:
    said = {topic: heard(number, topic) for number, topic in enumerate(Topic, 1)}
    taken = {topic: await core.take(message) for topic, message in said.items()}

    assert await core.bound_for(said[Topic.TALK]) == {"home/#town", "home/#weather"}
    assert await core.bound_for(said[Topic.ALERT]) == await core.bound_for(said[Topic.SENSOR]) == {"home/#town"}
    assert await core.bound_for(said[Topic.TELEMETRY]) == {"home/#weather"}
    assert taken[Topic.POSITION] is taken[Topic.WAYPOINT] is None


async def test_what_no_route_carries_is_counted_and_costs_the_journal_nothing(core: Gateway) -> None:
    for number in range(3):
        assert await core.take(heard(number, Topic.POSITION)) is None
    assert await core.take(heard(4, Topic.TELEMETRY, at=ADMIN)) is None

    assert core.skipped == {"positions_not_carried": 3, "telemetry_not_carried": 1}
    assert await core.assembly.journal.message(heard(1).id) is None


async def test_an_emergency_that_no_route_carries_is_in_the_log(core: Gateway) -> None:
    with capture_logs() as lines:
        assert await core.take(replace(heard(1, Topic.ALERT, at=ADMIN), lane=Lane.EMERGENCY)) is None

    assert core.skipped == {"alerts_not_carried": 1}
    assert [(line["event"], line["origin"]) for line in lines] == [("emergency_not_carried", "radio/Admin")]


async def test_what_says_where_its_source_goes_on_is_journalled_whoever_carries_it(core: Gateway) -> None:
    assert isinstance(
        await core.take(replace(heard(1, Topic.POSITION), resume=ResumePoint("7"))),
        Accepted,
    )
    assert await core.assembly.journal.resume_point(RADIO) == "7"


async def test_a_message_that_comes_again_by_whatever_way_is_shown_once(core: Gateway) -> None:
    first = await core.take(heard(1, body="the ford is open"))
    again = await core.take(heard(1, body="[earlier] the ford is open"))

    assert isinstance(first, Accepted)
    assert isinstance(again, Seen)
    record = await core.assembly.journal.message(heard(1).id)
    assert record is not None
    assert record.message.content == Text(body="the ford is open")


async def test_an_alert_is_an_emergency_and_its_topic_stays_through_a_restart(tmp_path: Path) -> None:
    alert = replace(heard(1, Topic.ALERT, body="help"), lane=Lane.EMERGENCY)
    async with gateway(tmp_path) as core:
        await core.take(alert)
    async with gateway(tmp_path) as core:
        assert await core.bound_for(alert) == {"home/#town"}
        (stored,) = (await core.assembly.journal.message(alert.id)).deliveries  # type: ignore[union-attr]
        found = await core.assembly.journal.delivery(stored.id)
        assert found is not None


async def test_a_route_is_tested_by_topic_and_says_what_it_does_not_carry(core: Gateway) -> None:
    running = core.operations()

    carried = await running.dry_run("Motion detected", "town", Topic.SENSOR)
    not_carried = await running.dry_run("21 °C", "town", Topic.TELEMETRY)

    assert [part.body for part in carried] == ["hilltop: Motion detected"] * 2
    assert {part.note for part in not_carried} == {"this route carries no telemetry: its `also` does not list them"}
    assert [part.body for part in not_carried] == ["", ""]
