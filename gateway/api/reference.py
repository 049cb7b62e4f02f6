# SPDX-License-Identifier: GPL-3.0-or-later
"""``/docs``: the OpenAPI document as a page to read. No script, nothing from other hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from gateway.api.html import Child, Html, el, page, table

router = APIRouter(include_in_schema=False)

_METHODS = ("get", "post", "put", "delete", "patch")


@router.get("/openapi.json", response_class=JSONResponse)
async def document(request: Request) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.get("/docs", response_class=HTMLResponse)
async def reference(request: Request) -> str:
    """Show the OpenAPI document."""
    return render(request.app.openapi())


def render(document: Mapping[str, Any]) -> str:
    """Write an OpenAPI document as a page. Pure."""
    info = document["info"]
    nav = el("nav", el("a", "Console", href="/"), el("a", "OpenAPI document", href="/openapi.json"))
    header = el("header", el("h1", f"{info['title']} API {info['version']}"), nav)
    about = el("p", info.get("description", ""))
    return page(f"{info['title']} API", header, el("main", about, *_operations(document)))


def _operations(document: Mapping[str, Any]) -> Iterator[Html]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield _operation(document, method, path, methods[method])


def _operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> Html:
    parts: list[Child] = [
        el("h2", el("code", method.upper(), class_="method"), " ", el("code", path)),
        el("p", operation.get("description") or operation.get("summary", "")),
    ]
    parameters = operation.get("parameters", [])
    if parameters:
        parts.append(_fields("Parameters", [_parameter(one) for one in parameters]))
    body = operation.get("requestBody")
    if body:
        parts.append(_fields("Body", _properties(document, _schema_of(body))))
    parts += list(_answers(document, operation))
    return el("section", *parts, class_="operation")


def _answers(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Html]:
    for status, response in operation.get("responses", {}).items():
        schema = _schema_of(response)
        if status.startswith("2") and schema:
            yield _fields(f"Answer {status}", _properties(document, schema))


def _fields(caption: str, rows: list[list[Child]]) -> Html:
    return table(caption, ["Name", "Type", "What it is"], rows, empty="No fields.")


def _parameter(parameter: Mapping[str, Any]) -> list[Child]:
    needed = " (required)" if parameter.get("required") else ""
    told = f"{parameter.get('description', '')} In the {parameter['in']}{needed}.".strip()
    return [el("code", parameter["name"]), _type_of(parameter.get("schema", {})), told]


def _properties(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[list[Child]]:
    target = _resolved(document, schema.get("items", schema))
    required = target.get("required", ())
    return [
        [el("code", name), _type_of(field), _told(field, needed=name in required)]
        for name, field in target.get("properties", {}).items()
    ]


def _told(field: Mapping[str, Any], *, needed: bool) -> str:
    told: str = field.get("description", "")
    return told if needed else f"{told} (optional)".strip()


def _schema_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    content = part.get("content", {})
    schema: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    return schema


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Mapping[str, Any] = document.get("components", {}).get("schemas", {}).get(name, schema)
    return found


def _type_of(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type_of(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_of(schema.get('items', {}))}"
    return str(schema.get("type", "any"))
