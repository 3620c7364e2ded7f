"""What the daemon says of itself, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any, cast

import msgspec
import pytest

from callboard.actors import link_messages as links
from callboard.actors import messages
from callboard.actors.daemon import linkwire, wire
from callboard.actors.daemon.calls import Route
from callboard.actors.daemon.description import _anything, describe
from callboard.actors.daemon.routes import DESCRIPTION_PATH, ROUTES, routes
from callboard.actors.sessions.data import SessionPatch
from callboard.supervision import Request


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description, as it is sent."""
    sent: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(describe(routes(faults=True))))
    return sent


def every(node: Any) -> Iterator[dict[str, Any]]:
    below: list[Any] = []
    match node:
        case dict():
            found = cast("dict[str, Any]", node)
            yield found
            below = list(found.values())
        case list():
            below = list(cast("Sequence[Any]", node))
        case _:
            pass
    for each in below:
        yield from every(each)


class TestTheDescription:
    @pytest.mark.parametrize("route", ROUTES, ids=lambda each: f"{each.method} {each.path}")
    def test_has_every_route(self, document: dict[str, Any], route: Route) -> None:
        operation = document["paths"][route.path][route.method.lower()]

        assert operation["summary"]
        assert str(route.status) in operation["responses"]
        assert ("requestBody" in operation) == (route.body is not None)
        described = {each["name"] for each in operation.get("parameters", ())}
        assert set(route.query.__struct_fields__) <= described

    def test_has_nothing_else(self, document: dict[str, Any]) -> None:
        assert set(document["paths"]) == {*(route.path for route in ROUTES), DESCRIPTION_PATH}

    def test_leaves_out_the_faults_unless_they_are_on(self) -> None:
        said = json.dumps(describe(routes(faults=False)))

        assert "/v1/faults" not in said
        assert "FaultOrder" not in said

    def test_refers_to_nothing_that_is_not_there(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        references = {each["$ref"] for each in every(document) if "$ref" in each}

        assert references
        assert {each.rpartition("/")[2] for each in references} <= set(schemas)

    def test_names_every_operation_differently(self, document: dict[str, Any]) -> None:
        names = [each["operationId"] for each in every(document) if "operationId" in each]

        assert len(names) == len(set(names))

    def test_explains_every_field(self, document: dict[str, Any]) -> None:
        silent = [
            f"{name}.{field}"
            for name, schema in document["components"]["schemas"].items()
            for field, shape in schema.get("properties", {}).items()
            if not shape.get("description")
        ]

        assert silent == []


class TestTheBodies:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (wire.NewSession, messages.CreateSession),
            (wire.NewMessage, messages.AppendMessage),
            (wire.Activity, messages.RecordActivity),
            (wire.Cleanup, messages.CleanupInactive),
            (wire.FaultOrder, messages.InjectCrash),
            (wire.Revival, messages.ReviveSession),
            (wire.Change, messages.UpdateSession),
            (wire.FilterPage, messages.ListSessions),
            (wire.Filter, messages.CountSessions),
            (wire.LogPart, messages.GetMessages),
            (wire.Farewell, messages.TerminateSession),
            (wire.Tail, messages.GetSession),
            (wire.Patch, SessionPatch),
            (wire.NewPrompt, messages.UpdateSystemPrompt),
            (wire.Wanted, messages.FindSession),
            (linkwire.NewMcpClient, links.AddMcpClient),
            (linkwire.ToolCall, links.CallTool),
            (linkwire.Patience, links.ListTools),
            (linkwire.NewAgent, links.AttachAgent),
            (linkwire.NewTask, links.Prompt),
            (linkwire.Cancellation, links.CancelPrompt),
        ],
        ids=lambda each: each.__name__,
    )
    def test_are_the_messages_less_the_ids_in_the_path(
        self, body: type[msgspec.Struct], message: type[msgspec.Struct]
    ) -> None:
        names_it_itself = body in {wire.NewSession, wire.FaultOrder, wire.Wanted}
        in_the_path = set[str]() if names_it_itself else {"session_id", "client_id"}
        in_process = {"fn", "client"}

        fields = set(message.__struct_fields__) - in_the_path - in_process

        assert set(body.__struct_fields__) == fields

    @pytest.mark.parametrize(
        "route",
        [each for each in ROUTES if each.body and not each.takes_lines],
        ids=lambda each: each.path,
    )
    def test_forbid_what_is_not_known_at_every_depth(self, route: Route) -> None:
        _, components = msgspec.json.schema_components(
            [route.body, route.query], schema_hook=_anything
        )
        objects = {name: each for name, each in components.items() if "properties" in each}

        assert [
            name for name, each in objects.items() if each["additionalProperties"] is not False
        ] == []


IN_PROCESS = {
    "Shutdown": "a signal stops a daemon",
    "GetSessionRef": "an address is of a process",
}
"""Messages without a route, and why."""


def every_message() -> set[str]:
    """Return the names of all messages that a SessionSystem takes."""
    bases = {"Request", "SessionMessage", "ConnectionMessage"}
    return {
        name
        for module in (messages, links)
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, Request) and name not in bases
    }


def names_in(code: CodeType) -> set[str]:
    """Return the names that a function uses, those of the functions in it included."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return {*code.co_names, *(name for each in inner for name in names_in(each))}


class TestTheRoutes:
    def test_lead_to_every_message_but_those_of_a_process(self) -> None:
        functions = [cast("FunctionType", route.answer) for route in ROUTES]
        sent = {name for each in functions for name in names_in(each.__code__)}

        assert every_message() - sent == set(IN_PROCESS)
