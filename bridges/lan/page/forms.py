# SPDX-License-Identifier: GPL-3.0-or-later
"""What was sent by which form, so that nothing is said twice that was meant once. Pure.

A browser sends a form again on reload and after a lost answer: the same form is said once. One that goes back fills the
text into a form that is new: whoever says the very same again is asked whether they mean it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

MOST_PRESENT = 1_000
MOST_FORMS = 32
"""Forms of one person that are remembered as sent."""
MOST_NAME = 64
"""Characters of a form's name that count."""
AGAIN_S = 300.0
"""The same words so soon after are asked about."""


class SentForms:
    """Of the people of one page, by their keys. `now_s` only grows."""

    def __init__(self) -> None:
        self._sent: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        self._last: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        """What somebody said last, and when."""

    def was_sent(self, key: str, form: str) -> bool:
        """Whether this form was sent before."""
        return form[:MOST_NAME] in self._sent.get(key, ())

    def sending(self, key: str, form: str) -> None:
        """Note that it is sent; one that names none is always new."""
        if not form:
            return
        sent = self._sent.setdefault(key, OrderedDict())
        self._sent.move_to_end(key)
        if len(self._sent) > MOST_PRESENT:
            self._sent.popitem(last=False)
        sent[form[:MOST_NAME]] = None
        if len(sent) > MOST_FORMS:
            sent.popitem(last=False)

    def not_sent(self, key: str, form: str) -> None:
        """It was refused: it may be sent again."""
        self._sent.get(key, OrderedDict()).pop(form[:MOST_NAME], None)

    def said(self, key: str, room: str, text: str, now_s: float) -> None:
        """Note what somebody said."""
        self._last[key] = _digest(room, text), now_s
        self._last.move_to_end(key)
        if len(self._last) > MOST_PRESENT:
            self._last.popitem(last=False)

    def is_again(self, key: str, room: str, text: str, now_s: float) -> bool:
        """Whether that is just what they said last, a moment ago."""
        words, at_s = self._last.get(key, (b"", 0.0))
        return words == _digest(room, text) and now_s - at_s < AGAIN_S


def _digest(room: str, text: str) -> bytes:
    return hashlib.sha256(f"{room}\0{text}".encode("utf-8", "replace")).digest()
