"""The restart decision as tables: restart type x exit reason, strategy x position x type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.child import Child
from callboard.supervision.model.events import (
    ChildCrashed,
    ChildFinished,
    ChildGivenUp,
    ChildRestartWasPostponed,
    SupervisorFinished,
    SupervisorGaveUp,
)
from callboard.supervision.model.happenings import DelayOver, Exited, Happening, RetryDue
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.plan import (
    End,
    Forget,
    IfFails,
    Plan,
    Postpone,
    Put,
    Remember,
    Report,
    Start,
    Step,
    Stop,
)
from callboard.supervision.model.reasons import (
    Crashed,
    ExitReason,
    FailedToStart,
    Killed,
    NoActor,
    Normal,
    Shutdown,
)
from callboard.supervision.model.specs import (
    AutoShutdown,
    ChildSpec,
    RestartType,
    Strategy,
    SupervisorFlags,
)
from callboard.supervision.model.state import SupervisorState
from callboard.supervision.model.strategy import calls_for_restart, decide, group_of

PERMANENT, TRANSIENT, TEMPORARY = RestartType
ONE_FOR_ONE, ONE_FOR_ALL, REST_FOR_ONE = Strategy
BOOM = Crashed("Boom")
REASONS: dict[str, ExitReason] = {
    "normal": Normal(),
    "shutdown": Shutdown(),
    "shutdown with a detail": Shutdown(detail="bye"),
    "shutdown with a cause": Shutdown(cause=FailedToStart("x", BOOM)),
    "a crash": BOOM,
    "killed": Killed(),
    "no actor": NoActor(),
}


def running(child_id: str, restart: RestartType = PERMANENT, **fields: Any) -> Child[str]:
    spec = ChildSpec(id=child_id, start=dict, restart=restart, **fields)
    return Child(key=child_id, spec=spec, ref=f"{child_id}#1", incarnation=1)


def supervisor(*children: Child[str], **flags: Any) -> SupervisorState[str]:
    is_dynamic = bool(flags.pop("is_dynamic", False))
    flags.setdefault("intensity", 10)
    kept = SupervisorFlags(**flags)
    return SupervisorState(
        name="root",
        flags=kept,
        children={each.key: each for each in children},
        window=kept.new_window(),
        is_dynamic=is_dynamic,
    )


def crash(
    state: SupervisorState[str], child_id: str, reason: ExitReason = BOOM, *, now_s: float = 100.0
) -> Plan[str]:
    return decide(state, Exited(child_id, f"{child_id}#1", reason), now_s=now_s)


def brief(plan: Plan[str]) -> list[str]:
    """Say a plan in words, its reports and its bookkeeping left out."""
    said = [_in_words(step) for step in plan]
    return [each for each in said if each]


def _in_words(step: Step[str]) -> str:
    match step:
        case Stop(keys=keys):
            return " ".join(("stop", *map(str, keys)))
        case Forget(keys=keys):
            return " ".join(("forget", *map(str, keys)))
        case Start(keys=keys, if_fails=IfFails.RETRY):
            return " ".join(("start", *map(str, keys)))
        case Put(child=child) if child.is_stopped:
            return f"{child.key} is stopped"
        case Put(child=child) if child.is_restarting:
            return f"{child.key} waits"
        case Postpone(delay_s=delay_s):
            return f"wait {delay_s} s"
        case End(reason=reason):
            return f"end: {reason}"
        case Put() | Remember() | Report():
            return ""
        case _:
            pytest.fail(f"no decision makes {step}")


def events(plan: Plan[str]) -> list[Any]:
    return [step.event for step in plan if isinstance(step, Report)]


def put(plan: Plan[str]) -> Child[str]:
    (child,) = (step.child for step in plan if isinstance(step, Put))
    return child


class TestRestartTypeByReason:
    @pytest.mark.parametrize("why", REASONS)
    @pytest.mark.parametrize("restart", RestartType, ids=lambda each: each.value)
    def test_the_table(self, restart: RestartType, why: str) -> None:
        orderly = why == "normal" or why.startswith("shutdown")

        expected = restart is PERMANENT or (restart is TRANSIENT and not orderly)

        assert calls_for_restart(restart, REASONS[why]) is expected

    @pytest.mark.parametrize("why", REASONS)
    def test_a_permanent_child_is_restarted_and_its_end_reported(self, why: str) -> None:
        plan = crash(supervisor(running("a", PERMANENT)), "a", REASONS[why])

        assert brief(plan) == ["start a"]
        assert events(plan) == [
            ChildCrashed(
                supervisor="root",
                child_id="a",
                incarnation=1,
                ref="a#1",
                reason=REASONS[why],
                restarts=1,
                intensity=10,
            )
        ]

    @pytest.mark.parametrize("why", ["a crash", "killed", "no actor"])
    def test_a_transient_child_that_ends_abnormally_is_restarted(self, why: str) -> None:
        plan = crash(supervisor(running("a", TRANSIENT)), "a", REASONS[why])

        assert brief(plan) == ["start a"]
        assert [type(each) for each in events(plan)] == [ChildCrashed]

    @pytest.mark.parametrize("why", ["normal", "shutdown", "shutdown with a detail"])
    def test_a_transient_child_that_ends_in_order_stays_stopped(self, why: str) -> None:
        plan = crash(supervisor(running("a", TRANSIENT)), "a", REASONS[why])

        assert brief(plan) == ["a is stopped"]
        assert [(type(each), each.reason) for each in events(plan)] == [
            (ChildFinished, REASONS[why])
        ]

    @pytest.mark.parametrize("why", REASONS)
    def test_a_temporary_child_is_forgotten_and_an_abnormal_end_reported(self, why: str) -> None:
        plan = crash(supervisor(running("a", TEMPORARY)), "a", REASONS[why])

        orderly = why == "normal" or why.startswith("shutdown")
        assert brief(plan) == ["forget a"]
        assert [type(each) for each in events(plan)] == [ChildFinished if orderly else ChildCrashed]

    @pytest.mark.parametrize("why", ["normal", "a crash"])
    @pytest.mark.parametrize("restart", [TRANSIENT, TEMPORARY], ids=lambda each: each.value)
    def test_what_calls_for_no_restart_is_not_counted(self, restart: RestartType, why: str) -> None:
        state = supervisor(running("a", restart), intensity=0)

        plan = crash(state, "a", REASONS[why])

        if not calls_for_restart(restart, REASONS[why]):
            assert not any(isinstance(step, Remember | End) for step in plan)


class TestStrategyByPosition:
    @pytest.mark.parametrize(
        ("strategy", "failed", "expected"),
        [
            (ONE_FOR_ONE, "a", ["start a"]),
            (ONE_FOR_ONE, "b", ["start b"]),
            (ONE_FOR_ONE, "d", ["start d"]),
            (ONE_FOR_ALL, "a", ["a is stopped", "stop d c b", "start a b c d"]),
            (ONE_FOR_ALL, "b", ["b is stopped", "stop d c a", "start a b c d"]),
            (ONE_FOR_ALL, "d", ["d is stopped", "stop c b a", "start a b c d"]),
            (REST_FOR_ONE, "a", ["a is stopped", "stop d c b", "start a b c d"]),
            (REST_FOR_ONE, "b", ["b is stopped", "stop d c", "start b c d"]),
            (REST_FOR_ONE, "d", ["d is stopped", "start d"]),
        ],
        ids=lambda each: each.value if isinstance(each, Strategy) else str(each),
    )
    def test_who_is_stopped_and_who_is_started(
        self, strategy: Strategy, failed: str, expected: list[str]
    ) -> None:
        state = supervisor(*map(running, "abcd"), strategy=strategy)

        assert brief(crash(state, failed)) == expected

    @pytest.mark.parametrize(
        ("strategy", "failed", "expected"),
        [
            (ONE_FOR_ONE, "b", ["start b"]),
            (ONE_FOR_ALL, "b", ["b is stopped", "stop e d a", "forget a d", "start b c e"]),
            (ONE_FOR_ALL, "e", ["e is stopped", "stop d b a", "forget a d", "start b c e"]),
            (REST_FOR_ONE, "b", ["b is stopped", "stop e d", "forget d", "start b c e"]),
            (REST_FOR_ONE, "e", ["e is stopped", "start e"]),
        ],
        ids=lambda each: each.value if isinstance(each, Strategy) else str(each),
    )
    def test_a_group_starts_stopped_members_too_and_loses_temporary_ones(
        self, strategy: Strategy, failed: str, expected: list[str]
    ) -> None:
        children = [
            running("a", TEMPORARY),
            running("b"),
            running("c").stopped(),
            running("d", TEMPORARY),
            running("e", TRANSIENT),
        ]

        assert brief(crash(supervisor(*children, strategy=strategy), failed)) == expected

    @pytest.mark.parametrize("strategy", [ONE_FOR_ALL, REST_FOR_ONE], ids=lambda each: each.value)
    @pytest.mark.parametrize(
        ("restart", "why", "expected"),
        [
            (TRANSIENT, "normal", ["b is stopped"]),
            (TRANSIENT, "shutdown", ["b is stopped"]),
            (TEMPORARY, "normal", ["forget b"]),
            (TEMPORARY, "a crash", ["forget b"]),
        ],
        ids=lambda each: each.value if isinstance(each, RestartType) else str(each),
    )
    def test_an_end_that_calls_for_no_restart_touches_nobody(
        self, strategy: Strategy, restart: RestartType, why: str, expected: list[str]
    ) -> None:
        state = supervisor(running("a"), running("b", restart), running("c"), strategy=strategy)

        assert brief(crash(state, "b", REASONS[why])) == expected

    def test_a_group_restart_cancels_the_wait_of_its_members(self) -> None:
        waiting = running("c").waiting("c#1")
        state = supervisor(running("a"), running("b"), waiting, strategy=ONE_FOR_ALL)

        assert brief(crash(state, "a")) == ["a is stopped", "stop c b", "start a b c"]

    @pytest.mark.parametrize("strategy", Strategy, ids=lambda each: each.value)
    def test_a_restart_says_for_whose_sake_and_that_the_others_come_back(
        self, strategy: Strategy
    ) -> None:
        first, second = running("a"), running("b")

        plan = crash(supervisor(first, second, strategy=strategy), "a")

        assert [step.cause for step in plan if isinstance(step, Start)] == [first]
        assert all(step.is_for_restart is True for step in plan if isinstance(step, Stop))

    @pytest.mark.parametrize("strategy", Strategy, ids=lambda each: each.value)
    def test_a_group_includes_the_child_itself(self, strategy: Strategy) -> None:
        state = supervisor(*map(running, "abc"), strategy=strategy)

        assert running("b") in group_of(state, "b")


def waits(child_id: str, incarnation: int = 1) -> Child[str]:
    """Return a child that waits to be restarted: a value of its own, however equal to another."""
    child = running(child_id).waiting(f"{child_id}#1")
    return msgspec.structs.replace(child, incarnation=incarnation)


class TestWhatIsNotItsBusiness:
    @pytest.mark.parametrize(
        "happened",
        [
            pytest.param(Exited("x", "x#1", BOOM), id="the exit of a stranger"),
            pytest.param(Exited("a", "a#0", BOOM), id="the exit of an earlier incarnation"),
            pytest.param(RetryDue(waits("x"), BOOM), id="a retry for a child that is gone"),
            pytest.param(RetryDue(waits("a"), BOOM), id="a retry for a child that runs"),
            pytest.param(DelayOver(waits("a")), id="a delay of a child that runs"),
            pytest.param(RetryDue(waits("w"), BOOM), id="a retry after an earlier failure"),
            pytest.param(DelayOver(waits("w")), id="a delay from before"),
            pytest.param(RetryDue(waits("w", 2), BOOM), id="a retry of another child of the id"),
            pytest.param(DelayOver(waits("w", 2)), id="a delay of another child of the id"),
            pytest.param(Exited("w", "w#1", BOOM), id="the exit of what a waiting child replaces"),
            pytest.param(RetryDue(waits("s"), BOOM), id="a retry for a child that was terminated"),
            pytest.param(DelayOver(waits("s")), id="a delay of a child that was terminated"),
        ],
    )
    def test_calls_for_nothing(self, happened: Happening[str]) -> None:
        state = supervisor(running("a"), waits("w", 2), running("s").stopped())

        assert decide(state, happened, now_s=0.0) == ()


class TestIntensity:
    def after(self, *restarts: float, **flags: Any) -> SupervisorState[str]:
        state = supervisor(running("a"), running("b"), **flags)
        assert state.window is not None
        window = msgspec.structs.replace(state.window, restarts=restarts)
        return msgspec.structs.replace(state, window=window)

    @pytest.mark.parametrize(
        ("intensity", "earlier", "gives_up"),
        [
            pytest.param(0, [], True, id="0: the first is too many"),
            pytest.param(2, [99.0], False, id="exactly the intensity survives"),
            pytest.param(2, [98.0, 99.0], True, id="one more does not"),
            pytest.param(2, [95.0, 99.0], True, id="exactly a period old still counts"),
            pytest.param(2, [94.9, 99.0], False, id="older is forgotten"),
        ],
    )
    def test_too_many_restarts_end_the_supervisor(
        self, intensity: int, earlier: Sequence[float], *, gives_up: bool
    ) -> None:
        state = self.after(*earlier, intensity=intensity)

        plan = crash(state, "a", now_s=100.0)

        assert brief(plan) == (["a is stopped", "end: shutdown"] if gives_up else ["start a"])

    @pytest.mark.parametrize("strategy", Strategy, ids=lambda each: each.value)
    def test_giving_up_is_reported_after_the_crash_that_led_to_it(self, strategy: Strategy) -> None:
        state = self.after(98.0, 99.0, intensity=2, strategy=strategy)

        plan = crash(state, "a")

        assert [type(each) for each in events(plan)] == [ChildCrashed, SupervisorGaveUp]
        assert events(plan)[1] == SupervisorGaveUp(
            supervisor="root",
            child_id="a",
            incarnation=1,
            ref="a#1",
            reason=BOOM,
            restarts=3,
            intensity=2,
        )

    def test_a_group_restart_counts_once(self) -> None:
        plan = crash(self.after(strategy=ONE_FOR_ALL), "a")

        assert [step.window.restarts for step in plan if isinstance(step, Remember)] == [(100.0,)]

    def test_without_a_limit_nothing_is_counted(self) -> None:
        plan = crash(supervisor(running("a"), intensity=None), "a")

        assert brief(plan) == ["start a"]
        assert not any(isinstance(step, Remember) for step in plan)
        assert events(plan)[0].intensity is None


class TestRetry:
    FAILED = waits("b", 2)

    def waiting(self, **flags: Any) -> SupervisorState[str]:
        return supervisor(running("a"), self.FAILED, running("c").stopped(), **flags)

    @pytest.mark.parametrize(
        ("strategy", "expected"),
        [
            (ONE_FOR_ONE, ["start b"]),
            (ONE_FOR_ALL, ["b is stopped", "stop a", "start a b c"]),
            (REST_FOR_ONE, ["b is stopped", "start b c"]),
        ],
        ids=lambda each: each.value if isinstance(each, Strategy) else str(each),
    )
    def test_it_is_a_restart_of_the_one_that_failed(
        self, strategy: Strategy, expected: list[str]
    ) -> None:
        plan = decide(self.waiting(strategy=strategy), RetryDue(self.FAILED, BOOM), now_s=1.0)

        assert brief(plan) == expected

    def test_it_is_counted_like_any_other_and_not_reported_as_a_crash(self) -> None:
        plan = decide(self.waiting(), RetryDue(self.FAILED, BOOM), now_s=1.0)

        assert events(plan) == []
        assert any(isinstance(step, Remember) for step in plan)

    def test_one_too_many_ends_the_supervisor(self) -> None:
        plan = decide(self.waiting(intensity=0), RetryDue(self.FAILED, BOOM), now_s=1.0)

        assert brief(plan) == ["b is stopped", "end: shutdown"]
        assert [type(each) for each in events(plan)] == [SupervisorGaveUp]
        assert events(plan)[0].is_restarting


class TestAutomaticShutdown:
    NEVER, ANY, ALL = AutoShutdown

    def state(
        self, auto_shutdown: AutoShutdown, *others: Child[str], restart: RestartType = TRANSIENT
    ) -> SupervisorState[str]:
        child = running("a", restart, significant=True)
        return supervisor(child, *others, auto_shutdown=auto_shutdown)

    @pytest.mark.parametrize(
        ("auto_shutdown", "restart", "why", "ends"),
        [
            pytest.param(ANY, TRANSIENT, "normal", True, id="any: a transient's normal end"),
            pytest.param(ANY, TRANSIENT, "shutdown", True, id="any: a transient's shutdown"),
            pytest.param(ANY, TRANSIENT, "shutdown with a detail", True, id="any: with a detail"),
            pytest.param(ANY, TRANSIENT, "a crash", False, id="any: a restarted one does not"),
            pytest.param(ANY, TEMPORARY, "normal", True, id="any: a temporary's normal end"),
            pytest.param(ANY, TEMPORARY, "a crash", True, id="any: a temporary's crash"),
            pytest.param(ALL, TRANSIENT, "normal", True, id="all: the only one"),
            pytest.param(ALL, TEMPORARY, "killed", True, id="all: a temporary one killed"),
            pytest.param(NEVER, TRANSIENT, "normal", False, id="never: lives on"),
        ],
    )
    def test_a_significant_child_that_ends_by_itself(
        self, auto_shutdown: AutoShutdown, restart: RestartType, why: str, *, ends: bool
    ) -> None:
        plan = crash(self.state(auto_shutdown, restart=restart), "a", REASONS[why])

        assert (brief(plan)[-1] == "end: shutdown") is ends
        assert any(isinstance(each, SupervisorFinished) for each in events(plan)) is ends

    @pytest.mark.parametrize(
        ("others", "ends"),
        [
            pytest.param([running("b", TRANSIENT, significant=True)], False, id="one runs"),
            pytest.param(
                [running("b", TRANSIENT, significant=True).waiting("b#1")], False, id="one waits"
            ),
            pytest.param(
                [running("b", TRANSIENT, significant=True).stopped()], True, id="one is stopped"
            ),
            pytest.param([running("b")], True, id="insignificant ones do not matter"),
        ],
    )
    def test_all_significant_waits_for_the_last_one(
        self, others: list[Child[str]], *, ends: bool
    ) -> None:
        plan = crash(self.state(AutoShutdown.ALL_SIGNIFICANT, *others), "a", Normal())

        assert (brief(plan)[-1] == "end: shutdown") is ends

    @pytest.mark.parametrize("auto_shutdown", [ANY, ALL], ids=lambda each: each.value)
    def test_an_insignificant_end_never_ends_the_supervisor(
        self, auto_shutdown: AutoShutdown
    ) -> None:
        state = self.state(auto_shutdown, running("b", TEMPORARY))

        assert brief(crash(state, "b")) == ["forget b"]


class TestDynamicChildren:
    @pytest.mark.parametrize("restart", [TRANSIENT, TEMPORARY], ids=lambda each: each.value)
    def test_one_that_ends_for_good_is_forgotten(self, restart: RestartType) -> None:
        state = supervisor(running("a", restart), is_dynamic=True)

        assert brief(crash(state, "a", Normal())) == ["forget a"]

    def test_one_that_calls_for_a_restart_is_restarted_alone(self) -> None:
        state = supervisor(running("a"), running("b"), is_dynamic=True)

        assert brief(crash(state, "a")) == ["start a"]

    def test_the_last_significant_one_ends_the_supervisor(self) -> None:
        children = [running(each, TEMPORARY, significant=True) for each in "ab"]
        flags = {"is_dynamic": True, "auto_shutdown": AutoShutdown.ALL_SIGNIFICANT}

        assert brief(crash(supervisor(*children, **flags), "a")) == ["forget a"]
        assert brief(crash(supervisor(children[0], **flags), "a")) == ["forget a", "end: shutdown"]


class TestBudgetOfItsOwn:
    BUDGET = RestartWindow(intensity=1, period_s=60)

    def spent(self, restart: RestartType = PERMANENT, **fields: Any) -> Child[str]:
        child = running("a", restart, budget=self.BUDGET, **fields)
        return msgspec.structs.replace(child, window=self.BUDGET.record(now_s=90.0)[0])

    def test_it_is_counted_beside_the_supervisors(self) -> None:
        plan = crash(supervisor(running("a", budget=self.BUDGET)), "a")

        assert brief(plan) == ["start a"]
        assert put(plan).window == self.BUDGET.record(now_s=100.0)[0]
        assert any(isinstance(step, Remember) for step in plan)

    def test_a_child_that_has_spent_it_is_given_up_alone(self) -> None:
        plan = crash(supervisor(self.spent(), running("b")), "a")

        assert brief(plan) == ["a is stopped"]
        assert [type(each) for each in events(plan)] == [ChildCrashed, ChildGivenUp]
        assert {(each.restarts, each.intensity) for each in events(plan)} == {(2, 1)}
        assert not any(isinstance(step, Remember) for step in plan)

    def test_that_is_reported_even_when_nobody_listens(self) -> None:
        state = msgspec.structs.replace(supervisor(self.spent(), running("b")), is_watched=False)

        plan = crash(state, "a")

        assert brief(plan) == ["a is stopped"]
        assert [type(each) for each in events(plan)] == [ChildGivenUp]

    def test_a_dynamic_one_is_forgotten(self) -> None:
        state = supervisor(self.spent(), is_dynamic=True, intensity=None)

        assert brief(crash(state, "a")) == ["forget a"]

    def test_a_failed_start_is_counted_too(self) -> None:
        child = self.spent().waiting("a#1")

        plan = decide(supervisor(child), RetryDue(child, BOOM), now_s=100.0)

        assert brief(plan) == ["a is stopped"]
        assert [(type(each), each.reason) for each in events(plan)] == [(ChildGivenUp, BOOM)]

    @pytest.mark.parametrize("strategy", [ONE_FOR_ALL, REST_FOR_ONE], ids=lambda each: each.value)
    def test_where_others_depend_on_it_the_supervisor_gives_up(self, strategy: Strategy) -> None:
        plan = crash(supervisor(self.spent(), running("b"), strategy=strategy), "a")

        assert brief(plan) == ["a is stopped", "end: shutdown"]

    def test_a_significant_child_given_up_has_ended(self) -> None:
        child = self.spent(TRANSIENT, significant=True)
        state = supervisor(child, auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)

        assert brief(crash(state, "a")) == ["a is stopped", "end: shutdown"]

    def test_it_recovers_with_time(self) -> None:
        assert brief(crash(supervisor(self.spent()), "a", now_s=150.1)) == ["start a"]


class TestBackoff:
    BACKOFF = Backoff(delays_s=(0.0, 0.5, 2.0), reset_after_s=60)

    def child(self, delays: int, **fields: Any) -> Child[str]:
        child = running("a", backoff=self.BACKOFF, **fields)
        return msgspec.structs.replace(child, delays=delays, started_at_s=99.0)

    @pytest.mark.parametrize(
        ("delays", "expected"),
        [
            (0, ["start a"]),
            (1, ["a waits", "wait 0.5 s"]),
            (2, ["a waits", "wait 2.0 s"]),
            (9, ["a waits", "wait 2.0 s"]),
        ],
    )
    def test_each_restart_waits_longer(self, delays: int, expected: list[str]) -> None:
        plan = crash(supervisor(self.child(delays)), "a")

        assert brief(plan) == expected
        assert put(plan).delays == delays + 1

    def test_a_child_that_lived_long_enough_begins_again(self) -> None:
        plan = crash(supervisor(self.child(2)), "a", now_s=159.0)

        assert brief(plan) == ["start a"]
        assert put(plan).delays == 1

    def test_waiting_is_no_calm_life(self) -> None:
        child = self.child(2).waiting("a#1")

        plan = decide(supervisor(child), RetryDue(child, BOOM), now_s=500.0)

        assert brief(plan) == ["a waits", "wait 2.0 s"]

    def test_waiting_is_no_life_at_all(self) -> None:
        impatient = msgspec.structs.replace(self.BACKOFF, reset_after_s=0.5)
        child = msgspec.structs.replace(running("a", backoff=impatient), delays=2).waiting("a#1")

        plan = decide(supervisor(child), RetryDue(child, BOOM), now_s=500.0)

        assert brief(plan) == ["a waits", "wait 2.0 s"]

    def test_a_restart_that_waits_is_reported_and_shows_as_restarting(self) -> None:
        plan = crash(supervisor(self.child(1)), "a")

        assert [type(each) for each in events(plan)] == [ChildCrashed, ChildRestartWasPostponed]
        assert events(plan)[1].delay_s == 0.5
        assert (put(plan).is_restarting, put(plan).ref) == (True, "a#1")
        assert plan[-1] == Postpone(DelayOver(put(plan)), 0.5)

    @pytest.mark.parametrize("strategy", Strategy, ids=lambda each: each.value)
    def test_when_the_delay_is_over_it_is_restarted_without_being_counted_again(
        self, strategy: Strategy
    ) -> None:
        child = self.child(1).waiting("a#1")
        state = supervisor(child, running("b"), strategy=strategy)

        plan = decide(state, DelayOver(child), now_s=100.5)

        assert brief(plan)[-1] == ("start a" if strategy is ONE_FOR_ONE else "start a b")
        assert not any(isinstance(step, Remember) for step in plan)

    def test_one_restart_too_many_does_not_wait(self) -> None:
        plan = crash(supervisor(self.child(2), intensity=0), "a")

        assert brief(plan) == ["a is stopped", "end: shutdown"]

    def test_chance_spreads_the_delays(self) -> None:
        jittery = msgspec.structs.replace(self.BACKOFF, jitter=0.5)
        child = msgspec.structs.replace(running("a", backoff=jittery), delays=2)
        exited = Exited("a", "a#1", BOOM)

        delays_s = [
            step.delay_s
            for chance in (0.0, 0.5, 1.0)
            for step in decide(supervisor(child), exited, now_s=1.0, chance=chance)
            if isinstance(step, Postpone)
        ]

        assert delays_s == [1.0, 2.0, 3.0]
        assert decide(supervisor(child), exited, now_s=1.0) == decide(
            supervisor(child), exited, now_s=1.0, chance=0.5
        )


@pytest.mark.parametrize("strategy", Strategy, ids=lambda each: each.value)
@pytest.mark.parametrize("reason", REASONS.values(), ids=list(REASONS))
@pytest.mark.parametrize("intensity", [0, 10], ids=["one too many", "within the limit"])
@pytest.mark.parametrize("restart", RestartType, ids=lambda each: each.value)
def test_what_nobody_listens_to_is_not_reported_and_all_else_is_done(
    restart: RestartType, intensity: int, reason: ExitReason, strategy: Strategy
) -> None:
    watched = supervisor(
        running("a", restart), running("b"), strategy=strategy, intensity=intensity
    )
    unwatched = msgspec.structs.replace(watched, is_watched=False)
    exited = Exited("a", "a#1", reason)

    plan = decide(unwatched, exited, now_s=1.0)

    said = decide(watched, exited, now_s=1.0)
    assert plan == tuple(step for step in said if not isinstance(step, Report))
