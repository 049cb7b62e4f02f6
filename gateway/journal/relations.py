# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked about a message that another one is about, and about chats. Runs on the reader's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from gateway.journal.records import Origin
from gateway.journal.rows import message_of
from gateway.model import Address, BridgeName, RemoteId

LATEST: Final = 200
"""So many of the last messages that somebody sent or was sent are looked at for the chat they were in."""

_ORIGIN = """SELECT m.seq, m.envelope, m.received_ms FROM address a
    JOIN counterpart c ON c.address = a.no JOIN message m ON m.seq = c.seq
    WHERE a.bridge = ? AND a.conversation = ? AND c.remote_id = ?"""
_BOUND_FOR = """SELECT DISTINCT a.bridge, a.conversation FROM delivery d JOIN address a ON a.no = d.address
    WHERE d.no BETWEEN ? << 12 AND (? << 12) + 4095"""
_LAST_CHAT = f"""SELECT b.bridge, b.conversation FROM address p
    JOIN (SELECT c.seq FROM address a JOIN counterpart c ON c.address = a.no
        WHERE a.bridge = :bridge AND a.conversation = :conversation ORDER BY c.seq DESC LIMIT {LATEST}) latest
    JOIN message m ON m.seq = latest.seq
    LEFT JOIN delivery d ON m.origin = p.no AND d.no BETWEEN (m.seq << 12) AND (m.seq << 12) + 4095
    JOIN address b ON b.no = iif(m.origin = p.no, d.address, m.origin)
    JOIN json_each(:chats) j
        ON json_extract(j.value, '$[0]') = b.bridge AND json_extract(j.value, '$[1]') = b.conversation
    WHERE p.bridge = :bridge AND p.conversation = :conversation ORDER BY m.seq DESC LIMIT 1"""  # noqa: S608 - constants


def find(connection: sqlite3.Connection, at: Address, remote_id: RemoteId) -> Origin | None:
    """Return where the message that is `remote_id` at this address came from."""
    row = connection.execute(_ORIGIN, (at.bridge, at.conversation, remote_id)).fetchone()
    if row is None:
        return None
    seq, envelope, received_ms = row
    message = message_of(envelope, received_ms)
    return Origin(
        message_id=message.id,
        origin=message.origin,
        direct=message.direct,
        sender_name=message.sender.name,
        bound_for=tuple(_addresses(connection.execute(_BOUND_FOR, (seq, seq)).fetchall())),
    )


def last_chat(connection: sqlite3.Connection, person: Address, chats: Sequence[Address]) -> Address | None:
    """Return which of these somebody was spoken with in last: by a message of theirs, or one that left for them.

    What only waits for them doesn't count: they can't be answering it.
    """
    named = json.dumps([(chat.bridge, chat.conversation) for chat in chats])
    asked = {"bridge": person.bridge, "conversation": person.conversation, "chats": named}
    return next(iter(_addresses(connection.execute(_LAST_CHAT, asked).fetchall())), None)


def _addresses(rows: Sequence[tuple[str, str]]) -> list[Address]:
    return [Address(BridgeName(bridge), conversation) for bridge, conversation in rows]
