# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits in a node's RAM for its client, how much of it fits, and in which order it goes. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from meshtastic.protobuf.mesh_pb2 import FromRadio, MeshPacket

from bridges.sim.limits import STATUSES, TEXTS

_NOTICES = 4


class ToPhone:
    """The queues between a node and its client. Packets outlive the client; the rest goes with it."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._urgent: deque[FromRadio] = deque(maxlen=_NOTICES)
        self._records: Iterator[FromRadio] | None = None
        self._statuses: deque[FromRadio] = deque(maxlen=STATUSES)
        self._notices: deque[FromRadio] = deque(maxlen=_NOTICES)
        self._packets: deque[FromRadio] = deque()
        self.is_configured = False
        """Whether the client has its configuration: only then it gets more."""
        self.heartbeat = False
        """Whether the client asked for a sign of life."""

    @property
    def packets(self) -> int:
        """How many packets wait."""
        return len(self._packets)

    def begin(self, records: Iterator[FromRadio]) -> None:
        """Tell the configuration first; its last record has ``config_complete_id``."""
        self.is_configured = False
        self._records = records

    def put_urgent(self, record: FromRadio) -> None:
        """Say it next, even in the middle of the configuration."""
        self._urgent.append(record)

    def put_status(self, status: FromRadio) -> None:
        """Keep a queue status; only two fit, and the oldest goes without a word."""
        self._statuses.append(status)

    def put_notice(self, notice: FromRadio) -> None:
        """Keep words for people."""
        self._notices.append(notice)

    def put_packet(self, packet: MeshPacket) -> bool:
        """Keep a packet; False if something was lost: the oldest for a text, else this one."""
        is_full = len(self._packets) >= self._capacity
        if is_full and packet.decoded.portnum not in TEXTS:
            return False
        if is_full:
            self._packets.popleft()
        self._packets.append(FromRadio(packet=packet))
        return not is_full

    def next(self, status: Callable[[], FromRadio]) -> FromRadio | None:
        """Return what goes next, once, or None. `status` answers a heartbeat."""
        if self._urgent:
            return self._urgent.popleft()
        if self._records is not None:
            return self._next_record(self._records)
        if not self.is_configured:
            return None
        if self.heartbeat:
            self.heartbeat = False
            return status()
        for waiting in (self._statuses, self._notices, self._packets):
            if waiting:
                return waiting.popleft()
        return None

    def forget_client(self) -> None:
        """Keep what the next client should get."""
        self._records = None
        self.is_configured = False
        self.heartbeat = False
        self._urgent.clear()
        self._statuses.clear()

    def forget_all(self) -> None:
        """Lose everything, as at a restart."""
        self.forget_client()
        self._notices.clear()
        self._packets.clear()

    def _next_record(self, records: Iterator[FromRadio]) -> FromRadio:
        record = next(records)
        if record.HasField("config_complete_id"):
            self._records, self.is_configured = None, True
        return record
