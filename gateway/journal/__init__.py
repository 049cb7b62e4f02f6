# SPDX-License-Identifier: GPL-3.0-or-later
"""The box's own record of what came in and what became of it."""

from gateway.journal.journal import Journal
from gateway.journal.records import (
    Accepted,
    Ages,
    Batch,
    Change,
    DeadLetter,
    DeliveryRecord,
    Kept,
    MessageRecord,
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
    "Change",
    "DeadLetter",
    "DeliveryRecord",
    "Journal",
    "Kept",
    "MessageRecord",
    "Origin",
    "Retention",
    "Seen",
    "Standing",
    "StateChange",
]
