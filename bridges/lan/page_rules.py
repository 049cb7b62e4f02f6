# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether somebody at the page may say something now: not who is muted, and nobody too often. Pure; time is given."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bridges.lan.hall import Refusal
from bridges.lan.page.rates import Buckets, Rate
from gateway.model import Content, Phrase, Redaction, phrase

MOST_SPEAKERS = 4_096
"""People, each in one room, of whom it is known when they spoke last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often one person may, by ``[bridges.NAME]``."""

    radio_s: int = 60
    """Between two lines that go on radio, once the burst is used up."""
    radio_burst: int = 3
    slow_s: int = 0
    """Between two lines in one room, wherever they go; 0: as they like."""


class PageRules:
    """Counts what was said. Bounded: past 4,096 people the one that was quiet longest starts anew."""

    def __init__(self, pace: Pace, slow: Callable[[str], int | None] = lambda _: None) -> None:
        """`slow`: how slow a room is, as was decided; None: as `pace` has it."""
        self._pace = pace
        self._decided = slow
        self._radio = Buckets(Rate(burst=pace.radio_burst, per_s=1 / pace.radio_s))
        self._spoke: OrderedDict[tuple[str, str], float] = OrderedDict()

    def slow_s(self, room: str) -> int:
        """Return in how many seconds each person says one line there; 0: as they like."""
        decided = self._decided(room)
        return self._pace.slow_s if decided is None else decided

    def notice(self, room: str) -> Phrase | None:
        """Return what everybody in a room should know of its pace."""
        every_s = self.slow_s(room)
        return phrase("slow mode: one line in %(num)d s", num=every_s) if every_s else None

    def judge(
        self, key: str, room: str, content: Content, now_s: float, *, silent: str, on_radio: bool
    ) -> Refusal | None:
        """Return why this isn't taken; None: it is, and counted. `silent`: why they may say nothing at all."""
        if isinstance(content, Redaction):
            return None  # taking words back is never too often, nor kept from who is muted
        if silent:
            return Refusal(reason=silent)
        if (wait := self._too_soon_s(key, room, now_s)) > 0:
            return _again(phrase("slow mode: one line in %(num)d s", num=self.slow_s(room)), wait)
        if on_radio and (wait := self._radio.take(key, now_s)):
            pace = self._pace
            told = phrase(
                "on radio %(lines)d lines at once, then one in %(num)d s", lines=pace.radio_burst, num=pace.radio_s
            )
            return _again(told, wait)
        self._spoke[key, room] = now_s
        self._spoke.move_to_end((key, room))
        if len(self._spoke) > MOST_SPEAKERS:
            self._spoke.popitem(last=False)
        return None

    def _too_soon_s(self, key: str, room: str, now_s: float) -> float:
        return self._spoke.get((key, room), -math.inf) + self.slow_s(room) - now_s


def _again(told: Phrase, wait_s: float) -> Refusal:
    again = phrase("%(why)s; again in %(num)d s", why=told, num=math.ceil(round(wait_s, 3)))
    return Refusal(reason=again, retry_after_s=wait_s)
