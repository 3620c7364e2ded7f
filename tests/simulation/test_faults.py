"""What each fault of a plan does, to whom, how often; and that the schedule decides it."""

from __future__ import annotations

import math
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import CreateSession, SessionSystem, TerminateSession
from callboard.supervision import (
    LATER,
    ActorDeadError,
    ActorSystem,
    Address,
    ChildSpec,
    Crashed,
    DeliveryError,
    IdleTimeout,
    InvalidSpec,
    Killed,
    MailboxFull,
    Supervisor,
    Timeout,
    handles,
)
from callboard.supervision.testing import (
    Deadlock,
    Fault,
    FaultPlan,
    NeverSeen,
    Probe,
    Recording,
    Replay,
    Simulation,
    Walk,
    faults,
    simulate,
)
from tests.simulation.cast import Add, AsyncCounter, Boom, Counter, Do, Pass, QuickCounter

ALWAYS = 1.0
KINDS: tuple[type[Counter], ...] = (Counter, QuickCounter, AsyncCounter)
DULL = Walk(points=0, early_timers=0, hand_offs=0)


class AsyncAdder(Counter):
    """Adds in a coroutine, starts and ends in others."""

    async def on_start(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # async on purpose
        return

    @handles(Add)
    async def add(self, message: Add) -> int:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # async on purpose
        return super().add(message)

    async def terminate(self, reason: object) -> None:
        del reason


class Clock(Counter):
    """Counts what its timers bring."""

    def on_start(self) -> None:
        self.send_after(1.0, Add(1))
        self.set_idle_timeout(3.0)

    @handles(IdleTimeout)
    def idle(self, _message: IdleTimeout) -> None:
        self.seen.append(0)


class World:
    """One counter under a supervisor, which may be struck."""

    def __init__(self, sim: Simulation, kind: type[Counter], **spec: Any) -> None:
        self.sim = sim
        self.system = ActorSystem(runtime=sim.runtime)
        spec.setdefault("keeps_mailbox", True)
        child = ChildSpec(id="counter", start=kind, name="counter", **spec)
        tree = self.system.spawn_named("tree", Supervisor, [child], intensity=100)
        self.tree = tree
        sim.settle()

    @property
    def counter(self) -> Address[Any]:
        address = self.system.lookup("counter")
        assert address is not None
        return address


@contextmanager
def struck_by(
    *those: Fault, kind: type[Counter] = Counter, explore: Any = DULL, **spec: Any
) -> Generator[World]:
    with Simulation(7, explore=explore, faults=FaultPlan(those)) as sim:
        world = World(sim, kind, **spec)
        with world.system:
            yield world
            sim.calm()


def told(sim: Simulation) -> list[Any]:
    return [entry[3] for entry in sim.trace.entries if entry[0] == "fault"]


class TestAPlan:
    @pytest.mark.parametrize(
        ("kind", "given", "field", "remedy"),
        [
            (faults.Crash, {"of": ""}, "of", "a pattern"),
            (faults.Crash, {"on": 7}, "on", "a pattern"),
            (faults.Crash, {"rate": 1.5}, "rate", "from 0 to 1"),
            (faults.Crash, {"rate": (0.1, -1.0)}, "rate", "each seed draws one"),
            (faults.Crash, {"rate": True}, "rate", "from 0 to 1"),
            (faults.Crash, {"rate": math.nan}, "rate", "from 0 to 1"),
            (faults.Crash, {"rate": ()}, "rate", "from 0 to 1"),
            (faults.Crash, {"nth": 0}, "nth", "from 1 on"),
            (faults.Crash, {"most": 0}, "most", "from 1 on"),
            (faults.Crash, {"nth": 1, "rate": 0.5}, "rate", "not both"),
            (faults.Crash, {"error": Boom()}, "error", "the class"),
            (faults.Kill, {"is_late": 1}, "is_late", "True or False"),
            (faults.Slow, {"seconds": 0}, "seconds", "above zero"),
            (faults.Slow, {"seconds": math.inf}, "seconds", "above zero"),
            (faults.Hang, {"seconds": math.nan}, "seconds", "above zero"),
            (faults.ClockJump, {"seconds": -1}, "seconds", "above zero"),
            (faults.FullMailbox, {"seconds": -1}, "seconds", "above zero"),
            (faults.LateTimer, {"seconds": 0}, "seconds", "above zero"),
            (FaultPlan, {"faults": [faults.Crash()]}, "faults", "a tuple"),
            (FaultPlan, {"faults": ("crash",)}, "faults", "faults.Crash()"),
        ],
    )
    def test_that_cannot_be_is_refused(
        self, kind: Any, given: dict[str, Any], field: str, remedy: str
    ) -> None:
        with pytest.raises(InvalidSpec, match=f"^{field}=.*{re.escape(remedy)}") as refused:
            kind(**given)

        assert refused.value.field == field

    def test_of_a_storm_has_every_kind_that_strikes_actors(self) -> None:
        bases = {"ActorFault", "TimerFault", "Fault", "ProcessDies"}
        things: list[tuple[str, Any]] = list(vars(faults).items())
        names = {name for name, each in things if hasattr(each, "tells")} - bases

        assert {type(each).__name__ for each in FaultPlan.storm().faults} == names

    def test_draws_a_rate_for_each_seed(self) -> None:
        rates: set[float] = set()
        for seed in range(30):
            sim = Simulation(seed, faults=FaultPlan.storm())
            rates.add(sim._strikes.rules[0].rate)

        assert rates == {*faults.RATES}

    def test_of_nothing_leaves_actors_as_they_are(self) -> None:
        with struck_by() as world:
            cell: Any = world.counter.ref

            assert cell.actor.__dict__.keys() == {"_actor_ref", "sum", "seen"}
            assert type(cell.handlers) is dict


class TestWhomItStrikes:
    @pytest.mark.parametrize("of", ["Counter", "counter", "tree/counter", "Supervised*", "*"])
    def test_is_found_by_class_base_name_or_path(self, of: str) -> None:
        with struck_by(faults.Crash(of=of, on="Add", rate=ALWAYS)) as world:
            asked = world.counter.ask(Add(1), block=False)
            with pytest.raises(faults.Struck):
                asked.get()

    def test_is_nobody_else(self) -> None:
        with struck_by(faults.Crash(of="Count", on="Add", rate=ALWAYS)) as world:
            assert world.counter.ask(Add(1)) == 1

    def test_is_no_supervisor_and_no_probe_unless_it_is_named(self) -> None:
        with struck_by(faults.Crash(rate=ALWAYS, most=99)) as world:
            probe = Probe(world.system)
            probe.monitor(world.tree)
            with pytest.raises(faults.Struck):
                world.counter.ask(Add(1))

            assert world.tree.is_alive()
            assert probe.received == ()

    def test_may_be_a_supervisor_by_name(self) -> None:
        with struck_by(faults.Kill(of="tree", on="ChildExited", rate=ALWAYS)) as world:
            ref = world.counter.ref
            assert ref is not None
            ref.kill()
            world.sim.run()

            assert isinstance(world.tree.reason, Killed)

    def test_is_struck_on_that_message_only(self) -> None:
        with struck_by(faults.Crash(on="Pa*", rate=ALWAYS)) as world:
            helper = world.system.spawn(Counter)

            assert world.counter.ask(Add(1)) == 1
            with pytest.raises(faults.Struck):
                world.counter.ask(Pass(helper, 1))

    def test_is_struck_at_the_nth_time_over_all_its_lives(self) -> None:
        with struck_by(faults.Crash(on="Add", nth=3), faults.Crash(on="Pass", nth=1)) as world:
            helper = world.system.spawn(Counter)

            with pytest.raises(faults.Struck):
                world.counter.ask(Pass(helper, 1))
            assert [world.counter.ask(Add(1)) for _ in range(2)] == [1, 2]
            with pytest.raises(faults.Struck):
                world.counter.ask(Add(1))

    def test_is_struck_so_many_times_at_most(self) -> None:
        with struck_by(faults.Crash(on="Add", rate=ALWAYS, most=2)) as world:
            for _ in range(2):
                with pytest.raises(faults.Struck):
                    world.counter.ask(Add(1))
            assert world.counter.ask(Add(1)) == 1

    def test_holds_nothing_of_it_that_could_be_seen(self) -> None:
        with struck_by(*FaultPlan.storm().faults) as world:
            ref = world.counter.ref
            assert ref is not None

            assert set(ref.get_state()) == {"sum", "seen"}


@pytest.mark.parametrize("kind", [*KINDS, AsyncAdder])
class TestACrash:
    def test_in_a_handler_is_what_its_asker_gets(self, kind: type[Counter]) -> None:
        with struck_by(faults.Crash(on="Add", nth=2), kind=kind, explore=Walk()) as world:
            world.counter.ask(Add(1))
            before = world.counter.ref

            with pytest.raises(faults.Struck):
                world.counter.ask(Add(1))
            assert world.counter.ask(Do(lambda actor: actor.sum)) == 0
            assert before is not None
            assert isinstance(before.reason, Crashed)

    def test_that_is_late_strikes_when_all_is_done(self, kind: type[Counter]) -> None:
        sums: list[int] = []
        late = faults.Crash(on="Add", nth=1, is_late=True, error=Boom)
        with struck_by(late, faults.Crash(on="terminate", nth=1), kind=kind) as world:
            counter: Any = world.counter.ref
            actor = counter.actor

            with pytest.raises(Boom):
                counter.ask(Add(5))
            sums.append(actor.sum)

        assert sums == [5]
        assert told(world.sim) == [
            "the handler of Add in counter crashes when all is done",
            "terminate of counter crashes",
        ]

    def test_in_its_start_or_end_is_its_end(self, kind: type[Counter]) -> None:
        with struck_by(
            faults.Crash(on="on_start", nth=2), faults.Crash(on="terminate", nth=1), kind=kind
        ) as world:
            first = world.counter.ref
            assert first is not None
            first.exit()
            world.sim.run()

            assert isinstance(first.reason, Crashed)
            assert world.counter.ask(Add(1)) == 1
            assert told(world.sim) == [
                "terminate of counter crashes",
                "on_start of counter~2 crashes",
            ]


@pytest.mark.parametrize("kind", [*KINDS, AsyncAdder])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_kill_comes_from_outside_while_it_is_at_work(kind: type[Counter], is_late: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    with struck_by(faults.Kill(on="Add", nth=1, is_late=is_late), kind=kind) as world:
        before: Any = world.counter.ref
        actor = before.actor

        with pytest.raises(DeliveryError):
            world.counter.ask(Add(3), timeout=1)
        world.sim.run()

        assert isinstance(before.reason, Killed)
        assert actor.sum == 3 or kind is AsyncAdder
        assert world.counter.ask(Add(1)) == 1


@pytest.mark.parametrize("kind", [Counter, AsyncAdder])
class TestWhoHangs:
    def test_is_woken_by_a_kill(self, kind: type[Counter]) -> None:
        with struck_by(faults.Hang(on="Add", nth=1), kind=kind) as world:
            before = world.counter.ref
            assert before is not None
            with pytest.raises(Timeout):
                world.counter.ask(Add(1), timeout=2)
            before.kill()

            assert world.counter.ask(Add(1)) == 1
            assert world.sim.now_s == 2

    def test_goes_on_when_the_faults_are_over(self, kind: type[Counter]) -> None:
        with struck_by(faults.Hang(on="Add", nth=1), kind=kind) as world:
            done = world.counter.ask(Add(1), block=False, timeout=math.inf)
            world.sim.settle()
            assert not done.is_done

            world.sim.calm()

            assert done.get() == 1

    def test_goes_on_after_a_time(self, kind: type[Counter]) -> None:
        with struck_by(faults.Hang(on="Add", nth=1, seconds=3), kind=kind) as world:
            assert world.counter.ask(Add(1), timeout=10) == 1
            assert world.sim.now_s == 3

    def test_may_do_so_in_its_start(self, kind: type[Counter]) -> None:
        with struck_by(faults.Hang(on="on_start", nth=1), kind=kind, start_s=2.0) as world:
            world.sim.run()

            assert not world.tree.is_alive()
            assert world.sim.now_s == 2

    def test_does_not_do_so_on_anothers_stack(self, kind: type[Counter]) -> None:
        del kind
        always = Walk(hand_offs=1.0)
        with struck_by(faults.Hang(rate=ALWAYS), kind=QuickCounter, explore=always) as world:
            assert world.counter.ask(Add(1)) == 1


class TestWhoIsSlow:
    @pytest.mark.parametrize("kind", [*KINDS, AsyncAdder])
    def test_takes_its_time(self, kind: type[Counter]) -> None:
        with struck_by(faults.Slow(on="Add", nth=1, seconds=2), kind=kind) as world:
            assert world.counter.ask(Add(1)) == 1
            assert world.sim.now_s == 2

    def test_does_so_on_anothers_stack_too(self) -> None:
        always = Walk(hand_offs=1.0)
        slow = faults.Slow(on="Add", nth=1, seconds=2)
        with struck_by(slow, kind=QuickCounter, explore=always) as world:
            assert world.counter.ask(Add(1)) == 1
            assert world.sim.now_s == 2

    def test_goes_on_as_a_dead_one_when_it_is_killed_meanwhile(self) -> None:
        with struck_by(faults.Slow(on="Add", nth=1, seconds=2)) as world:
            before: Any = world.counter.ref
            actor = before.actor
            done = world.counter.ask(Add(1), block=False)
            world.sim.settle()
            before.kill()
            assert isinstance(done.error, ActorDeadError)
            assert actor.sum == 0

            world.sim.run()

            assert actor.sum == 1
            assert world.counter.ask(Do(lambda actor: actor.sum)) == 0


class TestTheClock:
    def test_jumps_with_everything_that_is_due(self) -> None:
        with struck_by(faults.ClockJump(on="Add", nth=1, seconds=100), kind=Clock) as world:
            world.counter.tell(Do(lambda actor: actor.send_after(50, Add(9)) and None))
            world.sim.advance(1.0)
            assert world.sim.now_s == 101

            world.sim.settle()

            assert world.sim.now_s == 101
            assert world.counter.ask(Do(lambda actor: actor.seen)) == [1, 9]

    @pytest.mark.parametrize("seconds", [-5.0, 5.0])
    def test_on_the_wall_may_be_set(self, seconds: float) -> None:
        jump = faults.ClockJump(on="Add", nth=1, seconds=seconds, is_wall_only=True)
        with struck_by(jump) as world:
            before_s = world.system.clock.wall_s()
            world.counter.ask(Add(1))

            assert world.system.clock.wall_s() == before_s + seconds
            assert world.sim.now_s == 0


@pytest.mark.parametrize("keeps_mailbox", [False, True])
def test_a_mailbox_is_full_for_a_while(keeps_mailbox: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    full = faults.FullMailbox(on="Add", nth=1, seconds=2)
    with struck_by(full, keeps_mailbox=keeps_mailbox) as world:
        world.counter.ask(Add(1))

        with pytest.raises(MailboxFull):
            world.counter.ask(Add(1))
        with pytest.raises(MailboxFull):
            world.counter.tell(Add(1))
        world.sim.advance(2.0)
        assert world.counter.ask(Add(1)) == 2


STRUCK_TIMERS: list[tuple[Fault, list[tuple[float, list[int]]]]] = [
    (faults.LostTimer(on="Add", nth=1), [(1.5, []), (9, [0])]),
    (faults.LostTimer(on="IdleTimeout", rate=ALWAYS), [(1.5, [1]), (9, [1])]),
    (faults.LateTimer(on="Add", nth=1), [(1.5, []), (2.5, [1])]),
    (faults.DoubledTimer(on="Add", nth=1, seconds=1), [(1.5, [1]), (2.5, [1, 1])]),
    (faults.DoubledTimer(on="IdleTimeout", nth=1), [(3.5, [1]), (9, [1, 0])]),
]
"""A timer's fault, and what it has brought by when."""


class TestATimer:
    @pytest.mark.parametrize(
        ("fault", "seen"),
        STRUCK_TIMERS,
    )
    def test_is_lost_late_or_doubled(self, fault: Fault, seen: list[tuple[float, Any]]) -> None:
        with struck_by(fault, kind=Clock) as world:
            ref: Any = world.counter.ref
            actor = ref.actor
            for until_s, expected in seen:
                world.sim.advance(until_s - world.sim.now_s)
                assert actor.seen == expected

    def test_that_goes_off_twice_is_told_to_one_life_only(self) -> None:
        twice = faults.DoubledTimer(on="Add", nth=1, seconds=1)
        with struck_by(twice, kind=Clock) as world:
            world.sim.advance(1.5)
            ref = world.counter.ref
            assert ref is not None
            ref.kill()
            world.sim.advance(0.9)

            assert world.counter.ask(Do(lambda actor: actor.seen)) == []

    def test_that_is_lost_can_be_taken_back(self) -> None:
        with struck_by(faults.LostTimer(rate=ALWAYS)) as world:
            assert world.counter.ask(Do(lambda actor: actor.send_after(1, Add(1)).cancel())) is True


class TestAStrike:
    def test_is_told_in_plain_words_and_counted(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.chdir(tmp_path)

        @simulate(schedules=1, faults=FaultPlan((faults.Crash(of="counter", on="Add", nth=2),)))
        def test(sim: Simulation) -> None:
            world = World(sim, Counter)
            with world.system:
                world.counter.ask(Add(1))
                world.counter.ask(Add(1))

        with pytest.raises(faults.Struck) as struck:
            test()

        text = struck.value.__notes__[1]
        assert "fault: the handler of Add in counter crashes" in text
        assert "deviations: fault crash (Add) of counter #2" in text

    def test_is_replayed_by_the_schedule_and_left_out_without_it(self) -> None:
        kinds = (faults.Crash, faults.Kill, faults.Slow, faults.FullMailbox)
        plan = FaultPlan(tuple(each(rate=0.3) for each in kinds))
        recording = Recording(Walk())

        def run(sim: Simulation) -> str:
            with sim:
                world = World(sim, Counter)
                with world.system:
                    for _ in range(20):
                        try:
                            world.counter.ask(Add(1))
                        except (DeliveryError, faults.Struck) as error:
                            sim.note("fell", type(error).__name__)
                    sim.calm()
            return sim.trace.digest

        first = Simulation(2, explore=recording, faults=plan)
        digest = run(first)
        again = Simulation(2, explore=Replay(recording.schedule), faults=plan)
        without = recording.schedule
        dull = Simulation(
            2,
            explore=Replay(type(without)(seed=2, picks=without.picks)),
            faults=plan,
        )

        assert sum(times for _, times in first.struck) >= 3
        assert run(again) == digest
        assert first.struck == again.struck
        run(dull)
        assert sum(times for _, times in dull.struck) == 0

    def test_is_taken_out_of_a_failure_that_does_not_need_it(
        self, tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        plan = FaultPlan((faults.Slow(rate=0.5), faults.Crash(on="Add", rate=0.3)))

        @simulate(schedules=50, faults=plan)
        def test(sim: Simulation) -> None:
            world = World(sim, Counter)
            with world.system:
                try:
                    for _ in range(5):
                        world.counter.ask(Add(1))
                except faults.Struck:
                    raise Boom from None

        with pytest.raises(Boom) as failure:
            test()

        assert "deviations: fault crash (Add) of counter #" in failure.value.__notes__[1]
        assert "slow" not in failure.value.__notes__[1]

    def test_that_never_came_fails_the_campaign(self) -> None:
        plan = FaultPlan((faults.Kill(of="counter", rate=ALWAYS), faults.Crash(of="nobody")))

        @simulate(schedules=3, faults=plan)
        def test(sim: Simulation) -> None:
            world = World(sim, Counter)
            with world.system:
                world.counter.tell(Add(1))
                sim.run()

        with pytest.raises(NeverSeen) as missing:
            test()

        assert missing.value.kinds == ("crash (of='nobody', on='*')",)


class TestTheCalmAfterIt:
    def test_has_no_strikes(self) -> None:
        with struck_by(faults.Crash(rate=ALWAYS, most=99)) as world:
            world.sim.calm()

            assert world.counter.ask(Add(1)) == 1

    def test_finds_an_ask_that_does_not_end(self) -> None:
        def answer_later(actor: Counter) -> object:
            reply = actor.reply_later()
            actor.send_after(1.0, Do(lambda _: reply.offer(1)))
            return LATER

        plan = FaultPlan((faults.LostTimer(on="Do", nth=1),))
        with Simulation(faults=plan) as sim, ActorSystem(runtime=sim.runtime) as system:
            counter = system.spawn(Counter)
            sim.spawn("client", lambda: counter.ask(Do(answer_later), timeout=math.inf))
            sim.run(lambda: sim.seen("lost timer") > 0)

            with pytest.raises(Deadlock, match="client"):
                sim.calm()


@pytest.mark.parametrize("explore", [DULL, Walk(hand_offs=1.0)], ids=["mailbox", "hand-off"])
def test_a_part_whose_class_looks_up_its_handlers_by_itself_is_struck_as_well(
    explore: Walk,
) -> None:
    plan = FaultPlan((faults.Crash(of="manager", on="TerminateSession", nth=1),))
    with Simulation(explore=explore, faults=plan) as sim:
        with SessionSystem(runtime=sim.runtime) as sessions, pytest.raises(faults.Struck):
            sessions.ask(TerminateSession(sessions.ask(CreateSession()).id))

        assert told(sim) == ["the handler of TerminateSession in manager crashes"]


class DiskIsFull(Fault, frozen=True, kw_only=True):
    """A fault of a port of the test's own."""

    word = "full disk"


def test_a_port_of_ones_own_asks_for_its_faults() -> None:
    plan = FaultPlan((DiskIsFull(of="disk", on="write", nth=2), faults.Crash()))
    with Simulation(1, faults=plan) as sim:
        found = [sim.strikes(DiskIsFull, of="disk", on=each) for each in ("read", "write", "write")]

        assert found == [None, None, plan.faults[0]]
        assert sim.seen("full disk") == 1
        assert told(sim) == ["full disk strikes disk on write"]
