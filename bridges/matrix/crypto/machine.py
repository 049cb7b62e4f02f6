# SPDX-License-Identifier: GPL-3.0-or-later
"""matrix-nio's Olm machine (vodozemac inside), and nothing else of nio's: no requests, no trust, no rooms.

Every method that changes a ratchet has written it to disk when it returns: what was sent can't be
sent again with the same key after a crash. Nothing here awaits, so each call is one step.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import peewee
import structlog
from nio.crypto import Olm
from nio.events import ForwardedRoomKeyEvent, OlmEvent, RoomKeyEvent, ToDeviceEvent
from nio.responses import KeysClaimResponse, KeysQueryResponse, KeysUploadResponse, ToDeviceResponse

from bridges.matrix.crypto.database import Written
from bridges.matrix.crypto.room_keys import Device, RoomKeys
from bridges.matrix.wire import mapping

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of what was sent to the device."""

    keys: frozenset[str]
    """Ids of the rooms' keys that came."""
    unreadable: int


class Machine:
    """One device: its identity, its sessions with other devices, the keys of rooms."""

    def __init__(self, olm: Olm) -> None:
        self._olm = olm
        self._has_fallback = True
        self.rooms = RoomKeys(olm)

    @property
    def device_id(self) -> str:
        """Its id."""
        return str(self._olm.device_id)

    @property
    def fingerprint(self) -> str:
        """Its Ed25519 key, by which others know it."""
        return str(self._olm.account.identity_keys["ed25519"])

    @property
    def is_published(self) -> bool:
        """Whether the homeserver has its keys, as far as we know."""
        return bool(self._olm.account.shared)

    def close(self) -> None:
        """Close the database for good: whoever still holds this machine must not write behind the next one's back."""
        self._olm.store.database.autoconnect = False
        self._olm.store.database.close()

    # Its own keys

    def unpublish(self) -> None:
        """Note that the homeserver doesn't have its keys after all."""
        with Written(self._olm):
            self._olm.account.shared = False
            self._olm.save_account()

    def note_key_count(self, count: int | None, *, has_fallback: bool) -> None:
        """Note how many one-time keys the homeserver has left, and whether the fallback key is unused."""
        if count is not None:
            self._olm.uploaded_key_count = count
        self._has_fallback = has_fallback

    @property
    def needs_upload(self) -> bool:
        """Whether keys have to be uploaded: never were, half of the one-time keys are used, or the fallback key is."""
        count = self._olm.uploaded_key_count
        is_low = count is not None and count < self._olm.account.max_one_time_keys // 2
        return not self.is_published or is_low or (count is not None and not self._has_fallback)

    def upload(self) -> Mapping[str, Any]:
        """Return what to upload. Their secret halves are on disk: a crash now loses nothing."""
        with Written(self._olm):
            is_full = self.is_published and self._olm.uploaded_key_count == self._olm.account.max_one_time_keys
            body: dict[str, Any] = {} if is_full else self._olm.share_keys()
            body["fallback_keys"] = self._fallback_key()
            self._olm.save_account()
        return body

    def _fallback_key(self) -> Mapping[str, Any]:
        """Return a key for when the others are used up: a box may be away for days (specification v1.2)."""
        account = self._olm.account._account  # noqa: SLF001 - nio knows no fallback keys, vodozemac does
        if not account.fallback_key:
            account.generate_fallback_key()
        keys = {id_: {"key": key.to_base64(), "fallback": True} for id_, key in account.fallback_key.items()}
        owner, name = self._olm.user_id, f"ed25519:{self._olm.device_id}"
        return {
            f"signed_curve25519:{id_}": {**key, "signatures": {owner: {name: self.sign(key)}}}
            for id_, key in keys.items()
        }

    def uploaded(self, count: int) -> None:
        """Note that they are there, `count` one-time keys in all."""
        with Written(self._olm):
            self._olm.handle_response(KeysUploadResponse(0, count))
        self._has_fallback = True

    def sign(self, value: Mapping[str, Any]) -> str:
        """Return its signature of a JSON object."""
        return str(self._olm.sign_json(dict(value)))

    # What others' devices send

    def take(self, events: Sequence[Any]) -> Taken:
        """Take in what was sent to the device, all of it or nothing.

        What makes no sense, was seen before or is for another device is left out.
        """
        keys: set[str] = set()
        unreadable = 0
        with Written(self._olm):
            for event in map(mapping, events):
                if event.get("type") == "m.room.encrypted":
                    got = self._taken(event)
                    unreadable += got is None
                    if isinstance(got, RoomKeyEvent | ForwardedRoomKeyEvent):
                        keys.add(str(got.session_id))
            if events:
                self._olm.save_account()  # nio writes it before the one-time key is used up, not after
        return Taken(keys=frozenset(keys), unreadable=unreadable)

    def _taken(self, event: Mapping[str, Any]) -> object:
        try:
            parsed = ToDeviceEvent.parse_event(copy.deepcopy(dict(event)))
            return self._olm.handle_to_device_event(parsed) if isinstance(parsed, OlmEvent) else None
        except peewee.PeeweeException:
            raise
        except Exception as error:  # noqa: BLE001 - whatever anyone sends, the others' keys must be taken
            log.debug("matrix_key_message_unreadable", error=type(error).__name__)
            return None

    # Others' devices

    def learn_devices(self, device_keys: Mapping[str, Any]) -> None:
        """Take in users' device lists, as the homeserver answered; what isn't validly signed is left out."""
        with Written(self._olm):
            for user_id, devices in device_keys.items():
                if not isinstance(devices, dict):
                    continue
                try:
                    known = {id_: copy.deepcopy(keys) for id_, keys in devices.items() if _is_device(keys)}
                    self._olm.handle_response(KeysQueryResponse({user_id: known}, {}))
                except peewee.PeeweeException:
                    raise
                except Exception as error:  # noqa: BLE001 - one user's nonsense must not hide the others' devices
                    log.warning("matrix_devices_unreadable", user=user_id, error=type(error).__name__)

    def recipients(self, users: Collection[str]) -> set[Device]:
        """Return the devices of these users, without this one."""
        store = self._olm.device_store
        own = (self._olm.user_id, self._olm.device_id)
        return {(user, device.id) for user in users for device in store.active_user_devices(user)} - {own}

    def without_session(self, devices: Collection[Device]) -> list[Device]:
        """Return those we have no session with: a one-time key of theirs is needed."""
        return [device for device in sorted(devices) if self._olm.session_store.get(self._curve(device)) is None]

    @property
    def wedged(self) -> list[Device]:
        """Those whose session with us is broken: a new one is needed."""
        return [(device.user_id, device.device_id) for device in self._olm.wedged_devices]

    def begin_sessions(self, one_time_keys: Mapping[str, Any]) -> None:
        """Begin a session with each device that the homeserver had a one-time key for."""
        with Written(self._olm):
            for user_id, devices in one_time_keys.items():
                for device_id, keys in mapping(devices).items():
                    try:
                        answer = KeysClaimResponse({user_id: {device_id: copy.deepcopy(keys)}}, {})
                        self._olm.handle_response(answer)
                    except peewee.PeeweeException:
                        raise
                    except Exception as error:  # noqa: BLE001 - one device's nonsense must not hide the others
                        log.warning("matrix_one_time_key_unusable", user=user_id, error=type(error).__name__)

    def queued(self) -> list[tuple[str, Mapping[str, Any], Any]]:
        """Return what waits to be sent to devices: type, body, and what to give to `sent`."""
        return [(message.type, message.as_dict(), message) for message in self._olm.outgoing_to_device_messages]

    def sent(self, message: Any) -> None:
        """Note that it was sent."""
        with Written(self._olm):
            self._olm.handle_response(ToDeviceResponse(message))

    def _curve(self, device: Device) -> str:
        user_id, device_id = device
        return str(self._olm.device_store[user_id][device_id].curve25519)


def _is_device(keys: object) -> bool:
    return bool(mapping(mapping(keys).get("keys"))) and bool(mapping(mapping(keys).get("signatures")))
