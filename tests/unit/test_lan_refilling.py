# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a box that lost the end of its log waits for the others."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bridges.lan.refilling import MOST_S, refilled

WITHIN_S = 10.0


class Waiting:
    """Time that passes only while somebody waits, and what is lacking after each wait."""

    def __init__(self, lacking: Sequence[int | None], each_s: float) -> None:
        self.now_s = 0.0
        self._lacking = list(lacking)
        self._each_s = each_s

    def lacking(self) -> int | None:
        return self._lacking[0]

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        del seconds
        self.now_s += self._each_s
        if len(self._lacking) > 1:
            self._lacking.pop(0)


async def wait(lacking: Sequence[int | None], each_s: float = 1.0) -> tuple[bool, float]:
    at: Any = Waiting(lacking, each_s)
    exchange: Any = SimpleNamespace(lacking=at.lacking)
    return await refilled(exchange, at, within_s=WITHIN_S), at.now_s


@pytest.mark.parametrize(
    ("lacking", "each_s", "outcome"),
    [
        ([0], 1.0, (True, 0.0)),
        ([None], 1.0, (False, WITHIN_S)),
        ([None, 30, 20, 10, 0], 9.0, (True, 36.0)),
        ([None, 30, 20], 5.0, (False, 20.0)),
        ([None, *range(1, 1000)], 5.0, (False, MOST_S)),
    ],
    ids=["nothing is lacking", "nobody answers", "it comes slowly", "what is left nobody gives", "a box lies for ever"],
)
async def test_a_box_waits_as_long_as_more_comes_and_no_longer(
    lacking: Sequence[int | None], each_s: float, outcome: tuple[bool, float]
) -> None:
    assert await wait(lacking, each_s) == outcome
