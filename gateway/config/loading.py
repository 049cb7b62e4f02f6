# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds, reads and checks the configuration. Opens nothing but that one file."""

from __future__ import annotations

import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config.across import check_listen, check_queue, read_bridges, read_routes
from gateway.config.environment import Overridden, override
from gateway.config.lines import key_lines, line_of
from gateway.config.paths import Paths
from gateway.config.problems import InvalidConfig, KeyPath, Locate, Problem, from_pydantic
from gateway.config.settings import (
    ApiSettings,
    GatewaySettings,
    JournalSettings,
    LogSettings,
    QueueSettings,
    Settings,
)
from gateway.config.tables import MODELS, Document, EmergencyTable, GatewayTable
from gateway.emergency import EmergencyRules
from gateway.model import ConfigError, short_hash
from gateway.permissions import Permissions
from gateway.registry import Registry

SYSTEM_FILE = Path("/etc/crossband/config.toml")
LOCAL_FILE = Path("crossband.toml")
MAX_FILE_BYTES = 1024 * 1024
_MAX_SOCKET_BYTES = 100
"""A socket's path may have 107 bytes; the longest name we put in the run directory is 20."""


def find(given: Path | None = None) -> Path:
    """Return the file to read: the given one, ``./crossband.toml``, ``/etc/crossband/config.toml``."""
    if given is not None:
        return given
    for path in (LOCAL_FILE, SYSTEM_FILE):
        if path.exists():
            return path
    raise ConfigError(
        f"there is no configuration: neither ./{LOCAL_FILE} nor {SYSTEM_FILE} exists. "
        "Make one with `crossband init`, or name one with --config",
        mend="Make one with `crossband init`",
    )


def load(path: Path, environ: Mapping[str, str], *, registry: Registry | None = None) -> Settings:
    """Read and check a configuration; ConfigError with everything that is wrong, a line each.

    `registry`: the kinds of bridges there are; by default those installed. Imports the kinds that are
    configured, and no others.
    """
    text = _read(path)
    overridden = override(_parse(path, text), environ)
    locate = _locator(path, text, overridden)
    document = _validate(overridden, locate)
    return _build(path, document, Paths.of(path, environ), registry or Registry.installed(), locate)


def control_socket(path: Path, environ: Mapping[str, str]) -> Path:
    """Return where the gateway of this configuration answers; ConfigError if its ``[gateway]`` is wrong.

    Looks at nothing else: whoever asks a running gateway has neither its credentials nor a need for
    the rest of the file to be right.
    """
    text = _read(path)
    overridden = override(_parse(path, text), environ)
    only = {key: value for key, value in overridden.document.items() if key == "gateway"}
    overridden = replace(overridden, document=only, problems=[])
    locate = _locator(path, text, overridden)
    problems: list[Problem] = []
    settings = _gateway(_validate(overridden, locate).gateway, Paths.of(path, environ), problems)
    if problems:
        raise InvalidConfig(problems, locate)
    return settings.control_socket


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: longer than 1 MiB: this is no configuration")
        return data.decode()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}. Check --config and the file's owner") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8. Save the file as UTF-8") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(
            f"{path}: nested too deeply. Nothing in a configuration needs more than four levels"
        ) from error
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        found = re.search(r" \(at line (\d+), column (\d+)\)$", reason)
        line = found[1] if found else str(text.rstrip("\n").count("\n") + 1)
        reason = reason[: found.start()] if found else reason
        raise ConfigError(f"{path}:{line}: not TOML: {reason[:1].lower()}{reason[1:]}. Correct that line") from error


def _locator(path: Path, text: str, overridden: Overridden) -> Locate:
    lines = key_lines(text)

    def locate(key: KeyPath) -> str:
        for length in range(len(key), 0, -1):
            variable = overridden.sources.get(key[:length])
            if variable is not None:
                return f"environment {variable}"
        line = line_of(lines, key)
        return f"{path}:{line}" if line else str(path)

    return locate


def _validate(overridden: Overridden, locate: Locate) -> Document:
    problems = list(overridden.problems)
    if not problems:
        try:
            return Document.model_validate(overridden.document)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            problems += [from_pydantic(one, MODELS) for one in found]
    raise InvalidConfig(problems, locate)


def _build(path: Path, document: Document, paths: Paths, registry: Registry, locate: Locate) -> Settings:
    problems: list[Problem] = []
    gateway = _gateway(document.gateway, paths, problems)
    api = document.api
    settings = Settings(
        path=path,
        gateway=gateway,
        queue=QueueSettings(
            url=document.queue.url,
            password_file=paths.optional(document.queue.password_file, ("queue", "password_file"), problems),
            fsync=document.queue.fsync,
            server_path=paths.optional(document.queue.server_path, ("queue", "server_path"), problems),
            max_deliveries=document.queue.max_deliveries,
            max_bytes=document.queue.max_bytes,
        ),
        api=ApiSettings(
            host=api.listen[0],
            port=api.listen[1],
            token_file=paths.optional(api.token_file, ("api", "token_file"), problems),
            hosts=api.hosts,
        ),
        journal=JournalSettings(
            age_s=document.journal.age, rows=document.journal.rows, size_bytes=document.journal.size
        ),
        log=LogSettings(level=document.log.level, format=document.log.format),
        bridges=read_bridges(document, paths, registry, problems),
        routes=read_routes(document, registry, problems),
        permissions=_permissions(document),
        emergency=_emergency(document.emergency),
    )
    check_listen(settings.api, problems)
    check_queue(settings.queue, problems)
    if problems:
        raise InvalidConfig(problems, locate)
    return settings


def _permissions(document: Document) -> Permissions:
    return Permissions.open_to_all() if document.permissions is None else Permissions.of(document.permissions)


def _emergency(table: EmergencyTable) -> EmergencyRules:
    return EmergencyRules(words=table.words, level=table.level, senders=table.senders, limit=table.limit)


def _gateway(table: GatewayTable, paths: Paths, problems: list[Problem]) -> GatewaySettings:
    data_dir = paths.absolute(str(table.data_dir))
    run_dir = data_dir / "run" if table.run_dir is None else paths.absolute(str(table.run_dir))
    if len(str(run_dir)) + 20 > _MAX_SOCKET_BYTES or len(str(run_dir).encode()) + 20 > _MAX_SOCKET_BYTES:
        if table.run_dir is not None:
            reason = "its path is too long for a socket"
            problems.append(Problem(path=("gateway", "run_dir"), reason=reason, mend="Use 80 bytes at most"))
        run_dir = Path(tempfile.gettempdir()) / f"crossband-{short_hash('run', str(data_dir))[:12]}"
    return GatewaySettings(name=table.name, data_dir=data_dir, run_dir=run_dir)
