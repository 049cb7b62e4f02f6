# SPDX-License-Identifier: GPL-3.0-or-later
"""The box's own record of what came in and what became of it."""

from gateway.journal.audit import Deed
from gateway.journal.decisions import Decision, Decisions
from gateway.journal.journal import Journal
from gateway.journal.outage_log import LastRun, OutageLog
from gateway.journal.outage_records import Became, Outage, OutageKind
from gateway.journal.records import (
    Accepted,
    Ages,
    Amendment,
    Batch,
    Change,
    DeadLetter,
    DeadLetters,
    DeliveryRecord,
    Folded,
    Held,
    Kept,
    LetterPage,
    MessageRecord,
    MessageRecords,
    Messages,
    Origin,
    Original,
    Retention,
    Rewrite,
    Seen,
    Standing,
    StateChange,
)

__all__ = [
    "Accepted",
    "Ages",
    "Amendment",
    "Batch",
    "Became",
    "Change",
    "DeadLetter",
    "DeadLetters",
    "Decision",
    "Decisions",
    "Deed",
    "DeliveryRecord",
    "Folded",
    "Held",
    "Journal",
    "Kept",
    "LastRun",
    "LetterPage",
    "MessageRecord",
    "MessageRecords",
    "Messages",
    "Origin",
    "Original",
    "Outage",
    "OutageKind",
    "OutageLog",
    "Retention",
    "Rewrite",
    "Seen",
    "Standing",
    "StateChange",
]
