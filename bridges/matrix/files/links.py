# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives messages that bring a file the link under which it can be fetched on the LAN."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

import structlog
from starlette.routing import Route

from bridges.matrix.client import Client
from bridges.matrix.files.attached import Attached, attached
from bridges.matrix.files.config import FilesConfig
from bridges.matrix.files.serving import Serving
from bridges.matrix.files.table import FileTable
from gateway.model import BridgeContext, Message, Redaction, Text

log = structlog.get_logger()

TABLE = "files.db"


class FileLinks:
    """One bridge's links, and what serves them."""

    def __init__(self, client: Client, context: BridgeContext, config: FilesConfig) -> None:
        self._context = context
        self._config = config
        self._table = FileTable(context.state_dir / TABLE)
        self._serving = Serving(
            client,
            self._table,
            clock=context.clock,
            folder=context.state_dir,
            max_bytes=config.max_bytes,
            count=context.count,
        )

    def routes(self) -> Sequence[Route]:
        """Return what the bridge's listener serves besides its own."""
        return self._serving.routes()

    async def linked(self, message: Message, event: object) -> Message:
        """Return the message with its file's link, if it brings one; a link whose event is taken back is none.

        The same event read again has the same link. Where the table can't be written, the text goes without.
        """
        said = message.content
        try:
            if isinstance(said, Redaction):
                await asyncio.to_thread(self._table.forget, said.target)
            file = attached(event) if isinstance(said, Text) else None
            if isinstance(said, Text) and file is not None and file.size <= self._config.max_bytes:
                return replace(message, content=replace(said, link=await self._link(file)))
        except (sqlite3.Error, OSError) as error:
            self._context.count("matrix_file_unlinked")
            log.warning("matrix_file_unlinked", bridge=self._context.name, reason=str(error))
        return message

    async def _link(self, file: Attached) -> str:
        now_ms = self._context.clock.now_ms()
        until_ms = now_ms + 1000 * self._config.keep_s
        ident = await asyncio.to_thread(self._table.keep, file, until_ms=until_ms, now_ms=now_ms)
        self._context.count("matrix_file_linked")
        return f"{self._config.url}/f/{ident}"
