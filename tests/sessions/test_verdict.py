"""What becomes of a session whose incarnation has ended: every case."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from callboard.actors.sessions.budget import RESTARTS
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.table import Row, Standing
from callboard.actors.sessions.verdict import (
    CLOSED_MAX,
    Decision,
    Ended,
    GivenUp,
    NeverStarted,
    News,
    NotResumed,
    NotWoken,
    PartitionLost,
    RowView,
    Verdict,
    closed_to,
    decide,
    revived,
    view_of,
)
from callboard.supervision.model.reasons import (
    Crashed,
    ExitReason,
    Killed,
    NoActor,
    Normal,
    Shutdown,
)

CRASHED = Crashed("KeyError", "x")
LIVING = [state for state in SessionState if state is not SessionState.CLEANED]


def row(
    state: SessionState = SessionState.ACTIVE,
    *,
    incarnation: int = 3,
    standing: Standing | None = None,
) -> RowView:
    return RowView(state=state, incarnation=incarnation, standing=standing)


def ended(reason: ExitReason, incarnation: int = 3, *, has_supervisor: bool = True) -> Ended:
    return Ended(
        incarnation=incarnation,
        reason=reason,
        failed_on="Question",
        has_supervisor=has_supervisor,
    )


def noted(decision: Decision) -> Standing:
    assert decision.standing is not None
    return decision.standing


GIVEN_UP = GivenUp(incarnation=3, reason=CRASHED, failed_on="Question")
QUARANTINED = Standing(3, Presence.QUARANTINED, restarts=4)

BY_REASON = [
    (Normal(), Verdict.ASLEEP),
    (Shutdown(), Verdict.ASLEEP),
    (Shutdown(detail="idle"), Verdict.ASLEEP),
    (CRASHED, Verdict.RESTARTING),
    (Killed(), Verdict.RESTARTING),
    (NoActor(), Verdict.ASLEEP),
]


@pytest.mark.parametrize("state", LIVING)
@pytest.mark.parametrize(("reason", "verdict"), BY_REASON, ids=[str(r) for r, _ in BY_REASON])
def test_a_failure_is_restarted_and_an_orderly_end_is_sleep(
    state: SessionState, reason: ExitReason, verdict: Verdict
) -> None:
    assert decide(ended(reason), row(state)).verdict is verdict


@pytest.mark.parametrize("reason", [reason for reason, _ in BY_REASON], ids=str)
def test_a_session_that_is_cleaned_up_goes_however_its_actor_ended(reason: ExitReason) -> None:
    assert decide(ended(reason), row(SessionState.CLEANED)) == Decision(verdict=Verdict.REMOVED)


@pytest.mark.parametrize(
    "news",
    [GIVEN_UP, PartitionLost(incarnation=3), NeverStarted(reason=CRASHED)],
    ids=["given up", "lost", "start"],
)
def test_a_session_that_is_cleaned_up_goes_whatever_is_learned(news: News) -> None:
    assert decide(news, row(SessionState.CLEANED)).verdict is Verdict.REMOVED


@pytest.mark.parametrize("state", list(SessionState))
@pytest.mark.parametrize("reason", [reason for reason, _ in BY_REASON], ids=str)
def test_a_verdict_about_an_older_incarnation_is_void(
    state: SessionState, reason: ExitReason
) -> None:
    assert decide(ended(reason, 2), row(state)).verdict is Verdict.VOID


def test_a_void_verdict_changes_no_presence_but_the_failure_counts() -> None:
    standing = noted(decide(ended(CRASHED, 2), row()))

    assert standing.incarnation < 3
    assert (standing.restarts, standing.last_error) == (1, "crashed: KeyError: x")


def test_a_void_verdict_about_a_session_that_nothing_was_known_of_says_that_it_is_awake() -> None:
    standing = noted(decide(ended(CRASHED, 2), row(), now_s=7.0))

    assert standing.presence is Presence.AWAKE
    assert standing.spent == RESTARTS.record(now_s=7.0)[0]


@pytest.mark.parametrize("presence", [Presence.ASLEEP, Presence.RESTARTING])
def test_a_start_given_up_that_never_began_is_one_failure_more(presence: Presence) -> None:
    before = Standing(3, presence, restarts=1, last_error="another", closed=(3,))
    start = GivenUp(incarnation=3, reason=CRASHED, is_start=True)

    standing = noted(decide(start, row(standing=before)))

    assert (standing.restarts, standing.last_error, standing.closed) == (2, str(CRASHED), (3,))
    assert noted(decide(GIVEN_UP, row(standing=before))).restarts == 1


def test_what_is_decided_by_is_what_the_row_says_now() -> None:
    table_row = Row(Session(id="ada", state=SessionState.TERMINATING), active_s=0.0)
    table_row.begin(3)
    table_row.note(QUARANTINED)

    assert view_of(table_row) == row(SessionState.TERMINATING, standing=QUARANTINED)


def test_a_restart_that_failed_before_it_began_is_about_a_newer_incarnation() -> None:
    decision = decide(ended(CRASHED, 4), row(standing=Standing(3, Presence.RESTARTING, restarts=1)))

    assert decision.verdict is Verdict.RESTARTING
    assert (noted(decision).incarnation, noted(decision).restarts) == (4, 2)


@pytest.mark.parametrize("state", LIVING)
def test_what_its_partition_gives_up_is_quarantined_with_its_last_error(
    state: SessionState,
) -> None:
    decision = decide(GIVEN_UP, row(state), now_s=9.0)

    assert decision.verdict is Verdict.QUARANTINED
    assert noted(decision) == Standing(
        3, Presence.QUARANTINED, 9.0, 1, "crashed: KeyError: x", "Question", closed=(3,)
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["down first", "given up first"])
def test_down_and_giving_up_mean_quarantine_in_either_order_and_count_once(
    order: tuple[int, int],
) -> None:
    both: tuple[News, News] = (ended(CRASHED), GIVEN_UP)
    standing: Standing | None = Standing(2, Presence.RESTARTING, restarts=2)

    for each in order:
        standing = decide(both[each], row(standing=standing)).standing

    assert standing is not None
    assert (standing.presence, standing.restarts) == (Presence.QUARANTINED, 3)


LATER = Crashed("OSError", "y")
TOLD: list[News] = [
    ended(CRASHED, 2),
    PartitionLost(incarnation=3),
    ended(NoActor(), 3),
    ended(LATER, 3),
    GivenUp(incarnation=3, reason=LATER, failed_on="Say"),
]


@pytest.mark.parametrize("order", list(permutations(range(len(TOLD)))), ids=str)
def test_each_failure_counts_once_in_whatever_order_it_is_told(order: tuple[int, ...]) -> None:
    standing: Standing | None = Standing(1, Presence.ASLEEP)

    for each in order:
        decision = decide(TOLD[each], row(standing=standing))
        standing = decision.standing or standing

    assert standing is not None
    assert (standing.restarts, standing.last_error) == (2, str(LATER))
    assert standing.presence is Presence.QUARANTINED


class TestWhatTheManagerHasCalledOff:
    def test_is_no_failure_when_its_end_is_told(self) -> None:
        lost = PartitionLost(incarnation=4, is_called_off=True)  # 4 is who took care of it
        standing = noted(decide(lost, row(incarnation=4, standing=Standing(2, Presence.ASLEEP))))

        later = noted(decide(ended(Killed(), 3), row(incarnation=4, standing=standing)))

        assert (later.restarts, later.last_error) == (0, None)

    def test_is_no_second_failure_where_it_was_a_start_that_failed(self) -> None:
        start = GivenUp(incarnation=4, reason=CRASHED, is_start=True)
        standing = noted(decide(start, row(incarnation=4, standing=Standing(2, Presence.ASLEEP))))

        later = noted(decide(ended(Killed(), 3), row(incarnation=4, standing=standing)))

        assert (later.restarts, later.last_error) == (1, str(CRASHED))

    def test_leaves_what_failed_before_to_be_counted(self) -> None:
        lost = PartitionLost(incarnation=4, is_called_off=True)
        standing = noted(decide(lost, row(incarnation=4, standing=Standing(3, Presence.ASLEEP))))

        later = noted(decide(ended(CRASHED, 3), row(incarnation=4, standing=standing)))

        assert later.restarts == 1


def test_what_is_closed_is_bounded_and_what_lies_before_it_is_closed_too() -> None:
    standing: Standing | None = None
    for number in range(1, CLOSED_MAX + 3):
        standing = noted(decide(ended(CRASHED, number), row(incarnation=number, standing=standing)))
    assert standing is not None

    again = noted(decide(ended(CRASHED, 1), row(incarnation=CLOSED_MAX + 2, standing=standing)))

    assert standing.closed == tuple(range(3, CLOSED_MAX + 3))
    assert again == standing
    assert closed_to(Standing(0, Presence.AWAKE), 99) == tuple(range(100 - CLOSED_MAX, 100))


def test_a_crash_that_is_told_when_it_is_quarantined_leaves_the_next_budget_fresh() -> None:
    decision = decide(ended(CRASHED), row(standing=QUARANTINED), now_s=7.0)

    assert (noted(decision).restarts, noted(decision).spent) == (5, None)


def test_the_same_down_twice_counts_once() -> None:
    first = decide(ended(CRASHED), row())
    second = decide(ended(CRASHED), row(standing=first.standing))

    assert second.verdict is Verdict.VOID
    assert second.standing == first.standing


class TestALostPartition:
    @pytest.mark.parametrize("state", LIVING)
    @pytest.mark.parametrize(
        "standing",
        [None, Standing(3, Presence.RESTARTING, restarts=2)],
        ids=["awake", "restarting"],
    )
    def test_puts_its_sessions_to_sleep(
        self, state: SessionState, standing: Standing | None
    ) -> None:
        decision = decide(PartitionLost(incarnation=3), row(state, standing=standing))

        assert decision.verdict is Verdict.ASLEEP
        assert noted(decision).presence is Presence.ASLEEP
        assert noted(decision).restarts == (2 if standing else 0)

    def test_leaves_the_quarantined_alone(self) -> None:
        decision = decide(PartitionLost(incarnation=3), row(standing=QUARANTINED))

        assert decision == Decision(verdict=Verdict.VOID)

    def test_and_the_down_of_its_session_mean_sleep_in_either_order(self) -> None:
        lost_first = decide(PartitionLost(incarnation=3), row()).standing
        down_first = decide(ended(Killed()), row()).standing

        after_down = decide(ended(Killed()), row(standing=lost_first))
        after_loss = decide(PartitionLost(incarnation=3), row(standing=down_first))

        assert noted(after_down).presence is Presence.ASLEEP
        assert noted(after_loss).presence is Presence.ASLEEP

    def test_restarts_nobody_even_an_incarnation_that_had_not_begun(self) -> None:
        decision = decide(ended(Killed(), 4, has_supervisor=False), row())

        assert decision.verdict is Verdict.ASLEEP


def test_a_first_start_that_fails_gives_the_place_back() -> None:
    created = row(SessionState.CREATED, incarnation=0)

    assert decide(NeverStarted(reason=CRASHED), created).verdict is Verdict.REMOVED


def test_a_first_start_that_fails_when_something_is_kept_is_undone() -> None:
    created, active = row(SessionState.CREATED, incarnation=0), row(SessionState.ACTIVE)
    unknown = NeverStarted(reason=CRASHED, may_be_kept=True)

    assert decide(unknown, created).verdict is Verdict.UNDONE
    assert noted(decide(unknown, created)) == Standing(0, Presence.ASLEEP)
    decision = decide(NeverStarted(reason=CRASHED), active)
    assert decision.verdict is Verdict.UNDONE
    assert noted(decision).presence is Presence.ASLEEP
    cleaned = row(SessionState.CLEANED)
    assert decide(unknown, cleaned).verdict is Verdict.REMOVED


@pytest.mark.parametrize("incarnation", [2, 3], ids=["before it began", "after"])
def test_a_start_that_was_asked_for_and_fails_is_counted_and_the_session_sleeps_on(
    incarnation: int,
) -> None:
    on_its_way = revived(Standing(2, Presence.ASLEEP))
    news = NotResumed(incarnation=incarnation, reason=CRASHED)

    decision = decide(news, row(incarnation=incarnation, standing=on_its_way))

    assert decision.verdict is Verdict.ASLEEP
    assert noted(decision).presence is Presence.ASLEEP
    assert (noted(decision).restarts, noted(decision).last_error) == (1, str(CRASHED))


def test_no_actor_is_no_failure_to_count() -> None:
    assert noted(decide(ended(NoActor()), row())).restarts == 0


def test_a_revived_session_is_on_its_way_and_keeps_its_history() -> None:
    standing = revived(msgspec.structs.replace(QUARANTINED, since_s=5.0))

    assert standing == Standing(3, Presence.RESTARTING, restarts=4)
    crashed_again = decide(ended(CRASHED, 4), row(standing=standing))
    assert crashed_again.verdict is Verdict.RESTARTING
    assert noted(crashed_again).restarts == 5


def test_sessions_that_sleep_and_have_never_failed_share_their_standing() -> None:
    rows = [Row(Session(id=name), active_s=0.0) for name in ("ada", "bob")]
    for number, each in enumerate(rows):
        each.begin(1)
        each.note(noted(decide(ended(Normal(), 1), view_of(each), now_s=float(number))))

    assert rows[0].standing == Standing(1, Presence.ASLEEP)
    assert rows[0].standing is rows[1].standing


def test_the_time_of_a_quarantine_is_kept_and_no_other() -> None:
    assert noted(decide(ended(CRASHED), row(), now_s=7.0)).since_s == 0.0
    assert noted(decide(GivenUp(incarnation=3, reason=CRASHED), row(), now_s=7.0)).since_s == 7.0


def test_a_session_that_has_begun_meanwhile_is_not_noted_as_on_its_way() -> None:
    table_row = Row(Session(id="ada"), active_s=0.0)
    table_row.begin(1)
    table_row.note(noted(decide(ended(Normal(), 1), view_of(table_row))))
    resting = table_row.standing
    assert resting is not None

    table_row.begin(2)
    table_row.note(revived(resting))

    assert table_row.presence is Presence.AWAKE


class TestWhatIsSpent:
    """Of the budget: how many restarts lie in the window that the next start goes on from."""

    @staticmethod
    def of(*news: News, before: Standing | None = None) -> tuple[float, ...] | None:
        """Return what is spent after one piece of news a second, each about the next life."""
        standing = before
        for number, each in enumerate(news, start=1):
            view = row(incarnation=number, standing=standing)
            standing = decide(each, view, now_s=float(number)).standing or standing
        spent = None if standing is None else standing.spent
        return None if spent is None else spent.restarts

    def test_are_failures_and_no_orderly_ends(self) -> None:
        lives = [ended(CRASHED, 1), ended(Normal(), 2), ended(Killed(), 3), ended(Shutdown(), 4)]

        assert self.of(*lives) == (1.0, 3.0)

    def test_are_starts_that_failed_whoever_wanted_them(self) -> None:
        starts: list[News] = [
            NotWoken(incarnation=1, reason=CRASHED),
            NotResumed(incarnation=2, reason=CRASHED),
        ]

        assert self.of(*starts) == (1.0, 2.0)

    def test_is_each_failure_once(self) -> None:
        again = ended(CRASHED, 1)

        assert self.of(ended(CRASHED, 1), again) == (1.0,)

    def test_is_nothing_for_whom_a_dead_partition_took_along(self) -> None:
        lost: list[News] = [
            ended(Killed(), 1, has_supervisor=False),
            PartitionLost(incarnation=3),
            ended(NoActor(), 3),
        ]

        assert self.of(*lost) is None

    def test_is_forgotten_after_the_period(self) -> None:
        long_ago = noted(decide(ended(CRASHED, 1), row(incarnation=1), now_s=-60.0))

        assert self.of(ended(CRASHED, 1), ended(CRASHED, 2), before=long_ago) == (2.0,)
        assert long_ago.spent is not None

    def test_is_nothing_in_quarantine_so_that_the_next_budget_is_fresh(self) -> None:
        crashed = ended(CRASHED, 1)

        assert self.of(crashed, GivenUp(incarnation=2, reason=CRASHED)) is None


def test_a_wake_that_did_not_fail_spends_nothing() -> None:
    decision = decide(NotWoken(incarnation=3, reason=NoActor()), row())

    assert (decision.verdict, noted(decision).spent) == (Verdict.ASLEEP, None)


def test_a_wake_that_fails_is_tried_again_until_the_budget_is_spent() -> None:
    standing = Standing(3, Presence.ASLEEP)
    verdicts = list[Verdict]()
    for second in range(4):
        news = NotWoken(incarnation=3, reason=CRASHED)
        decision = decide(news, row(standing=standing), now_s=float(second))
        verdicts.append(decision.verdict)
        standing = noted(decision)

    assert verdicts == [Verdict.ASLEEP] * 3 + [Verdict.QUARANTINED]
    assert (standing.restarts, standing.last_error) == (4, str(CRASHED))
