"""What one system owns, how it ends, and that two of them never meet."""

from __future__ import annotations

import gc

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownMemberType=false
import math
import os
import subprocess
import sys
import threading
from typing import Any, ClassVar, NamedTuple, cast

import msgspec
import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    AskCycle,
    ChildSpec,
    DeadLetter,
    DeliveryError,
    InvalidSpec,
    Killed,
    Settings,
    Shutdown,
    StopReport,
    Supervisor,
    SystemStopped,
    UnhandledMessage,
)
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.chance import time_of
from callboard.supervision.runtime.interrupts import start_thread
from callboard.supervision.runtime.pool import Pool
from tests.runtime.kit import (
    AsyncPuppet,
    Await,
    Boom,
    Box,
    Do,
    Gate,
    Pinned,
    Puppet,
    boom,
    crash,
    give,
    idle,
    put,
    reason_of,
    refuse,
    threads_only,
)


class Supervisorish(Puppet, SystemActor):
    """A system actor that does what a message says."""


class TestStopping:
    def test_ends_every_actor_in_order(self) -> None:
        system = ActorSystem("stopped")
        box = Box(system)
        refs = [system.spawn(Puppet, ends=box.put).wait_started() for _ in range(10)]

        report = system.stop()

        assert report == StopReport()
        assert report.is_clean
        assert box.waiting == [Shutdown()] * 10
        assert all(ref.is_dead for ref in refs)

    def test_ends_system_actors_one_after_the_other_last_first(self) -> None:
        system = ActorSystem("stopped")
        box = Box(system)
        for number in range(5):
            system.spawn(Supervisorish, ends=put(box, number)).wait_started()

        system.stop()

        assert box.waiting == [4, 3, 2, 1, 0]

    def test_leaves_no_thread_behind(self) -> None:
        with ActorSystem("gone") as system:
            idle(system.spawn(Puppet))
            idle(system.spawn(Pinned))
            system.timers.call_at(system.clock.now_s() + 3600, print)
            gate = Gate(system)
            gate.open()
            system.spawn(AsyncPuppet).ask(Await(gate.passed))
            running = {each.name for each in threading.enumerate()}
            assert any(name.startswith("gone") for name in running)

        assert not [each for each in threading.enumerate() if each.name.startswith("gone")]

    def test_leaves_no_descriptor_behind(self) -> None:
        def open_descriptors() -> int:
            return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a folder of the kernel's

        def live() -> None:
            with ActorSystem("gone") as system:
                gate = Gate(system)
                gate.open()
                system.spawn(AsyncPuppet).ask(Await(gate.passed))

        live()
        before = open_descriptors()
        live()

        assert open_descriptors() <= before  # less: what others left is collected meanwhile

    def test_twice_gives_the_same_report(self) -> None:
        system = ActorSystem("stopped")
        system.spawn(Puppet)

        assert system.stop() is system.stop()

    def test_kills_what_does_not_end_in_time_and_names_it(self) -> None:
        system = ActorSystem("stuck")
        gate, box = Gate(system), Box(system)
        ref = system.spawn_named("stuck", Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        box.take()

        report = system.stop(timeout_s=0.05)

        assert report.unstopped == ("stuck",)
        assert report.abandoned == ()
        assert ref.reason == Killed()

    def test_names_the_threads_that_even_a_kill_did_not_end(self) -> None:
        system = ActorSystem("stuck")
        over, box = threading.Event(), Box(system)
        ref = system.spawn_named("stuck", Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), over.wait(10))))
        box.take()

        report = system.stop(timeout_s=0.05)

        assert report.unstopped == ("stuck",)
        assert len(report.abandoned) == 1
        assert not report.is_clean
        over.set()

    def test_refuses_later_messages_by_saying_so(self) -> None:
        system = ActorSystem("stopped")
        ref = system.spawn(Puppet)
        system.stop()

        with pytest.raises(SystemStopped):
            ref.tell("hello")
        with pytest.raises(SystemStopped):
            ref.ask("hello")

    def test_that_was_never_used_is_clean(self) -> None:
        assert ActorSystem("unused").stop().is_clean

    def test_with_an_actor_that_was_only_just_started(self) -> None:
        for _ in range(50):
            system = ActorSystem("hasty")
            system.spawn(Puppet)
            assert system.stop().is_clean

    def test_while_actors_start_others_ends_them_all(self) -> None:
        system = ActorSystem("busy")
        started: list[Any] = []

        def go_on(_actor: Any) -> None:
            try:
                started.append(system.spawn(Puppet, starts=go_on))
            except DeliveryError:
                return

        system.spawn(Puppet, starts=go_on)

        system.stop(timeout_s=5)

        assert all(each.is_dead for each in started)
        assert system.roots == {}

    def test_frees_its_names(self) -> None:
        system = ActorSystem("stopped")
        system.reserve("kept", keeps_mailbox=True).tell("waits")

        system.stop()

        assert system.names == {}
        assert system.dead_letters.count == 1


class TestTwoSystems:
    def test_have_their_own_actors_names_and_counts(self, system: ActorSystem) -> None:
        with ActorSystem("another") as another:
            system.spawn_named("ada", Puppet)
            another.spawn_named("ada", Puppet)

            assert len(system.roots) == len(another.roots) == 1

    @threads_only
    def test_may_talk_to_each_other(self, system: ActorSystem) -> None:
        with ActorSystem("another") as another:
            mine, theirs = system.spawn(Puppet), another.spawn(Puppet)

            assert mine.ask(Do(lambda _: theirs.ask(Do(lambda _: "hello")))) == "hello"

    def test_end_on_their_own(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        with ActorSystem("another") as another:
            another.spawn(Puppet)

        assert ref.ask(Do(lambda _: "alive")) == "alive"


class TestDeadLetters:
    """Law 2: what cannot be delivered is answered, or counted and seen."""

    def test_are_kept_to_look_at(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn_named("ada", Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        box.take()
        ref.tell("never handled")
        ref.exit()

        gate.open()
        reason_of(ref)

        assert system.dead_letters.latest == (DeadLetter("never handled", "ada", "dead"),)

    def test_of_a_refused_tell_carry_the_code(self, system: ActorSystem) -> None:
        ref = system.spawn_named("ada", Puppet)

        ref.tell(Do(refuse))
        idle(ref)

        (letter,) = system.dead_letters.latest
        assert (letter.address, letter.why) == ("ada", "no")

    def test_of_an_ask_are_none_its_asker_is_told(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet, starts=gate.wait)
        answer = ref.ask(Do(lambda _: None), block=False)

        ref.kill()

        with pytest.raises(ActorDeadError):
            answer.get()
        assert system.dead_letters.count == 0
        gate.open()

    def test_are_events(self) -> None:
        events: list[object] = []
        with ActorSystem("watched", on_event=events.append) as system:
            gate = Gate(system)
            ref = system.spawn_named("ada", Puppet, starts=gate.wait)
            ref.tell("never handled")
            ref.kill()
            gate.open()

        assert (
            events[-1:] == [DeadLetter("never handled", "ada", "dead")]
            or DeadLetter("never handled", "ada", "dead") in events
        )

    def test_beyond_the_bound_are_counted_and_the_latest_kept(self) -> None:
        with ActorSystem("bounded", settings=Settings(dead_letters_kept=3)) as system:
            gate = Gate(system)
            ref = system.spawn(Puppet, starts=gate.wait)
            for number in range(10):
                ref.tell(number)
            ref.kill()
            gate.open()

            assert system.dead_letters.count == 10
            assert [each.message for each in system.dead_letters.latest] == [7, 8, 9]

    def test_keep_of_a_message_what_it_says_is_to_be_kept_of_it(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn_named("ada", Puppet, starts=gate.wait)
        ref.tell(Laden(big := object()))
        ref.kill()
        gate.open()

        assert [each.message for each in system.dead_letters.latest] == ["a laden one"]
        assert big not in gc.get_referents(*system.dead_letters.latest)

    def test_are_made_of_what_waits_behind_a_crash(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait(), boom())))
        box.take()
        for number in range(5):
            ref.tell(number)

        gate.open()
        reason_of(ref)

        assert [each.message for each in system.dead_letters.latest] == [0, 1, 2, 3, 4]


class Laden(NamedTuple):
    """A message that refers to what its sender lets go."""

    load: object

    def as_dead_letter(self) -> str:
        return "a laden one"


class TestTheEventHook:
    def test_may_tell_an_actor_about_a_death(self) -> None:
        told: list[Any] = []

        def tell(event: object) -> None:
            told[0].tell(event)

        with ActorSystem("watched", on_event=tell) as system:
            box = Box(system)
            told.append(system.spawn(Puppet, hears=box.put))

            crash(system.spawn_named("ada", Puppet))

            assert box.take().name == "ada"
            assert "failed_hooks" not in system.counts

    @pytest.mark.parametrize("kind", [ValueError, SystemExit, GeneratorExit])
    def test_that_raises_whatever_hurts_nobody(self, kind: type[BaseException]) -> None:
        def hook(_event: object) -> None:
            raise kind

        with ActorSystem("watched", on_event=hook) as system:
            for _ in range(5):
                crash(system.spawn(Puppet))

            assert system.spawn(Puppet).ask(Do(lambda _: "alive")) == "alive"
            assert system.counts["failed_hooks"] == 5

    def test_that_asks_an_actor_is_answered(self, system: ActorSystem, box: Box) -> None:
        log = system.spawn(Puppet).wait_started()

        def hook(_event: object) -> None:
            box.put(log.ask(Do(give("answer"))))

        system.on_event = hook
        crash(system.spawn(Puppet))

        assert box.take() == "answer"
        system.on_event = None

    @threads_only
    def test_that_waits_keeps_nobody_waiting(self) -> None:
        has_begun, goes_on = threading.Event(), threading.Event()

        def hook(_event: object) -> None:
            has_begun.set()
            goes_on.wait()

        settings = Settings(workers_min=1)
        with ActorSystem("watched", on_event=hook, settings=settings) as system:
            bystander = system.spawn(Puppet).wait_started()
            system.spawn(Puppet).tell(Do(boom))
            has_begun.wait()

            assert bystander.ask(Do(give("served"))) == "served"
            goes_on.set()

    @threads_only
    def test_may_not_stop_the_system_on_one_of_its_workers(self) -> None:
        errors: list[BaseException] = []
        over = threading.Event()

        def hook(_event: object) -> None:
            try:
                system.stop()
            except AskCycle as error:
                errors.append(error)
            over.set()

        with ActorSystem("watched", on_event=hook) as system:
            system.spawn(Puppet).tell(Do(boom))

            assert over.wait()
            assert [each.code for each in errors if isinstance(each, AskCycle)] == ["ask_cycle"]
            assert system.is_open


async def answer_later(_actor: object) -> None:
    """Have the event loop started."""


class TestSettings:
    def test_have_the_documented_defaults(self) -> None:
        settings = Settings()

        assert (
            settings.ask_timeout_s,
            settings.mailbox_max,
            settings.batch_max,
            settings.workers_max,
            settings.workers_ceiling,
            settings.worker_idle_s,
            settings.kill_grace_s,
            settings.abandoned_max,
            settings.handoff_max_s,
            settings.handoff_depth_max,
        ) == (5.0, 10_000, 64, 256, 1_024, 10.0, 1.0, 64, 0.001, 8)

    @pytest.mark.parametrize("field", Settings.__struct_fields__)
    @pytest.mark.parametrize("value", [0, -1, True, "5", None, float("nan")], ids=repr)
    def test_that_cannot_be_are_refused_by_name(self, field: str, value: Any) -> None:
        with pytest.raises(InvalidSpec) as caught:
            Settings(**{field: value})

        assert caught.value.field == field
        assert caught.value.remedy

    @pytest.mark.parametrize(
        "field",
        ["mailbox_max", "batch_max", "workers_min", "workers_max", "workers_ceiling"],
    )
    def test_that_count_something_are_whole_numbers(self, field: str) -> None:
        with pytest.raises(InvalidSpec) as caught:
            Settings(**{field: 2.5})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

        assert caught.value.field == field

    @pytest.mark.parametrize("endless_s", [1e12, math.inf])
    def test_may_be_times_without_end(self, endless_s: float) -> None:
        settings = Settings(
            ask_timeout_s=endless_s,
            worker_idle_s=endless_s,
            kill_grace_s=endless_s,
            stop_timeout_s=endless_s,
        )
        with ActorSystem("patient", settings=settings) as system:
            ref = system.spawn(AsyncPuppet)
            assert ref.ask(Do(give("answer"))) == "answer"
            ref.ask(Await(answer_later))
            assert isinstance(system.dispatcher, Pool)
            assert system.dispatcher.workers

            assert system.stop() == StopReport()

    @pytest.mark.parametrize("timeout_s", [-1, -0.001, math.nan])
    def test_refuse_a_stop_within_no_time(self, timeout_s: float) -> None:
        with ActorSystem("hasty") as system:
            with pytest.raises(InvalidSpec, match="timeout_s="):
                system.stop(timeout_s)

            assert system.is_open

    def test_keep_workers_below_their_ceiling(self) -> None:
        with pytest.raises(InvalidSpec):
            Settings(workers_max=10, workers_ceiling=5)
        with pytest.raises(InvalidSpec):
            Settings(workers_min=10, workers_max=5)

    def test_are_frozen(self) -> None:
        with pytest.raises(AttributeError):
            setattr(Settings(), "ask_timeout_s", 1.0)  # noqa: B010 -- a checker would refuse it

    def test_are_plain_values(self) -> None:
        settings = Settings(ask_timeout_s=1.0)

        assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings


class TestIds:
    def test_are_version_7_and_carry_the_systems_wall_time(self, system: ActorSystem) -> None:
        made = system.ids.new_id()

        assert made[14] == "7"
        assert made[19] in "89ab"
        assert abs(time_of(made) / 1000 - system.clock.wall_s()) < 60

    def test_differ(self, system: ActorSystem) -> None:
        assert len({system.ids.new_id() for _ in range(1000)}) == 1000

    def test_may_be_the_hosts_own(self) -> None:
        class Counted:
            def __init__(self) -> None:
                self.count = 0

            def new_id(self) -> str:
                self.count += 1
                return f"mine-{self.count}"

        with ActorSystem(ids=Counted()) as system:
            assert [system.ids.new_id() for _ in range(2)] == ["mine-1", "mine-2"]


def workers_of(system: ActorSystem) -> int:
    """Return how many workers the pool has just now."""
    assert isinstance(system.dispatcher, Pool)
    return len(system.dispatcher.workers)


@threads_only
class TestThePool:
    def test_grows_while_handlers_block_and_shrinks_again(self) -> None:
        settings = Settings(worker_idle_s=0.02)
        with ActorSystem("growing", settings=settings) as system:
            over, box = threading.Event(), Box(system)
            refs = [system.spawn(Puppet) for _ in range(20)]
            for ref in refs:
                ref.tell(Do(lambda _: (box.put("blocked"), over.wait(10))))

            assert box.take_many(20) == ["blocked"] * 20
            over.set()
            for ref in refs:
                idle(ref)
            workers = _until_few(system)

        assert workers <= 2

    def test_does_not_grow_beyond_its_bound(self) -> None:
        with ActorSystem("bounded", settings=Settings(workers_max=3)) as system:
            over, box = threading.Event(), Box(system)
            for _ in range(10):
                system.spawn(Puppet).tell(Do(lambda _: (box.put("blocked"), over.wait(10))))
            box.take_many(3)
            tick = Gate(system)
            system.timers.call_at(system.clock.now_s() + 0.05, tick.open)
            tick.wait()

            assert box.waiting == []
            assert workers_of(system) == 3
            over.set()

    def test_does_not_grow_for_handlers_that_compute(self) -> None:
        with ActorSystem("computing") as system:
            answers = [
                system.spawn(Puppet).ask(Do(lambda _: sum(range(100_000))), block=False)
                for _ in range(20)
            ]
            for each in answers:
                each.get(timeout=10)

            assert workers_of(system) < 20

    def test_gives_others_the_worker_after_a_batch(self) -> None:
        with ActorSystem("fair", settings=Settings(batch_max=4, workers_max=1)) as system:
            gate, box = Gate(system), Box(system)
            greedy, other = system.spawn(Puppet), system.spawn(Puppet)
            idle(other)
            greedy.tell(Do(gate.wait))
            for number in range(100):
                greedy.tell(Do(put(box, number)))
            other.tell(Do(lambda _: box.put("other")))

            gate.open()

            assert "other" in box.take_many(20)

    def test_survives_an_exception_that_gets_past_every_hook(self) -> None:
        with ActorSystem("hardened") as system:

            class Broken(Puppet):
                def let_go(self, reason: Any) -> None:
                    super().let_go(reason)
                    raise SystemExit

            ref = system.spawn(Broken)
            ref.exit()

            assert reason_of(ref) == Shutdown()
            assert system.spawn(Puppet).ask(Do(lambda _: "alive")) == "alive"


def _until_few(system: ActorSystem) -> int:
    workers = 1_000
    for _ in range(1000):
        workers = workers_of(system)
        if workers <= 2:
            break
        tick = Gate(system)
        system.timers.call_at(system.clock.now_s() + 0.01, tick.open)
        tick.wait()
    return workers


@threads_only
class TestAPinnedActor:
    def test_has_a_thread_of_its_own_for_all_of_its_life(self, system: ActorSystem) -> None:
        threads: list[int] = []

        def note(*_whatever: object) -> None:
            threads.append(threading.get_ident())

        ref = system.spawn(Pinned, starts=note, ends=note).wait_started()
        for _ in range(10):
            ref.ask(Do(note))
        ref.stop()

        assert len(threads) == 12
        assert len(set(threads)) == 1

    def test_gives_its_thread_back_when_it_ends(self, system: ActorSystem) -> None:
        ref = system.spawn(Pinned).wait_started()
        thread = ref.ask(Do(lambda _: threading.current_thread()))

        ref.stop()
        thread.join(10)

        assert not thread.is_alive()

    def test_that_crashes_gives_its_thread_back_too(self, system: ActorSystem) -> None:
        ref = system.spawn(Pinned).wait_started()
        thread = ref.ask(Do(lambda _: threading.current_thread()))

        with pytest.raises(Boom):
            ref.ask(Do(boom))
        thread.join(10)

        assert not thread.is_alive()


class TestAProxy:
    def test_calls_methods_and_reads_and_sets_attributes(self, system: ActorSystem) -> None:
        proxy: Any = system.spawn(Account).proxy()

        proxy.deposit(5).get()
        proxy.owner = "ada"

        assert proxy.balance.get() == 5
        owner: Any = proxy.owner
        assert owner.get() == "ada"

    def test_has_no_attribute_that_the_actor_has_not(self, system: ActorSystem) -> None:
        proxy = system.spawn(Account).wait_started().proxy()

        with pytest.raises(AttributeError, match="nothing"):
            proxy.nothing()
        with pytest.raises(AttributeError):
            proxy._secret()

    def test_lists_the_actors_attributes(self, system: ActorSystem) -> None:
        proxy = system.spawn(Account).wait_started().proxy()

        assert {"balance", "deposit", "owner"} <= set(dir(proxy))

    def test_of_a_dead_actor_is_refused(self, system: ActorSystem) -> None:
        ref = system.spawn(Account)
        ref.stop()

        with pytest.raises(ActorDeadError):
            ref.proxy()

    def test_of_an_actor_that_has_not_started_waits_for_it(
        self, system: ActorSystem, gate: Gate
    ) -> None:
        ref = system.spawn(lambda: Account(gate.wait))
        gate.open()

        assert ref.proxy().balance.get() == 0


class Account(Puppet):
    def __init__(self, starts: Any = None) -> None:
        super().__init__()
        if starts is not None:
            starts()
        self.balance = 0
        self.owner = "nobody"

    def deposit(self, amount: int) -> None:
        self.balance += amount

    def _secret(self) -> None:
        return


class TestEmbedding:
    def test_takes_no_signal_handler_logger_or_loop_of_the_host(self) -> None:
        code = """
import asyncio, logging, signal
before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
root = list(logging.getLogger().handlers)
from callboard.supervision import ActorSystem, SupervisedActor, handles
class A(SupervisedActor):
    @handles(str)
    async def echo(self, message): return message
with ActorSystem("a") as system:
    assert system.spawn(A).ask("x") == "x"
assert before == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
assert root == list(logging.getLogger().handlers)
import threading
assert threading.active_count() == 1, threading.enumerate()
print("left alone")
"""
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

        assert ended.stdout == "left alone\n", ended.stderr


@threads_only
def test_a_stop_that_comes_while_the_first_thread_starts_is_no_lack_of_threads() -> None:
    system = ActorSystem()
    pool: Any = system.dispatcher
    add = pool.add_worker
    pool.add_worker = lambda: (pool.stop(1.0), add())[1]

    pool.wake()

    assert pool.workers == {}


@pytest.mark.parametrize("struck", [KeyboardInterrupt, None])
def test_what_a_signal_raises_while_a_thread_starts_is_no_lack_of_threads(
    struck: type[BaseException] | None,
) -> None:
    class Struck(threading.Thread):
        def start(self) -> None:
            error = RuntimeError("release unlocked lock")  # of a condition that was struck
            error.__context__ = None if struck is None else struck()
            raise error

    with pytest.raises(struck or RuntimeError):
        start_thread(Struck())


class TestWhatCannotBe:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", 3),
            ("name", ""),
            ("settings", {"workers_max": 3}),
            ("on_event", 3),
        ],
    )
    def test_is_refused_when_a_system_is_made(self, field: str, value: object) -> None:
        given: dict[str, Any] = {field: value}

        with pytest.raises(InvalidSpec) as refused:
            ActorSystem(**given)

        assert (refused.value.field, refused.value.value) == (field, value)

    def test_is_refused_when_an_actor_is_started(self, system: ActorSystem) -> None:
        for given in (3, ChildSpec(id="a", start=Puppet)):
            with pytest.raises(InvalidSpec, match=r"actor=.*a ChildSpec is for a supervisor") as no:
                system.spawn(cast("Any", given))
            assert no.value.field == "actor"

    @pytest.mark.parametrize("value", ["1", True, -1])
    def test_is_refused_as_a_time_to_wait(self, system: ActorSystem, value: Any) -> None:
        ref = system.spawn(Puppet)

        with pytest.raises(InvalidSpec, match="timeout="):
            ref.ask(Do(give(1)), timeout=value)
        with pytest.raises(InvalidSpec, match="timeout_s="):
            system.stop(value)
        assert system.is_open

    def test_is_refused_as_a_message_that_is_a_class(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        with pytest.raises(UnhandledMessage, match=r"the class Do itself") as refused:
            ref.ask(Do)

        assert refused.value.remedy == "Send an instance of it: Do(...)."
        assert ref.is_alive()


class TestTheHook:
    def test_is_flushed_when_the_system_has_stopped(self) -> None:
        class Hook:
            said: ClassVar[list[str]] = []

            def __call__(self, event: object) -> None:
                self.said.append(type(event).__name__)

            def flush(self) -> None:
                self.said.append("flushed")

        with ActorSystem(on_event=Hook()) as system:
            crash(system.spawn(Puppet))

        assert Hook.said == ["ActorCrashed", "flushed"]

    def test_that_cannot_be_flushed_hurts_nobody(self) -> None:
        class Hook:
            def __call__(self, event: object) -> None: ...

            def flush(self) -> None:
                raise Boom

        with ActorSystem(on_event=Hook()) as system:
            system.spawn(Puppet)

        assert system.counts == {"failed_hooks": 1}


class TestToWaitForAnEnd:
    def test_gives_the_reason(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        ref.exit(Shutdown())

        assert ref.wait() == Shutdown()
        assert ref.wait(0) == Shutdown()

    def test_gives_nothing_while_it_lives(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet).wait_started()

        assert ref.wait(0.01) is None


class TestRootSupervisors:
    def test_that_nobody_named_are_told_apart(self, system: ActorSystem) -> None:
        spec = ChildSpec(id="a", start=Puppet)
        roots = [system.spawn(Supervisor, [spec]).wait_started() for _ in range(3)]

        assert [root.path for root in roots] == ["Supervisor", "Supervisor 2", "Supervisor 3"]
