# SPDX-License-Identifier: GPL-3.0-or-later
"""What every box calls a channel, or a direct chat, of the mesh its radio is on. Pure.

Two radios talk to each other if they have the same frequency, modem and channel, and its key. The name says which
region, preset and channel, and of the rest a hash: whether it is equal, and little else. A key that everybody has
is known by its hash to who tries those. Of others it is 32 bits out of a slow hash, so that who tries passphrases
pays for each, and finds many that fit.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from meshtastic.protobuf.channel_pb2 import Channel as RawChannel
from meshtastic.protobuf.config_pb2 import Config

from bridges.meshtastic.airtime import airtime_s
from bridges.meshtastic.channel_keys import spelled_out
from bridges.meshtastic.modem import Modem
from bridges.meshtastic.places import ROOM_BYTES, find
from bridges.meshtastic.station import Station
from gateway.model import NotThere

SHORTEST_TURN_S = 20.0
LONGEST_TURN_S = 30.0
CONTENTION_S = 6.0
"""A packet waits for its turn on the air so long, where the channel is busy."""
SAID_TIMES = 8
"""It is said by its sender and by relays, and repeated where nobody was heard to relay it."""
_HASH_BYTES = 4


def turn_s(modem: Modem) -> float:
    """Return how long the next box waits to hear a text that another's radio may be sending."""
    return min(LONGEST_TURN_S, max(SHORTEST_TURN_S, CONTENTION_S + SAID_TIMES * airtime_s(modem, ROOM_BYTES)))


def common_name(conversation: str, station: Station, *, mesh: str) -> str | None:
    """Return it; None where the radio hasn't told of such a channel. `mesh`: what the operator calls this mesh."""
    lora, slots = station.lora, station.slots
    primary = next((slot for slot in slots.values() if slot.role == RawChannel.Role.PRIMARY), None)
    if lora is None or primary is None:
        return None
    try:
        place = find(conversation, station.channels)
    except NotThere:
        return None
    name = conversation if place.is_direct else station.channels[place.channel].name
    key = b"" if place.is_direct else _key(slots[place.channel], primary)
    proof = _hash(key, _tuning(lora, primary.settings.name or station.preset), mesh)
    return f"mt:{station.region}/{station.preset}/{name}/{proof}"


def _key(slot: RawChannel, primary: RawChannel) -> bytes:
    """Return the key in use: a secondary channel without one has the primary's."""
    return spelled_out(bytes(slot.settings.psk) or bytes(primary.settings.psk))


def _tuning(lora: Config.LoRaConfig, primary: str) -> str:
    """Return what else two radios must have equal: the frequency goes by the primary's name unless it is set."""
    slot = str(lora.channel_num) if lora.channel_num else f"by {primary}"
    modem = "" if lora.use_preset else f"{lora.spread_factor} {lora.bandwidth} {lora.coding_rate}"
    return f"{slot}\0{lora.override_frequency:.3f}\0{modem}"


@lru_cache(maxsize=64)
def _hash(key: bytes, tuning: str, mesh: str) -> str:
    """Return what tells whether two are equal. Takes some 50 ms, once."""
    salt = f"crossband commons\0{mesh}\0{tuning}".encode()
    return hashlib.scrypt(key, salt=salt, n=2**14, r=8, p=1, dklen=_HASH_BYTES).hex()
