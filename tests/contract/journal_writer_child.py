# SPDX-License-Identifier: GPL-3.0-or-later
"""Accepts messages as fast as it can and prints each sequence that was acknowledged: `FOLDER`. Meant to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from gateway.clock import SystemClock
from gateway.journal import Journal, Retention
from tests.contract.journal_desk import LAN, bound, moved, parts_of, said


async def source(journal, lane):
    for n in range(10**9):
        message = said(f"{os.getpid()}-{lane}-{n}", resume=f"{lane}-{n}")
        answer = await journal.accept(message, [*parts_of(message), bound(message, LAN)])
        await journal.record([moved(bound(message, LAN), "sent")])
        os.write(1, f"{answer.seq} {message.native_id}\n".encode())


async def main(folder):
    async with Journal(folder / "journal.db", clock=SystemClock(), retention=Retention()) as journal:
        await asyncio.gather(*(source(journal, lane) for lane in range(4)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
