# SPDX-License-Identifier: GPL-3.0-or-later
"""A browser without script, without a browser: forms and links of the chat page, over ASGI."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx

from bridges.lan.page import Page

HOST = "http://hilltop.local:8081"
_INPUT = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
_ACTION = re.compile(r'<form[^>]*action="([^"]*)"')


def client(page: Page, *, peer: str = "192.168.4.20", **more: Any) -> httpx.AsyncClient:
    """Return somebody's browser at an address; httpx keeps cookies as browsers do."""
    transport = httpx.ASGITransport(app=page, client=(peer, 40000))
    return httpx.AsyncClient(transport=transport, base_url=HOST, follow_redirects=True, **more)


def fields(text: str) -> dict[str, str]:
    """Return a form's hidden fields."""
    return {name: html.unescape(value) for name, value in _INPUT.findall(text)}


def action(text: str) -> str:
    """Return where a page's form goes."""
    found = _ACTION.search(text)
    assert found is not None, text
    return html.unescape(found[1])


async def submit(browser: httpx.AsyncClient, at: httpx.Response, /, **given: str) -> httpx.Response:
    """Fill in the page's form and send it, as a browser would, with its Origin."""
    headers = {"Origin": HOST}
    return await browser.post(action(at.text), data={**fields(at.text), **given}, headers=headers)


async def join(browser: httpx.AsyncClient, nick: str = "Ada", **given: str) -> httpx.Response:
    """Take a nickname; return the room's page."""
    return await submit(browser, await browser.get("/"), nick=nick, **given)
