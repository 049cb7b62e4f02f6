# SPDX-License-Identifier: GPL-3.0-or-later
"""LAN bridges with a chat page: built only where the configuration has `page`."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from bridges.lan.bridge import LanBridge
from bridges.lan.config import LanConfig
from bridges.lan.meshed import MeshBridge
from bridges.lan.page import Page, PageSettings
from gateway.model import BridgeContext, LinkDown

if TYPE_CHECKING:
    from bridges.lan.announcing import Announcing

STORE_FILE = "page.db"
AGAIN_S = 5


class Door:
    """The application that is served as long as the gateway runs, whether the bridge is up or not."""

    def __init__(self) -> None:
        self.page: Page | None = None
        """None: the bridge is down."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self.page is not None:
            await self.page(scope, receive, send)
        elif scope["type"] == "http":
            words = "This box is starting, or can't read its log. Please try again in a moment.\n"
            await PlainTextResponse(words, 503, {"Retry-After": str(AGAIN_S)})(scope, receive, send)


class Paged(LanBridge):
    """Also a `gateway.model.Listener`. It answers while the bridge is down, too: that it is."""

    def __init__(self, context: BridgeContext) -> None:
        super().__init__(context)
        self._door = Door()
        box = context.box or context.name
        self._announcing = _announcing(self.config, box, context.random) if _is_found(self.config) else None
        self._settings = PageSettings(
            box=box,
            announced=lambda: self._announcing.name if self._announcing else "",
            port=int(self.config.page.rpartition(":")[2]),
            hosts=self.config.hosts,
            store=context.state_dir / STORE_FILE,
        )

    @property
    def listen(self) -> str:
        """Where: ``host:port``."""
        return self.config.page

    @property
    def app(self) -> Callable[..., Any]:
        """The page, for as long as this bridge is there."""
        return self._door

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            self._door.page = Page(self.hall, self._settings)
        except (sqlite3.Error, OSError) as error:
            await super().__aexit__(None, None, None)
            raise LinkDown(f"the page's nicknames can't be read: {error}") from error
        if self._announcing is not None:
            await self._announcing.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            page, self._door.page = self._door.page, None
            if self._announcing is not None:
                await self._announcing.__aexit__(exc_type, exc, tb)
            if page is not None:
                await page.close()
        finally:
            await super().__aexit__(exc_type, exc, tb)

    def describe(self) -> Mapping[str, str]:
        """Return facts for the status: what the page turned away with it."""
        refused = {} if self._door.page is None else self._door.page.refused.by_status
        told = ", ".join(f"{count} with {status}" for status, count in sorted(refused.items()))
        facts = {"page by name": self._announcing.told(self._settings.address)} if self._announcing else {}
        return dict(super().describe()) | facts | ({"page refused": told} if told else {})


def _is_found(config: LanConfig) -> bool:
    return config.discover and not config.page.endswith(":0")


def _announcing(config: LanConfig, box: str, chance: random.Random) -> Announcing:
    from bridges.lan.announcing import of_config  # noqa: PLC0415 - mDNS costs memory

    return of_config(config, box, chance)


class PagedMeshBridge(Paged, MeshBridge):
    """A page on a box among others."""
