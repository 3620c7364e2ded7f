"""An errand does one thing for a session, in a time of its own, and leaves nothing when killed."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    SessionActor,
    SessionError,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.errands import Come, Errand, Go, Undertaker, send
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.spawn import Step
from callboard.actors.testing import FakeWorkspaces
from callboard.supervision import (
    ActorDeadError,
    ActorRef,
    ActorSystem,
    Request,
    SupervisedActor,
    Timeout,
    handles,
)
from callboard.supervision.testing import Simulation
from tests.laws import services_of

WITHIN_S = 20.0

SCHEDULES = 30
"""Moments at which an errand is killed."""

EARLY_S = 1.2
"""How long the disk takes yet: longer than a kill's grace, less than the errand is given."""


class Send(Request[str], frozen=True):
    queued_s: float | None
    is_async: bool = False


class Deaf:
    """Hears how a step went, and tells nobody."""

    def tell(self, session: Session, kind: EventKind, /, **details: object) -> None:
        pass


class Sender(SupervisedActor):
    """Sends errands that nobody takes up until the test lets them."""

    def __init__(self, held: list[ActorRef[Any]]) -> None:
        super().__init__()
        self._held = held

    @handles(Send)
    async def on_send(self, message: Send) -> str:
        def sent(errand: ActorRef[Any]) -> None:
            errand.suspend()
            self._held.append(errand)

        async def done_later() -> str:
            return "done"

        act: Any = done_later if message.is_async else lambda: "done"
        result: str = await send(self, act, within_s=0.1, queued_s=message.queued_s, sent=sent)
        return result


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    simulation = Simulation(0)
    yield simulation
    simulation.close()


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize("queued_s", [10.0, None, 0.5])
def test_what_waits_for_a_worker_takes_none_of_its_time(
    simulation: Simulation, queued_s: float | None, *, is_async: bool
) -> None:
    held: list[ActorRef[Any]] = []
    sender = ActorSystem("errands", runtime=simulation.runtime).spawn(Sender, held)

    answer = sender.ask(Send(queued_s, is_async), block=False, timeout=60.0)
    simulation.settle()
    simulation.advance(1.0)
    for errand in held:
        errand.resume()
    simulation.settle()

    if queued_s == 10.0:
        assert answer.get(timeout=0) == "done"
    else:
        with pytest.raises(Timeout):
            answer.get(timeout=0)
    assert [each.is_dead for each in held] == [True]


class TestAnErrand:
    @pytest.mark.parametrize("order", [Go(), Come()], ids=["go", "come"])
    def test_that_is_killed_at_any_moment_leaves_no_coroutine_that_nobody_awaits(
        self, order: Go | Come
    ) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for seed in range(SCHEDULES):
                self.kill_one(seed, order)
            gc.collect()  # once: it looks at all that the process has in memory

        assert [str(each.message) for each in caught] == []

    def kill_one(self, seed: int, order: Go | Come) -> None:
        async def light_the_lamp() -> None:
            return

        with Simulation(seed) as sim, ActorSystem(runtime=sim.runtime) as system:
            errand = system.spawn(Errand, light_the_lamp)
            done = errand.ask(order, block=False)
            killer = sim.spawn("killer", errand.kill)
            sim.run(until=lambda: killer.is_done and done.is_done)

        assert done.error is None or isinstance(done.error, ActorDeadError)


class SlowDisk(FakeWorkspaces):
    """Makes a folder by a call that nobody can interrupt: it is made whatever happens meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.is_making = threading.Event()
        self.is_made = threading.Event()
        self.is_removed = threading.Event()

    def make(self, user_id: str | None, session_id: str) -> str:
        self.is_making.set()
        try:
            self.is_made.wait(WITHIN_S)
        finally:
            path = super().make(user_id, session_id)
        return path

    def remove(self, user_id: str | None, session_id: str) -> None:
        super().remove(user_id, session_id)
        self.is_removed.set()


class TestWhatAKilledErrandIsInTheMiddleOf:
    @pytest.mark.parametrize("kills_session", [False, True], ids=["a spawn", "its session"])
    def test_is_undone_when_it_has_left_it(self, kills_session: bool) -> None:  # noqa: FBT001 -- pytest gives it by name
        disk = SlowDisk()
        with SessionSystem(SessionActor, workspace=disk) as sessions:
            create = CreateSession(session_id="ada")
            created = sessions.manager.ask(create, block=False, timeout=WITHIN_S)
            assert disk.is_making.wait(WITHIN_S)
            spawning = services_of(sessions).book.spawns.get("ada")
            assert spawning is not None

            if kills_session:
                cell = sessions.address("ada").ref
                assert cell is not None
                cell.kill()
            else:
                end = TerminateSession("ada")
                _ = sessions.manager.ask(end, block=False, timeout=WITHIN_S)
            spawning.errand.wait(WITHIN_S)
            disk.is_removed.wait(EARLY_S)
            disk.is_made.set()

            with pytest.raises(SessionError):
                created.get()
            assert [method for method, _ in disk.calls[-2:]] == ["make", "remove"]
            assert disk.folders == {}

    def test_is_not_begun_any_more_when_it_is_being_undone(self) -> None:
        """Its session is dead, and whoever ended that is yet to kill the errand, which waits."""
        left = [seed for seed in range(SCHEDULES) if self.undo_what_waits(seed)]

        assert left == []

    def undo_what_waits(self, seed: int) -> set[str]:
        """Return the folders that are left when an errand waits for its turn to make one."""
        folders: set[str] = set()

        def remove(session: Session) -> None:
            folders.discard(session.id)

        step = Step(name="workspace", do=None, undo=remove)
        with Simulation(seed) as sim, ActorSystem(runtime=sim.runtime) as system:
            errand = system.spawn(Errand, lambda: folders.add("ada"))
            errand.tell(Go())
            undertaker = system.spawn(Undertaker, Session(id="ada"), (step,), Deaf(), errand)
            sim.run(until=lambda: undertaker.is_dead and errand.is_dead)
        return folders
