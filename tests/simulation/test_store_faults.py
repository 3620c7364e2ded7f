"""What the faults of a store do to the commits of sessions."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Role,
    StoreError,
    StoreOutcomeUnknown,
)
from callboard.actors.testing import (
    Callboard,
    StoreDies,
    StoreForgets,
    StoreIsSlow,
    StoreRefuses,
)
from callboard.supervision import InvalidSpec
from callboard.supervision.testing import Fault, FaultPlan


class Opened:
    """A system with one session, whose store may be struck at the second commit."""

    def __init__(self, callboard: Callboard) -> None:
        self.sim = callboard
        self.store = callboard.store
        self.sessions = callboard.start()
        self.ada = self.sessions.ask(CreateSession(user_id="ada")).id

    def append(self, text: str) -> int:
        message = AppendMessage(self.ada, Role.USER, text, client_msg_id=text)
        return self.sessions.ask(message)

    def kept(self) -> list[int]:
        return [each.version.session.version for each in self.store.entries]


@contextmanager
def opened(*faults: Fault) -> Generator[Opened]:
    with Callboard(faults=FaultPlan(faults)) as callboard:
        yield Opened(callboard)
        callboard.calm()


def test_a_refusal_keeps_nothing_and_is_told() -> None:
    with opened(StoreRefuses(of="session/*", nth=2)) as world:
        with pytest.raises(StoreError) as refused:
            world.append("hello")

        assert refused.value.is_outcome_known
        assert world.kept() == [1]
        assert world.append("hello") == 1
        assert f"the store refuses a commit of session/{world.ada}, active" in str(
            world.sim.trace.entries
        )


@pytest.mark.parametrize(
    ("fault", "kept"), [(StoreForgets(nth=2), [1]), (StoreDies(nth=2), [1, 2])]
)
def test_one_that_is_lost_has_kept_it_or_not_and_nobody_knows(
    fault: Fault, kept: list[int]
) -> None:
    with opened(fault) as world:
        with pytest.raises(StoreOutcomeUnknown):
            world.append("hello")

        assert world.kept() == kept
        assert world.append("hello") == 1
        assert world.kept() == [*kept, 2]
        assert world.sim.seen(fault.name) == 1


def test_a_slow_one_keeps_whoever_commits_waiting() -> None:
    with opened(StoreIsSlow(nth=2, seconds=3.0)) as world:
        assert world.append("hello") == 1
        assert world.sim.now_s == 3.0


def test_only_some_commits_may_be_struck() -> None:
    with opened(StoreRefuses(on="cleaned", rate=1.0)) as world:
        assert world.append("hello") == 1


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), float("nan")])
def test_a_time_that_cannot_be_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidSpec, match=r"^seconds=.*above zero"):
        StoreIsSlow(seconds=seconds)
