"""A schedule is data: recorded, written to a file, replayed, and shrunk."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from callboard.supervision import ActorRef, ActorSystem
from callboard.supervision.testing import (
    Deviation,
    Lag,
    Pct,
    Portfolio,
    Ready,
    Recording,
    Replay,
    Schedule,
    Simulation,
)
from callboard.supervision.testing.chance import Seeded
from callboard.supervision.testing.schedule import TIMER
from callboard.supervision.testing.shrink import shrink
from tests.simulation.cast import Add, Counter, QuickCounter
from tests.simulation.test_replay import busy
from tests.simulation.test_storm import storm


def line(*names: str) -> list[Ready]:
    return [Ready(name, "run", None) for name in names]


def replayed(schedule: Schedule, *lines: list[Ready]) -> list[str]:
    explorer = Replay(schedule).begin(0, Seeded(0).stream)
    return [each[explorer.pick(each, 0)].name for each in lines]


class TestRecording:
    @pytest.mark.parametrize("scenario", [storm, busy])
    def test_what_was_recorded_gives_the_same_run_again(
        self, scenario: Callable[[Simulation], None]
    ) -> None:
        for seed in range(40):
            recording = Recording(Portfolio())
            with Simulation(seed, explore=recording) as sim:
                scenario(sim)

            with Simulation(seed, explore=Replay(recording.schedule)) as again:
                scenario(again)

            assert again.trace.digest == sim.trace.digest, f"seed {seed}"

    def test_changes_nothing(self) -> None:
        digests: list[str] = []
        for explore in (Pct(), Recording(Pct())):
            with Simulation(5, explore=explore) as sim:
                storm(sim)
            digests.append(sim.trace.digest)

        assert digests[0] == digests[1]

    def test_keeps_faults_that_the_test_asked_for(self) -> None:
        recording = Recording(Lag())
        with Simulation(0, explore=recording) as sim:
            struck = [sim.happens("crash", 0.5) for _ in range(10)]

        faults = [Deviation("fault crash", "the test", n + 1) for n in range(10) if struck[n]]
        assert list(recording.schedule.deviations) == faults
        assert sim.seen("crash") == len(faults) > 0


class TestAFile:
    def test_holds_all_of_it(self, tmp_path: Path) -> None:
        schedule = Schedule(
            seed=7,
            picks=("client-0", "counter", TIMER),
            deviations=(Deviation("point put", "client-0", 2),),
        )

        schedule.save(tmp_path / "7.json")

        assert Schedule.load(tmp_path / "7.json") == schedule
        assert len(schedule) == 4


class TestReplay:
    def test_without_a_word_it_takes_who_was_ready_first(self) -> None:
        assert replayed(Schedule(seed=0), line("a", "b"), line("b", "a")) == ["a", "b"]

    def test_it_takes_whom_the_schedule_names(self) -> None:
        schedule = Schedule(seed=0, picks=("b", "c"))

        assert replayed(schedule, line("a", "b"), line("a", "c"), line("a", "c")) == ["b", "c", "a"]

    def test_who_is_not_ready_is_left_out(self) -> None:
        schedule = Schedule(seed=0, picks=("gone", "c"))

        assert replayed(schedule, line("a", "b", "c"), line("a", "c")) == ["c", "a"]

    def test_where_there_is_no_choice_no_pick_is_used(self) -> None:
        schedule = Schedule(seed=0, picks=("b",))

        assert replayed(schedule, line("b"), line("a", "b")) == ["b", "b"]

    def test_a_timer_is_picked_like_anybody_else(self) -> None:
        replay = Replay(Schedule(seed=0, picks=(TIMER,)))

        assert replay.begin(0, Seeded(0).stream).pick(line("a", "b"), 1) == 2

    def test_a_deviation_is_meant_for_one_time_of_one_actor(self) -> None:
        replay = Replay(Schedule(seed=0, deviations=(Deviation("point put", "a", 2),)))
        explorer = replay.begin(0, Seeded(0).stream)

        said = [explorer.preempts("put", who) for who in ("a", "b", "b", "a", "a")]

        assert said == [False, False, False, True, False]

    def test_it_tells_what_had_an_effect(self) -> None:
        late = Deviation("hand-off", "a", 2)
        replay = Replay(Schedule(seed=3, picks=("gone", "b", "c"), deviations=(late,)))
        explorer = replay.begin(3, Seeded(3).stream)
        explorer.pick(line("a", "b"), 0)
        explorer.hands_off("a")

        assert replay.used == Schedule(seed=3, picks=("b",))

    def test_the_dull_run_has_no_hand_off_and_nobody_comes_in_between(self) -> None:
        with (
            Simulation(explore=Replay(Schedule(seed=0))) as sim,
            ActorSystem(runtime=sim.runtime) as system,
        ):
            counters: list[ActorRef[Counter]] = [system.spawn(QuickCounter), system.spawn(Counter)]
            sim.settle()
            assert [each.ask(Add(1)) for each in counters for _ in range(5)] == [1, 2, 3, 4, 5] * 2

        assert (sim.seen("hand-off"), sim.seen("point")) == (0, 0)


class Fails:
    """Breaks when all of what it needs is there; counts the runs."""

    def __init__(self, picks: set[str], deviations: set[Deviation]) -> None:
        self.picks = picks
        self.deviations = deviations
        self.runs = 0

    def __call__(self, schedule: Schedule) -> Schedule | None:
        self.runs += 1
        is_broken = self.picks <= set(schedule.picks) and self.deviations <= set(
            schedule.deviations
        )
        return schedule if is_broken else None


def long_one() -> Schedule:
    return Schedule(
        seed=1,
        picks=tuple(f"actor-{n}" for n in range(200)),
        deviations=tuple(Deviation("point put", f"actor-{n}", 1) for n in range(50)),
    )


def no_time() -> float:
    return 0.0


class TestShrinking:
    def test_leaves_exactly_what_the_failure_needs(self) -> None:
        needed = {Deviation("point put", "actor-7", 1), Deviation("point put", "actor-8", 1)}
        fails = Fails({"actor-3", "actor-150"}, needed)

        shrunk = shrink(long_one(), fails, now_s=no_time)

        assert set(shrunk.schedule.picks) == {"actor-3", "actor-150"}
        assert set(shrunk.schedule.deviations) == needed
        assert shrunk.is_minimal
        assert shrunk.runs == fails.runs <= 100

    def test_that_needs_nothing_takes_one_run(self) -> None:
        shrunk = shrink(long_one(), Fails(set(), set()), now_s=no_time)

        assert (len(shrunk.schedule), shrunk.runs) == (0, 1)

    def test_makes_no_more_runs_than_it_may(self) -> None:
        fails = Fails({f"actor-{n}" for n in range(0, 200, 2)}, set())

        shrunk = shrink(long_one(), fails, now_s=no_time, runs_max=20)

        assert shrunk.runs == fails.runs == 20
        assert not shrunk.is_minimal
        assert fails(shrunk.schedule) is not None

    def test_takes_no_longer_than_it_may(self) -> None:
        seconds = count()

        shrunk = shrink(
            long_one(),
            Fails({f"actor-{n}" for n in range(0, 200, 2)}, set()),
            now_s=lambda: float(next(seconds)),
            max_s=10.0,
        )

        assert shrunk.runs < 10
        assert not shrunk.is_minimal

    def test_goes_on_from_what_had_an_effect(self) -> None:
        def first_half_alone(schedule: Schedule) -> Schedule | None:
            if "actor-0" not in schedule.picks:
                return None
            return Schedule(seed=1, picks=("actor-0",))

        shrunk = shrink(long_one(), first_half_alone, now_s=no_time)

        assert shrunk.schedule == Schedule(seed=1, picks=("actor-0",))
        assert shrunk.runs <= 3
