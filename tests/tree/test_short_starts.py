"""A start that waits for nothing runs on the supervisor's thread: no switch, no message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from callboard.supervision import (
    ActorRef,
    ActorSystem,
    ChildSpec,
    DynamicSupervisor,
    PinnedActor,
    Request,
    StartChild,
    SupervisedActor,
    Supervisor,
    WhichChildren,
    handles,
)


class WhoRunsYou(Request[int], frozen=True):
    """Ask for the thread."""


class Plain(SupervisedActor):
    """Has nothing of its own to do at its start."""

    @handles(WhoRunsYou)
    def on_who_runs_you(self, message: WhoRunsYou) -> int:
        del message
        return threading.get_ident()


class Starting(Plain):
    """Has something to do at its start, and says nothing of how long that takes."""

    def on_start(self) -> None:
        self.started_by = threading.get_ident()


class Short(Starting):
    """Says that it waits for nothing."""

    starts_at_once: ClassVar[bool] = True


class OtherInit(Short):
    """Is made in another way than the one that said so."""

    def __init__(self) -> None:
        super().__init__()


class Mixin:
    def on_start(self) -> None: ...


@pytest.fixture
def supervisor() -> Iterator[ActorRef[Any]]:
    with ActorSystem() as system:
        below = ChildSpec(id="below", start=DynamicSupervisor)  # a root lends itself to nobody
        root = system.spawn(Supervisor, [below]).wait_started()
        yield root.ask(WhichChildren())[0].ref


def begin(supervisor: ActorRef[Any], kind: type[Any], **options: Any) -> Any:
    """Ask for a child on this thread, which waits for nothing."""
    return supervisor.ask_at_once(StartChild(ChildSpec(id="x", start=kind, **options)))


class TestAClass:
    @pytest.mark.parametrize(
        ("kind", "is_short"),
        [
            (Plain, True),
            (Starting, False),
            (Short, True),
            (type("HeirOfShort", (Short,), {}), True),
            (OtherInit, False),
            (type("Mixed", (Mixin, Plain), {}), False),
            (type("OwnThread", (PinnedActor,), {}), False),
            (DynamicSupervisor, False),
        ],
    )
    def test_starts_at_once_if_it_says_so_or_has_no_start_of_its_own(
        self, kind: type[SupervisedActor], *, is_short: bool
    ) -> None:
        assert kind.starts_at_once is is_short


class TestAShortStart:
    @pytest.mark.parametrize("kind", [Plain, Short])
    @pytest.mark.parametrize("start_s", [None, 1.0])
    def test_is_over_when_its_supervisor_goes_on(
        self, supervisor: ActorRef[Any], kind: type[Any], start_s: float | None
    ) -> None:
        answer = begin(supervisor, kind, start_s=start_s)

        assert answer.is_done
        assert answer.get().is_started

    def test_runs_where_its_supervisor_runs(self, supervisor: ActorRef[Any]) -> None:
        short, starting = (begin(supervisor, kind).get() for kind in (Short, Starting))

        assert short.actor.started_by == threading.get_ident()
        assert starting.actor.started_by != threading.get_ident()

    def test_leaves_what_waits_for_the_actor_to_a_worker(self, supervisor: ActorRef[Any]) -> None:
        address = supervisor.system.reserve("x", keeps_mailbox=True)
        answer = address.ask(WhoRunsYou(), block=False)

        begin(supervisor, Plain, name="x")

        assert answer.get() != threading.get_ident()
