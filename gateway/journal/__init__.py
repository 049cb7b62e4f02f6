# SPDX-License-Identifier: GPL-3.0-or-later
"""The box's own record of what came in and what became of it."""

from gateway.journal.journal import Journal
from gateway.journal.outage_log import LastRun, OutageLog
from gateway.journal.outage_records import Became, Outage, OutageKind
from gateway.journal.records import (
    Accepted,
    Ages,
    Batch,
    Change,
    DeadLetter,
    DeadLetters,
    DeliveryRecord,
    Kept,
    LetterPage,
    MessageRecord,
    MessageRecords,
    Messages,
    Origin,
    Retention,
    Seen,
    Standing,
    StateChange,
)

__all__ = [
    "Accepted",
    "Ages",
    "Batch",
    "Became",
    "Change",
    "DeadLetter",
    "DeadLetters",
    "DeliveryRecord",
    "Journal",
    "Kept",
    "LastRun",
    "LetterPage",
    "MessageRecord",
    "MessageRecords",
    "Messages",
    "Origin",
    "Outage",
    "OutageKind",
    "OutageLog",
    "Retention",
    "Seen",
    "Standing",
    "StateChange",
]
