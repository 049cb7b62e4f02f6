# SPDX-License-Identifier: GPL-3.0-or-later
"""One request, as the page sees it: who, in which language, at which address."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from bridges.lan.hall import Person, Refusal
from bridges.lan.page.guests import Guests
from bridges.lan.page.languages import chosen
from bridges.lan.page.rates import prefix_of

CAPABILITY = "crossband.capability"
"""In the scope: what stood in the path before the rest of it."""
MOST_FIELDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who asks."""

    language: str
    asked: str
    """The language, where it was chosen rather than guessed: links keep it then."""
    person: Person | None
    taken: Refusal | None
    """Why who they were is not who they are any more."""
    lapsed: bool
    """Whether they come as somebody that this box doesn't know (any more): by their address, or a cookie."""
    capability: str
    """Theirs; empty: nobody's."""
    in_path: bool
    """Whether the address has to carry it: there is no cookie."""
    prefix: str
    """The household, for rates."""

    def link(self, *parts: str, **query: str) -> str:
        """Return an address of ours."""
        path = "/" + "/".join(quote(part, safe="") for part in parts)
        if self.in_path:
            path = f"/g/{self.capability}{path}"
        asked = {**query, **({"lang": self.asked} if self.asked else {})}
        return path + (f"?{urlencode(asked)}" if asked else "")

    @property
    def subject(self) -> str:
        """For whom a form's token is made."""
        return self.capability or "nobody"


def visit_of(request: Request, guests: Guests, cookie: str) -> Visit:
    """Return who asks. `cookie`: the name of ours."""
    in_path, kept = str(request.scope.get(CAPABILITY, "")), request.cookies.get(cookie, "")
    capability = in_path or kept
    found = guests.who(capability) if capability else None
    if not isinstance(found, Person) and kept and kept != capability:  # an old bookmark; who they are now came along
        capability, found = kept, guests.who(kept)
    person = found if isinstance(found, Person) else None
    asked = request.query_params.get("lang", "")
    language = chosen(request.headers.get("accept-language", ""), asked)
    return Visit(
        language=language,
        asked=asked if asked == language else "",
        person=person,
        taken=found if isinstance(found, Refusal) else None,
        lapsed=bool(capability) and person is None,
        capability=capability if person else "",
        in_path=person is not None and kept != capability,
        prefix=prefix_of(request.client.host if request.client else ""),
    )


def keep(response: Response, cookie: str, capability: str) -> None:
    """Let the browser remember who they are, if it remembers anything. Not ``Secure``: plain HTTP drops that."""
    response.set_cookie(cookie, capability, max_age=30 * 24 * 3600, httponly=True, samesite="lax", path="/")


async def form_of(request: Request) -> dict[str, str]:
    """Return a form's fields; what isn't a form has none."""
    body = await request.body()
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        return {}
