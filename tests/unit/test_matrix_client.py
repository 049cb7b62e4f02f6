# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from bridges.matrix.verdict import MAX_PATIENCE_S, Refused, error_of
from gateway.model import AuthFailed, BridgeError, LinkDown, RateLimited, Rejected, Unconfirmed


@pytest.mark.parametrize(
    ("status", "content", "is_put", "expected"),
    [
        (401, {"errcode": "M_UNKNOWN_TOKEN"}, False, AuthFailed),
        (401, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": True}, True, AuthFailed),
        (401, {}, False, LinkDown),
        (403, {"errcode": "M_FORBIDDEN"}, True, Refused),
        (403, {}, True, LinkDown),
        (404, {"errcode": "M_NOT_FOUND"}, False, Refused),
        (404, {}, True, LinkDown),
        (400, {"errcode": "M_BAD_JSON"}, True, Refused),
        (413, {}, True, Refused),
        (413, {"errcode": "M_TOO_LARGE"}, True, Refused),
        (429, {}, True, RateLimited),
        (403, {"errcode": "M_RESOURCE_LIMIT_EXCEEDED"}, True, RateLimited),
        (500, {"errcode": "M_UNKNOWN"}, True, Unconfirmed),
        (500, {"errcode": "M_UNKNOWN"}, False, LinkDown),
        (502, {}, True, LinkDown),
        (503, {}, False, LinkDown),
        (200, {}, False, LinkDown),
        (400, {"errcode": ["M_BAD_JSON"]}, False, LinkDown),
    ],
)
def test_a_status_and_code_say_what_went_wrong(
    status: int, content: dict[str, Any], is_put: bool, expected: type[BridgeError]
) -> None:
    error = error_of(status, content, {}, is_put=is_put)
    assert type(error) is expected
    assert str(status) in str(error)


def test_a_refusal_is_for_this_message_only() -> None:
    assert issubclass(Refused, Rejected)
    assert not issubclass(Refused, AuthFailed)


@pytest.mark.parametrize(
    ("content", "headers", "seconds"),
    [
        ({"retry_after_ms": 1500}, {}, 1.5),
        ({"retry_after_ms": 1500}, {"Retry-After": "7"}, 7),
        ({}, {"Retry-After": "0.5"}, 0.5),
        ({"retry_after_ms": 10**12}, {}, MAX_PATIENCE_S),
        ({"retry_after_ms": 10**400}, {}, None),
        ({"retry_after_ms": -5}, {}, None),
        ({"retry_after_ms": "soon"}, {}, None),
        ({"retry_after_ms": [1]}, {}, None),
        ({}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        (
            {"retry_after_ms": 1500},
            {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:26:30 GMT"},
            90,
        ),
        ({}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Thu, 22 Oct 2026 07:28:00 GMT"}, None),
        ({"retry_after_ms": 1500}, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 1.5),
        ({"retry_after_ms": 1500}, {"Retry-After": "soon", "Date": "now"}, 1.5),
        ({}, {"Retry-After": "nan"}, None),
        ({}, {}, None),
    ],
)
def test_patience_is_as_long_as_asked_for_within_reason(
    content: dict[str, Any], headers: dict[str, str], seconds: float | None
) -> None:
    error = error_of(429, content, headers)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == seconds


def test_a_token_that_is_taken_back_comes_with_the_mend_of_whoever_shows_it() -> None:
    of_a_bot = error_of(401, {"errcode": "M_UNKNOWN_TOKEN"}, {})
    of_a_service = error_of(401, {"errcode": "M_UNKNOWN_TOKEN"}, {}, login_mend="name the file")
    assert isinstance(of_a_service, AuthFailed)
    assert str(of_a_bot).endswith("; run `crossband matrix login`")
    assert str(of_a_service).endswith("; name the file")
