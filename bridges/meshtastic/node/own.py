# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own node from its configuration and what it kept: built once, opened as often as a radio is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from meshtastic.protobuf.config_pb2 import Config

from bridges.meshtastic.modem import DEFAULT, DEFAULT_NAME, NAMES
from bridges.meshtastic.node.announcing import Announcing
from bridges.meshtastic.node.channels import DEFAULT_PLAN, ChannelPlan, Unreadable, read_plan
from bridges.meshtastic.node.firmware import Firmware
from bridges.meshtastic.node.identity import Identity, new_keys
from bridges.meshtastic.node.keeping import Kept, load, save
from bridges.meshtastic.node.port import NodePort
from bridges.meshtastic.node.setup import NodeSetup
from bridges.meshtastic.station import modem_of, preset_name
from gateway.model import BridgeContext, LinkDown

FILE = "node.json"


class OwnNode:
    """Kept across connections, as a radio's memory is. Building it does no I/O."""

    def __init__(
        self,
        interfaces: Sequence[str],
        setup: NodeSetup,
        context: BridgeContext,
        *,
        hop_limit: int,
        count: Callable[[str], None],
    ) -> None:
        self._interfaces = interfaces
        self._setup = setup
        self._context = context
        self._hop_limit = hop_limit
        self._count = count
        self._firmware: Firmware | None = None

    def connect(self) -> NodePort:
        """Join the LAN; LinkDown, with nothing left open, if that can't be done or what was kept is unreadable."""
        context = self._context
        if self._firmware is None:
            self._firmware = self._booted()
        return NodePort(
            self._interfaces,
            self._firmware,
            keep_in=context.state_dir / FILE,
            clock=context.clock,
            count=self._count,
        )

    def _booted(self) -> Firmware:
        context, now = self._context, self._context.clock.monotonic()
        plan = self._plan()
        lora = self._lora(plan)
        kept = self._kept(context.state_dir / FILE)
        since_s = None if kept.announced_unix is None else context.clock.now_ms() / 1000 - kept.announced_unix
        firmware = Firmware(
            identity=Identity(keys=kept.keys, long_name=self._setup.long_name, short_name=self._setup.short_name),
            channels=plan.channels,
            lora=lora,
            preset_name=preset_name(lora),
            modem=modem_of(lora) or DEFAULT,
            roster=kept.roster,
            announcing=Announcing(random=context.random, now=now, since_s=since_s),
            entropy=os.urandom,
            count=self._count,
            now=now,
        )
        firmware.announced_unix = kept.announced_unix
        return firmware

    def _kept(self, path: Path) -> Kept:
        kept = load(path)
        if kept is None:
            kept = Kept(keys=new_keys(os.urandom))
            try:
                save(path, kept)
            except OSError as error:
                raise LinkDown(f"{path}: {os.strerror(error.errno or 0)}") from error
        return kept

    def _plan(self) -> ChannelPlan:
        path = self._setup.channels_file
        if not path:
            return DEFAULT_PLAN
        try:
            return read_plan(Path(path).read_text("utf-8"))
        except OSError as error:
            raise LinkDown(f"channels_file: {path}: {os.strerror(error.errno or 0)}") from error
        except UnicodeDecodeError as error:
            raise LinkDown(f"channels_file: {path}: it is not text") from error
        except Unreadable as error:
            raise LinkDown(f"channels_file: {path}: {error}") from error

    def _lora(self, plan: ChannelPlan) -> Config.LoRaConfig:
        lora = Config.LoRaConfig(use_preset=True)
        if plan.lora is not None:
            lora.CopyFrom(plan.lora)
        if self._setup.preset or not lora.use_preset:
            lora.use_preset = True
            number = NAMES.index(self._setup.preset or DEFAULT_NAME)
            lora.modem_preset = cast("Config.LoRaConfig.ModemPreset.ValueType", number)
        if self._setup.region:
            try:
                lora.region = Config.LoRaConfig.RegionCode.Value(self._setup.region)
            except ValueError as error:
                raise LinkDown(f"region: {self._setup.region} is none that this version knows") from error
        lora.hop_limit = self._hop_limit
        lora.tx_enabled = True
        return lora
