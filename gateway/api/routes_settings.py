# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that a bridge's far side has of its own (a radio's region, channels): shown, and changed on a clear yes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import Field

from gateway.api.deps import View
from gateway.api.gateway import GatewayView
from gateway.api.schemas import Asked, Said
from gateway.model import Adjustable, Alteration, BridgeError, BridgeName, Declined, JournalError
from gateway.rulings import OPERATOR

router = APIRouter(prefix="/api/v1/bridges", tags=["settings"])

MAX_SETTINGS = 32
Value = Annotated[str, Field(max_length=200)]


class SettingsOut(Said):
    """How the far side is set."""

    bridge: str
    settings: dict[str, Any] = Field(description="No secret is in it: of keys, how good they are")


class SettingsIn(Asked):
    """What to set."""

    settings: dict[Value, Value] = Field(min_length=1, max_length=MAX_SETTINGS)
    yes: bool = Field(default=False, description="Do it; else it is only told what would change")
    cut_off: bool = Field(default=False, description="Do it also where it cuts somebody off")


class AlterationOut(Said):
    """One setting that would be, or was, changed."""

    key: str
    was: str
    becomes: str
    cuts_off: str = Field(description="Whom it cuts off; empty: nobody")


class AlteredOut(Said):
    """What would be, or was, changed."""

    bridge: str
    done: bool
    alterations: list[AlterationOut]


@router.get("/{name}/settings")
async def settings(name: str, view: View) -> SettingsOut:
    """Return how the bridge's far side is set, as it last told, with what to mend under `warnings`."""
    try:
        return SettingsOut(bridge=name, settings=dict(_adjustable(view, name).settings()))
    except Declined as declined:
        raise HTTPException(409, str(declined)) from declined


@router.post("/{name}/settings")
async def adjust(name: str, asked: SettingsIn, view: View, request: Request) -> AlteredOut:
    """Return what would change; with `yes`, change it and read it back, which may take two minutes."""
    bridge = _adjustable(view, name)
    try:
        found = bridge.alterations(asked.settings)
    except Declined as declined:
        raise HTTPException(422, str(declined)) from declined
    if not asked.yes or not found:
        return _altered(name, found, done=False)
    cut_off = [f"{one.key} cuts off {one.cuts_off}" for one in found if one.cuts_off]
    if cut_off and not asked.cut_off:
        raise HTTPException(409, f"{'; '.join(cut_off)}. Nothing was changed: it takes cut_off, too")
    # Only what was found to change was said yes to: of the rest somebody else may change something meanwhile.
    confirmed = {one.key: asked.settings[one.key] for one in found}
    try:
        await view.rulings.make_room()
        done = _altered(name, await bridge.adjust(confirmed), done=True)
    except Declined as declined:
        raise HTTPException(409, str(declined)) from declined
    except (BridgeError, JournalError) as error:
        raise HTTPException(503, str(error)) from error
    where = "command line" if request.app.state.local else "API"
    for one in found:  # what it is set to may be a key
        await view.rulings.note("set", f"{name} {one.key}", by=OPERATOR, where=where)
    return done


def _adjustable(view: GatewayView, name: str) -> Adjustable:
    if name not in view.settings.bridges:
        known = ", ".join(view.settings.bridges) or "none"
        raise HTTPException(404, f"there is no bridge called {name!r}; there is: {known}")
    bridge = view.adjustable(BridgeName(name))
    if bridge is None:
        raise HTTPException(404, f"{name} has no settings of its own")
    return bridge


def _altered(name: str, found: Sequence[Alteration], *, done: bool) -> AlteredOut:
    return AlteredOut(bridge=name, done=done, alterations=[_out(one) for one in found])


def _out(one: Alteration) -> AlterationOut:
    return AlterationOut(key=one.key, was=one.was, becomes=one.becomes, cuts_off=one.cuts_off)
