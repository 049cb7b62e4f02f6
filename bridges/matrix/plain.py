# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain, bounded text out of whatever people, clients and servers put into an event. Pure."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from html.parser import HTMLParser

MAX_NAME_BYTES = 255
"""MSC4144: a profile's id and displayname are at most 255 bytes."""
MAX_HTML_CHARS = 4_096
"""Past this, markup isn't read: html.parser takes quadratic time over some malformed input. It is
only read where a client sent no plain body, which none does."""

_ID = re.compile(r"[!-~]{2,255}")  # visible ASCII, as every id the specification defines
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_REPLY_FALLBACK = re.compile(r"> (?:\* )?<@")
_JOINERS = "\u200c\u200d"  # format characters that words and emoji need
_BLOCKS = frozenset({"address", "blockquote", "br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr"}) | frozenset(
    {"li", "ol", "p", "pre", "table", "tr", "ul"}
)
_UNSEEN = frozenset({"head", "mx-reply", "script", "style", "template", "title"})


def scrub(text: str) -> str:
    """Return the text with lone surrogates replaced, so that it can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def clean(text: str) -> str:
    r"""Return the text encodable, with ``\n`` for every line end and without control characters."""
    return _CONTROL.sub("", scrub(text).replace("\r\n", "\n").replace("\r", "\n"))


def cut(text: str, max_bytes: int) -> str:
    """Return the beginning of the text that fits in `max_bytes` of UTF-8, never half a character."""
    data = text.encode()
    return text if len(data) <= max_bytes else data[:max_bytes].decode(errors="ignore")


def one_line(text: str, max_bytes: int = MAX_NAME_BYTES) -> str:
    """Return a name that can stand in a line of others' words: no control, no direction override."""
    words = "".join(map(_in_line, scrub(text[: 4 * max_bytes]))).split()
    return cut(" ".join(words), max_bytes).rstrip()


def valid_id(value: object, sigil: str) -> str | None:
    """Return the value if it can be an id that begins with `sigil`. Opaque: v12 room ids have no server."""
    return value if isinstance(value, str) and value.startswith(sigil) and _ID.fullmatch(value) else None


def from_html(markup: str) -> str:
    """Return the words of a formatted body: reply and profile fallbacks left out, blocks on lines."""
    reader = _Words()
    # html.parser (Python 3.11 to 3.13) asserts that a marked section has a name: "<![<" ends the reading there.
    with suppress(AssertionError):
        reader.feed(markup[:MAX_HTML_CHARS])
        reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.words).split("\n"))
    return "\n".join(line for line in lines if line)


def _in_line(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category[0] == "C" and char not in _JOINERS else char


class _Words(HTMLParser):
    """Collects words. What isn't shown is counted in and out, so nesting of any depth costs nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN or any(key == "data-mx-profile-fallback" for key, _ in attrs):
            self._unseen.append(tag)
        elif not self._unseen and tag in _BLOCKS:
            self.words.append("\n- " if tag == "li" else "\n")
        elif not self._unseen and tag == "img":
            self.words.append(dict(attrs).get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            if self._unseen[-1] == tag:
                self._unseen.pop()
        elif tag in _BLOCKS:
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.words.append(data)


def without_quote(body: str) -> str:
    """Drop what clients before 2024 put above a reply: the quoted lines and the empty one after."""
    if not _REPLY_FALLBACK.match(body):
        return body
    lines = body.split("\n")
    quoted = next((n for n, line in enumerate(lines) if not line.startswith(">")), len(lines))
    return "\n".join(lines[quoted:]).strip()
