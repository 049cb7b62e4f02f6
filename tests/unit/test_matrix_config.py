# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridges.matrix import kind
from bridges.matrix.config import MatrixConfig
from bridges.matrix.shown import Shown
from gateway.model import ConfigError

TABLE: dict[str, Any] = {
    "kind": "matrix",
    "homeserver": "https://matrix.example.org/",
    "user_id": "@crossband:example.org",
    "access_token_file": "/secrets/matrix.token",
}


def test_a_table_is_read_with_its_defaults() -> None:
    config = MatrixConfig.from_table(TABLE | {"mode": "bot", "direct": "radio/LongFast"})
    assert config == MatrixConfig(
        homeserver="https://matrix.example.org",
        user_id="@crossband:example.org",
        access_token_file=Path("/secrets/matrix.token"),
    )
    assert MatrixConfig.from_table(TABLE | {"allow_encrypted": ["#a:b"]}).allow_encrypted == {"#a:b"}


def test_what_is_shown_of_progress_is_a_table_of_its_own() -> None:
    config = MatrixConfig.from_table(TABLE | {"progress": {"receipts": False}})
    assert config.shown == Shown(receipts=False)
    with pytest.raises(ConfigError) as wrong:
        kind.check(TABLE | {"progress": {"reactions": {"gone": "x"}}})
    assert wrong.value.key == "progress.reactions.gone"


def test_a_bridge_holds_its_account_alone() -> None:
    assert kind.check(TABLE) == {"matrix:@crossband:example.org"}
    assert kind.path_keys == {"access_token_file", "password_file", "registration_file"}
    assert not kind.in_clear


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("homeserver", None),
        ("homeserver", "matrix.example.org"),
        ("homeserver", "https://u:p@example.org"),
        ("homeserver", "https://example.org:port"),
        ("homeserver", "https://[::1"),
        ("homeserver", 7),
        ("user_id", "crossband"),
        ("user_id", "@crossband"),
        ("user_id", ["@a:b"]),
        ("mode", "puppet"),
        ("mode", 1),
        ("registration_file", "/r"),
        ("listen", "127.0.0.1:18031"),
        ("access_token_file", ""),
        ("access_token_file", 3),
        ("password_file", []),
        ("device_id", ""),
        ("notice", "yes"),
        ("allow_encrypted", "yes"),
        ("allow_encrypted", ["town"]),
        ("allow_encrypted", [["#a:b"]]),
        ("direct", 4),
        ("progress", True),
        ("colour", "red"),
    ],
)
def test_a_wrong_value_names_its_key_and_the_mend(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as wrong:
        kind.check(TABLE | {key: value})
    assert wrong.value.key == key
    assert wrong.value.mend


def test_a_token_or_a_password_but_not_both() -> None:
    neither = {key: value for key, value in TABLE.items() if key != "access_token_file"}
    for table in (neither, TABLE | {"password_file": "/p"}):
        with pytest.raises(ConfigError, match="one of"):
            kind.check(table)
    assert kind.check(neither | {"password_file": "/p"})


APPSERVICE = {key: value for key, value in TABLE.items() if key != "access_token_file"} | {
    "mode": "appservice",
    "registration_file": "/secrets/registration.yaml",
}


def test_an_application_service_is_known_by_its_registration_and_may_listen() -> None:
    config = MatrixConfig.from_table(APPSERVICE)
    assert (config.registration_file, config.listen) == (Path("/secrets/registration.yaml"), None)
    assert kind.check(APPSERVICE | {"listen": "127.0.0.1:18031"}) == {
        "matrix:@crossband:example.org",
        "tcp:127.0.0.1:18031",
    }


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("listen", "18031", "listen"),
        ("listen", "127.0.0.1:", "listen"),
        ("listen", "127.0.0.1:0", "listen"),
        ("listen", 18031, "listen"),
        ("registration_file", "", "registration_file"),
        ("registration_file", None, "registration_file"),
        ("access_token_file", "/t", "access_token_file"),
        ("password_file", "/p", "password_file"),
    ],
)
def test_a_wrong_value_of_an_application_service_names_its_key_and_the_mend(key: str, value: Any, named: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        kind.check(APPSERVICE | {key: value})
    assert wrong.value.key == named
    assert wrong.value.mend
