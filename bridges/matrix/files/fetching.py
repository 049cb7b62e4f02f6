# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a file from the homeserver, and reads it: never more than a piece of it in memory."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from bridges.matrix.client import Client
from bridges.matrix.files.attached import Attached, Cipher
from gateway.model import GatewayError, LinkDown

PIECE_BYTES = 64 * 1024
WITHIN_S = 120.0
"""For all of a file to come; the homeserver may have to fetch it from another first."""


LEAVE_BYTES = 128 * 1024 * 1024
"""Of the disk: the journal and the queue are on it too."""


class TooLarge(GatewayError):
    """The file is larger than the configuration allows, whatever its event said."""


class Altered(GatewayError):
    """What is stored is not what was sent: its hash says so."""


@asynccontextmanager
async def fetched(client: Client, file: Attached, *, folder: Path, max_bytes: int) -> AsyncIterator[IO[bytes]]:
    """Hold the file, as it is stored, in a nameless file in `folder` that is gone afterwards.

    Whole, before anything of it is passed on: so its size and hash are known, and a slow reader holds
    nothing at the homeserver. Raises as `Client.get` does, TooLarge, Altered, and OSError of the disk.
    """
    if await asyncio.to_thread(_free_bytes, folder) < max_bytes + LEAVE_BYTES:
        raise OSError(errno.ENOSPC, "the disk is too full to fetch files")
    with tempfile.TemporaryFile(dir=folder) as spool:
        digest, size = hashlib.sha256(), 0
        path = ("media", "download", file.server, file.media_id)
        async with asyncio.timeout(WITHIN_S), client.fetch(*path) as answer:
            if (answer.content_length or 0) > max_bytes:
                raise TooLarge("the file is too large")
            async for piece in answer.content.iter_chunked(PIECE_BYTES):
                size += len(piece)
                if size > max_bytes:
                    raise TooLarge("the file is too large")
                digest.update(piece)
                await asyncio.to_thread(spool.write, piece)
            if answer.content_length not in (None, size):
                raise LinkDown("the homeserver broke off")
        if file.cipher is not None and digest.digest() != file.cipher.sha256:
            raise Altered("the file was altered where it is stored")
        await asyncio.to_thread(spool.seek, 0)
        yield spool


async def pieces(spool: IO[bytes], cipher: Cipher | None) -> AsyncIterator[bytes]:
    """Yield the file, decrypted if it was encrypted."""
    plain = _decrypting(cipher) if cipher else bytes
    while piece := await asyncio.to_thread(spool.read, PIECE_BYTES):
        yield plain(piece)


def _decrypting(cipher: Cipher) -> Callable[[bytes], bytes]:
    from Crypto.Cipher import AES  # noqa: PLC0415 - nio brings it

    # The counter is the IV's last eight bytes (client-server specification, "Sending encrypted attachments").
    counter = int.from_bytes(cipher.iv[8:], "big")
    aes: Any = AES.new(cipher.key, AES.MODE_CTR, nonce=cipher.iv[:8], initial_value=counter)
    return lambda piece: bytes(aes.decrypt(piece))


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
