# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the sync goes on, between the resume points that the journal holds."""

from __future__ import annotations

import json
from pathlib import Path

from bridges.matrix.login import keep, read_kept
from bridges.matrix.wire import text
from gateway.model import ResumePoint

SAVE_EVERY_S = 60.0


class Since:
    """The newest sync token whose batch was fully taken.

    The journal stores a token with the last message of a batch. Batches without a message for us
    (the first ever, our own words) move on without it: a file keeps how far, together with the
    resume point it follows, and counts only while that is still the journal's. Lost, it costs
    reading some events again; without it, what is said before the first message is ever taken
    would be missed by a restart.
    """

    def __init__(self, file: Path, resume: ResumePoint | None) -> None:
        self._file = file
        self._follows = text(resume)
        self._saved_at: float | None = None
        self._saved = ""
        self.token = self._read() or self._follows or None

    def take(self, token: str, *, journalled: bool, now_s: float, at_once: bool = False) -> None:
        """Note that everything up to `token` was taken; `journalled`: it is the journal's resume point now.

        `at_once`: what was taken must not be taken again after a crash.
        """
        self.token = token
        if journalled:
            self._follows = token
        elif at_once or self._saved_at is None or now_s - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = now_s
            self.save()

    def forget(self) -> None:
        """Start anew: the server doesn't know the token any more."""
        self.token = None

    def save(self) -> None:
        """Write the file, if there is something the journal doesn't know."""
        if self.token and self.token not in (self._follows, self._saved):
            keep(self._file, json.dumps({"follows": self._follows, "token": self.token}))
            self._saved = self.token

    def _read(self) -> str:
        kept = read_kept(self._file)
        return text(kept.get("token")) if kept.get("follows") == self._follows else ""
