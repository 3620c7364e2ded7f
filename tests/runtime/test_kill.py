"""Ending an incarnation now: dead for everyone at once, running Python code interrupted."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from callboard.supervision import (
    ActorDeadError,
    ActorRef,
    ActorSystem,
    Address,
    FencedError,
    HandlerAbandoned,
    Killed,
    Settings,
)
from callboard.supervision.runtime.interrupts import KillSignal
from callboard.supervision.runtime.pool import Worker
from tests.runtime.kit import (
    WITHIN_S,
    AsyncPuppet,
    Await,
    Box,
    Do,
    Gate,
    Pinned,
    Puppet,
    Short,
    idle,
    put,
    reason_of,
    threads_only,
)


class Stubborn(Puppet):
    interruptible = False


class Hesitant(Address[Any]):
    """Where a kill is slow: dead is dead, but the asker has not been told yet."""

    happens: Callable[[], None] | None = None

    def killed_error(self) -> Exception | None:
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return None


class Spin:
    """A handler that computes until it is struck or told to stop."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.is_over = False

    def __call__(self, _actor: Any) -> None:
        self.box.put("spinning")
        try:
            self.spin()
        except BaseException as error:
            self.box.put(type(error).__name__)
            raise

    def spin(self) -> None:
        """Compute. Apart: in 3.13 what strikes a loop's jump back escapes the `try` around it."""
        while not self.is_over:
            pass


class TestAKill:
    def test_makes_the_actor_dead_at_once(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        box.take()

        ref.kill()

        assert ref.is_dead
        assert not ref.is_alive()
        assert ref.reason == Killed()
        gate.open()

    def test_twice_is_a_kill_once(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)
        watcher = system.spawn(Puppet, hears=box.put)
        watcher.ask(Do(lambda actor: actor.monitor(ref)))

        ref.kill()
        ref.kill()
        idle(watcher)

        assert len(box.waiting) == 1

    def test_of_one_that_has_ended_changes_nothing(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        ref.stop()
        reason = ref.reason

        ref.kill()

        assert ref.reason == reason

    def test_answers_the_asker_of_the_message_in_hand(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        answer = ref.ask(Do(lambda _: (box.put("in hand"), gate.wait())), block=False)
        box.take()

        ref.kill()

        with pytest.raises(ActorDeadError, match="killed while handling"):
            answer.get(timeout=0)
        gate.open()

    def test_answers_those_that_wait(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        box.take()
        waiting = [ref.ask(Do(lambda _: None), block=False) for _ in range(10)]

        ref.kill()

        for each in waiting:
            with pytest.raises(ActorDeadError):
                each.get(timeout=0)
        gate.open()

    @threads_only
    def test_interrupts_a_handler_that_computes(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)
        ref.tell(Do(Spin(box)))
        assert box.take() == "spinning"

        ref.kill()

        assert box.take() == "KillSignal"

    @threads_only
    def test_lets_the_killed_handlers_finally_run(self, system: ActorSystem, box: Box) -> None:
        def act(_actor: Any) -> None:
            box.put("spinning")
            try:
                Spin(box).spin()
            finally:
                box.put("finally")

        ref = system.spawn(Puppet)
        ref.tell(Do(act))
        box.take()

        ref.kill()

        assert box.take() == "finally"

    def test_wakes_a_handler_that_waits_for_an_answer(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        other = system.spawn(Puppet)

        def act(_actor: Any) -> None:
            box.put("asking")
            try:
                other.ask(Do(gate.wait), timeout=1000)
            except BaseException as error:
                box.put(type(error).__name__)
                raise

        ref = system.spawn(Puppet)
        ref.tell(Do(act))
        box.take()

        ref.kill()

        assert box.take() == "KillSignal"
        gate.open()

    def test_cancels_an_async_handler(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        async def act(_actor: Any) -> None:
            box.put("awaiting")
            try:
                await gate.passed()
            except BaseException as error:
                box.put(type(error).__name__)
                raise

        ref = system.spawn(AsyncPuppet)
        answer = ref.ask(Await(act), block=False)
        box.take()

        ref.kill()

        with pytest.raises(ActorDeadError):
            answer.get(timeout=0)
        assert box.take() == "CancelledError"

    def test_in_the_middle_of_the_start_fails_it(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet, starts=lambda _: (box.put("starting"), gate.wait()))
        box.take()

        ref.kill()
        gate.open()

        assert not ref.is_started
        assert ref.reason == Killed()

    def test_before_the_start_keeps_the_actor_from_being_made(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet, starts=lambda _: box.put("started"))

        ref.kill()

        idle(system.spawn(Puppet))
        assert ref.reason == Killed()
        assert box.waiting in ([], ["started"])

    @threads_only
    def test_in_terminate_ends_it_there(self, system: ActorSystem, box: Box) -> None:
        def ends(_reason: object) -> None:
            box.put("cleaning")
            try:
                Spin(box).spin()
            except BaseException as error:
                box.put(type(error).__name__)
                raise

        ref = system.spawn(Puppet, ends=ends).wait_started()
        ref.exit()
        box.take()

        ref.kill()

        assert ref.is_dead
        assert ref.reason == Killed()
        assert box.take() == "KillSignal"

    @threads_only
    def test_by_the_actor_itself_ends_its_handler(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet)

        def act(actor: Any) -> None:
            actor.actor_ref.kill()
            Spin(box)(actor)

        ref.tell(Do(act))

        assert box.take_many(2) == ["spinning", "KillSignal"]

    @threads_only
    def test_of_a_pinned_actor_interrupts_it_too(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Pinned)
        ref.tell(Do(Spin(box)))
        box.take()

        ref.kill()

        assert box.take() == "KillSignal"


_KILLS_AND_TRACES = """
import resource, sys, threading
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))  # it is a loop in C that must not begin
from callboard.supervision import ActorSystem, SupervisedActor
spins, ended = threading.Event(), threading.Event()
class Spinner(SupervisedActor):
    def on_receive(self, message):
        try:
            while True:
                spins.set()
        finally:
            ended.set()
with ActorSystem() as system:
    ref = system.spawn(Spinner)
    ref.tell("spin")
    spins.wait()
    ref.kill()
    ended.wait()
    system.spawn(Spinner).stop()  # the worker has let go
def function():
    return "traced"
sys.settrace(lambda *_: None)
print(function())
"""


def test_after_a_kill_a_debugger_may_come() -> None:
    command = [sys.executable, "-c", _KILLS_AND_TRACES]
    paths = os.pathsep.join(sys.path)

    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=True
    )

    assert done.stdout == "traced\n"


class TestAKillNeverStrikes:
    def test_the_next_actor_on_the_same_worker(self) -> None:
        with ActorSystem("one-worker", settings=Settings(workers_max=1)) as system:
            for _ in range(50):
                box = Box(system)
                ref, innocent = system.spawn(Puppet), system.spawn(Puppet)
                ref.tell(Do(put(box, "in hand")))
                box.take()
                ref.kill()
                assert innocent.ask(Do(lambda _: sum(range(2000)))) == 1999000

    @threads_only
    def test_the_next_actor_though_it_is_tried_again_when_the_handler_has_ended(
        self, system: ActorSystem, box: Box
    ) -> None:
        """What was sent first is on its way still; the worker must know, to take it back."""
        is_over = threading.Lock()
        is_over.acquire()
        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), is_over.acquire())))
        box.take()
        worker = ref.runner
        assert isinstance(worker, Worker)
        ref.kill()
        assert worker.strike(ref)  # not delivered as long as the handler waits

        worker.target = None  # as the worker does next
        assert not worker.strike(ref)

        assert worker.is_struck
        is_over.release()

    @threads_only
    def test_a_class_that_opts_out(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Stubborn)
        spin = Spin(box)

        def act(actor: Any) -> None:
            spin(actor)
            box.put("ended by itself")

        ref.tell(Do(act))
        box.take()

        ref.kill()
        idle(system.spawn(Puppet))
        spin.is_over = True

        assert box.take() == "ended by itself"

    @threads_only
    def test_an_innocent_actor_that_its_thread_runs_by_hand_off(
        self, system: ActorSystem, box: Box
    ) -> None:
        innocent = system.spawn(Short).wait_started()
        idle(innocent)
        spin = Spin(box)

        def run(actor: Any) -> str:
            spin(actor)
            box.put("innocent done")
            return "done"

        asker = system.spawn(Puppet)
        asker.tell(Do(lambda _: (innocent.ask(Do(run)), box.put("the killed one went on"))))
        assert box.take() == "spinning"

        asker.kill()
        idle(system.spawn(Puppet))
        spin.is_over = True

        assert box.take() == "innocent done"
        assert innocent.ask(Do(lambda _: "alive")) == "alive"
        assert box.waiting == []

    @threads_only
    def test_a_thread_of_the_host(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Short).wait_started()
        idle(ref)
        spin = Spin(box)

        def kill_soon() -> None:
            box.take()
            ref.kill()
            spin.is_over = True

        killer = threading.Thread(target=kill_soon)
        killer.start()
        with pytest.raises(ActorDeadError, match="killed"):
            ref.ask(Do(spin))
        killer.join(WITHIN_S)

        assert box.waiting == []


class TestAKilledHandler:
    """Law 4: what an incarnation that is no longer current still does is refused and counted."""

    @staticmethod
    def zombie(system: ActorSystem, box: Box, gate: Gate, does: Any) -> ActorRef[Any]:
        """Return a killed actor whose handler goes on with `does` when the gate opens."""

        def act(actor: Any) -> None:
            box.put("in hand")
            with suppress(KillSignal):  # what no handler must do: to see that it does no harm
                gate.wait()
            try:
                box.put(does(actor))
            except BaseException as error:  # noqa: BLE001 -- the test looks at it
                box.put(error)

        ref = system.spawn(Stubborn)
        ref.tell(Do(act))
        assert box.take() == "in hand"
        ref.kill()
        gate.open()
        return ref

    def test_may_not_tell(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        heard = Box(system)
        other = system.spawn(Puppet, hears=heard.put)

        self.zombie(system, box, gate, lambda _: other.tell("from a ghost"))

        assert isinstance(box.take(), FencedError)
        idle(other)
        assert heard.waiting == []
        assert system.counts["fenced_sends"] == 1

    def test_may_not_ask(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        other = system.spawn(Puppet)

        self.zombie(system, box, gate, lambda _: other.ask(Do(lambda _: None)))

        assert isinstance(box.take(), FencedError)

    @pytest.mark.parametrize("bind", ["link", "monitor"])
    def test_may_not_bind_itself_to_others(
        self, system: ActorSystem, box: Box, gate: Gate, bind: str
    ) -> None:
        other = system.spawn(Puppet).wait_started()

        def does(actor: Any) -> Any:
            return getattr(actor, bind)(other)

        self.zombie(system, box, gate, does)

        assert isinstance(box.take(), FencedError)
        assert not other.bonds

    @pytest.mark.parametrize("bind", ["link", "monitor"])
    def test_leaves_no_bond_when_it_is_killed_while_it_binds_itself(
        self, system: ActorSystem, box: Box, monkeypatch: pytest.MonkeyPatch, bind: str
    ) -> None:
        other = system.spawn_named("other", Puppet).wait_started()
        before = dict(other.bonds or {})
        lookup = system.lookup

        def act(actor: Any) -> None:
            def killing(name: str) -> Any:
                actor.actor_ref.kill()
                return lookup(name)

            monkeypatch.setattr(system, "lookup", killing)
            try:
                getattr(actor, bind)("other")
            except FencedError as error:
                box.put(error)

        system.spawn(Stubborn).tell(Do(act))

        assert isinstance(box.take(), FencedError)
        assert other.bonds == before

    def test_may_not_send_by_an_address(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        address = system.reserve("kept", keeps_mailbox=True)

        self.zombie(system, box, gate, lambda _: address.tell("from a ghost"))

        assert isinstance(box.take(), FencedError)
        assert address.mailbox_size == 0

    def test_may_not_ask_by_an_address(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        address = system.reserve("kept", keeps_mailbox=True)

        self.zombie(system, box, gate, lambda _: address.ask("from a ghost", block=False))

        assert isinstance(box.take(), FencedError)
        assert address.mailbox_size == 0

    def test_may_not_hand_off(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        other = system.spawn(Short).wait_started()
        idle(other)

        self.zombie(system, box, gate, lambda _: other.ask(Do(lambda _: "handed off")))

        assert isinstance(box.take(), FencedError)

    def test_may_not_start_others(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        self.zombie(system, box, gate, lambda _: system.spawn(Puppet))

        assert isinstance(box.take(), FencedError)

    def test_cannot_give_a_reply_any_more(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        ref = system.spawn(Stubborn)

        def act(_actor: Any) -> str:
            box.put("in hand")
            try:
                gate.wait()
            except KillSignal:
                box.put("woken")
            return "from a ghost"

        answer = ref.ask(Do(act), block=False)
        box.take()
        ref.kill()
        gate.open()
        box.take()

        with pytest.raises(ActorDeadError):
            answer.get()

    def test_that_ends_its_turn_between_the_two_steps_is_let_go_of_all_the_same(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        """A supervisor, for one, takes its children along there."""

        class Letting(Stubborn):
            def let_go(self, reason: Any) -> None:
                super().let_go(reason)
                box.put("let go")

        address = system.names["ada"] = Hesitant(system, "ada")
        ref: Any = system.start_child(None, Letting, address=address)

        def act(_actor: Any) -> None:
            box.put("in hand")
            with suppress(KillSignal):
                gate.wait()

        def let_it_end() -> None:
            gate.open()
            other = system.spawn(Puppet)
            while ref.is_at_work:
                idle(other)

        ref.ask(Do(act), block=False)
        assert box.take() == "in hand"
        address.happens = let_it_end
        ref.kill()

        assert box.waiting == ["let go"]

    @threads_only
    def test_that_waits_in_a_hand_off_is_woken(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        never = system.spawn(Puppet, hears=gate.wait)
        short = system.spawn(Short)
        asker = system.spawn(Puppet)
        short.ask(Do(lambda _: None))

        def ask(_actor: Any) -> None:
            try:
                short.ask(Do(lambda _: (box.put("waits"), never.ask("x", timeout=WITHIN_S))))
            except ActorDeadError:
                box.put("woken")

        asker.tell(Do(ask))
        assert box.take() == "waits"
        short.kill()

        assert box.take() == "woken"
        gate.open()

    def test_cannot_reply_between_the_two_steps_of_a_kill(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        address = system.names["ada"] = Hesitant(system, "ada")
        ref: Any = system.start_child(None, Stubborn, address=address)

        def act(_actor: Any) -> str:
            box.put("in hand")
            with suppress(KillSignal):
                gate.wait()
            return "from a ghost"

        answer = ref.ask(Do(act), block=False)
        box.take()

        def let_it_reply() -> None:
            gate.open()
            with suppress(ActorDeadError):
                answer.get()

        address.happens = let_it_reply
        ref.kill()

        with pytest.raises(ActorDeadError):
            answer.get()
        assert system.counts["fenced_replies"] == 1

    def test_handles_no_further_message(self, system: ActorSystem, box: Box, gate: Gate) -> None:
        ref = system.spawn(Stubborn)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        box.take()
        ref.tell(Do(lambda _: box.put("handled after the kill")))

        ref.kill()
        gate.open()
        idle(system.spawn(Puppet))

        assert box.waiting == []
        assert system.dead_letters.count == 1


class TestAHandlerThatDoesNotYield:
    def test_is_abandoned_after_the_grace_and_its_worker_replaced(self) -> None:
        events: list[object] = []
        over = threading.Event()
        settings = Settings(kill_grace_s=0.05)
        with ActorSystem("graceless", settings=settings, on_event=events.append) as system:
            box = Box(system)
            system_events = _Until(system, events, HandlerAbandoned)
            ref = system.spawn_named("stuck", Puppet)
            ref.tell(Do(lambda _: (box.put("in hand"), over.wait(WITHIN_S))))
            box.take()

            ref.kill()

            abandoned = system_events.first()
            assert abandoned.name == "stuck"
            assert abandoned.is_replaced
            assert system.spawn(Puppet).ask(Do(lambda _: "served")) == "served"
            over.set()

    def test_comes_home_when_it_yields_after_all(self) -> None:
        events: list[object] = []
        over = threading.Event()
        settings = Settings(kill_grace_s=0.02)
        with ActorSystem("graceless", settings=settings, on_event=events.append) as system:
            box = Box(system)
            ref = system.spawn(Puppet)
            ref.tell(Do(lambda _: (box.put("in hand"), over.wait(WITHIN_S), box.put("home"))))
            box.take()
            ref.kill()
            _Until(system, events, HandlerAbandoned).first()

            over.set()

        assert system.stop().abandoned == ()

    def test_is_replaced_only_up_to_a_bound(self) -> None:
        events: list[object] = []
        over = threading.Event()
        settings = Settings(kill_grace_s=0.02, abandoned_max=1)
        with ActorSystem("graceless", settings=settings, on_event=events.append) as system:
            box = Box(system)
            refs = [system.spawn(Puppet) for _ in range(2)]
            for ref in refs:
                ref.tell(Do(lambda _: (box.put("in hand"), over.wait(WITHIN_S))))
            box.take_many(2)

            for ref in refs:
                ref.kill()

            until = _Until(system, events, HandlerAbandoned)
            assert [until.first().is_replaced, until.first().is_replaced] == [True, False]
            over.set()

    @pytest.mark.parametrize("is_abandoned", [False, True])
    def test_is_not_waited_for_by_a_stop_longer_than_the_grace(self, *, is_abandoned: bool) -> None:
        events: list[object] = []
        over = threading.Event()
        settings = Settings(kill_grace_s=0.05)
        system = ActorSystem("graceless", settings=settings, on_event=events.append)
        box = Box(system)
        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), over.wait(WITHIN_S))))
        box.take()
        ref.kill()
        if is_abandoned:
            _Until(system, events, HandlerAbandoned).first()

        began_s = system.clock.now_s()
        report = system.stop(timeout_s=WITHIN_S)

        assert system.clock.now_s() - began_s < WITHIN_S / 2
        assert report.unstopped == ()
        assert [name.startswith("graceless-") for name in report.abandoned] == [True]
        over.set()


class _Until:
    """Waits for an event of a kind, by the system's own timers."""

    def __init__(self, system: ActorSystem, events: list[object], kind: type[Any]) -> None:
        self._system = system
        self._events = events
        self._kind = kind
        self._seen = 0

    def first(self) -> Any:
        until_s = self._system.clock.now_s() + WITHIN_S
        while self._system.clock.now_s() < until_s:
            found = [each for each in self._events if isinstance(each, self._kind)]
            if len(found) > self._seen:
                self._seen += 1
                return found[self._seen - 1]
            tick = Gate(self._system)
            self._system.timers.call_at(self._system.clock.now_s() + 0.005, tick.open)
            tick.wait()
        pytest.fail(f"no {self._kind.__name__} came")


def test_a_killed_actor_is_reported_as_killed_to_those_who_wait_for_its_end(
    system: ActorSystem,
) -> None:
    ref = system.spawn(Puppet)

    ref.kill()

    assert reason_of(ref) == Killed()
