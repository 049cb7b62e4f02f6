# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets boxes in by an invitation, and asks another box to be let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bridges.lan.caller import Caller, NotTaken
from bridges.lan.event import Event, Malformed, box_id
from bridges.lan.membership import Add, Member, Roll
from bridges.lan.pairing import Code, Invitations, Welcome, read_welcome, read_wish, welcome_body, wish_body
from bridges.lan.server import Answer, Asked
from bridges.lan.statements import statement_of
from bridges.lan.tls import introduced
from bridges.lan.wire import fitting
from gateway.model import BridgeError, Clock, Declined

JOIN = "/join"
MOST_TRIED = 32
_REFUSALS: dict[int, str] = {
    HTTPStatus.FORBIDDEN: "says that another box used this code",
    HTTPStatus.CONFLICT: "says that this box was put out once, and can't come back under its key: docs/lan.md",
}


class Doorkeeper:
    """Answers boxes that come with an invitation."""

    def __init__(
        self,
        *,
        clock: Clock,
        count: Callable[[str], None],
        roll: Callable[[], Roll],
        root: Callable[[], Member],
        add: Callable[[bytes, str], Awaitable[None]],
        statements: Callable[[], Awaitable[list[Event]]],
    ) -> None:
        self.invitations = Invitations()
        self._clock = clock
        self._count = count
        self._roll = roll
        self._root = root
        self._add = add
        self._statements = statements

    def keys(self) -> list[Ed25519PublicKey]:
        """Return whose handshakes are to succeed besides members'."""
        return self.invitations.keys(self._clock.monotonic())

    async def answer(self, asked: Asked) -> Answer:
        """Let in who came, if the invitation is good."""
        try:
            wish = read_wish(asked.body, asked.key)
        except Malformed:
            self._count("join_malformed")
            return Answer(status=HTTPStatus.BAD_REQUEST)
        invitation = asked.key.public_bytes_raw()
        if not self.invitations.use(invitation, wish.key, self._clock.monotonic()):
            self._count("join_refused")
            return Answer(status=HTTPStatus.FORBIDDEN)
        box = box_id(Ed25519PublicKey.from_public_bytes(wish.key))
        if not self._roll().is_member(box):
            await self._add(wish.key, wish.name)
        if not self._roll().is_member(box):  # it was put out once, or there are too many
            self._count("join_refused")
            return Answer(status=HTTPStatus.CONFLICT)
        self._count("box_joined")
        told = sorted(await self._statements(), key=_adds_first)
        return Answer(body=welcome_body(Welcome(root=self._root(), statements=fitting(told))))


async def ask_in(code: Code, key: Ed25519PrivateKey, name: str, addresses: Iterable[str]) -> tuple[str, Welcome]:
    """Ask the box that invited to let us in; return where it was, and what it told. Declined, with the reason."""
    wish = wish_body(key, name, code.key.public_key())
    tls = introduced(code.key)
    reasons: list[str] = []
    elsewhere: list[str] = []
    async with Caller() as caller:
        for address in tuple(dict.fromkeys((*code.addresses, *addresses)))[:MOST_TRIED]:
            try:
                answered = await caller.post(address, JOIN, wish, tls)
                if box_id(answered.key) != code.box:
                    elsewhere.append(f"{address} is another box than the one that invites")
                    continue
                return address, _checked(read_welcome(answered.body), code)
            except Malformed:
                reasons.append(f"{address} answered nonsense")
            except NotTaken as error:
                reasons.append(f"{address} {_REFUSALS.get(error.status, str(error))}")
            except BridgeError as error:
                # Boxes that were found nearby are tried as well; what they answer matters if there is nothing else.
                (reasons if address in code.addresses else elsewhere).append(str(error))
    raise Declined(_why(reasons or elsewhere))


def must_be_alone(roll: Roll) -> None:
    """Declined if this box belongs to a community of more than itself: joining another would mix the two."""
    if len(roll.boxes) > 1:
        reason = f"this box belongs to a community of {len(roll.members)} boxes already"
        raise Declined(f"{reason}. To join another, stop the gateway and delete data_dir/bridges/NAME")


def _checked(welcome: Welcome, code: Code) -> Welcome:
    if welcome.root.box != code.box and not any(_adds(event) == code.box for event in welcome.statements):
        raise Malformed("the box that invites doesn't belong itself")
    return welcome


def _adds(event: Event) -> str:
    statement = statement_of(event)
    if statement is None or not isinstance(statement.says, Add):
        return ""
    return box_id(Ed25519PublicKey.from_public_bytes(statement.says.key))


def _adds_first(event: Event) -> tuple[bool, int]:
    return (not _adds(event), event.hlc)


def _why(reasons: Sequence[str]) -> str:
    if not reasons:
        return "the box that invites wasn't found: name where it is with --at HOST:PORT"
    told = "; ".join(list(dict.fromkeys(reasons))[:4])
    mend = "is good once, for as long as it said, and until that gateway is restarted: ask for a new one"
    return f"not let in: {told}. A code {mend}"
