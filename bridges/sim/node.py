# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware of a node with a client on its line: handshake, limits, queues, answers. No I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from google.protobuf.message import DecodeError
from meshtastic.protobuf.mesh_pb2 import ClientNotification, Data, FromRadio, LogRecord, MeshPacket, NodeInfo, ToRadio

from bridges.sim import outgoing
from bridges.sim.admin import Admin
from bridges.sim.agenda import Agenda, Entry
from bridges.sim.handshake import answers, node_info
from bridges.sim.identity import Identity, Settings
from bridges.sim.limits import SAME_ID, TEXTS, UNPARSABLE, RateLimit
from bridges.sim.packets import ADMIN, packet_of, routing_packet, sender_of, set_sender
from bridges.sim.radio import Radio
from bridges.sim.to_phone import ToPhone


class Hang(Enum):
    """What a node that runs and doesn't work still does."""

    NO = "no"
    """It works."""
    DEAF = "deaf"
    """It takes all bytes and answers nothing; its radio stands still."""
    NO_STATUS = "no_status"
    """It sends what it is given and answers heartbeats, but says nothing of its transmit queue's packets."""


_RX_SNR_DB = 6.25
_RX_RSSI_DBM = -87


class Line(Protocol):
    """What a client is connected through, as the node sees it."""

    @property
    def keeps_ids(self) -> bool:
        """Whether the node remembers the client's packet ids across connections: on serial it does."""
        ...

    def wake(self) -> None:
        """Come and `pull`: there is something to say."""
        ...

    def drop(self) -> None:
        """Close the connection, if the line has such a thing."""
        ...

    def chatter(self, text: bytes) -> None:
        """Print debug text between frames, if the line has such a thing."""
        ...


class Firmware:
    """One node's side of the phone API, over any `Line`; the newest client wins.

    `directory()` names the other nodes it knows; `clock(now)` is the node's own Unix time in seconds,
    0 while it has none.
    """

    def __init__(
        self,
        radio: Radio,
        agenda: Agenda,
        settings: Settings,
        *,
        directory: Callable[[], Sequence[Identity]],
        clock: Callable[[float], int],
    ) -> None:
        self.radio = radio
        self.settings = settings
        self._agenda = agenda
        self._directory = directory
        self.clock = clock
        self.tx_enabled = True
        self.hang = Hang.NO
        """Ended by `reboot` only, as on a board: a client that opens the port anew changes nothing."""
        self.counts: Counter[str] = Counter()
        """What became of the client's packets, by kind."""
        self._line: Line | None = None
        self._queue = ToPhone(settings.buffered)
        self._said_full = False
        self._recent: deque[int] = deque(maxlen=SAME_ID)
        self._limit = RateLimit(settings.text_interval_s)
        self._last_contact = 0.0
        self._silence: Entry | None = None
        self._sequence = 0
        self._known: dict[int, tuple[int, int]] = {}
        self.admin = Admin(radio.identity, settings, self, agenda, radio.new_id)
        """How it is set, and what its client told it to change."""
        radio.listeners.append(self)
        radio.acquaintances = lambda: [identity.number for identity in directory()]

    @property
    def has_client(self) -> bool:
        """Whether a client has its configuration and gets packets."""
        return self._queue.is_configured

    @property
    def buffered(self) -> int:
        """How many packets wait for the client."""
        return self._queue.packets

    def attach(self, line: Line) -> None:
        """Let a client in; an earlier one is dropped."""
        if self._line is line:
            return
        earlier, self._line = self._line, line
        self._queue.forget_client()
        if not line.keeps_ids:
            self._recent.clear()
            self._limit.clear()
        if earlier is not None:
            earlier.drop()

    def detach(self, line: Line) -> None:
        """Learn that a client is gone: from now on packets are kept for the next one."""
        if self._line is line:
            self._line = None
            self._queue.forget_client()

    def reboot(self, now: float) -> None:
        """Lose everything in RAM; back after the settings' `boot_s`."""
        line = self._line
        self.admin.restarted()
        self.hang = Hang.NO
        self.radio.power_cycle()
        self.radio.is_on = False
        self._queue.forget_all()
        self._recent.clear()
        self._limit.clear()
        if line is not None:
            line.drop()
        self._agenda.at(now + self.settings.boot_s, self._booted)

    def receive(self, line: Line, payload: bytes, now: float) -> None:
        """Take one `ToRadio` from the client; what can't be parsed is counted."""
        if not self.radio.is_on or line is not self._line or self.hang is Hang.DEAF:
            return
        try:
            request = ToRadio.FromString(payload)
        except DecodeError:
            self.counts["unparsable"] += 1
            return
        self._last_contact = now
        if self._silence is None:
            self._silence = self._agenda.at(now + self.settings.silent_client_s, self._check_silence)
        match request.WhichOneof("payload_variant"):
            case "want_config_id":
                self._start_handshake(request.want_config_id)
            case "heartbeat":
                self._queue.heartbeat = True
                self.counts[f"heartbeat_{request.heartbeat.nonce}"] += 1
            case "disconnect":
                self._queue.forget_client()
                line.drop()
            case "packet":
                self._send(request.packet, now)
            case _:
                self.counts["ignored"] += 1
        line.wake()

    def pull(self, line: Line) -> bytes | None:
        """Return the next `FromRadio` for the client, or None. What is pulled is gone from the node."""
        if line is not self._line or self.hang is Hang.DEAF:
            return None
        record = self._queue.next(lambda: self._status(outgoing.OK, 0))
        if record is None:
            return None
        self._sequence += 1
        record.id = self._sequence
        return bytes(record.SerializeToString())

    def push(self, record: FromRadio) -> None:
        """Say this to the client next, whatever it is, even in the middle of a handshake."""
        self._queue.put_urgent(record)
        self._wake()

    def notify(self, text: str, now: float, *, reply_id: int = 0) -> None:
        """Send words for the people at the client."""
        notice = ClientNotification(
            message=text, level=LogRecord.Level.WARNING, reply_id=reply_id, time=self.clock(now)
        )
        self._queue.put_notice(FromRadio(clientNotification=notice))
        self._wake()

    def keep(self, packet: MeshPacket) -> None:
        """Put a packet in the queue for the client, as if it had just come in. A text displaces the oldest."""
        if not self._queue.put_packet(packet):
            self.counts["overflow"] += 1
        self._wake()

    def _start_handshake(self, nonce: int) -> None:
        self._queue.begin(answers(nonce, self.radio.identity, self._node_infos(), self.settings, self.admin.now_set))

    def _node_infos(self) -> list[NodeInfo]:
        infos = []
        for identity in self._directory():
            last_heard, hops = self._known.get(identity.number, (self.clock(0.0), 0))
            has_key = identity.number not in self.radio.strangers
            infos.append(node_info(identity, last_heard=last_heard, snr=_RX_SNR_DB, hops=hops, has_key=has_key))
        return infos

    def _send(self, packet: MeshPacket, now: float) -> None:
        if len(packet.decoded.payload) >= UNPARSABLE:
            self.counts["unparsable"] += 1
            return
        if packet.id and packet.id in self._recent:
            self.counts["same_id"] += 1
            return
        packet.id = packet.id or self.radio.new_id()
        self._recent.append(packet.id)
        if not self._limit.admits(packet.decoded.portnum, now):
            self._too_soon(packet, now)
            return
        set_sender(packet, self.radio.number)
        res, error, notice = outgoing.send(self, packet, now)
        if packet.to == self.radio.number and packet.decoded.portnum == ADMIN:
            self.admin.take(packet, now)
        self.counts["sent" if res == outgoing.OK else f"refused_{res}"] += 1
        if error:
            self._answer(packet.id, error, now)
        if notice:
            self.notify(notice, now, reply_id=packet.id)
        self._report(res, packet.id)

    def _too_soon(self, packet: MeshPacket, now: float) -> None:
        self.counts["too_soon"] += 1
        if packet.decoded.portnum not in TEXTS:
            self.notify("That can't be sent so often", now, reply_id=packet.id)
        elif sender_of(packet):
            self._answer(packet.id, outgoing.RATE_LIMIT_EXCEEDED, now)
        self._report(outgoing.OK, packet.id)

    def say(self, data: Data, now: float) -> None:
        """Send something from the node itself to its client."""
        own = self.radio.number
        packet = packet_of(data, sender=own, to=own, id=self.radio.new_id())
        packet.rx_time = self.clock(now)
        self.keep(packet)

    def refuse(self, request_id: int, error: int, now: float) -> None:
        """Answer a packet of the client in the node's own name: a routing error, or NONE."""
        self._answer(request_id, error, now)

    def _answer(self, request_id: int, error: int, now: float) -> None:
        own = self.radio.number
        packet = routing_packet(sender=own, to=own, id=self.radio.new_id(), request_id=request_id, error=error)
        packet.rx_time = self.clock(now)
        self.keep(packet)

    def _report(self, res: int, id: int) -> None:
        if self.hang is Hang.NO_STATUS:
            return
        status = self._status(res, id)
        self._said_full = status.queueStatus.free == 0
        self._queue.put_status(status)
        self._wake()

    def _status(self, res: int, id: int) -> FromRadio:
        record = FromRadio()
        record.queueStatus.res = res
        record.queueStatus.free = self.radio.room()
        record.queueStatus.maxlen = self.radio.depth
        record.queueStatus.mesh_packet_id = id
        return record

    def delivered(self, packet: MeshPacket, via: int, now: float) -> None:
        """Keep what came over the air for the client."""
        if self.hang is Hang.DEAF:
            return
        sender = sender_of(packet)
        self._known[sender] = (self.clock(now), packet.hop_start - packet.hop_limit)
        packet.rx_time = self.clock(now)
        packet.rx_snr = _RX_SNR_DB
        packet.rx_rssi = _RX_RSSI_DBM
        packet.relay_node = via & 0xFF
        if packet.pki_encrypted:
            packet.public_key = next((i.public_key for i in self._directory() if i.number == sender), b"")
        self.keep(packet)

    def settled(self, id: int, error: int, now: float) -> None:
        """Answer the client's packet in the node's own name."""
        self._answer(id, error, now)

    def freed(self, now: float) -> None:  # noqa: ARG002 - part of the interface
        """Say that there is room again, if the client was told there is none."""
        if self._said_full:
            self._report(outgoing.OK, 0)

    def _booted(self, _now: float) -> None:
        self.radio.is_on = True
        if self._line is not None:
            self._line.chatter(b"INFO  | ??:??:?? 1 \r\n//\\ E S H T /\\ S T / C\r\n")
            self.push(FromRadio(rebooted=True))

    def _check_silence(self, now: float) -> None:
        self._silence = None
        due = self._last_contact + self.settings.silent_client_s
        if self._line is None:
            return
        if now < due:
            self._silence = self._agenda.at(due, self._check_silence)
            return
        self.counts["silent_client"] += 1
        line = self._line
        self._queue.forget_client()
        line.drop()

    def _wake(self) -> None:
        if self._line is not None:
            self._line.wake()
