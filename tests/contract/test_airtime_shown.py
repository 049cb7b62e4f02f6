# SPDX-License-Identifier: GPL-3.0-or-later
"""What a radio uses of its channel, why it holds back, and how long what waits will take: wherever people look."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from gateway.api import create_app
from gateway.choosing import Schedule
from gateway.cli.app import main
from gateway.journal import Change
from gateway.link import LinkState
from gateway.model import Airtime, BridgeName, DeliveryId, JournalError, State
from gateway.outlook import outlooks
from gateway.status import BridgeStatus, QueueStatus, StoreState, keeps_of
from tests.contract.desk import open_desk, serving
from tests.contract.scheduling import SchedulingBridge

RADIO = BridgeName("radio")
AIR = Airtime(used_ms=9000, allowed_ms=180_000, window_s=3600, busy_percent=31.0, held="the channel is busy: 31 %")
SCHEDULE = Schedule(airtime=AIR, held_for_s=42.0, held_s=100.0, refused=2)


@pytest.fixture
async def desk(tmp_path):
    """A radio that schedules, is up, and holds everything back."""
    async with open_desk(tmp_path) as desk:
        desk.states[RADIO] = LinkState.UP
        desk.narrow[RADIO] = SchedulingBridge()  # a second on the air each, a twentieth of the time
        desk.schedules[RADIO] = SCHEDULE
        yield desk


@pytest.fixture
async def api(desk):
    transport = httpx.ASGITransport(app=create_app(desk, local=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def say(api, *texts):
    """Say something to the radio; return the message's id and its delivery's."""
    for text in texts:
        said = (await api.post("/api/v1/messages", json={"text": text, "to": "radio/LongFast"})).json()
    return said["id"], said["deliveries"][0]


async def test_the_status_says_what_is_used_and_left_why_it_is_held_and_how_long_what_waits_takes(api, desk):
    await say(api, "one", "two", "three")
    home, radio = (await api.get("/api/v1/status")).json()["bridges"]

    assert home["airtime"] is None
    assert radio["airtime"] == {
        "used_ms": 9000,
        "allowed_ms": 180_000,
        "window_s": 3600,
        "busy_percent": 31.0,
        "held": "the channel is busy: 31 %",
        "held_for_s": 42.0,
        "refused": 2,
        "waiting": 3,
        "priced": 3,
        "cost_ms": 3000,
        "drain_s": 60.0,
        "words": "9.0 of 180.0 s airtime used in the last hour, 171.0 s left; channel 31 % busy; "
        "held back for 42 s: the channel is busy: 31 %; what waits takes about 1 min",
    }
    assert (await api.get("/api/v1/bridges")).json()[1]["airtime"] == radio["airtime"]


async def test_beyond_what_is_reckoned_one_by_one_it_is_an_estimate_and_says_so(api, desk, monkeypatch):
    monkeypatch.setattr("gateway.outlook.MOST_PRICED", 2)
    await say(api, *"abcde")
    air = (await api.get("/api/v1/status")).json()["bridges"][1]["airtime"]

    assert (air["waiting"], air["priced"], air["cost_ms"], air["drain_s"]) == (5, 2, 5000, 100.0)
    assert air["words"].endswith("what waits takes about 1 min, reckoned from the oldest 2 of 5")


async def test_a_radio_that_may_not_send_at_all_says_that_what_waits_can_not_go_out(api, desk):
    desk.narrow[RADIO].drain_s = lambda _: float("inf")
    await say(api, "one")
    air = (await api.get("/api/v1/status")).json()["bridges"][1]["airtime"]

    assert air["drain_s"] is None
    assert air["words"].endswith("what waits can't go out as things are")
    assert 'crossband_airtime_drain_seconds{bridge="radio"} +Inf' in (await api.get("/metrics")).text


async def test_the_status_answers_where_a_bridge_or_the_journal_can_not_say(api, desk, monkeypatch):
    def broken(message, to):
        raise RuntimeError("a defect")

    await say(api, "one")
    desk.narrow[RADIO].airtime_ms = broken
    of_bridge = (await api.get("/api/v1/status")).json()["bridges"][1]["airtime"]

    async def unreadable():
        raise JournalError("input/output error")

    monkeypatch.setattr(desk, "outlooks", unreadable)
    of_journal = (await api.get("/api/v1/status")).json()["bridges"][1]["airtime"]
    assert of_bridge == of_journal
    assert (of_bridge["used_ms"], of_bridge["waiting"], of_bridge["drain_s"]) == (9000, None, None)


async def test_bridges_that_do_not_schedule_have_no_outlook(desk):
    assert await outlooks({RADIO: object()}, desk.journal) == {}


async def test_the_queue_and_each_delivery_in_it_say_what_they_wait_for(api, desk):
    message, delivery = await say(api, "one")
    _, sending = await say(api, "two")
    change = Change(id=DeliveryId(sending), state=State.SENDING, at_ms=desk.clock.now_ms())
    await desk.journal.record([change])

    home, radio = (await api.get("/api/v1/queue")).json()["destinations"]
    listed = (await api.get("/api/v1/queue/deliveries", params={"destination": "radio"})).json()["deliveries"]
    shown = (await api.get(f"/api/v1/messages/{message}")).json()["deliveries"]
    alone = (await api.get(f"/api/v1/deliveries/{delivery}")).json()["deliveries"]

    assert (home["waits_for"], home["airtime"]) == ("", None)
    assert (radio["waits_for"], radio["airtime"]["drain_s"]) == (AIR.held, 40.0)
    assert [one["waits_for"] for one in listed] == [AIR.held, ""]
    assert [one["waits_for"] for one in shown + alone] == [AIR.held] * 2
    assert [one["reason"] for one in shown] == [""], "nothing was written for it"


async def test_what_waits_for_a_channel_that_is_not_there_says_so_in_the_list_of_the_queue(api, desk):
    desk.schedules[RADIO] = replace(SCHEDULE, airtime=replace(AIR, held=""), held_for_s=None)
    _, delivery = await say(api, "one")
    reason = "the radio has no channel LongFast; it has #0 MediumFast"
    change = Change(id=DeliveryId(delivery), state=State.WAITING, reason=reason, at_ms=desk.clock.now_ms())
    await desk.journal.record([change])
    await say(api, "two")

    listed = (await api.get("/api/v1/queue/deliveries", params={"destination": "radio"})).json()["deliveries"]

    assert [one["waits_for"] for one in listed] == [reason, ""]


async def test_metrics_tell_it_too(api, desk):
    await say(api, "one")
    text = (await api.get("/metrics")).text

    for line in (
        'crossband_airtime_used_seconds{bridge="radio"} 9.0',
        'crossband_airtime_allowed_seconds{bridge="radio"} 180.0',
        'crossband_channel_busy_ratio{bridge="radio"} 0.31',
        'crossband_airtime_held{bridge="radio"} 1.0',
        'crossband_airtime_drain_seconds{bridge="radio"} 20.0',
        'crossband_airtime_held_seconds_total{bridge="radio"} 100.0',
        'crossband_airtime_refused_total{bridge="radio"} 2.0',
    ):
        assert line in text.splitlines()


async def test_the_page_shows_it_where_it_shows_the_bridge(api, desk):
    assert "held back for 42 s: the channel is busy: 31 %" in (await api.get("/")).text


async def test_while_the_link_is_down_that_is_what_keeps_it(api, desk):
    desk.states[RADIO] = LinkState.DOWN
    desk.schedules[RADIO] = replace(SCHEDULE, airtime=replace(AIR, held=""), held_for_s=None)
    await say(api, "one")
    radio = (await api.get("/api/v1/queue")).json()["destinations"][1]

    assert radio["waits_for"] == "the cable is out"
    assert "held back" not in radio["airtime"]["words"]


async def test_while_the_queue_is_away_that_is_what_keeps_it(api, desk):
    desk.queue_status = QueueStatus(state=StoreState.DOWN, reason="out of memory")
    desk.schedules[RADIO] = replace(SCHEDULE, airtime=replace(AIR, held=""), held_for_s=None)
    message, _ = await say(api, "one")

    radio = (await api.get("/api/v1/queue")).json()["destinations"][1]
    listed = (await api.get("/api/v1/queue/deliveries", params={"destination": "radio"})).json()["deliveries"]
    shown = (await api.get(f"/api/v1/messages/{message}")).json()["deliveries"]

    assert [one["waits_for"] for one in (radio, *listed, *shown)] == ["out of memory"] * 3


@pytest.mark.parametrize(
    ("state", "why"), [("waiting", "the queue is full"), ("queued", ""), ("sending", ""), ("sent", "")]
)
def test_what_has_its_place_in_a_full_queue_is_not_kept_by_that(state, why):
    status = BridgeStatus(
        name=RADIO, kind="fake", state=LinkState.UP, reason="", since_ms=0, untaken="the queue is full"
    )
    keeps = keeps_of([status], QueueStatus(state=StoreState.UP))

    assert keeps(RADIO, State(state)) == why
    assert keeps(BridgeName("gone"), State(state)) == ""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """`await run("status")`: all that a command says."""
    monkeypatch.chdir(tmp_path)

    def run(command):
        with pytest.raises(SystemExit):
            main([command])
        return "".join(capsys.readouterr())

    return lambda command: asyncio.to_thread(run, command)


@pytest.mark.parametrize("command", ["status", "queue"])
async def test_the_command_line_says_it_in_words(api, desk, run, command):
    await say(api, "one")
    async with serving(desk):
        said = await run(command)

    assert "radio: 9.0 of 180.0 s airtime used" in said
    assert "held back for 42 s: the channel is busy: 31 %; what waits takes about 20 s" in said
