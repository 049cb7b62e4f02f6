# SPDX-License-Identifier: GPL-3.0-or-later
"""Direct chats of one Matrix user with one radio node: a room for each pair, found or made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.content import marked
from bridges.matrix.management.command import Command, whom_and_what
from bridges.matrix.management.company import Company
from bridges.matrix.management.made import Made
from bridges.matrix.management.people import is_person
from bridges.matrix.management.puppets import NoPuppets, Puppets
from bridges.matrix.management.throttle import Throttle
from bridges.matrix.notices import Notices
from bridges.matrix.plain import one_line, valid_id
from bridges.matrix.rooms import Rooms
from gateway.model import (
    Address,
    BridgeContext,
    Declined,
    Joined,
    JournalError,
    Level,
    Message,
    NativeId,
    RateLimited,
    RemoteId,
    Sender,
    SenderId,
    Text,
    Unconfirmed,
    short_hash,
)

log = structlog.get_logger()

MAX_ROOM_NAME_BYTES = 100
FUNCTIONAL_MEMBERS = "io.element.functional_members"
"""Element's list of members that are no company: the room is named for the others."""
_PURPOSE = "direct"


class Directs:
    """Opens direct chats. The room is in the journal with its route, and in a file by whom it is for."""

    def __init__(
        self,
        client: Client,
        context: BridgeContext,
        rooms: Rooms,
        *,
        made: Made,
        company: Company,
        notices: Notices,
    ) -> None:
        self._client = client
        self._context = context
        self._rooms = rooms
        self._made = made
        self._company = company
        self._notices = notices
        self._throttle = Throttle()
        self.puppets: Puppets = NoPuppets()

    async def dm(self, command: Command, words: str) -> tuple[str, Message | None]:
        """Open the asker's chat with a node, or name it; what they say there at once is a message from it.

        Declined with the reason if the node isn't known or they may not.
        """
        self._check(command.sender)
        whom, what, far = self._whom(words)
        name = far.conversation if whom.startswith("!") else whom
        # Whatever they call the node is the room's name, for them; its ghost keeps its own, for everybody.
        room_id, is_new = await self._open(command.sender, far, name)
        if not is_new:
            await self._invite_again(room_id, command.sender)
        link = f"https://matrix.to/#/{quote(room_id)}?via={quote(_server(self._client.user_id))}"
        answer = f"Your direct chat with {name}{' is new' if is_new else ''}: {link}"
        return (answer, await self._said(command, room_id, what)) if what else (answer, None)

    async def room_for(self, message: Message, user_id: str) -> str:
        """Return the room where a user is told what somebody said to them: their chat with that sender.

        Raises BridgeError only.
        """
        far, user = message.origin, SenderId(user_id)
        try:
            said = message.sender.name
            return (await self._open(user, far, said or far.conversation, ghosts_name=said))[0]
        except (Declined, JournalError) as error:
            room_id = self._made.room(_PURPOSE, user, str(far))
            if room_id is None:
                raise Unconfirmed(f"no room for a direct chat: {error}") from error
            self._context.count("matrix_direct_one_way")
            words = f"What you say here goes nowhere: {error}"
            await self._notices.say(room_id, words, about=f"one way {error}")
            return room_id

    def rooms_of(self, user_id: str) -> tuple[str, ...]:
        """Return the rooms of a user's direct chats that we made."""
        return self._made.rooms(_PURPOSE, user_id)

    async def ghost_invited(self, ghost: str, room_id: str, inviter: str) -> Client | None:
        """Open the direct chat that somebody opens by inviting a node's ghost, or decline and say why.

        Return a connection that speaks as the ghost, if the room is its chat with them now. Done again for the
        same invitation it changes nothing. Raises LinkDown, RateLimited, AuthFailed.
        """
        if not self._throttle.takes(inviter, self._context.clock.monotonic()):
            self._context.count("matrix_direct_throttled")
            log.info("matrix_direct_throttled", bridge=self._context.name, room=room_id, by=inviter)
            return None
        try:
            node, far = self._wanted(ghost, SenderId(inviter))
        except Declined as declined:
            # Nobody may fill the homeserver with users, names and pictures who may not even write to them.
            await self._decline(await self.puppets.registered(ghost), room_id, declined)
            return None
        puppet = await self.puppets.acting(Sender(id=SenderId(node), name=""))
        if puppet is None:
            return None
        try:
            await puppet.post("join", room_id, body={})
            is_chat = await self._settle_in(puppet, ghost, room_id, SenderId(inviter), far)
        except (Declined, JournalError, Refused, Unconfirmed) as error:
            await self._decline(puppet, room_id, error)
            return None
        return puppet if is_chat else None

    async def ended(self, room_id: str, chats: Sequence[Joined]) -> None:
        """Let the ghosts of chats that are over leave the room too: nobody hears what is said to them there."""
        for joined in chats:
            for far in (end for end in joined.ends if joined.direct and end.bridge != self._context.name):
                try:
                    puppet = await self.puppets.acting(Sender(id=SenderId(far.conversation), name=""))
                except (Refused, RateLimited, Unconfirmed):
                    puppet = None
                if puppet is not None:
                    await self._leave(puppet, room_id, "this chat is over")

    def _wanted(self, ghost: str, user: SenderId) -> tuple[str, Address]:
        """Return the node that a ghost stands for, and where that is. Declined to who may not write to it."""
        node = self.puppets.node_of(ghost)
        self._check(user)
        if node is None:
            raise Declined("Only a radio's node can be written to in private.")
        far = self._context.desk.resolve(node)
        if not self._context.desk.has_met(far):
            raise Declined(f"No radio here has heard of {node}.")
        return node, far

    async def _decline(self, puppet: Client, room_id: str, error: Exception) -> None:
        self._context.count("matrix_direct_declined")
        log.info("matrix_direct_declined", bridge=self._context.name, room=room_id, reason=str(error))
        await self._leave(puppet, room_id, str(error))

    async def _settle_in(self, puppet: Client, ghost: str, room_id: str, inviter: SenderId, far: Address) -> bool:
        """Make a room that a ghost was asked into its chat; return whether it is one, and not bridged otherwise."""
        here = Address(self._context.name, self._rooms.origin(room_id))
        joined = self._context.desk.joined(here)
        if any(far not in one.ends for one in joined if one.direct):
            raise Declined("this room is a direct chat with another node: open one for each")
        if joined and not any(one.direct for one in joined):
            return False  # the ghost is in a room whose words go to its network anyway
        if not joined:
            await self._check_company(puppet, ghost, room_id, inviter, far)
        await self._take_over(puppet, room_id, inviter, far)
        self._context.count("matrix_direct_opened")
        return True

    def _check(self, user: SenderId) -> None:
        if self._context.level_of(user) < Level.TRANSMIT:
            raise Declined("You may not write to radios here.")

    def _whom(self, words: str) -> tuple[str, str, Address]:
        """Return whom the words name, what else they say, and where that is: a name may have spaces."""
        whom, what = whom_and_what(words)
        if not whom:
            raise Declined("Say to whom: `!mesh dm NODE` or `!mesh dm NODE TEXT`.")
        try:
            far = self._context.desk.resolve(whom)
        except Declined:
            whole = one_line(words, MAX_ROOM_NAME_BYTES)
            if not what or whole == whom:
                raise
            try:
                far = self._context.desk.resolve(whole)
            except Declined:
                raise Declined(
                    f"I know no node {whom!r}. With spaces in its name, put it in quotation marks."
                ) from None
            whom, what = whole, ""
        if not is_person(far, self._context.name):
            raise Declined(f"{far} is not one person: in a room, say `!mesh bridge {far.conversation}`.")
        return whom, what, far

    async def _open(self, user: SenderId, far: Address, name: str, *, ghosts_name: str = "") -> tuple[str, bool]:
        """Return the room of the two, and whether it is new. Declined where it can't be joined with a route."""
        room_id = self._existing(user, far)
        is_new = room_id is None
        if room_id is None:
            if self._context.level_of(user) < Level.READ:
                raise Declined("they have no permission here")
            puppet = await self.puppets.acting(Sender(id=SenderId(far.conversation), name=ghosts_name))
            room_id = await self._create(user, far, name, puppet)
        if is_person(far, self._context.name):
            await self._join(room_id, user, far)
        return room_id, is_new

    def _existing(self, user: SenderId, far: Address) -> str | None:
        for joined in self._context.desk.joined(far):
            if joined.direct and joined.by == user:
                mine = (end.conversation for end in joined.ends if end.bridge == self._context.name)
                found = (self._rooms.room(conversation) for conversation in mine)
                if room_id := next((room for room in found if room and self._rooms.is_in_use(room)), None):
                    return room_id
        return self._made.room(_PURPOSE, user, str(far))

    async def _create(self, user: SenderId, far: Address, name: str, puppet: Client | None) -> str:
        bot = self._client.user_id
        wish: dict[str, Any] = {
            "preset": "trusted_private_chat",
            "is_direct": True,
            "invite": [user] if puppet is None else [user, bot],
            "name": f"{one_line(name, MAX_ROOM_NAME_BYTES)} (mesh)",
            "topic": _about(far),
            "initial_state": [{"type": FUNCTIONAL_MEMBERS, "state_key": "", "content": {"service_members": [bot]}}],
        }
        if puppet is None:
            del wish["initial_state"]  # we are all the company there is: a room of nobody would have no name
        return await self._made.make(wish, _PURPOSE, user, str(far), by=puppet)

    async def _join(self, room_id: str, user: SenderId, far: Address) -> None:
        await self._route(room_id, user, far)
        await self._notices.tell_once(room_id, _about(far))

    async def _route(self, room_id: str, user: SenderId, far: Address) -> None:
        here = Address(self._context.name, self._rooms.origin(room_id))
        if not any(far in joined.ends for joined in self._context.desk.joined(here)):
            await self._context.desk.join(here, far, by=user, direct=True)

    async def _check_company(self, puppet: Client, ghost: str, room_id: str, inviter: SenderId, far: Address) -> None:
        bot = self._client.user_id
        members = await puppet.get("rooms", room_id, "joined_members")
        if not set(members.get("joined") or ()) <= {inviter, ghost, bot}:
            raise Declined("others are in this room: a direct chat has one person in it")
        if await self._is_encrypted(puppet, room_id):
            raise Declined(f"radios can't read encrypted rooms: say `!mesh dm {far.conversation}` to {bot} instead")

    async def _take_over(self, puppet: Client, room_id: str, inviter: SenderId, far: Address) -> None:
        """Make the route and bring ourselves in; what is done already, before all broke off, stays as it is."""
        bot = self._client.user_id
        is_there = self._rooms.is_in_use(room_id)
        if not is_there:
            await puppet.post("rooms", room_id, "invite", body={"user_id": bot})
        # The route first: what our own sync brings of the room from our coming on must find it.
        await self._route(room_id, inviter, far)
        if not is_there:
            await self._come(room_id, far)
        await self._notices.tell_once(room_id, _about(far))
        try:
            service = {"service_members": [bot]}
            await puppet.put("rooms", room_id, "state", FUNCTIONAL_MEMBERS, "", body=service)
        except (Refused, Unconfirmed):
            self._context.count("matrix_declaration_refused")  # the room's name shows the bot too, that is all

    async def _come(self, room_id: str, far: Address) -> None:
        try:
            await self._rooms.arrive(room_id)
        except Refused:
            await self._context.desk.part(Address(self._context.name, self._rooms.origin(room_id)), far)
            raise

    async def _is_encrypted(self, puppet: Client, room_id: str) -> bool:
        try:
            await puppet.get("rooms", room_id, "state", "m.room.encryption", "")
        except Refused as refused:
            if refused.errcode != "M_NOT_FOUND":
                raise
            return False
        return True

    async def _leave(self, puppet: Client, room_id: str, reason: str) -> None:
        try:
            await puppet.post("rooms", room_id, "leave", body={"reason": one_line(reason, 500)})
        except (Refused, RateLimited, Unconfirmed) as error:
            log.info("matrix_leave_failed", bridge=self._context.name, room=room_id, reason=str(error))

    async def _invite_again(self, room_id: str, user: SenderId) -> None:
        try:
            if user not in await self._company.others(room_id):
                await self._client.post("rooms", room_id, "invite", body={"user_id": user})
        except Refused as refused:
            raise Declined(f"The room can't invite you: {refused}") from refused

    async def _said(self, command: Command, room_id: str, what: str) -> Message:
        """Show in the chat what was said for it elsewhere, and return it as said there."""
        key = f"dm.{short_hash('dm', self._context.name, command.event_id)}"
        said = {"msgtype": "m.text", "body": f"{command.sender_name}: {what}", "m.mentions": {}}
        answer = await self._client.put(
            "rooms", room_id, "send", "m.room.message", key, body=said | marked(key, self._context.name)
        )
        shown = valid_id(answer.get("event_id"), "$")
        if shown is None:
            raise RateLimited("the homeserver's answer to a send has no event id")
        return Message(
            native_id=NativeId(f"mx:{command.event_id}"),
            origin=Address(self._context.name, self._rooms.origin(room_id)),
            sender=Sender(id=command.sender, name=command.sender_name),
            content=Text(body=what),
            received_ms=self._context.clock.now_ms(),
            remote_id=RemoteId(shown),
        )


def _about(far: Address) -> str:
    return (
        f"Messages here go to one radio, {far.conversation}, and its answers come here. On the air they are "
        f"encrypted for it alone where its key is known; otherwise they aren't sent, and this room says so. "
        f"Where it acknowledged, your message gets a ✅."
    )


def _server(user_id: str) -> str:
    return user_id.partition(":")[2]
