"""The 32 defects of pykka 4.5 that we measured: none of them is in a supervised actor.

One class a defect; its docstring is the defect's claim. `PooledActor` is a drop-in:
where a test of pykka's own suite demands the defect, it keeps it. Those are in
`KEPT`, each with the test that demands it, and a test here shows that it is kept.
"""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import pykka
import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorRef,
    ActorSystem,
    AskCycle,
    Crashed,
    Down,
    Future,
    Killed,
    MailboxFull,
    NoActor,
    Normal,
    PooledActor,
    Settings,
    Shutdown,
    StartFailed,
    SystemStopped,
    Timeout,
    get_all,
)
from callboard.supervision.runtime.pooled import process_system
from tests.runtime.kit import (
    WITHIN_S,
    Boom,
    Box,
    Do,
    Gate,
    Puppet,
    Trapping,
    boom,
    crash,
    idle,
    put,
    reason_of,
)

THREADS_ONLY = True

KEPT = {
    "D03": "test_actor.py::test_on_failure_is_called_when_exception_cannot_be_returned",
    "D05": "test_actor.py::test_all_actors_are_stopped_on_base_exception",
    "D09": "proxy/test_static_method_calls.py::test_exception_in_method_reraised_by_future",
    "D11": "test_actor.py::test_init_can_be_called_with_arbitrary_arguments",
    "D13": "test_registry.py::test_actors_may_be_looked_up_by_class",
    "D17": "test_actor.py::test_on_start_can_stop_actor_before_receive_loop_is_started",
    "D18": "test_actor.py::test_actor_processes_all_messages_before_stop_on_self_stops_it",
    "D31": "test_logging.py::test_exception_is_logged_when_not_reply_requested",
    "D32": "proxy/test_proxy.py::test_actor_proxy_does_not_expose_proxy_to_self",
}
"""Defect -> the test of pykka 4.5.0's own suite that demands it of a drop-in."""

defect = pytest.mark.pykka_defect


class Plain(PooledActor):
    """A drop-in that does what a message says."""

    def __init__(
        self,
        starts: Callable[[], Any] | None = None,
        stops: Callable[[], Any] | None = None,
        fails: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__()
        self.starts, self.stops, self.fails = starts, stops, fails

    def on_start(self) -> None:
        if self.starts is not None:
            self.starts()

    def on_stop(self) -> None:
        if self.stops is not None:
            self.stops()

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        del exception_type, exception_value, traceback
        if self.fails is not None:
            self.fails()

    def on_receive(self, message: Any) -> Any:
        return message.act(self) if isinstance(message, Do) else message


@pytest.fixture
def plain() -> Iterator[type[Plain]]:
    """Return the drop-in class; its actors are stopped after the test."""
    yield Plain
    pykka.ActorRegistry.stop_all(timeout=WITHIN_S)


def in_a_process(code: str, *, interrupts: bool = False) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter; it says `ready` when it may be interrupted."""
    if interrupts:  # also where whoever runs the tests ignores that signal, as behind nohup
        code = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{code}"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        said = ""
        if interrupts:
            said = process.stdout.readline()
            assert said.strip() == "ready"
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=2 * WITHIN_S)
    return subprocess.CompletedProcess(code, process.returncode, said + out, err)


def hold(ref: ActorRef[Any], gate: Gate, box: Box) -> None:
    """Have the actor busy until the gate opens."""
    ref.tell(Do(lambda _: (box.put("held"), gate.wait())))
    assert box.take() == "held"


# -- messages and answers ------------------------------------------------------


@defect("D01")
class TestD01:
    """An ask that passes is_alive() just before a stop, and enqueues after, never completes."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_an_ask_that_meets_a_mailbox_closed_under_its_hands_is_answered(
        self, system: ActorSystem, kind: type[Any]
    ) -> None:
        ref = system.spawn(kind).wait_started()
        idle(ref)
        closed: list[bool] = []

        def close_before_the_put(where: str, *_what: object) -> None:
            if where == "put" and not closed:
                closed.append(True)
                system.point = None
                ref.stop()

        system.point = close_before_the_put
        answer = ref.ask(Do(lambda _: None), block=False)

        assert closed
        with pytest.raises(ActorDeadError):
            answer.get(timeout=WITHIN_S)


@defect("D02")
class TestD02:
    """Messages queued behind a crashing one are dropped: no dead letter, no error."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_each_becomes_a_dead_letter(
        self, system: ActorSystem, gate: Gate, box: Box, kind: type[Any]
    ) -> None:
        ref = system.spawn(kind)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait(), boom())))
        assert box.take() == "in hand"
        for number in range(1000):
            ref.tell(number)

        gate.open()
        reason_of(ref)

        assert system.dead_letters.count == 1000


@defect("D09")
class TestD09:
    """An exception under ask goes to the caller only: the actor lives on, half changed."""

    def test_it_ends_the_actor_too(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, ends=box.put).wait_started()

        with pytest.raises(Boom):
            ref.ask(Do(boom))

        assert isinstance(reason_of(ref), Crashed)
        assert box.take() == ref.reason

    def test_so_does_one_in_a_proxy_call_that_nobody_looks_at(self, system: ActorSystem) -> None:
        ref = system.spawn(Methods)

        ref.proxy().explode()

        assert isinstance(reason_of(ref), Crashed)

    def test_kept_for_drop_in(self, plain: type[Plain]) -> None:
        ref = plain.start()

        with pytest.raises(Boom):
            ref.ask(Do(boom), timeout=WITHIN_S)

        assert ref.ask("alive", timeout=WITHIN_S) == "alive"


class Methods(Puppet):
    """Has methods for a proxy to call."""

    def explode(self) -> None:
        boom()

    def answer(self) -> int:
        return 42

    def ask_myself(self) -> Any:
        return self.actor_ref.proxy().answer().get()


@defect("D14")
class TestD14:
    """Blocking on oneself deadlocks without a word."""

    @pytest.mark.parametrize(
        "act",
        [
            lambda actor: actor.actor_ref.stop(),
            lambda actor: actor.actor_ref.ask(Do(lambda _: None)),
            lambda actor: actor.ask_myself(),
        ],
        ids=["stop", "ask", "proxy"],
    )
    def test_it_raises(self, system: ActorSystem, act: Callable[[Any], Any]) -> None:
        with pytest.raises(AskCycle):
            system.spawn(Methods).ask(Do(act))

    def test_so_does_stopping_the_whole_system(self, system: ActorSystem) -> None:
        with pytest.raises(AskCycle):
            system.spawn(Puppet).ask(Do(lambda _: system.stop()))

        assert system.spawn(Puppet).ask(Do(lambda _: "still open")) == "still open"

    @pytest.mark.parametrize(
        "act",
        [
            lambda actor: actor.actor_ref.stop(),
            lambda actor: actor.actor_ref.ask(Do(lambda _: None)),
            lambda _: pykka.ActorRegistry.stop_all(),
        ],
        ids=["stop", "ask", "stop_all"],
    )
    def test_it_raises_in_a_drop_in(self, plain: type[Plain], act: Callable[[Any], Any]) -> None:
        with pytest.raises(AskCycle):
            plain.start().ask(Do(act), timeout=WITHIN_S)


@defect("D24")
class TestD24:
    """The inbox has no bound; a bound of one's own blocks tell and even stop(timeout=)."""

    @pytest.mark.parametrize("base", [Puppet, Plain])
    def test_a_bound_refuses_at_once_and_a_stop_passes_it(
        self, system: ActorSystem, gate: Gate, box: Box, base: type[Any]
    ) -> None:
        kind: type[Any] = type("Bounded", (base,), {"mailbox_max": 3})
        ref = system.spawn(kind)
        hold(ref, gate, box)
        for number in range(3):
            ref.tell(number)

        with pytest.raises(MailboxFull):
            ref.tell("one too many")
        stopped = ref.stop(block=False)
        gate.open()

        assert stopped.get(timeout=WITHIN_S)

    def test_there_is_one_unless_told_otherwise(self, system: ActorSystem) -> None:
        assert system.spawn(Puppet).mailbox_max == Settings().mailbox_max == 10_000


@defect("D27")
class TestD27:
    """contextvars do not travel with messages."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_they_do(self, system: ActorSystem, box: Box, kind: type[Any]) -> None:
        trace: ContextVar[str] = ContextVar("trace", default="none")
        ref = system.spawn(kind)
        trace.set("trace-1")

        ref.tell(Do(lambda _: box.put(trace.get())))
        asked = ref.ask(Do(lambda _: trace.get()))

        assert (box.take(), asked) == ("trace-1", "trace-1")


@defect("D28")
class TestD28:
    """An ask that timed out is executed later all the same."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_it_is_dropped_and_counted(
        self, system: ActorSystem, gate: Gate, box: Box, kind: type[Any]
    ) -> None:
        ref = system.spawn(kind)
        hold(ref, gate, box)

        for _ in range(5):
            with pytest.raises(pykka.Timeout):
                ref.ask(Do(lambda _: box.put("executed anyway")), timeout=0.005)
        gate.open()
        idle(ref)

        assert box.waiting == []
        assert system.counts["expired_messages"] == 5


# -- starting --------------------------------------------------------------------


@defect("D04")
class TestD04:
    """A failing on_start(): start() returns a ref as if all were well, no hook is called."""

    def test_the_start_is_acknowledged_and_terminate_runs(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet, starts=boom, ends=box.put)

        with pytest.raises(StartFailed) as caught:
            ref.wait_started()

        assert box.take() == caught.value.reason == ref.reason

    def test_so_it_is_in_a_drop_in(self, plain: type[Plain], box: Box) -> None:
        ref: Any = plain.start(starts=boom, fails=lambda: box.put("on_failure"))

        with pytest.raises(StartFailed):
            ref.wait_started(timeout=WITHIN_S)

        assert box.take() == "on_failure"


@defect("D08")
class TestD08:
    """A failed thread start leaves a registered, 'alive' ghost, and stop_all() hangs."""

    @staticmethod
    def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)

    def test_it_raises_and_leaves_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        system = ActorSystem("no-threads")
        self.without_threads(monkeypatch)

        with pytest.raises(RuntimeError, match="can't start new thread"):
            system.spawn(Puppet)

        assert system.roots == {}
        assert system.stop(timeout_s=WITHIN_S).is_clean

    def test_so_it_does_in_a_drop_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        process_system().stop()
        self.without_threads(monkeypatch)

        with pytest.raises(RuntimeError, match="can't start new thread"):
            Plain.start()

        assert pykka.ActorRegistry.get_all() == []
        assert process_system().roots == {}
        assert process_system().stop(timeout_s=WITHIN_S).is_clean


@defect("D11")
class TestD11:
    """__init__ runs in, and blocks, the thread that calls start()."""

    def test_it_runs_on_a_worker_and_blocks_nobody(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        class Slow(Puppet):
            def __init__(self) -> None:
                super().__init__()
                box.put(threading.current_thread())
                gate.wait()

        ref = system.spawn(Slow)

        assert box.take() is not threading.current_thread()
        assert not ref.is_started
        gate.open()
        ref.wait_started()

    def test_kept_for_drop_in(self, plain: type[Plain]) -> None:
        threads: list[threading.Thread] = []

        class Slow(plain):  # type: ignore[valid-type, misc]
            def __init__(self) -> None:
                super().__init__()
                threads.append(threading.current_thread())

        Slow.start()

        assert threads == [threading.current_thread()]


@defect("D29")
class TestD29:
    """An actor that never ran, or was collected, counts as alive; asking it hangs."""

    def test_there_is_no_ref_before_there_is_an_incarnation(self) -> None:
        assert not hasattr(Puppet(), "_actor_ref")

    def test_a_drop_in_that_was_collected_is_dead(self, plain: type[Plain]) -> None:
        ref = plain().actor_ref
        gc.collect()

        assert not ref.is_alive()
        with pytest.raises(pykka.ActorDeadError):
            ref.tell("x")
        with pytest.raises(pykka.ActorDeadError):
            ref.ask("x", timeout=WITHIN_S)


# -- ending ----------------------------------------------------------------------


@defect("D03")
class TestD03:
    """on_stop() is not called after a crash: cleanup must be written twice."""

    def test_terminate_runs_on_both_endings(self, system: ActorSystem, box: Box) -> None:
        crashing, stopping = (system.spawn(Puppet, ends=box.put).wait_started() for _ in range(2))

        reason = crash(crashing)
        stopping.stop()

        assert box.waiting == [reason, Normal()]

    def test_kept_for_drop_in(self, plain: type[Plain], box: Box) -> None:
        ref: Any = plain.start(
            stops=lambda: box.put("on_stop"), fails=lambda: box.put("on_failure")
        )

        ref.tell(Do(boom))
        reason_of(ref)

        assert box.waiting == ["on_failure"]


@defect("D05")
class TestD05:
    """One BaseException in one actor stops all the others."""

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
    def test_it_ends_that_actor_alone(self, system: ActorSystem, kind: type[BaseException]) -> None:
        def act(_actor: Any) -> None:
            raise kind

        others = [system.spawn(Puppet) for _ in range(50)]
        ref = system.spawn(Puppet)

        ref.tell(Do(act))
        reason_of(ref)

        assert [each.ask(Do(lambda _: 1)) for each in others] == [1] * 50

    def test_kept_for_drop_in(self, plain: type[Plain]) -> None:
        def act(_actor: Any) -> None:
            raise SystemExit

        ref, other = plain.start(), plain.start()

        ref.tell(Do(act))

        assert other.actor_stopped.wait(WITHIN_S)


@defect("D06")
class TestD06:
    """Asking an actor that raises a BaseException never returns."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_the_asker_gets_the_exception(self, system: ActorSystem, kind: type[Any]) -> None:
        def act(_actor: Any) -> None:
            raise SystemExit

        with pytest.raises(SystemExit):
            system.spawn(kind).ask(Do(act), timeout=WITHIN_S)

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_so_does_an_asker_that_is_an_actor(self, system: ActorSystem, kind: type[Any]) -> None:
        def act(_actor: Any) -> None:
            raise SystemExit

        bad = system.spawn(kind)

        def ask(_actor: Any) -> str:
            with pytest.raises(SystemExit):
                bad.ask(Do(act), timeout=WITHIN_S)
            return "got it"

        assert system.spawn(Puppet).ask(Do(ask), timeout=WITHIN_S) == "got it"


@defect("D07")
class TestD07:
    """A BaseException in on_start(): no thread, 'alive', registered; ask and stop_all hang."""

    def test_it_is_a_failed_start(self, system: ActorSystem) -> None:
        def starts(_actor: Any) -> None:
            raise SystemExit

        ref = system.spawn(Puppet, starts=starts)

        assert isinstance(reason_of(ref), Crashed)
        with pytest.raises(ActorDeadError):
            ref.ask(Do(lambda _: None))
        assert ref not in system.roots

    def test_so_it_is_in_a_drop_in(self, plain: type[Plain]) -> None:
        def starts() -> None:
            raise SystemExit

        ref: Any = plain.start(starts=starts)

        assert isinstance(reason_of(ref), Crashed)
        assert not ref.is_alive()
        assert ref not in pykka.ActorRegistry.get_all()
        with pytest.raises(pykka.ActorDeadError):
            ref.ask("x", timeout=WITHIN_S)


@defect("D17")
class TestD17:
    """Dead for others, and a second stop() answered, while on_stop() still runs."""

    def test_it_is_dead_when_its_cleanup_is_complete(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet, ends=lambda _: (box.put("cleaning"), gate.wait()))
        ref.wait_started()
        first = ref.stop(block=False)
        assert box.take() == "cleaning"

        second = ref.stop(block=False)

        assert ref.is_alive()
        assert not second.is_done
        gate.open()
        assert first.get()
        assert second.get()
        assert not ref.is_alive()

    def test_kept_for_drop_in(self, plain: type[Plain], gate: Gate, box: Box) -> None:
        ref = plain.start(stops=lambda: (box.put("cleaning"), gate.wait()))
        first = ref.stop(block=False)
        assert box.take() == "cleaning"

        assert not ref.is_alive()
        gate.open()
        assert first.get(timeout=WITHIN_S)


@defect("D18")
class TestD18:
    """stop() waits behind the whole backlog, and there is no kill."""

    def test_a_stop_overtakes_the_backlog(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn(Puppet)
        hold(ref, gate, box)
        for _ in range(500):
            ref.tell(Do(lambda _: box.put("processed before the stop")))

        stopped = ref.stop(block=False)
        gate.open()

        assert stopped.get()
        assert box.waiting == []

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_a_kill_ends_a_stuck_one(
        self, system: ActorSystem, gate: Gate, box: Box, kind: type[Any]
    ) -> None:
        ref = system.spawn(kind)
        hold(ref, gate, box)
        with pytest.raises(pykka.Timeout):
            ref.stop(timeout=0.005)

        ref.kill()

        assert not ref.is_alive()
        assert ref.reason == Killed()
        assert ref not in system.roots
        gate.open()

    def test_the_backlog_is_kept_for_drop_in(
        self, plain: type[Plain], gate: Gate, box: Box
    ) -> None:
        ref = plain.start()
        ref.tell(Do(gate.wait))
        for number in range(100):
            ref.tell(Do(put(box, number)))

        stopped = ref.stop(block=False)
        gate.open()

        assert stopped.get(timeout=WITHIN_S)
        assert box.waiting == list(range(100))


@defect("D19")
class TestD19:
    """stop_all(timeout=) raises at the first stuck actor; the others are never told."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_all_are_told_and_the_report_names_the_stuck_one(self, kind: type[Any]) -> None:
        system = ActorSystem("stuck")
        gate, box = Gate(system), Box(system)
        before = [system.spawn(kind) for _ in range(5)]
        stuck = system.spawn_named("stuck", kind)
        after = [system.spawn(kind) for _ in range(5)]
        hold(stuck, gate, box)

        report = system.stop(timeout_s=0.2)

        assert report.unstopped == ("stuck",)
        orderly = {Shutdown()}
        assert {each.reason for each in (*before, *after)} <= orderly
        assert stuck.reason == Killed()


@defect("D22")
class TestD22:
    """Children outlive a crashed parent."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_children_end_with_their_parent(self, system: ActorSystem, kind: type[Any]) -> None:
        class Parent(Trapping):
            def let_go(self, reason: Any) -> None:
                super().let_go(reason)
                for child in children:
                    child.exit_from(self.actor_ref, reason)

        parent = system.spawn(Parent)
        children = [system.start_child(parent, kind).wait_started() for _ in range(5)]

        crash(parent)

        for each in children:
            reason_of(each)

    def test_linked_actors_share_their_fate(self, system: ActorSystem) -> None:
        parent = system.spawn(Puppet)
        children = [system.spawn(Puppet) for _ in range(5)]
        for child in children:
            parent.ask(Do(partial(Puppet.link, target=child)))

        reason = crash(parent)

        assert [reason_of(each) for each in children] == [reason] * 5


@defect("D23")
class TestD23:
    """A ref has no exit reason, monitor or join; after a restart every old ref is dead."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_a_ref_has_them_and_an_address_answers_again(
        self, system: ActorSystem, box: Box, kind: type[Any]
    ) -> None:
        watcher = system.spawn(Puppet, hears=box.put)
        address = system.reserve("ada")
        old = system.start_child(None, kind, address=address).wait_started()
        number = watcher.ask(Do(lambda actor: actor.monitor(old)))

        old.exit(Shutdown("enough"))

        assert box.take() == Down(number, old, Shutdown("enough"))
        assert old.reason == Shutdown("enough")
        assert old.actor_stopped.wait(0)
        new = system.start_child(None, kind, address=address)
        assert address.ask(Do(lambda actor: actor.actor_ref)) is new

    def test_a_monitor_that_comes_too_late_says_so(self, system: ActorSystem, box: Box) -> None:
        watcher = system.spawn(Puppet, hears=box.put)
        ref = system.spawn(Puppet)
        ref.stop()

        number = watcher.ask(Do(lambda actor: actor.monitor(ref)))

        assert box.take() == Down(number, ref, NoActor())


@defect("D25")
class TestD25:
    """Setting actor_stopped strands the thread: dead to all, thread and registration leaked."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_it_stops_the_actor(self, system: ActorSystem, kind: type[Any]) -> None:
        ref = system.spawn(kind)

        ref.actor_stopped.set()

        assert ref.actor_stopped.wait(WITHIN_S)
        assert not ref.is_alive()
        assert ref not in system.roots
        assert ref not in pykka.ActorRegistry.get_all()


@defect("D30")
class TestD30:
    """stop() returns before the inbox is drained and the thread has ended."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_all_is_answered_when_it_returns(
        self, system: ActorSystem, gate: Gate, box: Box, kind: type[Any]
    ) -> None:
        ref = system.spawn(kind)
        hold(ref, gate, box)
        stopped = ref.stop(block=False)
        later = [ref.ask(Do(lambda _: None), block=False) for _ in range(5000)]
        gate.open()

        assert stopped.get(timeout=WITHIN_S)
        assert all(each.is_done for each in later)
        assert ref.mailbox_size == 0
        assert ref.actor is None

    def test_no_thread_is_left_when_the_system_has_stopped(self) -> None:
        with ActorSystem("joined") as system:
            for _ in range(20):
                idle(system.spawn(Puppet))

        assert not [each for each in threading.enumerate() if each.name.startswith("joined")]


# -- futures ---------------------------------------------------------------------


@defect("D12")
class TestD12:
    """Awaiting a future blocks the whole event loop, and wait_for cannot interrupt it."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_the_loop_goes_on_and_a_timeout_works(
        self, system: ActorSystem, gate: Gate, kind: type[Any]
    ) -> None:
        ref = system.spawn(kind)

        async def main() -> str:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await ref.ask(Do(gate.wait), block=False)
            answer = ref.ask(Do(lambda _: "answer"), block=False)
            gate.open()  # reached only because the loop is not blocked
            return str(await answer)

        assert asyncio.run(main()) == "answer"


class Clock:
    """A clock that goes on by a second with each wait."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def now_s(self) -> float:
        return self.time_s

    def block(self, future: Future[Any], until_s: float | None) -> None:
        self.time_s += 1.0
        if until_s is None or until_s >= self.time_s:
            future.offer(None)

    def awaited_in(self, loop: object, future: Future[Any]) -> None:
        """Take notice of a wait on an event loop; none is made here."""


@defect("D20")
class TestD20:
    """get_all(timeout=T) and join() give each future T: the call takes N times T."""

    def test_get_all_gives_all_of_them_together_the_time(self) -> None:
        clock = Clock()
        futures: list[Future[Any]] = [Future(blocker=clock) for _ in range(8)]

        with pytest.raises(Timeout):
            get_all(futures, timeout=2.5)

        assert clock.time_s == 3.0

    def test_join_does_too(self) -> None:
        clock = Clock()
        first, *others = (Future[Any](blocker=clock) for _ in range(8))

        with pytest.raises(Timeout):
            first.join(*others).get(timeout=2.5)

        assert clock.time_s == 3.0

    def test_a_drop_ins_futures_are_the_same(self, plain: type[Plain]) -> None:
        assert type(plain.start().ask("x", block=False)) is Future


@defect("D21")
class TestD21:
    """A second waiter on the same stop() or map() future: its timeout is ignored."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_each_waiter_has_its_own_timeout(
        self, system: ActorSystem, gate: Gate, box: Box, kind: type[Any]
    ) -> None:
        ref = system.spawn(kind)
        hold(ref, gate, box)
        mapped = ref.ask(Do(lambda _: 1), block=False).map(str)
        stopped = ref.stop(block=False)
        waiters = [
            threading.Thread(target=lambda each=each: (box.put("waits"), _quietly(each.get)))
            for each in (mapped, stopped)
        ]
        for each in waiters:
            each.start()
        assert box.take_many(2) == ["waits", "waits"]

        for future in (mapped, stopped):
            with pytest.raises(pykka.Timeout):
                future.get(timeout=0.01)

        gate.open()
        for each in waiters:
            each.join(WITHIN_S)


def _quietly(act: Callable[[], Any]) -> bool:
    try:
        act()
    except pykka.ActorDeadError:
        return False
    return True


# -- the process -----------------------------------------------------------------

_SUPERVISED = """
import time
from callboard.supervision import ActorSystem, SupervisedActor
class A(SupervisedActor):
    def on_stop(self):
        print("cleaned", flush=True)
system = ActorSystem("a")
system.spawn(A).wait_started()
"""

_PLAIN = """
import time
from callboard.supervision import PooledActor
class A(PooledActor):
    def on_stop(self):
        print("cleaned", flush=True)
A.start().proxy().actor_urn.get()
"""


@defect("D15")
class TestD15:
    """Non-daemon actor threads keep a failed or interrupted process alive."""

    @pytest.mark.parametrize("code", [_SUPERVISED, _PLAIN], ids=["supervised", "pooled"])
    def test_a_process_whose_main_part_failed_ends(self, code: str) -> None:
        ended = in_a_process(code + "raise SystemExit('main failed')")

        assert ended.returncode == 1
        assert "main failed" in ended.stderr

    @pytest.mark.parametrize("code", [_SUPERVISED, _PLAIN], ids=["supervised", "pooled"])
    def test_an_interrupted_process_ends(self, code: str) -> None:
        ended = in_a_process(code + "print('ready', flush=True)\ntime.sleep(60)", interrupts=True)

        assert ended.returncode != 0
        assert "KeyboardInterrupt" in ended.stderr


@defect("D16")
class TestD16:
    """With daemon threads the process exits, but on_stop() never runs."""

    @pytest.mark.parametrize("code", [_SUPERVISED, _PLAIN], ids=["supervised", "pooled"])
    def test_cleanup_runs_when_the_interpreter_exits(self, code: str) -> None:
        ended = in_a_process(code)

        assert ended.stdout.strip() == "cleaned"
        assert ended.returncode == 0
        assert ended.stderr == ""


_FORK_SUPERVISED = """
import asyncio, os, sys
from callboard.supervision import ActorSystem, PooledActor, SupervisedActor, SystemStopped, handles
async def await_it(): return await asked
class A(SupervisedActor):
    @handles(str)
    def echo(self, message): return message
system = ActorSystem("a")
ref = system.spawn(A)
assert ref.ask("x") == "x"
ref.suspend()
asked = ref.ask("before the fork", block=False, timeout=3600)
pid = os.fork()
if pid == 0:
    said = []
    for act in (asked.get, lambda: asyncio.run(await_it()), lambda: ref.ask("x"),
                lambda: ref.tell("x"), lambda: ref.tell("x"),
                lambda: ref.stop(), lambda: system.spawn(A)):
        try:
            act()
            said.append("accepted")
        except SystemStopped:
            said.append("refused")
    system.stop()
    fresh = ActorSystem("b")
    said.append(fresh.spawn(A).ask("works"))
    fresh.stop()
    print(*said, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
ref.resume()
assert asked.get() == "before the fork"
print(ref.ask("parent lives"), flush=True)
"""

_FORK_PLAIN = """
import os
import pykka
from callboard.supervision import PooledActor, SystemStopped
class A(PooledActor):
    def on_receive(self, message): return message
ref = A.start()
assert ref.ask("x") == "x"
pid = os.fork()
if pid == 0:
    said = []
    for act in (lambda: ref.ask("x"), lambda: ref.tell("x"), lambda: ref.tell("x")):
        try:
            act()
            said.append("accepted")
        except SystemStopped:
            said.append("refused")
    said.append(len(pykka.ActorRegistry.get_all()))
    pykka.ActorRegistry.stop_all()
    said.append(A.start().ask("works"))
    print(*said, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(ref.ask("parent lives"), flush=True)
"""


@defect("D26")
class TestD26:
    """After fork() the child is full of actors without threads; stop_all() hangs."""

    def test_a_childs_systems_refuse_at_once_and_a_fresh_one_works(self) -> None:
        ended = in_a_process(_FORK_SUPERVISED)

        assert ended.stdout.splitlines() == [
            "refused refused refused refused refused refused refused works",
            "parent lives",
        ], ended.stderr

    def test_so_does_a_drop_ins(self) -> None:
        ended = in_a_process(_FORK_PLAIN)

        assert ended.stdout.splitlines() == [
            "refused refused refused 0 works",
            "parent lives",
        ], ended.stderr

    def test_the_error_says_whose_the_system_is(self) -> None:
        assert issubclass(SystemStopped, pykka.ActorDeadError) or SystemStopped.remedy


# -- size and speed ----------------------------------------------------------------


@defect("D10")
class TestD10:
    """One OS thread per actor: 22 kB each, and a ceiling at some 22,000."""

    @pytest.mark.parametrize("kind", [Puppet, Plain])
    def test_thousands_of_actors_share_a_few_threads(
        self, system: ActorSystem, kind: type[Any]
    ) -> None:
        before = threading.active_count()

        refs = [system.spawn(kind) for _ in range(5000)]
        answers = [ref.ask(Do(lambda _: 1), block=False) for ref in refs]

        assert sum(each.get(timeout=WITHIN_S) for each in answers) == 5000
        assert threading.active_count() - before < 50


@defect("D13")
class TestD13:
    """Registry lookups and removals cost O(N) under one lock."""

    def test_a_name_is_found_and_an_actor_forgotten_by_one_step_in_a_dictionary(
        self, system: ActorSystem
    ) -> None:
        ref = system.spawn_named("ada", Puppet)

        assert type(system.names) is dict
        assert type(system.roots) is dict
        assert system.lookup == system.names.get
        ref.stop()
        assert ref not in system.roots
        assert "ada" not in system.names

    def test_supervised_actors_are_not_in_pykkas_registry(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet).wait_started()

        assert ref not in pykka.ActorRegistry.get_all()

    def test_kept_for_drop_in(self, plain: type[Plain]) -> None:
        ref = plain.start()

        assert ref in pykka.ActorRegistry.get_all()


@defect("D31")
class TestD31:
    """A thousand crashes write a thousand tracebacks through one logging lock."""

    def test_a_crash_formats_and_logs_nothing(
        self, system: ActorSystem, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)

        for _ in range(10):
            crash(system.spawn(Puppet))

        assert caplog.records == []

    def test_its_reason_is_a_short_walk_not_a_formatted_traceback(
        self, system: ActorSystem
    ) -> None:
        def deep(depth: int) -> None:
            if depth == 0:
                boom()
            deep(depth - 1)

        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: deep(100)))

        reason = reason_of(ref)
        assert isinstance(reason, Crashed)
        assert len(reason.walk) <= 12
        assert list(reason.walk)[-1].name == "boom"

    def test_kept_for_drop_in(self, plain: type[Plain], caplog: pytest.LogCaptureFixture) -> None:
        ref: Any = plain.start()

        ref.tell(Do(boom))
        reason_of(ref)

        assert [each.exc_info is not None for each in caplog.records] == [True]


@defect("D32")
class TestD32:
    """ref.proxy() examines every attribute of the actor, in the caller's thread, each time."""

    def test_a_proxy_looks_at_nothing_until_it_is_used(
        self, system: ActorSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ref = system.spawn(Methods).wait_started()
        looked_at: list[str] = []
        monkeypatch.setattr(Methods, "__dir__", lambda _self: looked_at)

        proxy = ref.proxy()

        assert proxy._known_attrs == {}
        assert proxy.answer().get() == 42
        assert list(proxy._known_attrs) == [("answer",)]
        assert looked_at == []

    def test_kept_for_drop_in(self, plain: type[Plain]) -> None:
        proxy: Any = plain.start().proxy()

        assert len(proxy._known_attrs) > 5


class Marked:
    """Which defects this file has tests for."""

    @staticmethod
    def ids(request: pytest.FixtureRequest) -> set[str]:
        module: Any = request.module
        marks = [
            mark
            for member in vars(module).values()
            if isinstance(member, type)
            for mark in getattr(member, "pytestmark", [])
        ]
        return {mark.args[0] for mark in marks if mark.name == "pykka_defect"}


def test_every_one_of_the_32_defects_has_its_tests(request: pytest.FixtureRequest) -> None:
    assert Marked.ids(request) == {f"D{number:02}" for number in range(1, 33)}


def test_what_is_kept_for_drop_in_names_the_test_of_pykkas_suite_that_demands_it(
    request: pytest.FixtureRequest,
) -> None:
    kept = {
        f"D{name[-2:]}"
        for name, member in vars(request.module).items()
        if name.startswith("TestD") and any("kept_for_drop_in" in each for each in vars(member))
    }

    assert kept == set(KEPT)
