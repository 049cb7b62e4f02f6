# SPDX-License-Identifier: GPL-3.0-or-later
"""Why deliveries are where they are, as their last change has it. Runs on the reader's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from gateway.journal.rows import history
from gateway.journal.statements import packed
from gateway.model import DeliveryId


def reasons(connection: sqlite3.Connection, ids: Sequence[DeliveryId]) -> dict[DeliveryId, str]:
    """Return the words of each one's last change; those without, and unknown ones, are left out."""
    source = "FROM json_each(?) j CROSS JOIN delivery d ON d.id = j.value"
    found = {}
    for ident, told in packed(connection, ("d.id", "d.history"), source, (json.dumps(ids),)):
        changes = history(told)
        if changes and changes[-1].reason:
            found[DeliveryId(ident)] = changes[-1].reason
    return found
