# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether somebody at the page may say something now: not who is muted, and nobody too often. Time is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridges.lan.hall import Refusal
from bridges.lan.page.rates import Buckets, Rate
from gateway.model import Content, Redaction


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

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._radio = Buckets(Rate(burst=pace.radio_burst, per_s=1 / pace.radio_s))
        self._slow = Buckets(Rate(burst=1, per_s=1 / pace.slow_s)) if pace.slow_s else None

    @property
    def notice(self) -> str:
        """What everybody in a room should know."""
        return f"slow mode: one line in {self._pace.slow_s} s" if self._pace.slow_s else ""

    def judge(
        self, key: str, room: str, content: Content, now_s: float, *, silent: str, on_radio: bool
    ) -> Refusal | None:
        """Return why this isn't taken; None: it is, and counted. `silent`: why they may say nothing at all."""
        if isinstance(content, Redaction):
            return None  # taking words back is never too often, nor kept from who is muted
        if silent:
            return Refusal(reason=silent)
        if self._slow is not None and (wait := self._slow.take(f"{key} {room}", now_s)):
            return Refusal(reason=f"{self.notice}; {_again(wait)}", retry_after_s=wait)
        if on_radio and (wait := self._radio.take(key, now_s)):
            told = f"on radio {self._pace.radio_burst} lines at once, then one in {self._pace.radio_s} s"
            return Refusal(reason=f"{told}; {_again(wait)}", retry_after_s=wait)
        return None


def _again(wait_s: float) -> str:
    return f"again in {math.ceil(round(wait_s, 3))} s"
