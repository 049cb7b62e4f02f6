# SPDX-License-Identifier: GPL-3.0-or-later
"""A bridge that says what goes next, as a test has it."""

from gateway.model import Airtime, Go, Lane
from tests.contract.delivery_desk import ScriptedBridge


def first(waiting):
    """Choose as the queue would."""
    return Go(id=waiting[0].delivery.id)


def only_emergencies(hold):
    """Hold everything else back."""

    def rule(waiting):
        urgent = [one for one in waiting if one.delivery.lane is Lane.EMERGENCY]
        return first(urgent) if urgent else hold

    return rule


class SchedulingBridge(ScriptedBridge):
    """Answers `choose` by `rule`, or raises it."""

    def __init__(self, **capabilities):
        super().__init__(**capabilities)
        self.rule = first
        self.asked = []
        self.air = Airtime(used_ms=1200, allowed_ms=180_000, window_s=3600, busy_percent=12.5)
        self.airtime_basis = "LongFast"

    def choose(self, waiting):
        self.asked.append(waiting)
        answer = self.rule(waiting)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def airtime(self):
        if isinstance(self.air, Exception):
            raise self.air
        return self.air

    def drain_s(self, cost_ms):
        return cost_ms / 50  # a twentieth of the time

    def airtime_ms(self, message, to):
        return 1000
