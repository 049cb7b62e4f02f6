# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long what people said is kept, as the file has it: that it was changed is in the audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.ages import in_words
from gateway.config import Settings
from gateway.journal import Decision, Decisions, Deed
from gateway.model import Clock
from gateway.rulings import OPERATOR

RETENTION: Final = "retention"
_KEY: Final = "retention"
"""Of a bridge's table, where it keeps what was said."""


async def note_retention(settings: Settings, decisions: Decisions, clock: Clock) -> None:
    """Compare with what the last run was told; JournalError. The first run has nothing to compare with."""
    known = {one.key: one.value.get("kept") for one in await decisions.of(RETENTION)}
    now_ms = clock.now_ms()
    for about, kept in _kept(settings).items():
        if known.get(about) == kept:
            continue
        decision = Decision(kind=RETENTION, key=about, by=OPERATOR, at_ms=now_ms, value={"kept": kept})
        deed = None
        if about in known:
            detail = f"{known[about]} -> {kept}"
            deed = Deed(what=RETENTION, about=about, by=OPERATOR, at_ms=now_ms, where="file", detail=detail)
        await decisions.keep(decision, deed)


def _kept(settings: Settings) -> Mapping[str, str]:
    tables = {f"bridges.{name}": str(one.table.get(_KEY, "as usual")) for name, one in settings.bridges.items()}
    return {"journal": in_words(settings.journal.age_s), **tables}
