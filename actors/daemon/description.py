"""What does the daemon offer, for programs? An OpenAPI 3.1 document, from the table of routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from importlib import metadata
from typing import Any, cast

import msgspec

from callboard.actors.daemon.calls import Route
from callboard.actors.daemon.media import LINES
from callboard.actors.daemon.problems import MEDIA_TYPE, Problem
from callboard.actors.daemon.routes import DESCRIPTION_PATH
from callboard.actors.daemon.settings import DaemonSettings

REF_TEMPLATE = "#/components/schemas/{name}"

JSON = "application/json"

_PROBLEMS = {
    "400": "The request is no HTTP, or its body no JSON.",
    "401": "Over a port: the token is missing or wrong.",
    "403": "Over a port: the request comes from a web page of another origin.",
    "404": "There is no such session, or no such path.",
    "405": "The path is not for this method.",
    "408": "The body did not arrive in time.",
    "409": "It does not fit what the session is now: a taken name, another version.",
    "413": "The body, or a text in it, is too large.",
    "415": "The body is not declared as JSON.",
    "421": "Over a port: the request names another host.",
    "422": "A field is missing, unknown, of a wrong type or out of bounds; it is named.",
    "429": "There is no place for one more session, or call.",
    "431": "Target and headers are too large.",
    "500": "The session crashed while it handled the message, or the daemon failed.",
    "501": "There is nothing that opens such a connection: an extra is missing.",
    "502": "The session, or a connection of it, could not be started, or has died.",
    "503": "Not now: too much at once, restarting, quarantined, or being stopped.",
    "504": "No answer came in time.",
}


def describe(routes: Iterable[Route], *, settings: DaemonSettings | None = None) -> dict[str, Any]:
    """Return the document.

    Args:
        routes: what the daemon offers.
        settings: the bounds that it names; None: the defaults.
    """
    table = tuple(routes)
    bounds = settings or DaemonSettings()
    shapes: list[Any] = [Problem, *(route.reply for route in table if route.reply is not str)]
    shapes += [each.body for each in table if each.body is not None and not each.takes_lines]
    queries = [route.query for route in table]
    _, components = msgspec.json.schema_components(
        [*shapes, *queries], schema_hook=_anything, ref_template=REF_TEMPLATE
    )
    documented = {name: _with_words(schema) for name, schema in components.items()}
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        operation = _operation(route, documented)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    paths[DESCRIPTION_PATH] = {"get": _OF_ITSELF}
    for query in queries:
        documented.pop(query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "callboard",
            "version": metadata.version("callboard"),
            "summary": "Supervised sessions: state that outlives every crash.",
            "description": (
                "One daemon is one trust domain: who may connect may act for every user. "
                "Over a Unix socket no token is needed; over a port every request carries it. "
                f"A body may have {bounds.body_bytes_max} bytes, target and headers together "
                f"{bounds.header_bytes_max}; a page ends after {bounds.page_bytes_max} bytes. "
                "An id stands in a path percent-encoded."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(documented.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(route: Route, components: dict[str, Any]) -> dict[str, Any]:
    summary = (inspect.getdoc(route.answer) or "").strip()
    described: dict[str, Any] = {
        "operationId": route.answer.__name__,
        "summary": summary,
        "responses": {
            str(route.status): {
                "description": summary,
                "content": {route.media_type: {"schema": _schema(route)}},
            },
            **{
                status: {"description": text, "content": {MEDIA_TYPE: {"schema": _ref(Problem)}}}
                for status, text in _PROBLEMS.items()
            },
        },
    }
    parameters = _parameters(route, components)
    if parameters:
        described["parameters"] = parameters
    if route.body is not None:
        described["requestBody"] = {
            "required": not route.is_body_optional,
            "content": {LINES: {"schema": {"type": "string"}}}
            if route.takes_lines
            else {JSON: {"schema": _ref(route.body)}},
        }
    return described


def _parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _IN_THE_PATH[name],
            "schema": {"type": "string"},
        }
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    schema = components.get(route.query.__name__, {})
    for name, value in schema.get("properties", {}).items():
        words = {key: each for key, each in value.items() if key != "description"}
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": value.get("description", name),
                "schema": words,
            }
        )
    return parameters


_IN_THE_PATH = {
    "session_id": "Which session; percent-encoded.",
    "client_id": "Which of its MCP clients; percent-encoded.",
}


def _schema(route: Route) -> dict[str, str]:
    return {"type": "string"} if route.reply is str else _ref(route.reply)


def _ref(shape: Any) -> dict[str, str]:
    return {"$ref": REF_TEMPLATE.format(name=shape.__name__)}


def _anything(shape: type) -> dict[str, Any]:
    """Return the schema of `object`: a value that JSON can say."""
    if shape is object:
        return {"description": "Any JSON value."}
    raise NotImplementedError


def _with_words(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose properties are described by what the docstring's `Args:` says."""
    docstring = inspect.cleandoc(cast("str", schema.get("description", "")))
    text, _, arguments = docstring.partition("\n\nArgs:\n")
    arguments = arguments.split("\n\n")[0]
    words = {
        name: " ".join(words.split())
        for name, words in re.findall(
            r"^ {4}(\w+): (.*(?:\n {8}.*)*)",
            arguments,
            re.MULTILINE,
        )
    }
    properties = {
        name: {**value, "description": words[name]} if name in words else value
        for name, value in schema.get("properties", {}).items()
    }
    described = dict(schema)
    if text:
        described["description"] = text
    if properties:
        described["properties"] = properties
    return described


_OF_ITSELF: dict[str, Any] = {
    "operationId": "get_description",
    "summary": "Return this description.",
    "responses": {
        "200": {
            "description": "This description.",
            "content": {JSON: {"schema": {"type": "object"}}},
        }
    },
}
