# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be asked at the desk: each command with the least permission it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.desk import letters, looking, moderating, nodes, ruling, tracing
from gateway.desk.visit import Visit
from gateway.desk.words import answer, nearest
from gateway.model import Declined, Level
from gateway.wording import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One of them."""

    usage: str
    """Its name, and what may stand after it."""
    about: str
    level: Level
    run: Callable[[Visit], Awaitable[str]]
    changes: bool = False
    """It changes something: the same command that comes again is not carried out again."""
    alias: str = ""
    """What else it is called by."""
    moderates: bool = False
    """It is given from the command line and by the API in the same words."""

    @property
    def name(self) -> str:
        """What it is called by."""
        return self.usage.split(maxsplit=1)[0]


async def helped(visit: Visit) -> str:
    """Say what the asker may ask; with a name, how."""
    mine = commands_of(visit.level)
    if not visit.rest:
        return answer([f"{one.usage}: {one.about}" for one in mine.values()])
    one = find(visit.rest[0].casefold(), visit.level)
    return answer([f"{one.usage}: {one.about}"])


def commands_of(level: Level) -> Mapping[str, Command]:
    """Return those that somebody of this level may give."""
    return {one.name: one for one in COMMANDS if one.level <= level}


def find(name: str, level: Level) -> Command:
    """Return the command of that name; Declined, with the nearest, if there is none for this level."""
    mine = commands_of(level)
    aliases = {one.alias: one for one in mine.values() if one.alias}
    if (found := mine.get(name) or aliases.get(name)) is not None:
        return found
    near = nearest(name, mine)
    hint = f"; did you mean {near}?" if near else "."
    raise Declined(f"there is no command {shown(name, 30)!r} for you{hint} help says what there is")


COMMANDS: Final = (
    Command(usage="help [COMMAND]", about="what you may ask", level=Level.READ, run=helped),
    Command(usage="status", about="the gateway at a glance", level=Level.READ, run=looking.status),
    Command(usage="brief", about="the same in one line", level=Level.READ, run=looking.brief),
    Command(usage="where ID|last", about="what became of a message", level=Level.READ, run=tracing.where),
    Command(usage="routes", about="what shares its messages with this", level=Level.READ, run=looking.routes),
    Command(
        usage="nodes [NAME]", about="who was heard, the latest first; of one all", level=Level.READ, run=nodes.nodes
    ),
    Command(usage="queue [ADDRESS|BRIDGE]", about="what waits, how old", level=Level.READ, run=looking.queue),
    Command(usage="who [SENDER|NODE]", about="what you may, and who may what", level=Level.READ, run=ruling.who),
    Command(
        usage="position [NODE]",
        about="ask a node where it is, over the air",
        level=Level.COMMANDS,
        run=looking.position,
        alias="where-is",
    ),
    Command(usage="dead-letters [N]", about="what failed for good", level=Level.COMMANDS, run=letters.listed),
    Command(usage="dead-letter ID", about="one of them with its story", level=Level.COMMANDS, run=letters.one_letter),
    Command(
        usage="redrive ID|all",
        about="send a dead letter again (all: for admins, says its price first)",
        level=Level.COMMANDS,
        run=letters.redrive,
        changes=True,
    ),
    Command(
        usage="cancel ID",
        about="take back a message or delivery that waits",
        level=Level.COMMANDS,
        run=letters.cancel,
        changes=True,
    ),
    Command(
        usage="mute SENDER|NODE [for 1h] [because WORDS]",
        about="carry nothing of theirs",
        level=Level.COMMANDS,
        run=ruling.mute,
        changes=True,
        moderates=True,
    ),
    Command(
        usage="unmute SENDER|NODE",
        about="carry it again",
        level=Level.COMMANDS,
        run=ruling.unmute,
        changes=True,
        moderates=True,
    ),
    Command(usage="mutes", about="who is muted", level=Level.COMMANDS, run=ruling.mutes),
    Command(
        usage="slow [ROOM] 30s|off|usual",
        about="let each say one line in so long in a room at the page; alone: which are slow",
        level=Level.COMMANDS,
        run=moderating.slow,
        changes=True,
        moderates=True,
    ),
    Command(usage="approvals", about="who asks to be heard on radio", level=Level.COMMANDS, run=moderating.approvals),
    Command(usage="audit [N]", about="who decided what, in private", level=Level.COMMANDS, run=moderating.audit),
    Command(
        usage="approve [SENDER]",
        about="let somebody who asked be heard on radio",
        level=Level.ADMIN,
        run=moderating.approve,
        changes=True,
        moderates=True,
    ),
    Command(
        usage="refuse [SENDER]",
        about="turn them down",
        level=Level.ADMIN,
        run=moderating.refuse,
        changes=True,
        moderates=True,
    ),
    Command(
        usage="ban SENDER|NODE [because WORDS]",
        about="carry nothing of theirs until an admin takes it back",
        level=Level.ADMIN,
        run=moderating.ban,
        changes=True,
        moderates=True,
    ),
    Command(
        usage="unban SENDER|NODE",
        about="take that back",
        level=Level.ADMIN,
        run=moderating.unban,
        changes=True,
        moderates=True,
    ),
    Command(usage="drop ID", about="forget a dead letter", level=Level.ADMIN, run=letters.drop, changes=True),
    Command(
        usage="allow PATTERN LEVEL",
        about="let somebody do so much: none, read, transmit, commands, admin",
        level=Level.ADMIN,
        run=ruling.allow,
        changes=True,
        moderates=True,
    ),
    Command(
        usage="silence [for 1h]",
        about="put nothing on radio but emergencies",
        level=Level.ADMIN,
        run=ruling.silence,
        changes=True,
        moderates=True,
    ),
    Command(usage="unsilence", about="end that", level=Level.ADMIN, run=ruling.unsilence, changes=True, moderates=True),
    Command(
        usage="forget PATTERN",
        about="take back an allow",
        level=Level.ADMIN,
        run=ruling.forget,
        changes=True,
        moderates=True,
    ),
)
