"""Every operation of the description, with data that fits it and data that does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from callboard.actors.daemon.description import describe
from callboard.actors.daemon.problems import MEDIA_TYPE, Problem
from callboard.actors.daemon.routes import ROUTES, routes
from callboard.actors.daemon.streams import BEGUN
from callboard.actors.daemon.streams import MEDIA_TYPE as STREAM
from tests.daemon.daemons import READY_S
from tests.fuzz.campaign import fuzz
from tests.fuzz.hosted import KEPT, Hosted, hosting

Request: TypeAlias = Any
"""A `schemathesis.Case`: its types are partly unknown to a strict checker, as those below are."""

checks: Any = openapi_checks

DOCUMENT: Any = msgspec.json.decode(msgspec.json.encode(describe(routes(faults=False))))

SCHEMA: Any = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config())

STREAMS = {f"{route.method} {route.path}" for route in ROUTES if route.media_type == STREAM}

OPERATIONS: dict[str, Any] = {
    each.label: each for each in (found.ok() for found in SCHEMA.get_all_operations())
}

SENT = [
    (label, mode)
    for label, operation in sorted(OPERATIONS.items())
    for mode in GenerationMode
    # Any text is an id: where there is nothing else to give, nothing given is of a wrong type.
    if mode is GenerationMode.POSITIVE or operation.query or operation.body
]

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]

REFUSALS = {404, 409, 413, 422, 429, 501, 502}
"""What right data may be answered with: what it names is not there, not now, or is too much."""


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    with hosting(tmp_path_factory.mktemp("d"), port=0) as hosted:
        yield hosted


@pytest.fixture(scope="module")
def session(hosted: Hosted) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["authorization"] = f"Bearer {hosted.it.token}"
        yield session


def cases(label: str, mode: GenerationMode) -> st.SearchStrategy[Request]:
    """Return requests for an operation: every other one for what is there."""
    return st.builds(_placed, OPERATIONS[label].as_strategy(generation_mode=mode), st.booleans())


def _placed(case: Request, is_there: bool) -> Request:  # noqa: FBT001 -- Hypothesis gives it
    if is_there and "session_id" in case.path_parameters:
        case.path_parameters["session_id"] = KEPT
    return case


def check_problem(status: int, media_type: str, content: bytes) -> Problem:
    """Say that an answer explains itself."""
    assert media_type.partition(";")[0] == MEDIA_TYPE, (status, media_type, content[:200])
    problem = msgspec.json.decode(content, type=Problem)
    assert problem.status == status != 500, problem
    assert problem.remedy, problem
    if status == 422:
        assert problem.field, problem
        assert problem.value is not None, problem
    assert len(content) < 5_000, "it repeats what it was sent"
    return problem


@pytest.mark.parametrize(
    ("label", "mode"),
    # What operators send and get is JSON Lines, which no generator knows: tests/daemon has them.
    [each for each in SENT if each[0] not in STREAMS and "/v1/store/" not in each[0]],
    ids=lambda each: getattr(each, "value", each),
)
def test_an_operation_answers_as_it_is_described(
    hosted: Hosted, session: requests.Session, label: str, mode: GenerationMode
) -> None:
    def answer(case: Request) -> None:
        said = case.call(base_url=hosted.it.url, session=session, timeout=READY_S)
        case.validate_response(said, checks=CHECKS)
        if said.status_code >= 400:
            media_type = said.headers["content-type"][0]
            problem = check_problem(said.status_code, media_type, said.content)
            assert mode is GenerationMode.NEGATIVE or said.status_code in REFUSALS, problem
        hosted.create()

    fuzz(answer, cases(label, mode), examples=2)

    hosted.is_as_before()


@pytest.mark.parametrize(
    ("label", "mode"),
    [each for each in SENT if each[0] in STREAMS],
    ids=lambda each: getattr(each, "value", each),
)
def test_a_stream_begins_or_says_why_not_and_leaves_nothing(
    hosted: Hosted, session: requests.Session, label: str, mode: GenerationMode
) -> None:
    def answer(case: Request) -> None:
        sent: dict[str, Any] = case.as_transport_kwargs(base_url=hosted.it.url)
        with session.request(**sent, stream=True, timeout=READY_S) as said:
            media_type = said.headers["content-type"]
            if said.status_code == 200:
                assert media_type.partition(";")[0] == STREAM
                assert next(said.iter_content(len(BEGUN))) == BEGUN
            else:
                method, _, path = label.partition(" ")
                described: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]["responses"]
                assert str(said.status_code) in described
                check_problem(said.status_code, media_type, said.content)
        hosted.create()

    fuzz(answer, cases(label, mode), examples=3)

    hosted.is_as_before()
