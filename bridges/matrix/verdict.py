# SPDX-License-Identifier: GPL-3.0-or-later
"""What a homeserver's answer means: what was asked for, or one of `gateway.model`'s errors. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from bridges.matrix.wire import mapping, read_json, text
from gateway.model import AuthFailed, BridgeError, LinkDown, RateLimited, Rejected, Unconfirmed

LOGIN_MEND = "run `crossband matrix login`"
MAX_PATIENCE_S = 3600.0
"""The longest wait a server may ask of us."""

_TOKEN_GONE = frozenset({"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED"})
_HTTP_ERROR = 400
_SERVER_ERROR = 500
_UNAUTHORIZED = 401
_TOO_MANY = 429
_TOO_LARGE = 413


class Refused(Rejected):
    """The homeserver understood and said no: `errcode` in its words, `status` in HTTP's.

    `answer`: what it wants to see first, where it asks who we are (user-interactive authentication).
    """

    def __init__(self, reason: str, *, status: int, errcode: str, answer: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.errcode = errcode
        self.answer: Mapping[str, Any] = {} if answer is None else answer


def error_of(
    status: int,
    content: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    is_put: bool = False,
    login_mend: str = LOGIN_MEND,
) -> BridgeError:
    """Return what an answer that isn't a success means, by status and error code only. Pure."""
    errcode = text(content.get("errcode"))
    reason = f"the homeserver answered {status} {errcode}".rstrip()
    if status == _TOO_MANY or errcode == "M_RESOURCE_LIMIT_EXCEEDED":  # the latter: its owner has to act
        # What is put somewhere is limited per account; a join, asked by POST, per room.
        return RateLimited(reason, retry_after_s=_patience(content, headers), for_all=is_put)
    if errcode in _TOKEN_GONE:
        return AuthFailed(f"{reason}: the login was refused or taken back; {login_mend}")
    if status == _UNAUTHORIZED and "flows" in content:
        return Refused(f"{reason}: it asks for the account's owner", status=status, errcode=errcode, answer=content)
    if status == _TOO_LARGE or (errcode and status < _SERVER_ERROR):
        return Refused(reason, status=status, errcode=errcode or "M_TOO_LARGE")
    if is_put and status == _SERVER_ERROR:
        # It may be this event that it stumbles over: a try that counts, so that it can't block others for ever.
        return Unconfirmed(reason)
    words = f"{reason}, which isn't Matrix" if status < _SERVER_ERROR else reason
    return LinkDown(words, retry_after_s=_patience(content, headers))


def verdict(
    status: int, headers: Mapping[str, str], answer: bytes, login_mend: str, *, is_put: bool = False
) -> Mapping[str, Any]:
    """Return what was answered; raises what `error_of` says where that is no success. Pure."""
    try:
        content = read_json(answer)
    except (ValueError, RecursionError):
        content = None
    if status < _HTTP_ERROR and isinstance(content, dict):
        return content
    raise error_of(status, mapping(content), headers, is_put=is_put, login_mend=login_mend)


def _patience(content: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    # The header is the newer way (v1.10); both may be there, and neither must.
    seconds = _seconds(headers.get("Retry-After"))
    if seconds is None:
        seconds = _until(headers.get("Retry-After"), headers.get("Date"))
    if seconds is None:
        seconds = _seconds(content.get("retry_after_ms"), unit=1000)
    return min(seconds, MAX_PATIENCE_S) if seconds is not None and seconds > 0 else None


def _seconds(given: object, *, unit: int = 1) -> float | None:
    if not isinstance(given, str | int | float):
        return None
    try:
        seconds = float(given) / unit
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _until(moment: str | None, now: str | None) -> float | None:
    """Read the header's date form, by the server's own clock: a box without an RTC may have another year."""
    if moment is None or now is None:
        return None
    try:
        return (parsedate_to_datetime(moment) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
