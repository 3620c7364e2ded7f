"""Why an actor ends, and in what order."""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
import gc
import weakref
from typing import Any

import msgspec
import pytest

from callboard.supervision import (
    ActorCrashed,
    ActorDeadError,
    ActorSystem,
    Crashed,
    ExitReason,
    InvalidSpec,
    Killed,
    Normal,
    Shutdown,
)
from tests.runtime.kit import Boom, Box, Do, Gate, Puppet, boom, crash, idle, reason_of, refuse


class TestAnExitReason:
    def test_of_a_stop_is_normal(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        ref.stop()

        assert ref.reason == Normal()

    def test_of_an_exit_is_shutdown(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        ref.exit()

        assert reason_of(ref) == Shutdown()

    def test_may_be_given(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        ref.exit(Shutdown("enough"))

        assert reason_of(ref) == Shutdown("enough")

    def test_of_a_kill_is_killed(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        ref.kill()

        assert ref.reason == Killed()

    def test_of_a_crash_says_what_and_where(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        reason = crash(ref)

        assert isinstance(reason, Crashed)
        assert (reason.error, reason.message) == ("Boom", "as it was told to")
        assert reason.walk[-1].name == "boom"
        assert reason.walk[-1].file.endswith("kit.py")

    def test_may_be_chosen_by_the_actor_itself(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, ends=box.put).wait_started()

        ref.tell(Do(lambda actor: actor.stop(Shutdown("my own"))))

        assert reason_of(ref) == Shutdown("my own")
        assert box.take() == Shutdown("my own")

    @pytest.mark.parametrize("nonsense", ["because", 1, ValueError()], ids=repr)
    def test_that_is_none_is_refused(self, system: ActorSystem, nonsense: Any) -> None:
        ref = system.spawn(Puppet)

        with pytest.raises(InvalidSpec, match="reason="):
            ref.exit(nonsense)
        with pytest.raises(InvalidSpec, match="reason="):
            ref.stop(reason=nonsense)

        assert ref.ask(Do(lambda _: "alive")) == "alive"

    def test_is_the_first_one_given(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn(
            Puppet, ends=lambda reason: (box.put(reason), gate.wait())
        ).wait_started()
        ref.exit(Shutdown("first"))
        assert box.take() == Shutdown("first")

        ref.exit(Shutdown("second"))
        gate.open()

        assert reason_of(ref) == Shutdown("first")

    def test_is_a_value_that_can_be_stored(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        reason = crash(ref)

        stored = msgspec.json.encode(reason)
        assert msgspec.json.decode(stored, type=ExitReason) == reason

    def test_does_not_keep_the_dead_actor_in_memory(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)
        actor = weakref.ref(ref.ask(Do(lambda actor: actor)))

        with pytest.raises(Boom):
            ref.ask(Do(boom))
        reason_of(ref)
        idle(system.spawn(Puppet))
        gc.collect()

        assert actor() is None

    def test_of_an_exception_whose_text_raises_is_still_a_crash(self, system: ActorSystem) -> None:
        class Unprintable(Exception):
            def __str__(self) -> str:
                raise ValueError("no text")

        def act(_actor: Any) -> None:
            raise Unprintable

        ref = system.spawn(Puppet)
        ref.tell(Do(act))

        reason = reason_of(ref)
        assert isinstance(reason, Crashed)
        assert "unprintable" in reason.message


class TestAnOrderlyStop:
    def test_says_whether_there_was_something_to_stop(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet)

        assert ref.stop() is True
        assert ref.stop() is False

    def test_overtakes_what_waits(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        ref = system.spawn(Puppet)
        ref.tell(Do(lambda _: (box.put("in hand"), gate.wait())))
        box.take()
        for _ in range(100):
            ref.tell(Do(lambda _: box.put("handled")))

        stopped = ref.stop(block=False)
        gate.open()

        assert stopped.get() is True
        assert box.waiting == []
        assert system.dead_letters.count == 100

    def test_lets_the_message_in_hand_be_finished(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet)
        answer = ref.ask(
            Do(lambda _: (box.put("in hand"), gate.wait(), "finished")[-1]), block=False
        )
        box.take()

        ref.exit()
        gate.open()

        assert answer.get() == "finished"

    def test_returns_when_cleanup_is_complete(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, ends=lambda _: box.put("cleaned")).wait_started()

        ref.stop()

        assert box.waiting == ["cleaned"]

    def test_asked_for_twice_waits_for_the_end_both_times(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(Puppet, ends=lambda _: (box.put("cleaning"), gate.wait())).wait_started()
        first = ref.stop(block=False)
        box.take()

        second = ref.stop(block=False)

        assert ref.is_alive()
        assert not second.is_done
        gate.open()
        assert first.get()
        assert second.get()
        assert not ref.is_alive()

    def test_before_the_start_is_complete_waits_for_it(
        self, system: ActorSystem, gate: Gate, box: Box
    ) -> None:
        ref = system.spawn(
            Puppet, starts=lambda _: (box.put("starting"), gate.wait()), ends=box.put
        )
        assert box.take() == "starting"

        ref.exit()
        assert ref.is_alive()
        gate.open()

        assert reason_of(ref) == Shutdown()
        assert box.take() == Shutdown()

    def test_by_itself_happens_after_the_message_in_hand(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Puppet)

        answer = ref.ask(Do(lambda actor: (actor.stop(), box.put("went on"), "answer")[-1]))

        assert answer == "answer"
        assert reason_of(ref) == Normal()
        assert box.waiting == ["went on"]

    def test_is_not_waited_for_by_tell(self, system: ActorSystem, gate: Gate) -> None:
        ref = system.spawn(Puppet, ends=gate.wait).wait_started()

        ref.exit()

        assert ref.is_alive()
        gate.open()
        reason_of(ref)

    @pytest.mark.parametrize("is_fatal", [False, True])
    def test_is_told_to_the_others_when_one_promise_about_it_cannot_be_kept(
        self, system: ActorSystem, box: Box, *, is_fatal: bool
    ) -> None:
        ref = system.spawn(Puppet).wait_started()
        ref.when_dead("broken", boom, is_fatal=is_fatal)
        ref.when_dead("kept", box.put, is_fatal=is_fatal)

        ref.stop()

        assert box.take() == Normal()
        assert system.counts["broken_promises"] == 1


class TestTerminate:
    def test_runs_once_on_an_orderly_end(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, ends=box.put).wait_started()

        ref.stop()
        ref.stop()

        assert box.waiting == [Normal()]

    def test_runs_once_on_a_crash(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, ends=box.put).wait_started()

        reason = crash(ref)

        assert box.waiting == [reason]

    def test_runs_after_a_crash_in_on_start(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, starts=boom, ends=box.put)

        reason = reason_of(ref)

        assert box.waiting == [reason]
        assert isinstance(reason, Crashed)

    def test_does_not_run_after_a_kill(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, ends=box.put).wait_started()

        ref.kill()

        assert reason_of(ref) == Killed()
        assert box.waiting == []

    def test_that_raises_gives_the_exit_reason(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet, ends=boom).wait_started()

        ref.exit()

        reason = reason_of(ref)
        assert isinstance(reason, Crashed)
        assert reason.error == "Boom"

    @pytest.mark.parametrize("reason", [Normal(), Shutdown("bye")], ids=str)
    def test_may_end_with_another_reason(self, system: ActorSystem, reason: ExitReason) -> None:
        ref = system.spawn(Puppet, ends=lambda _: reason).wait_started()

        ref.exit()

        assert reason_of(ref) == reason

    def test_that_is_async_may_end_with_another_reason(self, system: ActorSystem) -> None:
        async def ends(_: ExitReason) -> ExitReason:
            return Normal()

        ref = system.spawn(Puppet, ends=ends).wait_started()

        ref.exit()

        assert reason_of(ref) == Normal()

    def test_after_a_failed_start_keeps_why_it_failed(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet, starts=boom, ends=lambda _: Normal())
        other = system.spawn(Puppet, starts=boom, ends=refuse)

        for each in (reason_of(ref), reason_of(other)):
            assert isinstance(each, Crashed)
            assert each.error == Boom.__name__

    def test_has_a_time_of_its_own_whoever_waited_for_the_message(
        self, system: ActorSystem, box: Box, gate: Gate
    ) -> None:
        store = system.spawn(Puppet, hears=lambda _: "saved")
        never = system.spawn(Puppet, hears=gate.wait)
        ref = system.spawn(Puppet, ends=lambda _: box.put(store.ask("the state")))

        ref.ask(Do(lambda _: never.ask("x")), timeout=0.01, block=False)

        assert box.take() == "saved"
        gate.open()

    def test_keeps_the_reason_when_it_returns_anything_else(self, system: ActorSystem) -> None:
        ref = system.spawn(Puppet, ends=lambda _: "done").wait_started()

        ref.exit()

        assert reason_of(ref) == Shutdown()

    def test_finds_the_mailbox_closed(self, system: ActorSystem, box: Box) -> None:
        def ends(_reason: ExitReason) -> None:
            try:
                ref.tell("to myself")
            except ActorDeadError:
                box.put("closed")

        ref = system.spawn(Puppet, ends=ends).wait_started()

        ref.stop()

        assert box.take() == "closed"

    def test_may_ask_others(self, system: ActorSystem, box: Box) -> None:
        other = system.spawn(Puppet)
        ref = system.spawn(
            Puppet, ends=lambda _: box.put(other.ask(Do(lambda _: "answer")))
        ).wait_started()

        ref.stop()

        assert box.waiting == ["answer"]

    def test_calls_on_stop_by_default_when_the_end_is_orderly(
        self, system: ActorSystem, box: Box
    ) -> None:
        ref = system.spawn(Hooks, box).wait_started()

        ref.stop()

        assert box.waiting == ["on_stop"]

    def test_calls_on_failure_by_default_after_a_crash(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Hooks, box).wait_started()

        crash(ref)

        assert box.waiting == ["on_failure CrashedError"]

    def test_runs_after_a_start_that_raised(self, system: ActorSystem, box: Box) -> None:
        ref = system.spawn(Puppet, starts=boom, ends=box.put)

        reason = reason_of(ref)

        assert isinstance(reason, Crashed)
        assert reason.error == "Boom"
        assert box.waiting == [reason]

    def test_awaits_the_async_hooks_that_it_calls_by_default(
        self, system: ActorSystem, box: Box
    ) -> None:
        system.spawn(AsyncHooks, box).wait_started().stop()
        crash(system.spawn(AsyncHooks, box).wait_started())

        assert box.waiting == ["on_stop", "on_failure"]

    def test_may_be_async(self, system: ActorSystem, gate: Gate, box: Box) -> None:
        async def ends(_reason: ExitReason) -> None:
            await gate.passed()
            box.put("cleaned")

        ref = system.spawn(Puppet, ends=ends).wait_started()
        ref.exit()

        assert ref.is_alive()
        gate.open()

        assert reason_of(ref) == Shutdown()
        assert box.waiting == ["cleaned"]


class Hooks(Puppet):
    def __init__(self, box: Box) -> None:
        super().__init__()
        self.box = box

    def terminate(self, reason: ExitReason) -> Any:
        return super(Puppet, self).terminate(reason)

    def on_stop(self) -> None:
        self.box.put("on_stop")

    def on_failure(self, exception_type: Any, exception_value: Any, traceback: Any) -> None:
        del exception_value, traceback
        self.box.put(f"on_failure {exception_type.__name__}")


class AsyncHooks(Hooks):
    async def on_stop(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # pykka's is plain
        self.box.put("on_stop")

    async def on_failure(self, *_error: Any) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # pykka's is plain
        self.box.put("on_failure")


class TestACrash:
    def test_is_an_event_with_the_reason(self) -> None:
        events: list[object] = []
        with ActorSystem("watched", on_event=events.append) as system:
            ref = system.spawn_named("ada", Puppet)

            reason = crash(ref)

        assert [each for each in events if isinstance(each, ActorCrashed)] == [
            ActorCrashed("ada", 1, reason)
        ]

    def test_is_none_when_the_end_is_orderly(self) -> None:
        events: list[object] = []
        with ActorSystem("watched", on_event=events.append) as system:
            system.spawn(Puppet).stop()

        assert events == []

    def test_in_the_event_hook_is_counted_and_hurts_nobody(self) -> None:
        with ActorSystem("watched", on_event=boom) as system:
            ref, other = system.spawn(Puppet), system.spawn(Puppet)

            crash(ref)

            assert other.ask(Do(lambda _: "alive")) == "alive"
            assert system.counts["failed_hooks"] == 1
