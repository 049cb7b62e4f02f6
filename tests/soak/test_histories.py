# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of histories of twenty boxes; a failing one is made short and printed.

`CROSSBAND_HISTORIES=3000` says how many; `CROSSBAND_HISTORY_SEED=77` where to begin, for the same ones again;
`CROSSBAND_HISTORIES_WITHOUT="rewind twin"` leaves out what is done in them, by kind.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from tests.lan_histories import checked_once, random_history, said_in_words, shortest, why_not

MANY = int(os.environ.get("CROSSBAND_HISTORIES", "3000"))
FIRST = int(os.environ.get("CROSSBAND_HISTORY_SEED", "0")) or random.SystemRandom().randrange(10**9)
WITHOUT = frozenset(os.environ.get("CROSSBAND_HISTORIES_WITHOUT", "").split())
SHARES = 12


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("share", range(SHARES))
def test_after_thousands_of_histories_twenty_boxes_have_the_same(share: int) -> None:
    began = time.process_time()
    kinds: Counter[str] = Counter()
    # Each worker chose a first seed of its own; a failure names its history's.
    seeds = range(FIRST + share * 10**6, FIRST + share * 10**6 + MANY // SHARES)
    for seed in seeds:
        acts = [act for act in random_history(seed) if act.kind not in WITHOUT]
        kinds.update(act.kind for act in acts)
        with checked_once():
            if why := why_not(acts):
                short = shortest(acts)
                pytest.fail(f"seed {seed}: {why}\nshortest, {why_not(short)}:\n{said_in_words(short)}")
    took_s = time.process_time() - began
    print(f"histories {seeds[0]} to {seeds[-1]}: {len(seeds)}, {took_s:.0f} s of CPU; {dict(kinds)}")
