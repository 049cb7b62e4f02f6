# SPDX-License-Identifier: GPL-3.0-or-later
"""A real homeserver for the demo and the tests: Synapse, as a process and in an environment of its own.

Synapse is AGPL: it is never imported, only started with the interpreter it is installed in.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bridges.sim.loopback import LOOPBACK, free_port

PYTHON_VARIABLE = "CROSSBAND_SYNAPSE_PYTHON"

# Asks the kernel to end Synapse with the process that started it; the second check is for a
# starter that died before the request was in.
_LAUNCH = """
import ctypes, os, runpy, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit("whoever started this homeserver is gone")
runpy.run_module("synapse.app.homeserver", run_name="__main__", alter_sys=True)
"""

_UNLIMITED = {"per_second": 10_000, "burst_count": 10_000}


class SynapseFailed(Exception):
    """The homeserver didn't start, or answered what it shouldn't; the text has the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user on the homeserver, logged in once."""

    user_id: str
    password: str = field(repr=False)
    access_token: str = field(repr=False)
    device_id: str


def synapse_python(root: Path | None = None) -> Path | None:
    """Return the interpreter Synapse is installed in, or None where there is none.

    It is the one `CROSSBAND_SYNAPSE_PYTHON` names, else ``.synapse-venv/bin/python`` under `root`
    (the repository).
    """
    named = os.environ.get(PYTHON_VARIABLE)
    python = Path(named) if named else (root or Path(__file__).parents[2]) / ".synapse-venv/bin/python"
    return python.absolute() if python.exists() else None


class Synapse:
    """One homeserver on a loopback port, which stays the same from one start to the next.

    `database`: "memory" starts quickest and forgets everything at a stop; "file" remembers.
    `settings` overrides top-level keys of its configuration (``{"rc_message": {...}}``). Its process
    ends with the one that started it, however that ends. Not tied to an event loop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        python: Path | None = None,
        port: int | None = None,
        database: Literal["memory", "file"] = "memory",
        server_name: str = "gw.test",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.server_name = server_name
        self._python = python or synapse_python()
        self._database = ":memory:" if database == "memory" else str(self.folder / "homeserver.db")
        self._settings = dict(settings or {})
        self._secret = secrets.token_urlsafe(24)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a client takes for ``homeserver``."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *, timeout_s: float = 60) -> None:
        """Start it and wait until it answers; SynapseFailed after `timeout_s`, or when it ends itself."""
        if self.pid is not None:
            return
        self._spawn()
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.answers():
                    self._check_alive()
                    await asyncio.sleep(0.05)
        except TimeoutError as late:
            await self.kill()
            raise SynapseFailed(f"no answer within {timeout_s:g} s\n{self.log_tail()}") from late
        except BaseException:
            await self.kill()
            raise

    async def answers(self) -> bool:
        """Whether it answers requests now."""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            return "versions" in await self.request("GET", "/_matrix/client/versions")
        return False

    async def stop(self, *, timeout_s: float = 10) -> None:
        """Ask it to end, and end it where it hasn't after `timeout_s`."""
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            await self.kill()
        self._process = None

    async def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    def freeze(self) -> None:
        """Let it hang: it accepts connections and answers nothing, until `thaw`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    async def register_user(self, name: str, password: str | None = None, *, admin: bool = False) -> Account:
        """Make the account ``@name:server_name`` and log it in; SynapseFailed if it can't be made."""
        password = password or secrets.token_urlsafe(12)
        nonce = (await self.request("GET", "/_synapse/admin/v1/register"))["nonce"]
        said = "\0".join((nonce, name, password, "admin" if admin else "notadmin"))
        mac = hmac.new(self._secret.encode(), said.encode(), hashlib.sha1).hexdigest()
        wish = {"nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac}
        made = await self.request("POST", "/_synapse/admin/v1/register", wish)
        if "access_token" not in made:
            raise SynapseFailed(f"could not register {name}: {made.get('errcode')} {made.get('error')}")
        return Account(
            user_id=made["user_id"],
            password=password,
            access_token=made["access_token"],
            device_id=made["device_id"],
        )

    async def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: str = "") -> Any:
        """Send one request and return the JSON of the answer, whatever its status; OSError if there is none."""
        return await asyncio.to_thread(self._request, method, path, body, token)

    def log_tail(self, max_bytes: int = 4_000) -> str:
        """Return the end of what it wrote: its log and its standard error."""
        parts = []
        for file in (self.folder / "synapse.log", self.folder / "synapse.err"):
            with contextlib.suppress(OSError):
                parts.append(file.read_bytes()[-max_bytes:].decode(errors="replace"))
        return "\n".join(parts)

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None, token: str) -> Any:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            return json.loads(connection.getresponse().read())

    def _check_alive(self) -> None:
        if self._process is not None and (code := self._process.poll()) is not None:
            raise SynapseFailed(f"it ended with {code}\n{self.log_tail()}")

    def _spawn(self) -> None:
        if self._python is None:
            raise SynapseFailed(f"no Synapse: install it and name its interpreter in {PYTHON_VARIABLE}")
        config = self._write_config()
        # -I: neither our environment variables nor our working directory are for its interpreter.
        command = [str(self._python), "-I", "-c", _LAUNCH, str(os.getpid()), "-c", str(config)]
        with (self.folder / "synapse.err").open("ab") as errors:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )

    def _write_config(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = self._signing_key()
        (self.folder / "log.yaml").write_text(json.dumps(_logging(self.folder / "synapse.log")))
        config = self.folder / "homeserver.yaml"  # JSON is YAML
        config.write_text(json.dumps(self._config(key) | self._settings, indent=1))
        return config

    def _signing_key(self) -> str:
        file = self.folder / "signing.key"
        if not file.exists():
            file.write_text("ed25519 a_demo " + base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=") + "\n")
        return file.read_text()

    def _config(self, key: str) -> dict[str, Any]:
        listener = {
            "port": self.port,
            "type": "http",
            "tls": False,
            "bind_addresses": [LOOPBACK],
            "resources": [{"names": ["client"], "compress": False}],
        }
        return {
            "server_name": self.server_name,
            "public_baseurl": f"{self.url}/",
            "signing_key_path": str(self.folder / "signing.key"),
            "media_store_path": str(self.folder / "media"),
            "log_config": str(self.folder / "log.yaml"),
            "listeners": [listener],
            "database": {"name": "sqlite3", "args": {"database": self._database}},
            "registration_shared_secret": self._secret,
            "macaroon_secret_key": hashlib.sha256(key.encode()).hexdigest(),  # the same at each start
            "form_secret": hashlib.sha512(key.encode()).hexdigest(),
            "bcrypt_rounds": 4,
            "report_stats": False,
            "trusted_key_servers": [],
            "federation_domain_whitelist": [],
            "presence": {"enabled": False},
            "url_preview_enabled": False,
            **_no_limits(),
        }


def _no_limits() -> dict[str, Any]:
    flat = ("rc_message", "rc_registration", "rc_admin_redaction", "rc_joins_per_room", "rc_media_create")
    nested = {
        "rc_login": ("address", "account", "failed_attempts"),
        "rc_joins": ("local", "remote"),
        "rc_invites": ("per_room", "per_user", "per_issuer"),
    }
    limits: dict[str, Any] = dict.fromkeys((*flat, "rc_room_creation"), _UNLIMITED)
    return limits | {key: dict.fromkeys(parts, _UNLIMITED) for key, parts in nested.items()}


def _logging(file: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "handlers": {
            "file": {
                "class": "logging.handlers.RotatingFileHandler",
                "filename": str(file),
                "maxBytes": 1_000_000,
                "backupCount": 1,
            }
        },
        "root": {"level": "WARNING", "handlers": ["file"]},
    }
