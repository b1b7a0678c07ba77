"""A service's OpenAPI 3.1 document and its readable page, made from what stands beside the handlers."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from mesh.version import VERSION
from mesh.wire import Problem

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call answers. kind: a record, for JSON; else `media` says what comes."""

    meaning: str
    kind: Any = None
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call. query: a record whose fields are the query's parameters. body: a record, or a media type's name."""

    summary: str
    answers: dict[int, Answer]
    query: Any = None
    body: Any = None
    tag: str = "service"


def operation(
    summary: str, answers: dict[int, Answer], *, query: Any = None, body: Any = None, tag: str = "service"
) -> Callable[[F], F]:
    """Describe a handler. A test fails for a route whose handler has no description."""

    def describe(handler: F) -> F:
        handler.__dict__["operation"] = Operation(summary, answers, query, body, tag)
        return handler

    return describe


@dataclass(frozen=True, slots=True)
class Route:
    """A described handler at its place: path with `{name}` for variables, method in lower case."""

    path: str
    method: str
    operation: Operation
    note: str


def routes(rules: Iterable[Any], handlers: dict[str, Callable[..., Any]]) -> list[Route]:
    """The described routes of a web application, from its routing rules and its handlers by endpoint."""
    found = []
    for rule in rules:
        handler = handlers[rule.endpoint]
        described = getattr(handler, "operation", None)
        if described is None:
            continue
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in sorted(set(rule.methods) - {"HEAD", "OPTIONS"}):
            found.append(Route(path, method.lower(), described, (handler.__doc__ or "").strip()))
    return sorted(found, key=lambda r: (r.path, r.method))


def document(title: str, described: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI document."""
    listed = list(described)
    kinds: list[Any] = [Problem]
    for route in listed:
        kinds += [a.kind for a in route.operation.answers.values() if a.kind is not None]
        if isinstance(route.operation.body, type):
            kinds.append(route.operation.body)
        if route.operation.query is not None:
            kinds.append(route.operation.query)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_kind = {id(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method] = _describe(route, by_kind, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _describe(route: Route, by_kind: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    op = route.operation
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{([^}]+)}", route.path)
    ]
    if op.query is not None:
        schema = components[op.query.__name__]
        parameters += [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": {k: v for k, v in field.items() if k != "default"},
            }
            for name, field in schema["properties"].items()
        ]
    answers: dict[str, Any] = {}
    for status, answer in op.answers.items():
        entry: dict[str, Any] = {"description": answer.meaning}
        if answer.kind is not None:
            entry["content"] = {"application/json": {"schema": by_kind[id(answer.kind)]}}
        elif answer.media and status not in (204, 304, 307):
            entry["content"] = {
                answer.media: {"schema": {"type": "object" if answer.media == "application/json" else "string"}}
            }
        answers[str(status)] = entry
    answers["default"] = {
        "description": "What is wrong and what to do",
        "content": {"application/problem+json": {"schema": by_kind[id(Problem)]}},
    }
    described: dict[str, Any] = {"summary": op.summary, "tags": [op.tag], "responses": answers}
    if route.note:
        described["description"] = route.note
    if parameters:
        described["parameters"] = parameters
    if isinstance(op.body, type):
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_kind[id(op.body)]}},
        }
    elif op.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {m: {"schema": {"type": "string", "format": "binary"}} for m in op.body},
        }
    return described


_STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
.m{display:inline-block;min-width:4.5rem;font-weight:700}
details{border:1px solid #8885;border-radius:.5rem;margin:.5rem 0;padding:.5rem 1rem}
summary{cursor:pointer}td,th{text-align:left;padding:.15rem 1rem .15rem 0;vertical-align:top}
"""


def page(spec: dict[str, Any]) -> str:
    """The document as an HTML page that needs nothing from elsewhere."""
    e = html.escape
    out = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{e(spec['info']['title'])}</title><link rel=icon href='data:,'><style>{_STYLE}</style>"
        f"<h1>{e(spec['info']['title'])} <small>{e(spec['info']['version'])}</small></h1>"
        f"<p>Machine-readable: <a href=openapi.json>openapi.json</a> (OpenAPI {e(spec['openapi'])}).</p>"
    ]
    tags: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in spec["paths"].items():
        for method, op in methods.items():
            tags.setdefault(op["tags"][0], []).append((path, method, op))
    for tag in sorted(tags, key=lambda t: (t == "service", t)):
        out.append(f"<h2>{e(tag)}</h2>")
        for path, method, op in tags[tag]:
            rows = "".join(
                f"<tr><td><code>{e(p['name'])}</code><td>{e(p['in'])}<td>{e(_words(p['schema']))}</tr>"
                for p in op.get("parameters", ())
            )
            answers = "".join(
                f"<tr><td><code>{e(s)}</code><td>{e(a['description'])}</tr>" for s, a in op["responses"].items()
            )
            out.append(
                f"<details><summary><span class=m>{e(method.upper())}</span><code>{e(path)}</code>"
                f" — {e(op['summary'])}</summary>"
                + (f"<p>{e(op['description'])}</p>" if op.get("description") else "")
                + (f"<h4>Parameters</h4><table>{rows}</table>" if rows else "")
                + f"<h4>Answers</h4><table>{answers}</table></details>"
            )
    return "".join(out)


def _words(schema: dict[str, Any]) -> str:
    kinds = schema.get("anyOf", [schema])
    parts = []
    for kind in kinds:
        if kind.get("type") == "null":
            continue
        bounds = [
            f"{words} {kind[key]}"
            for key, words in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
            if key in kind
        ]
        parts.append(" ".join((str(kind.get("type", "")), *bounds)))
    return " or ".join(parts)
