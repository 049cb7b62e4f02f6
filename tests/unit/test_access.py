# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.access: names and tokens."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from gateway.access import Access
from gateway.config import ApiSettings
from gateway.model import ConfigError

TOKEN = "a-token-that-is-long-enough"


def _settings(token_file: Path | None = None) -> ApiSettings:
    return ApiSettings(host="192.168.4.1", port=8080, token_file=token_file, hosts=("gateway.example.org",))


@pytest.fixture
def guarded(tmp_path: Path) -> Access:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return Access.of(_settings(path), "Hilltop")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "127.0.0.1:1",
        "[::1]:8080",
        "192.168.4.1",
        "HILLTOP.local:8080",
        "hilltop",
        "hilltop.local.",
        "gateway.example.org",
        "10.0.0.9:8080",
    ],
)
def test_the_box_answers_to_its_names_and_to_the_address_it_was_reached_at(host: str) -> None:
    assert Access.of(_settings(), "Hilltop").knows_host(host, "10.0.0.9")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "10.0.0.8",
        "localhost.evil.example",
        "evil.example/localhost",
        "localhost@evil.example",
        "evil@localhost",
        "localhost:x",
        "[::1",
        "*",
        "hilltop.example.org",
        "localhost,evil.example",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    assert not Access.of(_settings(), "Hilltop").knows_host(host, "10.0.0.9")


def test_the_token_is_taken_as_bearer_or_as_any_users_password(guarded: Access) -> None:
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()

    assert guarded.admits(f"Bearer {TOKEN}")
    assert guarded.admits(f"bearer  {TOKEN}")
    assert guarded.admits(f"Basic {basic}")


@pytest.mark.parametrize(
    "header", ["", TOKEN, "Bearer", "Bearer x", f"Bearer {TOKEN}x", "Basic !!", "Basic /w==", "x y"]
)
def test_anything_else_is_refused(guarded: Access, header: str) -> None:
    assert not guarded.admits(header)


def test_without_a_token_nobody_is_asked() -> None:
    assert Access.of(_settings(), "x").admits("")


@pytest.mark.parametrize("text", [None, "", "short"])
def test_a_token_file_that_holds_no_token_is_a_configuration_error(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        Access.of(_settings(path), "x")

    assert caught.value.key == "api.token_file"
