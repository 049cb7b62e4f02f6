# SPDX-License-Identifier: GPL-3.0-or-later
"""The one seam between the core and a network: what a bridge is, gets and gives."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from gateway.model.chorus import Overheard
from gateway.model.desk import Desk, NoDesk
from gateway.model.errors import PermanentError, TransientError
from gateway.model.location import Location
from gateway.model.message import (
    Address,
    BridgeName,
    Content,
    Level,
    Message,
    NativeId,
    RemoteId,
    ResumePoint,
    SenderId,
)
from gateway.model.node import Node


class Support(Enum):
    """How a network takes a kind of content."""

    NATIVE = "native"
    TEXT = "text"
    """Say it in words."""
    DROP = "drop"
    """Not at all; the delivery is `cancelled` with that reason."""


class Certainty(StrEnum):
    """What a network has told us of a delivery; never more than it said."""

    SENT = "sent"
    """The far network's own side has it."""
    HEARD = "heard"
    """A radio neighbour relayed it."""
    DELIVERED = "delivered"
    """The far end itself acknowledged."""


def as_said(text: str) -> str:
    """Return a text as it is."""
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a bridge can carry: known before it connects, read by `fitting` and `delivery`."""

    room_for: Callable[[Content, Address, bool], int]
    """``room_for(content, to, is_reply)``: UTF-8 bytes of body one send may hold. Pure."""
    names: Support = Support.TEXT
    """NATIVE: the bridge shows the sender itself; TEXT: the body begins with their name."""
    replies: Support = Support.DROP
    """DROP: the words go, the link to what they answer doesn't."""
    reactions: Support = Support.DROP
    edits: Support = Support.DROP
    correct_within_s: float = 300.0
    """Where `edits` is TEXT: how old what was sent there may be for a correction of it to be said."""
    redactions: Support = Support.DROP
    locations: Support = Support.TEXT
    shorten: Callable[[str], str] = as_said
    """Says people's words in fewer bytes before they are measured; what they are about, and who spoke, stays. Pure."""
    max_parts: int = 1
    """More parts than this and the message is refused with a reason, not flooded."""
    max_name_bytes: int = 12
    """Where `names` is TEXT: how long a name may be."""
    in_flight: int = 1
    """How many conversations may be sent to at once."""
    awaiting: int = 64
    """How many sent deliveries may wait for late reports; past it the oldest settles as it is."""
    reconnect_within_s: float = 5.0
    """The longest pause between two attempts to connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the far network answered at once.

    `more_within_s`: a `Report` may still come, for this long; None: this is all it will say.
    """

    remote_id: RemoteId
    certainty: Certainty = Certainty.SENT
    more_within_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the far network said later of the delivery that was sent under `key`.

    `error`: TransientError: send it again (with a fresh key if it says so); PermanentError: never.
    """

    key: str
    outcome: Certainty | TransientError | PermanentError
    reason: str = ""


NEVER_SET_MS = 1_577_836_800_000
"""2020: a clock that shows less is that of a box without one of its own, before the network set it."""


class Clock(Protocol):
    """Time, injected. Wall time never jumps while running: see `gateway.clock`."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as this box believes."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; for timeouts and pacing."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep by this clock."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoned:
    """What saying something would take at one address, if it were said now."""

    to: Address
    refusal: str = ""
    """Why it wouldn't go there, in words; empty: it would."""
    parts: int = 1
    bytes_left: int = 0
    """Until it no longer fits one part; negative: so many more than one part holds."""
    airtime_ms: int | None = None
    """Of all its parts; None: that network has no airtime to run out of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedConversation:
    """A conversation of this bridge that routes name, as they spell it."""

    name: str
    exposed_to: tuple[Address, ...] = ()
    """Addresses on networks that carry clear text through the air, where what is said here goes; no direct chats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeContext:
    """All a bridge is built from. It reads no other configuration, clock or randomness."""

    name: BridgeName
    table: Mapping[str, Any]
    """Its ``[bridges.NAME]`` table, raw: already passed by the kind's `check`. Paths in it are
    absolute."""
    state_dir: Path
    """A private directory that exists (0700), for keys and caches. Text is never kept there."""
    clock: Clock
    random: random.Random
    conversations: tuple[RoutedConversation, ...] = ()
    resume: ResumePoint | None = None
    """The last point the journal stored for this bridge."""
    level_of: Callable[[SenderId], Level] = field(default=lambda _: Level.READ)
    muted: Callable[[SenderId], str] = field(default=lambda _: "")
    """Why nothing of a sender's is carried, in words; empty: it is."""
    silenced: Callable[[], str] = field(default=lambda: "")
    """Why nothing goes to networks in clear but emergencies, in words; empty: it does."""
    slow: Callable[[str], int | None] = field(default=lambda _: None)
    """In how many seconds each person says one line in a conversation, as was decided; None: the table says."""
    named: Callable[[], Sequence[SenderId]] = field(default=lambda: ())
    """The ids that permissions name one by one, in the file and in chats."""
    known_as: Callable[[], Iterable[str]] = field(default=lambda: ())
    """What those are called whom the other bridges know: nodes, radios. Names that strangers gave themselves."""
    count: Callable[[str], None] = field(default=lambda _: None)
    """``count("frame_oversized")``: one more of a kind of thing skipped or noticed."""
    appeared: Callable[[str], None] = field(default=lambda _: None)
    """``appeared("#town:example.org")``: a conversation that may have been missing is there now."""
    overheard: Callable[[str, Overheard], None] = field(default=lambda _, __: None)
    """``overheard("#town:example.org", said)``: another gateway said something there; before that is passed over."""
    desk: Desk = field(default_factory=NoDesk)
    """Where people's commands and wishes for routes go."""
    box: str = ""
    """The gateway's own name, by which people tell boxes of a community apart."""
    reckon: Callable[[Message], Sequence[Reckoned]] = field(default=lambda _: ())
    """Say what a message of this bridge's would take, before it is said. Pure and bounded; nothing is sent."""


class Bridge(Protocol):
    """One connection to one network. Reusable, not reentrant: it is entered again after LinkDown.

    A bridge is built without I/O, so that a gateway starts with every side down.
    """

    @property
    def name(self) -> BridgeName:
        """The name it was configured under."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can carry; the same before and after connecting."""
        ...

    async def __aenter__(self) -> Self:
        """Connect, or raise (LinkDown, AuthFailed) and leave nothing open."""
        ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Close whatever is open, within a few seconds."""
        ...

    def receive(self) -> AsyncGenerator[Message | Report]:
        """Yield messages, and late reports on deliveries, in order, until the link is lost.

        Asking for the next one says the last is stored: that is the acknowledgement. Raises
        LinkDown when the link is lost and AuthFailed when the login was taken back; ends only so.
        """
        ...

    async def send(self, message: Message, to: Address, *, key: str) -> Receipt:
        """Send once per `key`; a repeated key must not show twice. Raises BridgeError only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeKind:
    """What an entry point in ``gateway.bridges`` names: a kind of network and how to build its bridge."""

    create: Callable[[BridgeContext], Bridge]
    check: Callable[[Mapping[str, Any]], frozenset[str]]
    """Validate a raw table without I/O; raise ConfigError with the key relative to the table.
    Return what it will hold alone (``serial:/dev/ttyUSB0``, ``tcp:0.0.0.0:8448``), so that two bridges
    on one port are found."""
    apart: Callable[[str], str] = field(default=lambda _: "Give each its own")
    """What to write where two bridges want the same one of those. Pure."""
    path_keys: frozenset[str] = frozenset()
    """Keys of the table whose values are paths, relative to the configuration file."""
    in_clear: bool = False
    """Whoever is in range reads what is sent: it takes the permission `transmit`."""
    between_boxes: bool = False
    """It joins boxes: what comes from there may have been said long ago, while they were apart."""
    is_direct: Callable[[str], bool] = field(default=lambda _: False)
    """Whether a conversation is a direct chat with one person. Pure."""
    malformed: Callable[[str], str] = field(default=lambda _: "")
    """Why a conversation can be none of this kind, however it is set up; empty if it can. Pure."""
    acknowledges: bool = True
    """The far end of a direct chat itself acknowledges: what is sent there ends `delivered` or `failed`.
    False: as everywhere else, when the network's own side has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What a delivery will be called."""

    remote_id: RemoteId
    native_id: NativeId | None = None
    """What anyone else on that network will call it: when another bridge of ours hears it, it is no
    news. None: not known yet."""


@runtime_checkable
class Foresees(Protocol):
    """A bridge whose network takes the id we choose: it is journalled before the first try.

    So an answer finds what it answers even when it comes before our own receipt, or after a crash,
    and what one bridge sends and another hears is known.
    """

    def foresee(self, key: str) -> Foreseen:
        """Return what a delivery sent under this key is called. No I/O."""
        ...


@runtime_checkable
class Recalls(Protocol):
    """A bridge whose network forgets keys, and can be asked whether what was sent under one is there.

    It is asked before a send whose key may be forgotten: then the key alone would let it show twice.
    """

    def remembers_since_ms(self) -> int:
        """Return since when keys are remembered: what was first sent later and is repeated shows nothing new."""
        ...

    async def recall(self, to: Address, *, key: str, since_ms: int) -> Receipt | None:
        """Return the receipt of what was sent under the key, not before `since_ms`; None if it isn't there.

        Raises BridgeError only: then nothing is known, and it is asked again.
        """
        ...


@runtime_checkable
class Looks(Protocol):
    """A bridge that can look what other gateways said in a conversation, before its own stream shows it."""

    async def look(self, to: Address) -> None:
        """Tell what others said there lately, up to this moment, by `BridgeContext.overheard`. Raises BridgeError."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A bridge whose source another box can go on reading where this one was: for a hot standby."""

    @property
    def position(self) -> ResumePoint | None:
        """Where its source goes on, when all that was asked for is stored; None before it first connected."""
        ...

    def go_on_from(self, point: ResumePoint) -> None:
        """Read on from where another box was; called only while it isn't connected."""
        ...


@runtime_checkable
class Rerouted(Protocol):
    """A bridge that takes routes made while it runs: without it they hold from the next start on."""

    def reroute(self, conversations: tuple[RoutedConversation, ...]) -> None:
        """Know these as the routed conversations from now on, instead of the context's. No I/O; never raises."""
        ...


@runtime_checkable
class Costs(Protocol):
    """A bridge whose network is one channel for everyone in range: what is sent takes time from all of them."""

    def airtime_ms(self, message: Message, to: Address) -> int:
        """Return for how long sending this fitted message once occupies the channel. Pure.

        By our own transmitter alone: neighbours that relay it take as much each.
        """
        ...

    @property
    def airtime_basis(self) -> str:
        """By which settings that is reckoned, in words; before the bridge has connected, which are assumed."""
        ...


@runtime_checkable
class Directory(Protocol):
    """A bridge that knows who is out there."""

    def nodes(self) -> Sequence[Node]:
        """Return at most a few thousand, most recently heard first."""
        ...


@runtime_checkable
class Locates(Protocol):
    """A bridge that can ask somebody out there where they are, on their network."""

    async def locate(self, node: SenderId) -> Location:
        """Ask, and wait up to a minute or so for the answer, which goes to the caller and nobody else.

        Declined, with the reason for the asker, if it isn't allowed, no answer came, or that has no place
        in it; LinkDown, and others of BridgeError, if it couldn't be asked.
        """
        ...


@runtime_checkable
class Offers(Protocol):
    """A bridge that can name the conversations there are to join: a radio's channels."""

    def conversations(self) -> Sequence[str]:
        """Return them as they are spelled in addresses; empty while that isn't known. No I/O."""
        ...

    def spelled(self, conversation: str) -> str:
        """Return how one is spelled in the messages that come from it; as it was, where that isn't known. No I/O.

        A route by another spelling would never see them, or keep them from the routes that do.
        """
        ...


@runtime_checkable
class Describes(Protocol):
    """A bridge that has more to say in ``crossband status``."""

    def describe(self) -> Mapping[str, str]:
        """Return short facts in words (firmware, preset, who we are); no secret, no text.

        Under ``warnings``: what the operator should mend on the far side, which the doctor repeats.
        """
        ...


@runtime_checkable
class Listener(Protocol):
    """A bridge that serves an ASGI application on an address of its own."""

    @property
    def listen(self) -> str:
        """``host:port``."""
        ...

    @property
    def app(self) -> Callable[..., Any]:
        """The ASGI application."""
        ...


class Commands(Protocol):
    """What an entry point in ``gateway.commands`` names: builds the kind's own commands (a Typer app)."""

    def __call__(self) -> Any:
        """Return the Typer application; called only when a command of this kind is asked for."""
        ...
