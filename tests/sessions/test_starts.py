"""One state for every session that is being started: each transition from each state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callboard.actors.errors import SpawnError, StoreError
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.starts import Cause, Phase, Start, Starts
from callboard.actors.sessions.table import Row
from callboard.supervision import Future
from tests import examples

PARTITIONS = 2


def row_of(name: str, partition: int) -> Row:
    row = Row(Session(id=name), active_s=0.0)
    row.partition = partition
    return row


def in_phase(phase: Phase, cause: Cause = Cause.WAKE) -> tuple[Starts, Start]:
    starts = Starts(PARTITIONS)
    start = starts.want(row_of("ada", 1), cause)
    if phase is Phase.LOADING:
        starts.load(start)
    elif phase is not Phase.WAITING:
        starts.ask(start)
    if phase is Phase.KEEPING:
        starts.keep(start)
    if phase is Phase.PAUSED:
        starts.pause(start)
    if phase is Phase.FAILED:
        give_up(starts, start)
    return starts, start


def give_up(starts: Starts, start: Start) -> None:
    starts.give_up(start, SpawnError("no"))


def derived(starts: Starts) -> tuple[bool, int]:
    return starts.has_waiting(1), starts.asked(1)


DERIVED = {
    Phase.WAITING: (True, 0),
    Phase.ASKED: (False, 1),
    Phase.KEEPING: (False, 1),
    Phase.LOADING: (False, 1),
    Phase.PAUSED: (False, 0),
    Phase.FAILED: (False, 0),
}
"""Whether a start in this phase waits for its partition, and whether it is under way there."""

Step = Callable[[Starts, Start], None]

STEPS: list[tuple[Step, Phase]] = [
    (Starts.ask, Phase.ASKED),
    (Starts.keep, Phase.KEEPING),
    (Starts.load, Phase.LOADING),
    (Starts.wait, Phase.WAITING),
    (Starts.pause, Phase.PAUSED),
    (give_up, Phase.FAILED),
]


@pytest.mark.parametrize("before", list(Phase))
class TestFromEachPhase:
    @pytest.mark.parametrize(("step", "after"), STEPS, ids=[str(after) for _, after in STEPS])
    def test_a_step_leads_to_its_own(self, before: Phase, step: Step, after: Phase) -> None:
        starts, start = in_phase(before)

        step(starts, start)

        assert start.phase is after
        assert derived(starts) == DERIVED[after]
        assert starts.is_asked("ada") is (after is Phase.ASKED)
        assert ("ada" in starts) is (after is not Phase.FAILED)

    def test_settling_leaves_nothing(self, before: Phase) -> None:
        starts, start = in_phase(before)

        starts.settle(start)
        starts.settle(start)

        assert len(starts) == 0
        assert starts.get("ada") is None
        assert derived(starts) == (False, 0)

    def test_a_successor_asks_again_whatever_was_under_way(self, before: Phase) -> None:
        starts, start = in_phase(before)

        starts.take_over()

        assert starts.take(1, 5) == [start]
        assert derived(starts) == (True, 0)


@pytest.mark.parametrize("before", [each for each in Phase if each is not Phase.FAILED])
@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("wanted", list(Cause))
def test_wanting_it_once_more_keeps_one_start_and_the_stronger_cause(
    before: Phase, cause: Cause, wanted: Cause
) -> None:
    starts, start = in_phase(before, cause)
    assert starts.want(start.row, wanted) is start

    assert start.cause is (wanted if cause is Cause.WAKE else cause)
    ends_pause = before is Phase.PAUSED and cause is Cause.WAKE and wanted is not Cause.WAKE
    assert start.phase is (Phase.WAITING if ends_pause else before)
    assert derived(starts) == DERIVED[start.phase]


class TestOneThatFailed:
    """Until what that makes of its session is carried out, and those who wait are told."""

    def test_is_followed_by_another_that_is_settled_by_itself(self) -> None:
        starts, failed = in_phase(Phase.FAILED, Cause.REVIVE)

        another = starts.want(failed.row, Cause.WAKE)
        starts.settle(failed)

        assert another is not failed
        assert another.cause is Cause.WAKE
        assert starts.get("ada") is another
        assert derived(starts) == DERIVED[Phase.WAITING]

    def test_leaves_those_who_wait_to_it_if_nobody_has_told_them(self) -> None:
        starts, failed = in_phase(Phase.FAILED, Cause.REVIVE)
        told, untold = Future[Session](), Future[Session]()
        session = Session(id="ada")
        failed.replies.append(told)
        failed.fail(SpawnError("yes"))
        failed.replies.append(untold)

        starts.want(failed.row, Cause.WAKE).answer(session)

        assert str(told.error) == "no"  # the first reason
        assert untold.get() == session


class TestThoseThatWait:
    def test_are_taken_in_their_order_and_no_more_than_asked_for(self) -> None:
        starts = Starts(PARTITIONS)
        wanted = [starts.want(row_of(name, 0), Cause.WAKE) for name in "abc"]
        starts.want(row_of("other", 1), Cause.WAKE)

        assert starts.take(0, 2) == wanted[:2]
        assert starts.take(0, 0) == []
        assert starts.take(0, -3) == []

    def test_go_behind_the_others_when_they_wait_again(self) -> None:
        starts = Starts(PARTITIONS)
        first, second = (starts.want(row_of(name, 0), Cause.WAKE) for name in "ab")
        starts.ask(first)

        starts.wait(first)

        assert starts.take(0, 2) == [second, first]


class TestThoseWhoWaitForIt:
    def test_are_all_told_that_it_runs(self) -> None:
        _, start = in_phase(Phase.ASKED, Cause.CREATE)
        start.replies += [Future(), Future()]
        session = Session(id="ada")

        start.answer(session)

        assert [reply.get() for reply in start.replies] == [session, session]

    def test_are_all_told_why_it_does_not(self) -> None:
        _, start = in_phase(Phase.ASKED, Cause.CREATE)
        start.replies += [Future(), Future()]
        error = SpawnError("no")

        start.fail(error)

        assert [reply.error for reply in start.replies] == [error, error]
        assert start.error is error

    def test_count_as_long_as_they_have_not_given_up(self) -> None:
        _, start = in_phase(Phase.ASKED, Cause.CREATE)
        given_up, waiting = Future[Session](), Future[Session]()
        given_up.give_up()

        start.replies.append(given_up)
        assert not start.is_awaited
        start.replies.append(waiting)
        assert start.is_awaited


class TestOfAnotherSessionOfItsId:
    """An id may be used again as soon as its session is gone."""

    def test_it_is_not_the_start(self) -> None:
        starts, start = in_phase(Phase.ASKED)

        assert starts.of(start.row) is start
        assert starts.of(row_of("ada", 1)) is None

    def test_what_that_one_says_is_not_heard(self) -> None:
        starts, start = in_phase(Phase.ASKED, Cause.CREATE)
        gone = row_of("ada", 1)

        starts.refuse(gone, StoreError("full"))
        starts.hand_in(gone, None)

        assert start.refusal is None
        assert start.handed is None


class StartsAgainstModel(RuleBasedStateMachine):
    """What is derived equals what one would count by hand, after a takeover too."""

    @initialize()
    def begin(self) -> None:
        self.starts = Starts(PARTITIONS)
        self.rows = [row_of(str(number), number % PARTITIONS) for number in range(8)]

    @rule(number=st.integers(0, 7), cause=st.sampled_from(Cause))
    def want(self, number: int, cause: Cause) -> None:
        self.starts.want(self.rows[number], cause)

    @precondition(lambda self: len(self.starts) > 0)
    @rule(
        data=st.data(),
        step=st.sampled_from([step for step, _ in STEPS] + [Starts.settle]),
    )
    def step(self, data: st.DataObject, step: Step) -> None:
        step(self.starts, data.draw(st.sampled_from(list(self.starts))))

    @rule()
    def take_over(self) -> None:
        self.starts.take_over()

    @invariant()
    def all_is_counted_right(self) -> None:
        for number in range(PARTITIONS):
            mine = [each for each in self.starts if each.partition == number]
            waiting = {each.session_id for each in mine if each.phase is Phase.WAITING}
            assert {each.session_id for each in self.starts.take(number, 99)} == waiting
            under_way = [each for each in mine if DERIVED[each.phase][1]]
            assert self.starts.asked(number) == len(under_way)


StartsAgainstModel.TestCase.settings = settings(
    max_examples=examples.of(60), stateful_step_count=30
)
TestStartsAgainstModel = StartsAgainstModel.TestCase
