# SPDX-License-Identifier: GPL-3.0-or-later
"""Which messages are emergencies: decided once, when they are accepted, and journalled as their lane. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import translate

from gateway.model import BridgeName, Lane, Level, Location, Message, MessageId, SenderId, Text, Topic

WINDOW_S = 600
"""What a sender may call in so long is limited, lest one starves all others on a kilobit."""
MOST_SENDERS = 1000
"""Senders remembered; past it the one that called first is forgotten, and may call anew."""
MOST_WORD = 64
"""Characters a word of the configuration may have."""
_LOOKED_AT = 4 * MOST_WORD
_UNSPACED = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
"""Scripts that put no space between words: there a word may be followed by anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyRules:
    """``[emergency]``: what makes an emergency, besides a radio's own alert."""

    words: tuple[str, ...] = ()
    """A text that begins with one of them, in any case and script, is an emergency."""
    level: Level = Level.TRANSMIT
    """The least level whose senders may use the words."""
    senders: tuple[str, ...] = ()
    """Ids and patterns; every text of theirs is an emergency."""
    limit: int = 5
    """Emergencies of one sender in ten minutes; what is beyond goes as a normal message."""
    _folded: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _senders: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_folded", tuple(fold(word) for word in self.words))
        object.__setattr__(self, "_senders", tuple(re.compile(translate(pattern)) for pattern in self.senders))

    def calls(self, message: Message, level: Level) -> bool:
        """Whether this message calls an emergency, its sender having this level. Pure."""
        if message.lane is Lane.EMERGENCY:
            return True
        content = message.content
        if isinstance(content, Location):
            return level >= self.level and self._is_called(content.words)  # a tracker's positions call nobody
        if not isinstance(content, Text) or message.topic is Topic.TELEMETRY:
            return False  # instruments call nobody
        if any(pattern.match(message.sender.id) for pattern in self._senders):
            return True
        return level >= self.level and self._is_called(content.body)

    def _is_called(self, body: str) -> bool:
        if not self._folded:
            return False
        said = fold(body.lstrip()[:_LOOKED_AT])
        return any(said.startswith(word) and _ends(said, len(word)) for word in self._folded)


def fold(text: str) -> str:
    """Return the text as words are compared: one form, one case, single spaces."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def _ends(said: str, at: int) -> bool:
    """Whether a word ends there."""
    if at == len(said):
        return True
    after = said[at]
    if unicodedata.category(after).startswith("M"):
        return False
    is_unspaced = unicodedata.name(said[at - 1], "").startswith(_UNSPACED)
    return is_unspaced or not (after.isalnum() or after == "_")


class Triage:
    """Puts each message into its lane, and keeps one sender from calling emergencies without end."""

    def __init__(self, rules: EmergencyRules, *, count: Callable[[BridgeName, str], None] = lambda _, __: None) -> None:
        """`count` is told of each emergency, and of each that was one too many, by the bridge it came from."""
        self._rules = rules
        self._count = count
        self._called: OrderedDict[SenderId, dict[MessageId, int]] = OrderedDict()

    def judge(self, message: Message, level: Level, now_ms: int | None = None) -> tuple[Message, str]:
        """Return the message in its lane, and why that isn't the emergency lane though it called; else ``""``.

        The same message may be judged again, after a store that failed: it counts once. `now_ms`: when it comes
        in, which may be hours after it was received (its key was late); None: at once.
        """
        if not self._rules.calls(message, level):
            return message, ""
        if self._admits(message, message.received_ms if now_ms is None else now_ms):
            return self._in(Lane.EMERGENCY, message), ""
        limit = self._rules.limit
        reason = f"not as an emergency: more than {limit} of this sender in {WINDOW_S // 60} min"
        return self._in(Lane.NORMAL if message.lane is Lane.EMERGENCY else message.lane, message), reason

    def preview(self, message: Message, level: Level) -> Message:
        """Return the message in the lane it would go in; nothing is counted."""
        return self._in(Lane.EMERGENCY, message) if self._rules.calls(message, level) else message

    def accepted(self, message: Message, reason: str) -> None:
        """Count what was judged and is journalled now."""
        if reason:
            self._count(message.origin.bridge, "emergency_over_limit")
        elif message.lane is Lane.EMERGENCY:
            self._count(message.origin.bridge, "emergency")

    def _admits(self, message: Message, now_ms: int) -> bool:
        """Whether its sender may call one more now; then it is remembered."""
        called = self._called.setdefault(message.sender.id, {})
        for ident, at_ms in list(called.items()):
            # Also what lies ahead by more than the window: the wall clock was set back.
            if abs(now_ms - at_ms) >= WINDOW_S * 1000:
                del called[ident]
        if message.id in called:
            return True
        if len(called) >= self._rules.limit:
            return False
        called[message.id] = now_ms
        self._called.move_to_end(message.sender.id)
        if len(self._called) > MOST_SENDERS:
            self._called.popitem(last=False)
        return True

    @staticmethod
    def _in(lane: Lane, message: Message) -> Message:
        return message if message.lane is lane else replace(message, lane=lane)
