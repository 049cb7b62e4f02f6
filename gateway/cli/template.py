# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that ``crossband init`` writes. Pure, but for the questions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

from gateway.model import ConfigError

TOKEN_FILE = "secrets/matrix.token"  # noqa: S105 - the name of a file

Ask = Callable[[str, str | None], str]
"""``ask(question, default)``."""


class Answers(TypedDict):
    """What `init` needs to know; empty: not wanted."""

    name: str
    data_dir: str
    homeserver: str
    user_id: str
    room: str
    radio: str
    channel: str
    lan: str
    """The room of the chat page."""


def complete(given: Mapping[str, str | None], ask: Ask | None) -> Answers:
    """Ask for what isn't given, if there is someone to ask; ConfigError if what is needed stays unknown."""

    def want(key: str, question: str, default: str) -> str:
        known = given.get(key)
        if known is not None:
            return known.strip()
        answer = default if ask is None else ask(question, default)
        return "" if answer == "-" else answer

    def need(key: str, question: str) -> str:
        found = given.get(key) or ("" if ask is None else ask(question, None))
        if not found.strip():
            raise ConfigError(f"{key} is missing. Say --{key.replace('_', '-')}")
        return found.strip()

    name = need("name", "A name for this box, unlike its neighbours'")
    data_dir = want("data_dir", "Where to keep what must survive a reboot", "data")
    homeserver = want("homeserver", "Matrix homeserver's URL (- for none)", "-" if ask else "")
    user_id = need("user_id", "The gateway's own Matrix user, as @crossband:example.org") if homeserver else ""
    room = need("room", "The Matrix room to carry, as #town:example.org") if homeserver else ""
    radio = want("radio", "The radio: serial:auto, serial:/dev/..., tcp:HOST, udp:IFACE (- for none)", "serial:auto")
    channel = want("channel", "The radio's channel, as the phone apps show it", "LongFast") if radio else ""
    lone = "-" if homeserver or radio else "town"
    lan = want("lan", "The room of a chat page on this network, as town (- for no page)", lone if ask else "")
    return Answers(
        name=name,
        data_dir=data_dir,
        homeserver=homeserver,
        user_id=user_id,
        room=room,
        radio=radio,
        channel=channel,
        lan=lan,
    )


def render(answers: Answers) -> str:
    """Return the file's text."""
    parts = [_HEAD.format(name=_quoted(answers["name"]), data_dir=_quoted(answers["data_dir"]))]
    addresses: list[str] = []
    if answers["homeserver"]:
        parts.append(
            _MATRIX.format(
                homeserver=_quoted(answers["homeserver"]),
                user_id=_quoted(answers["user_id"]),
                token_file=_quoted(TOKEN_FILE),
            )
        )
        addresses.append(f"home/{answers['room']}")
    if answers["radio"]:
        direct = f"\ndirect = {_quoted(addresses[0])}" if addresses else ""
        parts.append(_RADIO.format(radio=_quoted(answers["radio"]), direct=direct))
        addresses.append(f"radio/{answers['channel'] or 'LongFast'}")
    if answers["lan"]:
        parts.append(_LAN)
        addresses.append(f"lan/{answers['lan']}")
    if len(addresses) > 1 or answers["lan"]:
        parts.append(_ROUTE.format(join=", ".join(map(_quoted, addresses))))
    if answers["user_id"]:
        domain = answers["user_id"].partition(":")[2]
        parts.append(_PERMISSIONS.format(local=_quoted(f"@*:{domain}")))
    return "\n".join(parts)


def next_steps(answers: Answers, path: Path) -> list[str]:
    """Return the commands to go on with."""
    option = "" if path == Path("crossband.toml") else f" --config {path}"
    login = ["crossband matrix login"] if answers["homeserver"] else []
    return [*login, f"crossband doctor{option}", f"crossband run{option}"]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_HEAD = """\
# Crossband. Every key: see the documentation. `crossband check` says what is wrong, and where.

[gateway]
name = {name}
data_dir = {data_dir}

[api]
listen = "127.0.0.1:8080"
"""

_MATRIX = """\
[bridges.home]
kind = "matrix"
homeserver = {homeserver}
user_id = {user_id}
access_token_file = {token_file}   # `crossband matrix login` writes it
"""

_RADIO = """\
[bridges.radio]
kind = "meshtastic"
connection = {radio}{direct}
"""

_LAN = """\
[bridges.lan]
kind = "lan"
page = "0.0.0.0:8081"              # the chat page: whoever is on this network may write there
sync = "0.0.0.0:8448"              # other boxes; `crossband lan invite` lets one in
"""

_ROUTE = """\
[[routes]]
name = "town"
join = [{join}]
"""

_PERMISSIONS = """\
[permissions]                       # none < read < transmit < commands < admin
"*" = "read"
"!*" = "transmit"                   # radio nodes
{local} = "transmit"
"""
