# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's script is one that can be played."""

from __future__ import annotations

from collections.abc import Iterator

from bridges.sim.identity import FAR_NODES
from bridges.sim.ledger import Side
from bridges.sim.script import LISTENER, SCRIPT, Outage, Say
from bridges.sim.town import Plan


def lines() -> Iterator[Say]:
    for step in SCRIPT:
        yield from step.meanwhile if isinstance(step, Outage) else (step,)


def test_twelve_texts_cross_each_way_with_replies_both_ways():
    for side in Side:
        said = [line for line in lines() if line.side is side]

        assert len(said) == 12
        assert sum(line.answers is not None for line in said) >= 4


def test_everyone_who_speaks_is_there(tmp_path):
    nodes = {node.long_name for node in FAR_NODES}
    people = set(Plan(folder=tmp_path).people)

    assert {line.who for line in lines() if line.side is Side.RADIO} <= nodes
    assert {line.who for line in lines() if line.side is Side.ROOM} <= people
    assert LISTENER in nodes


def test_nobody_answers_what_was_not_said_yet():
    count = {Side.ROOM: 0, Side.RADIO: 0}
    for line in lines():
        assert line.answers is None or line.answers <= count[line.side.other]
        count[line.side] += 1


def test_homeserver_radio_and_gateway_are_each_away_once_while_people_talk():
    outages = [step for step in SCRIPT if isinstance(step, Outage)]

    assert [outage.what for outage in outages] == ["homeserver", "radio", "gateway"]
    assert all(outage.meanwhile for outage in outages)
    assert all(say.side is Side.RADIO for say in outages[0].meanwhile)


def test_every_text_fits_one_radio_packet():
    assert all(len(f"radio 00: {line.who}: {line.words}".encode()) < 200 for line in lines())
