# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue's address, read."""

from __future__ import annotations

import pytest

from gateway.outbox.redis_url import Target, Way, read


def test_a_plain_server_is_left_to_the_library() -> None:
    target = read("redis://u%40:p%3A@host:1/2?socket_keepalive=true")

    assert (target.way, target.user, target.password) == (Way.PLAIN, "u@", "p:")
    assert target.url == "redis://u%40:p%3A@host:1/2?socket_keepalive=true"


def test_sentinels_have_hosts_a_name_and_a_database() -> None:
    assert read("redis+sentinel://u:p%2F@a:1,b,[::1]:3,[::2]/main/4") == Target(
        way=Way.SENTINEL,
        hosts=(("a", 1), ("b", 26379), ("::1", 3), ("::2", 26379)),
        name="main",
        db=4,
        user="u",
        password="p/",
    )


def test_a_cluster_has_hosts() -> None:
    assert read("redis+cluster://a,b:7001") == Target(way=Way.CLUSTER, hosts=(("a", 6379), ("b", 7001)))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nothing", "neither"),
        ("http://a", "neither"),
        ("redis://", "neither"),
        ("redis://a:1:1", "a port is not a number"),
        ("rediss://a:99999", "a port is not a number"),
        ("redis://[::1]:x/0", "a port is not a number"),
        ("redis://a/x?protocol=3", "the database is not a number"),
        ("redis+sentinel://a", "name is missing"),
        ("redis+sentinel://a,/main", "host is missing"),
        ("redis+sentinel://a:70000/main", "a port is not a number"),
        ("redis+sentinel://a/main/x", "the database is not a number"),
        ("redis+cluster://a/0", "one database"),
        ("redis+cluster://a?ssl=true", "takes no options"),
    ],
)
def test_what_makes_no_sense_is_told_without_the_password(url: str, reason: str) -> None:
    scheme, _, rest = url.partition("://")

    with pytest.raises(ValueError, match=reason) as told:
        read(f"{scheme}://user:secret@{rest}" if rest else url)

    assert "secret" not in str(told.value)


def test_a_password_is_in_no_repr() -> None:
    for url in ("redis://:secret@a", "redis+sentinel://:secret@a/main", "redis+cluster://:secret@a"):
        assert "secret" not in repr(read(url))
