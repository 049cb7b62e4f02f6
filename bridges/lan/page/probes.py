# SPDX-License-Identifier: GPL-3.0-or-later
"""What phones and laptops ask to find out whether a Wi-Fi has internet, and what they want to hear.

Where the access point's DNS names this box for such a host (docs/access-point.md), the box tells once that there is a
chat, and from "Continue" on says what the device wants to hear: none is held, and none is led anywhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bridges.lan.page.guard import host_of
from bridges.lan.page.languages import chosen
from bridges.lan.page.problem import problem
from bridges.lan.page.rendering import answer, html
from bridges.lan.page.settings import PageSettings

LET_BE_S = 24 * 3600.0
"""How long nothing is announced to a device any more."""
MOST_LET_BE = 4096
"""Devices; of more, who continued first is told once again."""
CONTINUE = "/continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The answer that means internet."""

    body: str = ""
    kind: str = "text/plain"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


_NOTHING = Wanted(status=204)
_APPLE = Wanted(body="<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>", kind="text/html")
_NETWORK_MANAGER = Wanted(body="NetworkManager is online\n", headers={"X-NetworkManager-Status": "online"})
_MICROSOFT = Wanted(body="Microsoft Connect Test")
_MOZILLA = '<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>'

PROBES: Mapping[str, Mapping[str, Wanted]] = {
    "connectivitycheck.gstatic.com": {"/generate_204": _NOTHING},
    "connectivitycheck.android.com": {"/generate_204": _NOTHING},
    "captive.apple.com": {"/": _APPLE, "/hotspot-detect.html": _APPLE},
    "www.msftconnecttest.com": {"/connecttest.txt": _MICROSOFT},
    "detectportal.firefox.com": {
        "/success.txt": Wanted(body="success\n"),
        "/canonical.html": Wanted(body=_MOZILLA, kind="text/html"),
    },
    "nmcheck.gnome.org": {"/check_network_status.txt": _NETWORK_MANAGER},
    "network-test.debian.org": {"/nm": _NETWORK_MANAGER},
    "connectivity-check.ubuntu.com": {
        "/": Wanted(status=204, headers={"X-NetworkManager-Status": "online"}),
    },
}
"""By host, by path. Hosts that serve anything else besides (www.google.com, www.apple.com) are left alone."""


class Probes:
    """The ASGI application at those hosts. `monotonic_s` only grows."""

    def __init__(self, settings: PageSettings, monotonic_s: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic_s = monotonic_s
        self._let_be: OrderedDict[str, float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one probe."""
        await self._answer(Request(scope, receive))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        device = request.client.host if request.client else ""
        if request.method == "POST" and request.url.path == CONTINUE:
            self._continue(device)
            return self._page(request, is_done=True)
        if request.method not in {"GET", "HEAD"}:
            return problem(request, 405, "method", {"Allow": "GET, HEAD"})
        wanted = PROBES[host_of(request.headers["host"])].get(request.url.path)
        if wanted is None or not self._is_let_be(device):
            return self._page(request, is_done=False)
        headers = {"Content-Type": wanted.kind} if wanted.body else {}
        return Response(wanted.body, wanted.status, headers | dict(wanted.headers))

    def _page(self, request: Request, *, is_done: bool) -> Response:
        server = str((request.scope.get("server") or ("",))[0])
        addresses = [self._settings.address, *([self._settings.address_at(server)] if server else [])]
        language = chosen(request.headers.get("accept-language", ""))
        more = {"settings": self._settings, "addresses": addresses, "is_done": is_done, "action": CONTINUE}
        return answer(request, html(language, "probe.html", visit=None, **more))

    def _continue(self, device: str) -> None:
        self._let_be.pop(device, None)
        self._let_be[device] = self._monotonic_s() + LET_BE_S
        if len(self._let_be) > MOST_LET_BE:
            self._let_be.popitem(last=False)

    def _is_let_be(self, device: str) -> bool:
        return self._let_be.get(device, float("-inf")) > self._monotonic_s()


class Apart:
    """Has the hosts of probes answered by one application, and all else by the other."""

    def __init__(self, page: ASGIApp, probes: ASGIApp) -> None:
        self._page = page
        self._probes = probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on one request."""
        is_http = scope["type"] == "http"
        is_probe = is_http and host_of(Headers(scope=scope).get("host", "")) in PROBES
        await (self._probes if is_probe else self._page)(scope, receive, send)
