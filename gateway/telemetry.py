# SPDX-License-Identifier: GPL-3.0-or-later
"""Where log lines go and what they look like. What is secret or private never gets that far."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["auto", "console", "journal", "json"]

REDACTED = "[redacted]"
_SECRET_WORDS = ("token", "password", "passphrase", "secret", "authorization", "private_key", "psk")
_PRIVATE_KEYS = frozenset({"body", "text", "formatted_body", "content", "key_file_content"})
_SECRETS = re.compile(
    r"\b(?:sy[trl]_[A-Za-z0-9_=-]{8,}|m[acr][sut]_[A-Za-z0-9_=-]{16,})"  # Matrix access and refresh tokens
    r"|(?i:\bbearer\s+)\S+"
    r"|(?i:\b(?:access_token|password|token)=)[^\s&\"']+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user:password in an address
)
_DEPTH = 4

_SYSLOG = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2, "exception": 3}
_QUIET = {"nio": logging.CRITICAL, "peewee": logging.CRITICAL, "uvicorn": logging.WARNING, "asyncio": logging.WARNING}
"""Libraries' loggers: nio quotes whole events in its complaints, peewee the rows of the key store; they have no say."""


def configure(level: str, fmt: Format, *, stream: TextIO | None = None) -> None:
    """Send structlog's and logging's lines to `stream` (standard error) in one form.

    ``auto``: ``journal`` (``<6>`` and one line) under systemd's journal, else ``console``.
    """
    out = stream if stream is not None else sys.stderr
    chosen = _chosen(fmt, out, os.environ)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _timestamp(chosen),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    last += [
        structlog.processors.format_exc_info,
        redact,
        *_render(chosen, colours=out.isatty() and "NO_COLOR" not in os.environ),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    sink = logging.StreamHandler(out)
    sink.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    logging.raiseExceptions = False  # its complaint about a broken pipe would print the arguments, unredacted
    root = logging.getLogger()
    root.handlers = [sink]
    root.setLevel(level.upper())
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(quiet)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what is secret (tokens, passwords) or private (what people said), at any depth."""
    return {key: _redacted(key, value, _DEPTH) for key, value in event.items()}


def without_secrets(text: str) -> str:
    """Return a text with whatever looks like a token or a password replaced."""
    return _SECRETS.sub(REDACTED, text)


def _redacted(key: str, value: Any, depth: int) -> Any:
    if key.lower() in _PRIVATE_KEYS or (_is_secret(key) and isinstance(value, str | bytes)):
        return REDACTED
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping) and depth:
        return {inner: _redacted(str(inner), one, depth - 1) for inner, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_redacted("", one, depth - 1) for one in value]
    if isinstance(value, int | float) or value is None or (isinstance(value, tuple) and key == "exc_info"):
        return value
    return without_secrets(str(value))


def _is_secret(key: str) -> bool:
    lowered = key.lower()
    return not lowered.endswith("_file") and any(word in lowered for word in _SECRET_WORDS)


def _chosen(fmt: Format, out: TextIO, environ: Mapping[str, str]) -> Format:
    if fmt != "auto":
        return fmt
    return "journal" if _goes_to_journal(out, environ.get("JOURNAL_STREAM", "")) else "console"


def _goes_to_journal(out: TextIO, stream: str) -> bool:
    """``$JOURNAL_STREAM`` names device and inode of the socket, so that a redirected one is told apart."""
    try:
        stat = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return stream == f"{stat.st_dev}:{stat.st_ino}"


def _timestamp(fmt: Format) -> Processor:
    if fmt == "console":
        return structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    return structlog.processors.TimeStamper(fmt="iso", utc=True)


def _render(fmt: Format, *, colours: bool) -> list[Processor]:
    match fmt:
        case "json":
            return [structlog.processors.JSONRenderer(ensure_ascii=False)]
        case "journal":
            return [_journal_line]
        case _:
            # Not the pretty traceback: it shows local variables, and those hold messages and tokens.
            plain = structlog.dev.plain_traceback
            return [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)]


def _journal_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """``<6>event key=value``: the journal adds the time and reads the level off the prefix."""
    level = str(event.pop("level", "info"))
    event.pop("timestamp", None)
    name = _flat(event.pop("event", ""))
    fields = " ".join(f"{key}={_flat(value)}" for key, value in event.items() if value is not None)
    return f"<{_SYSLOG.get(level, 6)}>{name} {fields}".rstrip()


def _flat(value: Any) -> str:
    text = str(value).replace("\r", "").replace("\n", " | ")
    return f'"{text}"' if " " in text and "=" in text else text
