"""The process is to take no more memory than so much: who sleeps for that, and when nobody does."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Fault,
    HoldKind,
    InjectCrash,
    Keeping,
    ListSessions,
    MemoryPressure,
    MemoryPressureChanged,
    MemoryUnknown,
    NotStarted,
    Presence,
    ProcessMemory,
    RecordActivity,
    Role,
    Session,
    SessionMessage,
    SessionSystem,
    TerminateSession,
)
from callboard.actors.memory import measured
from callboard.actors.metrics import GAUGES_EVERY_S
from callboard.actors.sessions.book import Book
from callboard.actors.sessions.passivating import Pass
from callboard.actors.sessions.relief import (
    CHANGE_SHARE,
    SHARES_PER_LEVEL_MAX,
    SLEEP_SHARE,
    SLEEPS_PER_SHARE_MAX,
    Relief,
    told,
)
from callboard.actors.sessions.table import Table
from callboard.actors.testing import FakeMemory, FakeMetrics
from callboard.supervision import Future, InvalidSpec, handles
from callboard.supervision.testing import Simulation
from tests.laws import broken_laws
from tests.sessions.stage import (
    Actor,
    HoldLater,
    Stage,
    later,
    part_of,
    presence,
    services_of,
    texts,
)

WITHIN, OVER, STUCK, UNKNOWN = MemoryPressure

BOUND_BYTES = 100 * CHANGE_SHARE
"""Of which a hundred bytes are a change that counts."""

AWAKE = 10 * SLEEP_SHARE
"""Of whom ten are a share."""

IN_VAIN = [(OVER, 10)] * SHARES_PER_LEVEL_MAX
"""What is tried before it is given up."""

LOOK_S = Keeping().passivate_interval_s

MIB = 2**20


def looks(*seen: int | None, sleep: int = AWAKE) -> list[tuple[MemoryPressure, int]]:
    """Return pressure, and how many are to sleep, at each look; then so many do, if they are to."""
    relief = Relief(max_bytes=BOUND_BYTES)
    found: list[tuple[MemoryPressure, int]] = []
    for resident_bytes in seen:
        relief = relief.looked(resident_bytes, awake=AWAKE)
        found.append((relief.pressure, relief.due))
        relief = relief.slept(min(relief.due, sleep))
    return found


class TestTheDecision:
    @pytest.mark.parametrize(
        ("seen", "found"),
        [
            ([0, 12_800], [(WITHIN, 0)] * 2),
            ([12_801], [(OVER, 10)]),
            ([13_500, 13_200, 12_900, 12_700], [(OVER, 10)] * 3 + [(WITHIN, 0)]),
            ([13_000] * 5, [*IN_VAIN, (STUCK, 0), (STUCK, 0)]),
            ([13_000, 13_099, 12_901, 13_050, 13_000], [*IN_VAIN, (STUCK, 0), (STUCK, 0)]),
            ([12_801, 12_790, 12_810, 12_702, 12_801], [*IN_VAIN, (STUCK, 0), (STUCK, 0)]),
            ([*[13_000] * 3, 13_060, 13_120], [*IN_VAIN, (STUCK, 0), (STUCK, 10)]),
            ([*[13_000] * 4, 12_850], [*IN_VAIN, (STUCK, 0), (STUCK, 10)]),
            (
                [*[13_000] * 4, *[13_500] * 4],
                [*IN_VAIN, *[(STUCK, 0), *[(STUCK, 10)] * 3], (STUCK, 0)],
            ),
            ([13_000, 13_000, 12_900] * 2, [(OVER, 10)] * 6),
            ([*[13_000] * 4, 12_000, 13_000], [*IN_VAIN, (STUCK, 0), (WITHIN, 0), (OVER, 10)]),
            ([12_000, None, None, 12_000], [(WITHIN, 0), (UNKNOWN, 0), (UNKNOWN, 0), (WITHIN, 0)]),
            ([13_000, None, 13_000], [(OVER, 10), (UNKNOWN, 0), (OVER, 10)]),
        ],
        ids=[
            "within the bound nobody",
            "over it a share",
            "while it falls another at each look",
            "while it stays some more, and then nobody",
            "a little up and down is no change",
            "at the bound neither",
            "when all was used up again, little by little, another",
            "when it falls late, another",
            "at another level as many as at the first",
            "as long as it falls now and then, a share at each look",
            "over it once more begins anew",
            "who cannot be measured is left alone",
            "and begins anew",
        ],
    )
    def test_is_a_share_at_each_level_of_memory(
        self, seen: list[int | None], found: list[tuple[MemoryPressure, int]]
    ) -> None:
        assert looks(*seen) == found

    def test_waits_for_those_who_had_something_to_do(self) -> None:
        found = looks(*[13_000] * 10, sleep=4)

        assert found == [*[(OVER, 10), (OVER, 6), (OVER, 2)] * SHARES_PER_LEVEL_MAX, (STUCK, 0)]

    @pytest.mark.parametrize(
        ("awake", "due"),
        [(0, 1), (1, 1), (SLEEP_SHARE, 1), (2 * SLEEP_SHARE, 2), (10**9, SLEEPS_PER_SHARE_MAX)],
    )
    def test_is_one_at_least_and_bounded(self, awake: int, due: int) -> None:
        assert Relief(max_bytes=1).looked(2, awake=awake).due == due

    def test_tells_of_another_pressure_and_how_many_sleep_for_it(self) -> None:
        before = Relief(max_bytes=BOUND_BYTES)
        events: list[tuple[MemoryPressure, int | None, int] | None] = []
        seen = (12_000, 13_500, 13_200, *[13_200] * SHARES_PER_LEVEL_MAX, 13_900, 12_000, 12_000)
        for resident_bytes in (*seen, None):
            after = before.looked(resident_bytes, awake=AWAKE)
            after = after.slept(after.due)
            event = told(before, after)
            events.append(
                None
                if event is None
                else (event.pressure, event.resident_bytes, event.put_to_sleep)
            )
            before = after

        assert events == [
            None,
            (OVER, 13_500, 10),
            *[None] * SHARES_PER_LEVEL_MAX,
            (STUCK, 13_200, 40),
            None,
            (WITHIN, 12_000, 50),
            None,
            (UNKNOWN, None, 0),
        ]


class TestTheBound:
    @pytest.mark.parametrize("wrong", [0, -1, True, 2.0e9, "2G"])
    def test_is_a_whole_number_of_bytes(self, wrong: Any) -> None:
        with pytest.raises(InvalidSpec, match=r"memory_max_bytes=.*a whole number from 1 on"):
            Keeping(memory_max_bytes=wrong)

    def test_has_sessions_put_to_sleep(self) -> None:
        assert Keeping(memory_max_bytes=1).passivates
        assert not Keeping().passivates


class Broken:
    """A `Memory` that raises, or says what is no number of bytes."""

    def __init__(self, says: Any) -> None:
        self._says = says

    def resident_bytes(self) -> int:
        if isinstance(self._says, Exception):
            raise self._says
        found: int = self._says
        return found

    def give_back(self) -> None:
        raise AssertionError("nothing is known to be too much")


BROKEN = [OSError("gone"), None, -1, 1.5, True]


class TestWhatIsMeasured:
    def test_is_what_the_process_has_in_memory_now(self) -> None:
        memory = ProcessMemory()
        before = memory.resident_bytes()
        held = b"x" * (64 * MIB)
        meanwhile = memory.resident_bytes()
        del held
        afterwards = memory.resident_bytes()

        assert meanwhile - before > 48 * MIB
        assert meanwhile - afterwards > 48 * MIB

    @pytest.mark.parametrize("says", [None, b"", b"12\n", b"12 many 3\n"], ids=str)
    def test_is_unknown_where_the_kernel_does_not_say_it(
        self, tmp_path: Path, says: bytes | None
    ) -> None:
        statm = tmp_path / "statm"
        if says is not None:
            statm.write_bytes(says)

        with pytest.raises(MemoryUnknown, match=r"takes: .*statm"):
            ProcessMemory(statm).resident_bytes()

    @pytest.mark.parametrize("says", BROKEN, ids=repr)
    def test_is_unknown_when_the_port_fails(self, says: Any) -> None:
        with pytest.raises(MemoryUnknown, match="Broken"):
            measured(Broken(says))

    @pytest.mark.parametrize("says", BROKEN, ids=repr)
    def test_must_be_known_when_a_system_starts_that_has_a_bound(self, says: Any) -> None:
        sessions = SessionSystem(memory=Broken(says), keeping=Keeping(memory_max_bytes=1))

        with pytest.raises(MemoryUnknown, match="Broken") as refused:
            sessions.start()

        assert "memory_max_bytes" in refused.value.remedy
        with pytest.raises(NotStarted):
            sessions.health()

    def test_is_of_no_interest_without_a_bound(self, stage: Stage) -> None:
        memory = FakeMemory(5)
        sessions = stage.open(memory=memory, keeping=Keeping(passivate_after_s=60.0))
        stage.advance(LOOK_S * 3)

        assert memory.calls == []
        assert sessions.health().memory_bytes is None


class TestWhatIsKeptAndNotUsed:
    def test_is_given_back_before_anybody_is_put_to_sleep(self, bounded: Bounded) -> None:
        bounded.create(16)
        bounded.memory.taken_bytes = BOUND_BYTES
        bounded.memory.kept_bytes = 1
        bounded.look(2)

        assert [method for method, _ in bounded.memory.calls].count("give_back") == 1
        assert (bounded.asleep, bounded.told) == ([], [])

    def test_is_let_be_while_all_is_within_its_bound(self, bounded: Bounded) -> None:
        bounded.memory.taken_bytes = BOUND_BYTES - 1
        bounded.memory.kept_bytes = 1
        bounded.look(2)

        assert bounded.memory.kept_bytes == 1

    def test_of_a_port_that_fails_with_it_is_unknown(self, bounded: Bounded) -> None:
        bounded.create(16)
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        bounded.memory.failures["give_back"] = OSError("gone")
        bounded.look()

        assert (bounded.asleep, bounded.told) == ([], [(UNKNOWN, 0)])


class Attach(SessionMessage[None], frozen=True, kw_only=True):
    """Somebody connects."""


class Attaching(Actor):
    @handles(Attach)
    def on_attach(self, message: Attach) -> None:
        del message
        self.hold(HoldKind.ATTACHED)


class Bounded:
    """A system whose memory a test decides, and what is heard of it.

    Args:
        stage: where it runs.
        options: of the system.
    """

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.memory = FakeMemory()
        self.events: list[object] = []
        keeping = Keeping(cleanup_interval_s=0, memory_max_bytes=BOUND_BYTES)
        behaviour = type("Behaviour", (Attaching,), {"play": stage.play})
        own = {"keeping": keeping, "session": behaviour, "on_event": self.events.append}
        self.sessions = stage.open(memory=self.memory, **{**own, **options})
        self._stage = stage

    def create(self, number: int) -> list[str]:
        """Create sessions, one after the other, and return their ids."""
        names = [f"{each:02}" for each in range(number)]
        for name in names:
            self.sessions.ask(CreateSession(session_id=name))
            self._stage.advance(0.01)
        return names

    def look(self, times: int = 1) -> None:
        """Let the janitor look."""
        self._stage.advance(LOOK_S * times)

    @property
    def asleep(self) -> list[str]:
        return list(self.sessions.ask(ListSessions(presence=Presence.ASLEEP)).ids)

    @property
    def told(self) -> list[tuple[MemoryPressure, int]]:
        """What was told: the pressure, and how many slept for it."""
        found = [each for each in self.events if isinstance(each, MemoryPressureChanged)]
        return [(each.pressure, each.put_to_sleep) for each in found]


@pytest.fixture
def bounded(stage: Stage) -> Bounded:
    return Bounded(stage)


class TestTooMuchMemory:
    def test_lets_nobody_sleep_before_it_is_too_much(self, bounded: Bounded) -> None:
        bounded.create(16)
        bounded.memory.taken_bytes = BOUND_BYTES
        bounded.look(5)

        assert (bounded.asleep, bounded.told) == ([], [])

    def test_lets_the_least_recently_used_sleep_first_until_it_is_not(
        self, bounded: Bounded
    ) -> None:
        names = bounded.create(16)
        for name in names[:8]:
            bounded.sessions.ask(RecordActivity(name))
        bounded.memory.taken_bytes = lambda: (
            services_of(bounded.sessions).table.awake_count * BOUND_BYTES // 11
        )
        asleep: list[list[str]] = []
        for _ in range(6):
            bounded.look()
            asleep.append(bounded.asleep)

        first = ["08", "09"]
        second, third = [*first, "10"], [*first, "10", "11"]
        assert asleep == [first, second, third, [*third, "12"], *[[*third, "12", "13"]] * 2]
        assert bounded.told == [(OVER, 2), (WITHIN, 6)]

    def test_lets_no_more_than_some_shares_sleep_where_that_brings_nothing(
        self, bounded: Bounded
    ) -> None:
        names = bounded.create(16)
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        bounded.look()
        first = bounded.asleep
        bounded.look(20)
        asleep = bounded.asleep
        bounded.memory.taken_bytes = 3 * BOUND_BYTES
        bounded.look(20)

        assert first == names[:2]
        assert asleep == names[:4]
        assert bounded.asleep == names[:7]
        assert bounded.told == [(OVER, 2), (STUCK, 4)]

    def test_leaves_who_is_at_something_until_they_have_done_it(
        self, stage: Stage, bounded: Bounded
    ) -> None:
        sessions = bounded.sessions
        bounded.create(4)
        held = [later(sessions, HoldLater(name, text="in hand")) for name in ("00", "01")]
        sessions.ask(Attach("02"))
        sessions.ask(Attach("03"))
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        bounded.look(3)
        while_busy = bounded.asleep, bounded.told
        stage.play.gate.open()
        stage.settle()
        bounded.look(3)

        assert while_busy == ([], [(OVER, 0)])
        assert [each.get() for each in held] == [1, 1]
        assert bounded.asleep == ["00", "01"]
        assert bounded.told == [(OVER, 0)]

    def test_is_noticed_by_no_caller(self, stage: Stage, bounded: Bounded) -> None:
        (ada,) = bounded.create(1)
        bounded.sessions.ask(AppendMessage(ada, Role.USER, "hello"))
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        bounded.look()
        asleep = presence(bounded.sessions, ada)
        seq = bounded.sessions.ask(AppendMessage(ada, Role.USER, "back"))

        assert (asleep, seq) == (Presence.ASLEEP, 2)
        assert texts(bounded.sessions, ada) == ["hello", "back"]
        assert stage.play.starts[ada] == 2

    def test_goes_together_with_too_many(self, stage: Stage) -> None:
        keeping = Keeping(cleanup_interval_s=0, awake_max=12, memory_max_bytes=BOUND_BYTES)
        bounded = Bounded(stage, keeping=keeping)
        bounded.create(16)
        stage.advance(1.0)
        too_many = bounded.asleep
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        bounded.look(3)

        assert too_many == ["00", "01", "02", "03"]
        assert bounded.asleep == [*too_many, "04", "05", "06"]
        given_back = [method for method, _ in bounded.memory.calls].count("give_back")
        assert given_back == 3, "at the looks; not for a crowd"
        assert len(bounded.memory.calls) == 5 + 2 * given_back, "at the start, too, not for a crowd"

    @pytest.mark.parametrize(("due", "wanted"), [(0, 2), (1, 2), (5, 5)])
    def test_and_too_many_ask_for_the_same_to_sleep(self, due: int, wanted: int) -> None:
        table = Table()
        for number in range(21):
            table.reserve(Session(id=f"{number}"), active_s=0.0)

        found = Pass(table, Book(), Keeping(awake_max=20), now_s=100.0, due=due)

        assert found.wanted == wanted

    def test_that_nobody_can_help_delays_nobody_who_is_one_too_many(self, stage: Stage) -> None:
        keeping = Keeping(cleanup_interval_s=0, awake_max=2, memory_max_bytes=BOUND_BYTES)
        bounded = Bounded(stage, keeping=keeping)
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        for name in ("00", "01", "02"):
            bounded.sessions.ask(CreateSession(session_id=name))
            bounded.sessions.ask(Attach(name))
        stage.settle()
        bounded.sessions.ask(TerminateSession("02"))
        bounded.look()
        bounded.sessions.ask(CreateSession(session_id="one too many"))
        stage.advance(1.0)

        assert bounded.asleep == ["one too many"]

    def test_is_remembered_when_the_janitor_has_died(self, stage: Stage) -> None:
        bounded = Bounded(stage, faults=True)
        bounded.create(16)
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        bounded.look()
        for _ in range(5):
            bounded.sessions.ask(InjectCrash(part="front/janitor", how=Fault.KILL))
            stage.advance(2.0)

        assert bounded.asleep == ["00", "01", "02", "03"]
        assert bounded.told == [(OVER, 2), (STUCK, 4)]

    @pytest.mark.parametrize("seed", range(20))
    def test_loses_nothing_in_any_order(self, seed: int) -> None:
        levels = iter(range(2 * BOUND_BYTES, 2_000 * BOUND_BYTES, BOUND_BYTES))
        keeping = Keeping(
            cleanup_interval_s=0, memory_max_bytes=BOUND_BYTES, passivate_interval_s=0.01
        )
        with (
            Simulation(seed) as simulation,
            SessionSystem(
                runtime=simulation.runtime,
                partitions=2,
                keeping=keeping,
                memory=FakeMemory(lambda: next(levels)),
            ) as sessions,
        ):
            names = [f"{number}" for number in range(4)]
            for name in names:
                sessions.ask(CreateSession(session_id=name))
            asked: list[Future[int]] = []
            for number in range(60):
                message = AppendMessage(names[number % 4], Role.USER, f"{number // 4}")
                asked.append(later(sessions, message))
                simulation.advance(0.02)
            simulation.advance(1.0)

            assert [each.get() for each in asked] == [number // 4 + 1 for number in range(60)]
            assert all(texts(sessions, name) == [str(n) for n in range(15)] for name in names)
            slept = sum(row.incarnation for row in services_of(sessions).table.rows()) - len(names)
            assert slept > 2 * len(names)
            assert broken_laws(sessions) == []


class TestTheOperator:
    def test_sees_it_in_the_health(self, bounded: Bounded) -> None:
        bounded.create(8)
        twice = 2 * BOUND_BYTES
        reports: list[tuple[MemoryPressure, int | None, bool]] = []
        for taken_bytes, times in ((5, 1), (twice, 1), (twice, SHARES_PER_LEVEL_MAX)):
            bounded.memory.taken_bytes = taken_bytes
            bounded.look(times)
            report = bounded.sessions.health()
            reports.append((report.memory_pressure, report.memory_bytes, report.is_healthy))

        assert reports == [(WITHIN, 5, True), (OVER, twice, True), (STUCK, twice, True)]

    def test_sees_it_in_the_metrics_where_there_is_a_bound(self, stage: Stage) -> None:
        metrics = FakeMetrics()
        bounded = Bounded(stage, metrics=metrics)
        bounded.memory.taken_bytes = 5
        stage.advance(LOOK_S + GAUGES_EVERY_S)

        name = "callboard_memory_bytes"
        shown = {key: value for key, value in metrics.gauges.items() if key[0] == name}
        assert shown == {(name, "resident"): 5, (name, "bound"): BOUND_BYTES}

    def test_sees_no_such_number_where_there_is_none(self, stage: Stage) -> None:
        metrics = FakeMetrics()
        stage.open(metrics=metrics)
        stage.advance(2 * GAUGES_EVERY_S)

        names = {key[0] for key in metrics.gauges}
        assert "callboard_sessions" in names
        assert "callboard_memory_bytes" not in names

    def test_reads_one_line_in_the_log_for_each_change(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        bounded = Bounded(stage, on_event=None)
        bounded.create(8)
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        bounded.look(10)

        said = "resident_bytes=25600 memory_max_bytes=12800 put_to_sleep"
        assert [record.getMessage() for record in caplog.records] == [
            f"memory.pressure_changed pressure=over {said}=1",
            f"memory.pressure_changed pressure=stuck {said}=3",
        ]

    def test_hears_once_that_nobody_can_tell_any_more_and_nothing_else_comes_of_it(
        self, bounded: Bounded
    ) -> None:
        bounded.create(16)
        janitor = part_of(bounded.sessions, "front/janitor")
        bounded.memory.taken_bytes = 2 * BOUND_BYTES
        bounded.memory.failures["resident_bytes"] = OSError("gone")
        bounded.look(5)
        asleep, told = bounded.asleep, list(bounded.told)
        report = bounded.sessions.health()
        del bounded.memory.failures["resident_bytes"]
        bounded.look()

        assert (asleep, told) == ([], [(UNKNOWN, 0)])
        assert (report.memory_pressure, report.memory_bytes) == (UNKNOWN, None)
        assert part_of(bounded.sessions, "front/janitor") is janitor
        assert bounded.asleep == ["00", "01"]


class Load(SessionMessage[None], frozen=True, kw_only=True):
    """Keep so much at hand."""

    size: int


class Heavy(Actor):
    """Keeps what it was told to in an attribute, which goes with its actor."""

    cache = b""

    @handles(Load)
    def on_load(self, message: Load) -> None:
        self.cache = b"x" * message.size


def loaded(sessions: SessionSystem, names: Iterable[str], *, size: int) -> None:
    for name in names:
        sessions.ask(CreateSession(session_id=name))
        sessions.ask(Load(name, size=size))


class TestRealMemory:
    """Blocks of more than 32 MiB go back to the kernel as soon as they are freed (mallopt(3))."""

    @pytest.mark.parametrize("stage", ["threads"], indirect=True)
    def test_falls_below_its_bound_when_those_sleep_who_fill_it(self, stage: Stage) -> None:
        gc.collect()
        before = ProcessMemory().resident_bytes()
        max_bytes = before + 100 * MIB
        behaviour = type("Behaviour", (Heavy,), {"play": stage.play})
        keeping = Keeping(cleanup_interval_s=0, memory_max_bytes=max_bytes)
        sessions = stage.open(session=behaviour, keeping=keeping)
        loaded(sessions, ["ada", "bob", "cyd", "dan"], size=40 * MIB)
        filled = ProcessMemory().resident_bytes()
        stage.advance(LOOK_S * 6)
        left = ProcessMemory().resident_bytes()

        assert filled > max_bytes
        assert left <= max_bytes
        assert sessions.health().memory_pressure is WITHIN
        assert presence(sessions, "ada") is Presence.ASLEEP
        assert presence(sessions, "bob") is Presence.ASLEEP
        assert presence(sessions, "dan") is Presence.AWAKE
