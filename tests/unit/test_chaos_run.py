# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of storms ends with its count, whatever becomes of one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import report, run
from tests.chaos.act import Act, Outcome, Wish
from tests.chaos.ledger import Figures, Ledger


async def clean(wish: Wish) -> Outcome:
    async def up() -> None: ...

    act = Act(wish=wish, ledger=Ledger(wish.folder / "ledger.txt"), up=up)
    act.ledger.close()
    return Outcome(wish=wish, total=Figures(accepted=7, arrived=7), streams={}, act=act)


async def broken(wish: Wish) -> Outcome:
    raise TimeoutError("the homeserver did not answer")


async def test_an_act_that_the_storm_cannot_go_on_with_takes_no_other_and_no_count_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(run.LEGS, "fast", clean)
    monkeypatch.setitem(run.LEGS, "real", broken)
    wishes = run.acts(["real", "fast"], 1, "s", tmp_path, "")

    outcomes = await run.play(wishes)

    found = report.as_json(outcomes, seed="s", minutes=1)
    assert report.line(found) == "chaos: messages 7, faults 0, lost 0, doubled 0, out of order 0"
    assert found["clean"] is False
    assert found["stuck"] == [
        "real-0 broke off, and nothing of it is counted: TimeoutError: the homeserver did not answer"
    ]
    assert (tmp_path / "real-0").is_dir(), "what shows why is kept"
