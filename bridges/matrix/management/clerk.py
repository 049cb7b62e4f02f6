# SPDX-License-Identifier: GPL-3.0-or-later
"""Does what commands ask for, and answers each once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

import structlog

from bridges.matrix.client import Client, Refused
from bridges.matrix.management import say, usage
from bridges.matrix.management.answers import answer_content, answer_key
from bridges.matrix.management.command import (
    PREFIX,
    Bridge,
    Command,
    Confirm,
    Dm,
    GatherSpace,
    Help,
    Nick,
    Other,
    Unbridge,
    is_too_long,
    wish_of,
)
from bridges.matrix.management.confirmations import Confirmations
from bridges.matrix.management.directs import Directs
from bridges.matrix.management.linking import Linking
from bridges.matrix.management.space import Spaces
from bridges.matrix.management.throttle import Throttle
from bridges.matrix.nicks import Nicks
from gateway.model import (
    Asked,
    AuthFailed,
    BridgeContext,
    BridgeError,
    Declined,
    GatewayError,
    LinkDown,
    Message,
    NativeId,
    NotThere,
    RateLimited,
    Rejected,
)

log = structlog.get_logger()

MOST_DONE = 500
"""Commands whose answers are remembered, for when the homeserver gives them again."""
MAX_TRIES = 3
"""How often a command is begun whose way to the homeserver breaks; then it is given up, and counted."""
PATIENCE_S = 60.0
_TOO_MANY = "That was too many commands: one in six seconds is taken from now on."
_OUT_OF_TIME = "That takes longer than I wait for it: look at `status` in a while."
_LATE = "It could be read only now, as its key came late, and is not done any more: give it again if you still want it."
_BROKEN = "Something went wrong; the gateway's log has it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said to a command, and what it said for others."""

    words: str = field(repr=False)
    message: Message | None = None


class Clerk:
    """Takes commands one at a time. Each is done once while the gateway runs, however often it is given."""

    def __init__(
        self,
        client: Client,
        context: BridgeContext,
        *,
        confirmations: Confirmations,
        linking: Linking,
        directs: Directs,
        spaces: Spaces,
        nicks: Nicks,
        secrets: Iterable[str] = (),
    ) -> None:
        self._client = client
        self._context = context
        self._confirmations = confirmations
        self._linking = linking
        self._directs = directs
        self._spaces = spaces
        self._nicks = nicks
        self._secrets = tuple(secrets)
        self._throttle = Throttle()
        self._turn = asyncio.Lock()
        self._done: OrderedDict[str, Answer] = OrderedDict()
        self._tries: OrderedDict[str, int] = OrderedDict()

    async def carry_out(self, command: Command, *, is_private: bool, is_office: bool) -> Message | None:
        """Do it and answer; return what it says for others. LinkDown, RateLimited, AuthFailed: do it again later.

        `is_office`: the room is for commands alone, so what it means without naming a room isn't this one.
        """
        try:
            async with self._turn:
                answer = self._done.get(command.event_id) or self._objection(command)
                if answer is None:
                    answer = await self._do(command, is_private=is_private, is_office=is_office)
                self._remember(command, answer)
                if answer.words:
                    await self._say(command, answer.words, is_private=is_private)
        except AuthFailed:
            raise
        except BridgeError as error:
            if not self._is_given_up(command, error):
                raise error if isinstance(error, LinkDown | RateLimited) else LinkDown(str(error)) from error
            return None
        return answer.message

    def _objection(self, command: Command) -> Answer | None:
        """Return what is said instead of doing it, if its sender has given too many; that is said once."""
        if command.event_id in self._tries or self._throttle.takes(command.sender, self._context.clock.monotonic()):
            return None
        self._context.count("matrix_command_throttled")
        return Answer(words=_TOO_MANY if self._throttle.is_to_be_told(command.sender) else "")

    async def _do(self, command: Command, *, is_private: bool, is_office: bool) -> Answer:
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await self._wish(command, is_private=is_private, is_office=is_office)
        except TimeoutError:
            answer, what = Answer(words=_OUT_OF_TIME), "timed_out"
        except Declined as declined:
            answer, what = Answer(words=str(declined)), "declined"
        except Rejected as refused:
            answer, what = Answer(words=f"The homeserver doesn't let me: {refused}."), "refused"
        except BridgeError:
            raise
        except GatewayError as error:
            answer, what = Answer(words=f"That can't be done now: {error}."), "failed"
        except Exception:
            # One person's command must not end the gateway, and would be given again at its next start.
            log.exception("matrix_command_broken", bridge=self._context.name, room=command.room_id)
            answer, what = Answer(words=_BROKEN), "broken"
        else:
            what = "done"
        self._context.count(f"matrix_command_{what}")
        log.info("matrix_command", bridge=self._context.name, room=command.room_id, by=command.sender, outcome=what)
        return answer

    async def _wish(self, command: Command, *, is_private: bool, is_office: bool) -> Answer:
        if is_too_long(command):
            raise Declined("That is too long for a command.")
        if command.is_late:
            raise Declined(_LATE)
        match wish_of(command.words):
            case Help(about=about):
                words = await self._help(command, about, is_private)
            case Other():
                words = await self._ask(command, command.words, is_private)
            case Nick(name=name):
                words = self._nicks.set(command.sender, name)
            case Confirm():
                words = await self._confirm(command)
            case Dm(words=said):
                words, message = await self._directs.dm(command, said)
                return Answer(words=words, message=message)
            case Bridge() | Unbridge() | GatherSpace() as wish:
                words = await self._link(command, wish, is_office)
            case _ as other:
                assert_never(other)
        return Answer(words=words)

    async def _help(self, command: Command, about: str, is_private: bool) -> str:
        if not about:
            return f"{await self._ask(command, 'help', is_private)}\n{usage.own_commands()}"
        return usage.help_for(about.lower()) or await self._ask(command, command.words, is_private)

    async def _link(self, command: Command, wish: Bridge | Unbridge | GatherSpace, is_office: bool) -> str:
        if isinstance(wish, GatherSpace):
            return await self._spaces.gather(command, wish.channels)
        if is_office:
            raise Declined(f"Say it in the room that it is about: `{PREFIX} {command.words.split()[0].lower()} …`.")
        if isinstance(wish, Bridge):
            return await self._linking.bridge(command, wish.there)
        return await self._linking.unbridge(command, wish.there)

    async def _ask(self, command: Command, words: str, is_private: bool) -> str:
        at = self._linking.here(command.room_id)
        asked = Asked(
            sender=command.sender, words=words, at=at, private=is_private, id=NativeId(f"mx:{command.event_id}")
        )
        return await self._context.desk.answer(asked)

    async def _confirm(self, command: Command) -> str:
        pending = self._confirmations.confirm(command.sender, command.room_id, self._context.clock.monotonic())
        if pending is None:
            here = self._linking.here(command.room_id)
            standing = say.standing(self._context.desk.joined(here), here)
            raise Declined(f"{say.NOTHING_WAITS} {standing}".strip())
        return pending.again or await pending.act()

    async def _say(self, command: Command, words: str, *, is_private: bool) -> None:
        secrets = (self._client.token, *self._secrets)
        content = answer_content(words, command, is_private=is_private, secrets=secrets)
        key = answer_key(command, self._context.name)
        try:
            await self._client.put("rooms", command.room_id, "send", "m.room.message", key, body=content)
        except (Refused, NotThere) as refused:
            self._context.count("matrix_answer_refused")
            log.warning("matrix_answer_refused", bridge=self._context.name, room=command.room_id, reason=str(refused))

    def _remember(self, command: Command, answer: Answer) -> None:
        self._done[command.event_id] = answer
        if len(self._done) > MOST_DONE:
            self._done.popitem(last=False)

    def _is_given_up(self, command: Command, error: BridgeError) -> bool:
        tries = self._tries[command.event_id] = self._tries.pop(command.event_id, 0) + 1
        if len(self._tries) > MOST_DONE:
            self._tries.popitem(last=False)
        if tries < MAX_TRIES:
            return False
        self._context.count("matrix_command_given_up")
        log.warning("matrix_command_given_up", bridge=self._context.name, room=command.room_id, reason=str(error))
        return True
