# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads gettext catalogues as translators write them (``.po``), so that nothing has to be compiled or committed twice.

The standard library reads ``.mo`` only; that is laid out here in memory (GNU gettext manual, "The Format of GNU MO
Files"), and what it knows of plural forms is kept.
"""

from __future__ import annotations

import ast
import gettext
import io
import re
import struct
from collections.abc import Mapping

_LINE = re.compile(r'^(msgctxt|msgid|msgid_plural|msgstr(?:\[\d+\])?)?\s*(".*")$')
_MAGIC = 0x950412DE
_HEADER_BYTES = 28


def read(po: str) -> dict[str, str]:
    """Return translations by original; a plural's two originals, and its forms, are joined by NUL.

    ValueError: it is no catalogue.
    """
    found: dict[str, str] = {}
    for block in po.split("\n\n"):
        fields = _fields(block)
        if "msgid" not in fields:
            continue
        forms = [fields[name] for name in sorted(fields) if name.startswith("msgstr")]
        original = fields["msgid"] + ("\0" + fields["msgid_plural"] if "msgid_plural" in fields else "")
        if all(forms):
            found[original] = "\0".join(forms)
    return found


def translations(po: str) -> gettext.GNUTranslations:
    """Return a catalogue that gettext's own class looks up."""
    return gettext.GNUTranslations(io.BytesIO(_mo(read(po))))


def _fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise ValueError(f"not a line of a catalogue: {line!r}")
        name = match[1] or name
        fields[name] = fields.get(name, "") + str(ast.literal_eval(match[2]))
    return fields


def _mo(messages: Mapping[str, str]) -> bytes:
    pairs = sorted((original.encode(), words.encode()) for original, words in messages.items())
    at = _HEADER_BYTES + 16 * len(pairs)
    tables: list[bytes] = []
    texts = bytearray()
    for column in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[column]), at + len(texts)))
            texts += pair[column] + b"\0"
    head = struct.pack("<7I", _MAGIC, 0, len(pairs), _HEADER_BYTES, _HEADER_BYTES + 8 * len(pairs), 0, at)
    return head + b"".join(tables) + bytes(texts)
