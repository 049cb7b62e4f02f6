# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.model.units: durations, sizes and listening addresses."""

from __future__ import annotations

import pytest

from gateway.model.units import host_port, is_loopback, is_wildcard, seconds, size_bytes


@pytest.mark.parametrize(
    ("text", "expected"), [("30s", 30), ("10m", 600), ("6h", 21600), ("2d", 172800), (" 1W ", 604800)]
)
def test_a_duration_is_whole_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "6", "h", "0s", "-1h", "1.5h", "6 hours", "99999999d", "٣h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"), [(10, 10), ("10", 10), ("64MiB", 2**26), ("1 gb", 10**9), ("3KiB", 3072)]
)
def test_a_size_is_bytes(text: str | int, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5MiB", "1 parsec", 0])
def test_what_is_no_size_is_refused(text: str | int) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("gateway.example.org:80", ("gateway.example.org", 80)),
    ],
)
def test_a_listening_address_is_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert host_port(text) == expected


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "::1:80", "[127.0.0.1]:80", "a:65536", "a:-1", "a b:1", "a:٣", "[x]:1"]
)
def test_what_is_no_listening_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address to listen on"):
        host_port(text)


def test_loopback_and_wildcard_are_told_from_the_rest() -> None:
    assert [is_loopback(host) for host in ("127.9.9.9", "::1", "LOCALHOST", "0.0.0.0", "10.0.0.1", "box")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert [is_wildcard(host) for host in ("0.0.0.0", "::", "127.0.0.1", "localhost")] == [True, True, False, False]
