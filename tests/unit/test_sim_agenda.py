# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from bridges.sim.agenda import Agenda


def test_what_is_due_runs_in_order_of_time_with_the_time_it_was_due():
    agenda, ran = Agenda(), []
    for when in (3.0, 1.0, 2.0):
        agenda.at(when, ran.append)

    agenda.advance(2.5)

    assert ran == [1.0, 2.0]
    assert agenda.next_due() == 3.0


def test_what_is_cancelled_does_not_run_and_is_not_due():
    agenda, ran = Agenda(), []
    agenda.at(1.0, ran.append).cancel()

    assert agenda.next_due() is None
    agenda.advance(2.0)
    assert ran == []


def test_what_is_added_while_running_and_already_due_runs_too():
    agenda, ran = Agenda(), []
    agenda.at(1.0, lambda now: agenda.at(now + 0.5, ran.append))

    agenda.advance(2.0)

    assert ran == [1.5]
