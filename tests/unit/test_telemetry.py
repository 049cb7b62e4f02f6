# SPDX-License-Identifier: GPL-3.0-or-later
"""gateway.telemetry: what log lines look like, and what never gets into them."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from gateway import telemetry


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers, root.level, logging.raiseExceptions
    levels = {name: logging.getLogger(name).level for name in ("nio", "uvicorn", "asyncio")}
    yield
    root.handlers, logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.reset_defaults()


def _logged(fmt: telemetry.Format, *, level: str = "info", **fields: object) -> str:
    out = io.StringIO()
    telemetry.configure(level, fmt, stream=out)
    structlog.get_logger().info("radio_connected", **fields)
    return out.getvalue()


def test_json_lines_have_name_level_time_and_fields() -> None:
    line = json.loads(_logged("json", bridge="radio", attempt=2))

    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "radio_connected", "level": "info", "bridge": "radio", "attempt": 2}


def test_journal_lines_are_single_and_begin_with_their_priority() -> None:
    line = _logged("journal", bridge="radio", reason="first\nsecond")

    assert line == "<6>radio_connected bridge=radio reason=first | second\n"


def test_console_lines_are_for_people() -> None:
    line = _logged("console", bridge="radio")

    assert "radio_connected" in line
    assert "bridge=radio" in line
    assert "\x1b" not in line


def _fail(said: str) -> None:
    raise ValueError(len(said))


def test_a_traceback_shows_no_variables() -> None:
    out = io.StringIO()
    telemetry.configure("info", "console", stream=out)
    try:
        _fail("meet me at " + "noon")
    except ValueError:
        structlog.get_logger().exception("boom")

    assert "ValueError: 15" in out.getvalue()
    assert "meet me at noon" not in out.getvalue()


def test_the_level_is_kept() -> None:
    out = io.StringIO()
    telemetry.configure("warning", "json", stream=out)
    structlog.get_logger().info("quiet")
    logging.getLogger("somewhere").info("quiet too")
    logging.getLogger("nio.responses").error("Error validating response: {'body': 'meet me'}")

    assert out.getvalue() == ""


@pytest.mark.parametrize("fmt", ["json", "journal", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"access_token": "SECRET-1"},
        {"password": "SECRET-1"},
        {"psk": b"SECRET-1"},
        {"body": "SECRET-1"},
        {"text": {"any": "SECRET-1"}},
        {"answer": {"deep": [{"refresh_token": "SECRET-1"}]}},
        {"reason": "refused syt_SECRET-1_abcdefgh_12345"},
        {"url": "redis://user:SECRET-1@host/0"},
        {"header": "Bearer SECRET-1"},
        {"path": "/sync?access_token=SECRET-1&x=1"},
    ],
)
def test_secrets_and_what_people_said_are_redacted(fmt: telemetry.Format, fields: dict[str, object]) -> None:
    line = _logged(fmt, **fields)

    assert "SECRET-1" not in line
    assert telemetry.REDACTED in line


def test_lines_of_libraries_are_redacted_too() -> None:
    out = io.StringIO()
    telemetry.configure("info", "json", stream=out)
    logging.getLogger("library").warning("token is %s", "syt_abcdefgh_ijklmnop_123")

    assert "syt_" not in out.getvalue()


def test_names_of_secret_files_and_numbers_are_kept() -> None:
    line = json.loads(_logged("json", token_file="/etc/token", tokens=3, ok=True, none=None))

    assert (line["token_file"], line["tokens"], line["ok"], line["none"]) == ("/etc/token", 3, True, None)


def test_auto_is_the_journal_form_only_when_the_stream_goes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    try:
        stat = os.fstat(write_end)
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        with os.fdopen(write_end, "w") as out:
            telemetry.configure("info", "auto", stream=out)
            structlog.get_logger().warning("hello")
            out.flush()
            assert os.read(read_end, 100) == b"<4>hello\n"
        assert not _logged("auto").startswith("<")
    finally:
        os.close(read_end)
