"""Every message, with every value: a declared answer or an error of ours, and nothing is hurt."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, ForwardRef, Union, get_args, get_origin

import pytest
from hypothesis import strategies as st

import callboard.actors
from callboard.actors import (
    CreateSession,
    Presence,
    SessionSystem,
    Subscription,
    TerminateSession,
    messages,
)
from callboard.actors import link_messages as links
from callboard.actors.connections.ports import Connectors
from callboard.actors.testing import MemoryAgents, MemoryClient, MemoryMcp
from callboard.supervision import CallboardError, Request
from tests.fuzz.campaign import fuzz
from tests.fuzz.values import anything, structs
from tests.laws import broken_laws, parts_of, services_of
from tests.sessions.stage import Stage, cell_of

KEPT = ("ada", "bob")
"""Sessions that are there for every message."""

LEFT_MAX = 6
"""Sessions that examples may leave before they are ended."""

BASES = {"Request", "SessionMessage", "ConnectionMessage"}

NOT_SENT = {
    "Shutdown": "it takes no session after it, on purpose",
    "InjectCrash": "it makes things crash, on purpose",
}

SENT: list[type[Request[Any]]] = [
    each
    for module in (messages, links)
    for name, each in vars(module).items()
    if inspect.isclass(each)
    and issubclass(each, Request)
    and each.__module__ == module.__name__
    and name not in {*BASES, *NOT_SENT}
]

SHORT_S = st.sampled_from((None, 0, 0.0, 0.1))
"""Times of work: what waits in a simulation waits in no time, and on threads not for long."""

OWN: dict[str, st.SearchStrategy[Any]] = {
    "session_id": st.sampled_from((*KEPT, *KEPT, "nobody")),
    "client_id": st.sampled_from(("files", "nothing")),
    "id": st.sampled_from(("files", "mail")),
    "kind": st.sampled_from(("session", "acp", "heartbeat")),
    "timeout_s": SHORT_S,
    "grace_s": SHORT_S.filter(lambda seconds: seconds is not None),
    "client": st.one_of(st.none(), st.builds(MemoryClient)),
    "sink": st.builds(MemoryClient),
    "command": st.just(("program", "--flag")),
}


@pytest.fixture(params=["threads", "simulated-0"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(str(request.param))
    yield stage
    stage.close()


def declared_by(kind: type[Request[Any]]) -> Any:
    """Return the reply type that a message declares."""
    bases: tuple[Any, ...] = vars(kind)["__orig_bases__"]
    declared = get_args(bases[0])[0]
    is_named = isinstance(declared, ForwardRef)
    return getattr(callboard.actors, declared.__forward_arg__) if is_named else declared


def is_of(reply: object, declared: Any) -> bool:
    """Say whether a reply is of the declared type."""
    if declared is Any or declared is object:
        return True
    if get_origin(declared) in (Union, UnionType):
        return any(is_of(reply, each) for each in get_args(declared))
    if declared is float:
        return type(reply) in (float, int)
    return isinstance(reply, NoneType if declared is None else get_origin(declared) or declared)


def check_error(error: CallboardError) -> None:
    """Say that an error explains itself, in bounded words."""
    assert error.code, error
    assert error.remedy, error
    assert len(str(error)) < 3_000, error.code


class Campaign:
    """A system that is asked everything, and must be as before after each question."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sessions: SessionSystem = stage.open(
            connectors=Connectors(mcp=MemoryMcp(), agents={"acp": MemoryAgents()})
        )
        self.create()
        self.parts = self.the_parts()

    def create(self) -> None:
        for each in KEPT:
            if services_of(self.sessions).table.get(each) is None:
                self.sessions.ask(CreateSession(session_id=each))

    def the_parts(self) -> dict[str, Any]:
        """Return every part but sessions and their connections, by path."""
        found = parts_of(self.sessions)
        ids = {row.id for row in services_of(self.sessions).table.rows()}
        return {
            path: ref
            for path, ref in found.items()
            if not (path.count("/") == 2 and path.rpartition("/")[2] in ids)
            and not path.startswith("connections/")
        }

    def ask(self, message: Request[Any]) -> None:
        try:
            reply: Any = self.sessions.ask(message, timeout=5)
        except CallboardError as error:
            check_error(error)
        else:
            kind: type[Request[Any]] = type(message)
            declared = declared_by(kind)
            assert is_of(reply, declared), f"{kind.__name__}: {reply!r:.200}"
            if isinstance(reply, Subscription):
                reply.close()
        self.nothing_is_hurt()

    def nothing_is_hurt(self) -> None:
        sessions = self.sessions
        self.stage.settle()
        table = services_of(sessions).table
        assert broken_laws(sessions) == []
        for row in table.rows():
            session = row.session()
            assert session.restarts == 0, (session.last_error, session.failed_on)
            assert session.presence in (Presence.AWAKE, Presence.ASLEEP)
        health = sessions.health()
        assert health.is_healthy
        assert (health.subscriptions, health.hung) == (0, ())
        if len(table) > LEFT_MAX:
            for row in table.rows():
                sessions.ask(TerminateSession(row.id, "", 0.0))
            self.stage.settle()
        self.create()

    def is_as_before(self) -> None:
        """Say that every part is still in its first incarnation, and all can be ended."""
        assert self.the_parts() == self.parts
        for row in services_of(self.sessions).table.rows():
            self.sessions.ask(TerminateSession(row.id, "", 0.0))
        self.stage.settle()
        services = services_of(self.sessions)
        assert len(services.table) == 0
        assert [name for name in services.system.names if name.startswith("session/")] == []


def test_every_message_is_answered_or_refused_and_nothing_is_hurt(stage: Stage) -> None:
    campaign = Campaign(stage)
    any_message = st.one_of([structs(kind, OWN) for kind in SENT])

    fuzz(campaign.ask, any_message, examples=60)

    campaign.is_as_before()


def test_what_is_no_message_is_refused(stage: Stage) -> None:
    campaign = Campaign(stage)

    def refuse(value: Any) -> None:
        with pytest.raises(CallboardError):
            campaign.sessions.ask(value, timeout=5)
        campaign.nothing_is_hurt()

    fuzz(refuse, anything(), examples=25)

    campaign.is_as_before()


def test_what_is_no_id_reaches_nobody(stage: Stage) -> None:
    campaign = Campaign(stage)
    first = cell_of(campaign.sessions, KEPT[0])

    def refuse(value: Any) -> None:
        for read in (campaign.sessions.get, campaign.sessions.messages, campaign.sessions.address):
            with pytest.raises(CallboardError):
                read(value)

    fuzz(refuse, anything().filter(lambda value: not isinstance(value, str)), examples=30)

    assert cell_of(campaign.sessions, KEPT[0]) is first
