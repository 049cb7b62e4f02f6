# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node does with the administration packets of its own client: firmware `AdminModule`, as its source says.

What was set is in RAM at once; it is saved, and the node restarts, at the end of the transaction, or at once
where none is open. A client on the node's own port needs no session passkey; `demands_passkey` is a firmware
that asks it from everybody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import DecodeError
from meshtastic.protobuf.admin_pb2 import AdminMessage
from meshtastic.protobuf.channel_pb2 import Channel
from meshtastic.protobuf.config_pb2 import Config
from meshtastic.protobuf.mesh_pb2 import Data, MeshPacket, Routing

from bridges.sim.agenda import Agenda, Entry
from bridges.sim.identity import DUTY_CYCLE_PERCENT, Identity, Settings
from bridges.sim.packets import ADMIN
from bridges.sim.preferences import CHANNELS, Preferences

QUEUE = 4
"""So many packets to itself a node keeps; the oldest goes without a word."""
WORK_S = 0.3
"""How long it is busy with one."""
RESTART_AFTER_S = 7.0
_SECTION_NAMES = {number: name.removesuffix("_CONFIG").lower() for name, number in AdminMessage.ConfigType.items()}
_UNSET = Config.LoRaConfig.RegionCode.UNSET


class Board(Protocol):
    """What is needed of the node."""

    clock: Callable[[float], int]
    tx_enabled: bool

    def reboot(self, now: float) -> None:
        """Restart."""
        ...

    def say(self, data: Data, now: float) -> None:
        """Send an answer from the node to its own client."""
        ...

    def refuse(self, request_id: int, error: int, now: float) -> None:
        """Answer a packet of the client with a routing error, or NONE."""
        ...


class Admin:
    """One node's settings, and who may change them."""

    def __init__(
        self, own: Identity, settings: Settings, board: Board, agenda: Agenda, new_id: Callable[[], int]
    ) -> None:
        self.now_set = Preferences.of(own, settings)
        self.saved = self.now_set.copy()
        self.demands_passkey = False
        self.lora_restarts = True
        """Newer firmware takes a changed LoRa section up without a restart."""
        self.refused_regions: set[str] = set()
        """Regions its hardware or licence does not allow: it keeps what it has, without a word."""
        self.has_gps = False
        """Whether it has the time from a better source than a client."""
        self.is_deaf = False
        """Whether it answers nothing that it is told."""
        self.orders: list[str] = []
        """What it was told, by name."""
        self.dropped = 0
        self._board = board
        self._agenda = agenda
        self._new_id = new_id
        self._passkey = b""
        self._waiting: deque[MeshPacket] = deque()
        self._is_busy = False
        self.is_open = False
        """Whether a transaction is."""
        self._restart: Entry | None = None

    def take(self, packet: MeshPacket, now: float) -> None:
        """Queue a packet that the client sent to the node itself."""
        if len(self._waiting) == QUEUE:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(packet)
        if not self._is_busy:
            self._is_busy = True
            self._agenda.at(now + WORK_S, self._work)

    def restarted(self) -> None:
        """Lose what was not saved."""
        self.now_set = self.saved.copy()
        self.is_open, self._passkey = False, b""
        self._waiting.clear()
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None

    def _work(self, now: float) -> None:
        self._is_busy = False
        if not self._waiting:
            return
        packet = self._waiting.popleft()
        if self._waiting:
            self._is_busy = True
            self._agenda.at(now + WORK_S, self._work)
        try:
            message = AdminMessage.FromString(packet.decoded.payload)
        except DecodeError:
            return
        if not self.is_deaf and not self.now_set.sections["security"].security.is_managed:
            self._follow(packet, message, now)

    def _follow(self, packet: MeshPacket, message: AdminMessage, now: float) -> None:
        name = message.WhichOneof("payload_variant") or ""
        self.orders.append(name)
        if name.startswith("get_"):
            answer = self._told(message)
            answer.session_passkey = self._session()
            data = Data(portnum=ADMIN, payload=answer.SerializeToString(), request_id=packet.id)
            self._board.say(data, now)
            return
        if self.demands_passkey and message.session_passkey != (self._passkey or None):
            self._board.refuse(packet.id, Routing.Error.ADMIN_BAD_SESSION_KEY, now)
            return
        error = self._obey(name, message, now)
        if packet.decoded.want_response or error:
            self._board.refuse(packet.id, error, now)

    def _session(self) -> bytes:
        self._passkey = self._passkey or self._new_id().to_bytes(8, "big")
        return self._passkey

    def _told(self, message: AdminMessage) -> AdminMessage:
        match message.WhichOneof("payload_variant"):
            case "get_owner_request":
                return AdminMessage(get_owner_response=self.now_set.owner)
            case "get_channel_request":
                return AdminMessage(get_channel_response=self.now_set.channels[message.get_channel_request - 1])
            case "get_config_request":
                section = _SECTION_NAMES.get(message.get_config_request, "")
                return AdminMessage(get_config_response=self.now_set.sections.get(section, Config()))
            case _:
                return AdminMessage()

    def _obey(self, name: str, message: AdminMessage, now: float) -> int:
        match name:
            case "begin_edit_settings":
                self.is_open = True
            case "commit_edit_settings":
                self.is_open = False
                self._save(now, restart=True)
            case "set_config":
                self._set_config(message.set_config, now)
            case "set_channel" if message.set_channel.index in range(CHANNELS):
                self._set_channel(message.set_channel)
                self._save(now, restart=False)
            case "set_owner":
                for field in ("long_name", "short_name"):
                    if getattr(message.set_owner, field):
                        setattr(self.now_set.owner, field, getattr(message.set_owner, field))
                self.now_set.owner.is_licensed = message.set_owner.is_licensed
                self._save(now, restart=True)
            case "set_time_only":
                self._set_time(message.set_time_only, now)
            case _:
                return int(Routing.Error.BAD_REQUEST)
        return int(Routing.Error.NONE)

    def _set_config(self, config: Config, now: float) -> None:
        section = config.WhichOneof("payload_variant") or ""
        taken = Config()
        taken.CopyFrom(config)
        restart = True
        if section == "lora":
            taken.lora.CopyFrom(self._validated(config.lora))
            restart = self.lora_restarts
        self.now_set.sections[section] = taken
        self._save(now, restart=restart)

    def _validated(self, wanted: Config.LoRaConfig) -> Config.LoRaConfig:
        had = self.now_set.sections["lora"].lora
        lora = Config.LoRaConfig()
        lora.CopyFrom(wanted)
        name = Config.LoRaConfig.RegionCode.Name(lora.region)
        if lora.region != had.region:
            if name in self.refused_regions:
                return had
            lora.tx_enabled = (lora.tx_enabled or had.region == _UNSET) and lora.region != _UNSET
            lora.ignore_mqtt = lora.ignore_mqtt or name in DUTY_CYCLE_PERCENT
        return lora

    def _set_channel(self, channel: Channel) -> None:
        if channel.role == Channel.Role.PRIMARY:
            for other in self.now_set.channels:
                if other.role == Channel.Role.PRIMARY:
                    other.role = Channel.Role.SECONDARY
        self.now_set.channels[channel.index].CopyFrom(channel)

    def _set_time(self, seconds: int, now: float) -> None:
        if not self.has_gps:
            self._board.clock = lambda when: seconds + int(when - now)

    def _save(self, now: float, *, restart: bool) -> None:
        if self.is_open:
            return
        self.saved = self.now_set.copy()
        lora = self.saved.sections["lora"].lora
        self._board.tx_enabled = lora.tx_enabled and lora.region != _UNSET
        if restart and self._restart is None:
            self._restart = self._agenda.at(now + RESTART_AFTER_S, self._board.reboot)
