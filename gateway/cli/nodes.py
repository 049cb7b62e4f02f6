# SPDX-License-Identifier: GPL-3.0-or-later
"""``crossband nodes``: who is out there, and how well they are heard."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.ages import in_words
from gateway.cli import context
from gateway.cli.output import Columns, Form, Output, Row, age_s, show
from gateway.nodes import Order, bars


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("nodes")(nodes)


def nodes(
    ctx: typer.Context,
    search: Annotated[str, typer.Argument(help="Only those with this in their id or a name, former ones too.")] = "",
    *,
    bridge: Annotated[str | None, typer.Option(help="Only those that this bridge knows, as it heard them.")] = None,
    heard_within: Annotated[str | None, typer.Option(help="Only those heard since: 10m, 6h, 2d ago.")] = None,
    sort: Annotated[Order, typer.Option(help="The latest heard, the strongest, the emptiest first; or by name.")] = (
        Order.HEARD
    ),
    exact: Annotated[bool, typer.Option("--exact", help="Say where they are as exactly as they said it.")] = False,
    output: Output = Form.TABLE,
) -> None:
    """List everyone the bridges know of, each once, and how they were heard."""
    query = {"search": search, "bridge": bridge, "heard_within_s": age_s(heard_within), "sort": sort.value}
    pages = context.of(ctx).control().pages("/nodes", "nodes", **query, exact=str(exact).lower())
    show(list(pages), _columns(), output, empty="nobody like that is known" if search else "nobody is known yet")


def _columns() -> Columns:
    return {
        "id": lambda row: row["id"],
        "name": _name,
        "heard": lambda row: _ago(row["heard_age_s"]),
        "by": lambda row: ", ".join(one["bridge"] for one in row["heard_by"]),
        "signal": _signal,
        "hops": lambda row: _or_blank(row["hops"]),
        "battery %": lambda row: _or_blank(row["battery_percent"]),
        "key": lambda row: "yes" if row["has_key"] else "" if row["has_key"] is None else "no",
        "role": lambda row: row["role"],
        "hardware": lambda row: row["hardware"],
        "place": _place,
    }


def _name(row: Row) -> str:
    short = f" [{row['short_name']}]" if row["short_name"] else ""
    before = f" (was {', '.join(row['former_names'])})" if row["former_names"] else ""
    return f"{row['name']}{short}{before}"


def _signal(row: Row) -> str:
    if row["via_mqtt"]:
        return "internet"
    snr, rssi = row["snr_db"], row["rssi_dbm"]
    told = ("" if snr is None else f"{bars(snr)} {snr:g} dB", "" if rssi is None else f"{rssi} dBm")
    return " ".join(filter(None, told))


def _place(row: Row) -> str:
    place = row["place"]
    if place is None:
        return ""
    accuracy_m = place["accuracy_m"]
    decimals = 2 if accuracy_m is not None and accuracy_m >= 1000 else 5  # noqa: PLR2004 - a kilometre is 0.01 degrees
    where = f"{place['latitude']:.{decimals}f},{place['longitude']:.{decimals}f}"
    return where if accuracy_m is None else f"{where} ±{accuracy_m:.0f} m"


def _ago(age_s: float | None) -> str:
    return "" if age_s is None else f"{in_words(age_s)} ago"


def _or_blank(value: object) -> str:
    return "" if value is None else str(value)
