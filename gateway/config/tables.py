# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the file as pydantic reads them: names, types, bounds and defaults, nothing across tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.config.problems import bad
from gateway.emergency import MOST_WORD
from gateway.model import Address, Level, Topic, units
from gateway.outbox import redis_url

RESERVED_BRIDGES = frozenset({"api"})
"""Bridge names the core uses itself: `api` is where messages posted to the API come from."""

OTHER_TOPICS = tuple(topic.value for topic in Topic if topic is not Topic.TALK)
"""What a route may carry by choice."""

_BRIDGE_NAME = re.compile(r"[a-z](?:_?[a-z0-9-]){0,31}")
_BOX_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")


def _checked(read: Callable[[Any], Any]) -> BeforeValidator:
    def validate(value: Any) -> Any:
        try:
            return read(value)
        except (ValueError, TypeError, AttributeError) as error:
            reason, _, mend = str(error).partition("; ")
            raise bad(reason, mend[:1].upper() + mend[1:]) from error

    return BeforeValidator(validate)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        msg = f"{value!r} is not a text; put it in quotation marks"
        raise TypeError(msg)
    if not value:
        msg = "is empty; leave it out, or write what is meant"
        raise ValueError(msg)
    return value


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        msg = f"{value!r} is not a size; write 64MiB, 1GiB or a number of bytes"
        raise TypeError(msg)
    return units.size_bytes(value)


def _address(value: Any) -> Address:
    try:
        return Address.parse(_text(value))
    except ValueError as error:
        msg = f"{value!r} is not an address; write bridge/conversation, as in radio/LongFast"
        raise ValueError(msg) from error


def _level(value: Any) -> Level:
    names = [level.name.lower() for level in Level]
    if value not in names:
        msg = f"{value!r} is not a permission; write one of {', '.join(names)}"
        raise ValueError(msg)
    return Level[value.upper()]


def _topic(value: Any) -> Topic:
    if value not in OTHER_TOPICS:
        msg = f"{value!r} is nothing a route can carry besides talk; write any of {', '.join(OTHER_TOPICS)}"
        raise ValueError(msg)
    return Topic(value)


def _word(value: Any) -> str:
    word = _text(value)
    if len(word) > MOST_WORD or not any(map(str.isalnum, word)) or not word.isprintable():
        msg = f"{value!r} is not a word to begin a text with; write up to {MOST_WORD} characters, as in SOS"
        raise ValueError(msg)
    return word


def _queue_url(value: Any) -> str:
    url = _text(value)
    if url != "embedded":
        redis_url.read(url)
    return url


def _bridge_name(name: str) -> str:
    if name in RESERVED_BRIDGES or not _BRIDGE_NAME.fullmatch(name):
        raise bad(
            f"{name!r} can't be the name of a bridge",
            "Use up to 32 lower-case letters, digits, - and single _, starting with a letter, and not 'api'",
        )
    return name


def _box_name(name: str) -> str:
    if not _BOX_NAME.fullmatch(name):
        raise bad(f"{name!r} can't be the name of a box", "Use up to 32 letters, digits and -")
    return name


def _host_name(name: str) -> str:
    if "*" in name or "/" in name or not name.strip():
        raise bad(f"{name!r} is not a host name", "List each name itself, without port or pattern")
    return name.lower()


Duration = Annotated[int, _checked(lambda value: units.seconds(_text(value)))]
Size = Annotated[int, _checked(_size)]
AddressText = Annotated[Address, _checked(_address)]
Listen = Annotated[tuple[str, int], _checked(lambda value: units.host_port(_text(value)))]
BridgeKey = Annotated[str, AfterValidator(_bridge_name)]


class Table(BaseModel):
    """A table that knows all its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class GatewayTable(Table):
    """``[gateway]``."""

    name: Annotated[str, AfterValidator(_box_name)] = Field(
        description='Name this box, unlike the others of its community: name = "hilltop"'
    )
    data_dir: Path = Field(
        default=Path("/var/lib/crossband"), description="Name the directory that must survive a reboot"
    )
    run_dir: Path | None = Field(default=None, description="Name the directory for sockets")


class QueueTable(Table):
    """``[queue]``."""

    url: Annotated[str, _checked(_queue_url)] = "embedded"
    password_file: Path | None = Field(default=None, description="Name a file that holds the queue's password")
    fsync: Literal["always", "everysec"] = "everysec"
    server_path: Path | None = Field(
        default=None, description="Name a redis-server or valkey-server to run as the queue"
    )
    max_deliveries: int = Field(
        default=100_000, ge=100, le=10_000_000, description="A number of deliveries per destination"
    )
    max_bytes: Size = 64 * 1024**2


class ApiTable(Table):
    """``[api]``."""

    listen: Listen = ("127.0.0.1", 8080)
    token_file: Path | None = Field(
        default=None, description="Name a file that holds the token; `crossband token` makes one"
    )
    hosts: tuple[Annotated[str, AfterValidator(_host_name)], ...] = Field(
        default=(), description="List the names under which browsers may reach the API"
    )


class JournalTable(Table):
    """``[journal]``."""

    age: Duration = 7 * 86400
    rows: int = Field(default=200_000, ge=1000, description="A number of messages")
    size: Size = 256 * 1024**2


class LogTable(Table):
    """``[log]``."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "journal", "json"] = "auto"


class RouteTable(Table):
    """One ``[[routes]]``."""

    name: str = Field(min_length=1, max_length=64, description='Name the route: name = "town"')
    join: tuple[AddressText, ...] = Field(default=(), description="List addresses that share their messages")
    sources: tuple[AddressText, ...] = Field(default=(), alias="from", description="List addresses to carry from")
    targets: tuple[AddressText, ...] = Field(default=(), alias="to", description="List addresses to carry to")
    expires: dict[str, Duration] = Field(default={}, description='Write bridge = duration: { radio = "6h" }')
    digest_after: dict[str, Duration] = Field(default={}, description='Write bridge = duration: { radio = "10m" }')
    also: tuple[Annotated[Topic, _checked(_topic)], ...] | None = Field(
        default=None, description=f"List what it carries besides talk: {', '.join(OTHER_TOPICS)}"
    )


class EmergencyTable(Table):
    """``[emergency]``."""

    words: tuple[Annotated[str, _checked(_word)], ...] = Field(
        default=(), description='List the words that make a text an emergency: words = ["SOS"]'
    )
    level: Annotated[Level, _checked(_level)] = Level.TRANSMIT
    senders: tuple[Annotated[str, _checked(_text)], ...] = Field(
        default=(), description='List senders, or patterns, whose every text is an emergency: senders = ["!a1b2c301"]'
    )
    limit: int = Field(default=5, ge=1, le=100, description="A number of emergencies per sender and 10 minutes")


class Document(Table):
    """The whole file. Bridges' tables stay raw: only their kind understands them."""

    gateway: GatewayTable = Field(description='Add a [gateway] table with name = "..."')
    queue: QueueTable = Field(default_factory=QueueTable)
    api: ApiTable = Field(default_factory=ApiTable)
    journal: JournalTable = Field(default_factory=JournalTable)
    log: LogTable = Field(default_factory=LogTable)
    bridges: dict[BridgeKey, dict[str, Any]] = Field(default={}, description="Write [bridges.NAME] tables")
    routes: tuple[RouteTable, ...] = Field(default=(), description="Write [[routes]] tables")
    permissions: dict[str, Annotated[Level, _checked(_level)]] | None = Field(
        default=None, description='Write pattern = level: "*" = "read"'
    )
    emergency: EmergencyTable = Field(default_factory=EmergencyTable)


MODELS: dict[str, type[BaseModel]] = {
    "": Document,
    "gateway": GatewayTable,
    "queue": QueueTable,
    "api": ApiTable,
    "journal": JournalTable,
    "log": LogTable,
    "routes": RouteTable,
    "emergency": EmergencyTable,
}
"""By first key of a path, for known keys and descriptions."""
