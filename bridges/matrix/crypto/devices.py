# SPDX-License-Identifier: GPL-3.0-or-later
"""Knows which devices people have, and begins sessions with them; asks the homeserver as seldom as it can."""

from __future__ import annotations

import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bridges.matrix.client import Client
from bridges.matrix.wire import mapping

if TYPE_CHECKING:
    from bridges.matrix.crypto.machine import Machine
    from bridges.matrix.crypto.room_keys import Device

ASK_AGAIN_S = 60.0
"""After a user's homeserver gave no answer for their devices."""
CLAIM_AGAIN_S = 300.0
"""After a device had no one-time key left for us."""
MAX_TRACKED = 20_000
USERS_AT_ONCE = 200
REMOTE_WITHIN_MS = 10_000
"""How long our homeserver may wait for others'; who doesn't answer is asked for again later."""


class Devices:
    """Other users' devices. `now_s` is the monotonic clock."""

    def __init__(self, client: Client, now_s: Callable[[], float]) -> None:
        self._client = client
        self._now_s = now_s
        self._known: set[str] = set()
        self._due: OrderedDict[str, float] = OrderedDict()
        """Users to be asked for, and from when on."""
        self._keyless: OrderedDict[Device, float] = OrderedDict()
        """Devices that had no key for us, and when they may be asked for again."""

    def forget(self) -> None:
        """Know nobody's devices any more: changes were missed."""
        self._due.update(dict.fromkeys(self._known, self._now_s()))
        self._known.clear()

    def changed(self, users: Iterable[str]) -> None:
        """Note that these users' devices are others now; who isn't of interest is left out."""
        for user in users:
            if user in self._known or user in self._due:
                self._known.discard(user)
                self._want(user)

    def left(self, users: Iterable[str]) -> None:
        """Note that we aren't told of these users' devices any more."""
        for user in users:
            self._known.discard(user)
            self._due.pop(user, None)

    def want(self, users: Iterable[str]) -> None:
        """Ask for those users' devices at the next `refresh`."""
        for user in users:
            if user not in self._known and user not in self._due:
                self._want(user)

    async def refresh(self, machine: Machine, among: Collection[str] | None = None) -> frozenset[str]:
        """Ask for the devices of whoever is wanted; return who is known now. Fails as the homeserver does."""
        now_s = self._now_s()
        due = [user for user, at_s in self._due.items() if at_s <= now_s and (among is None or user in among)]
        for begin in range(0, len(due), USERS_AT_ONCE):
            await self._ask(machine, due[begin : begin + USERS_AT_ONCE])
        return frozenset(due) & self._known

    async def begin_sessions(self, machine: Machine, devices: Collection[Device]) -> None:
        """Begin a session with each of these devices that we have none with. Fails as the homeserver does."""
        now_s = self._now_s()
        missing = [device for device in machine.without_session(devices) if self._keyless.get(device, 0.0) <= now_s]
        await self._claim(machine, missing)
        for device in machine.without_session(missing):
            self._keyless[device] = now_s + CLAIM_AGAIN_S
            if len(self._keyless) > MAX_TRACKED:
                self._keyless.popitem(last=False)

    async def mend_sessions(self, machine: Machine) -> None:
        """Begin new sessions with devices whose old one is broken, and tell them by a message that says nothing."""
        now_s = self._now_s()
        broken = [device for device in machine.wedged if self._keyless.get(device, 0.0) <= now_s]
        await self._claim(machine, broken)
        self._keyless.update(dict.fromkeys(set(broken) & set(machine.wedged), now_s + CLAIM_AGAIN_S))
        for kind, body, message in machine.queued():
            await self.send(kind, body)
            machine.sent(message)

    async def send(self, kind: str, body: Mapping[str, Any]) -> None:
        """Send to devices, whether or not they are online. Fails as the homeserver does."""
        await self._client.put("sendToDevice", kind, secrets.token_hex(12), body=body)

    def _want(self, user: str) -> None:
        self._due[user] = self._now_s()
        if len(self._due) > MAX_TRACKED:
            self._due.popitem(last=False)

    async def _ask(self, machine: Machine, users: list[str]) -> None:
        asked = {user: self._due[user] for user in users}
        body = {"device_keys": {user: [] for user in users}, "timeout": REMOTE_WITHIN_MS}
        answer = mapping((await self._client.post("keys", "query", body=body)).get("device_keys"))
        machine.learn_devices({user: answer[user] for user in users if user in answer})
        for user, at_s in asked.items():
            if self._due.get(user) != at_s:
                continue  # changed while we asked
            if isinstance(answer.get(user), dict):
                self._known.add(user)
                del self._due[user]
            else:
                self._due[user] = self._now_s() + ASK_AGAIN_S

    async def _claim(self, machine: Machine, devices: Collection[Device]) -> None:
        if not devices:
            return
        wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for user, device in devices:
            wanted[user][device] = "signed_curve25519"
        body = {"one_time_keys": wanted, "timeout": REMOTE_WITHIN_MS}
        answer = await self._client.post("keys", "claim", body=body)
        machine.begin_sessions(mapping(answer.get("one_time_keys")))
