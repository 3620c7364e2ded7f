"""Races and load, in the thousands, on real threads. They assert what is right; times are printed.

`CALLBOARD_STRESS=short` makes them short. Each prints how often each ending came.
"""

from __future__ import annotations

# What a lambda or a fixture of pytest is given is typed nowhere: spawn(**kwargs), parametrize.
# pyright: reportUnknownLambdaType=false
import asyncio
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import count
from types import FrameType
from typing import Any, cast

import pykka
import pytest

from callboard.supervision import (
    ActorCrashed,
    ActorDeadError,
    ActorRef,
    ActorSystem,
    DeadLetter,
    Down,
    Killed,
    Settings,
    SupervisedActor,
    handles,
)
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.operations import Until
from callboard.supervision.runtime.pool import Pool, Worker
from tests.runtime.kit import AsyncPuppet, Await, Boom, Do, Puppet, Short

pytestmark = [
    pytest.mark.stress,
    # What strikes in a weakref callback of the standard library is lost there, and says so.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"
WITHIN_S = 60.0
ASK_S = 120.0


def many(count: int, *, short: int) -> int:
    """Return how many rounds to go."""
    return short if IS_SHORT else count


def report(what: str, began_s: float, **counts: Any) -> None:
    said = ", ".join(f"{name} {value}" for name, value in counts.items())
    print(f"\n{what}: {said}; {time.monotonic() - began_s:.1f} s")  # noqa: T201 -- the counts are the result


@pytest.fixture(params=[None, 1e-6], ids=["usual switches", "switching all the time"])
def switching(request: pytest.FixtureRequest) -> Iterator[float | None]:
    """Run with the interpreter's usual thread switches, and with as many as it can."""
    usual_s = sys.getswitchinterval()
    if request.param is not None:
        sys.setswitchinterval(request.param)
    yield request.param
    sys.setswitchinterval(usual_s)


@pytest.fixture(params=[1e-6, 5e-5], ids=["switching all the time", "switching often"])
def contended(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run with so many thread switches that short things meet."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(usual_s)


@pytest.fixture
def fallen() -> Iterator[list[str]]:
    """Collect what ended a thread; there must be nothing in it."""
    found: list[str] = []
    usual = threading.excepthook
    threading.excepthook = lambda args: found.append(
        f"{args.thread.name if args.thread else '?'}: "
        + "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
    )
    yield found
    threading.excepthook = usual
    assert found == []


class Counted(SupervisedActor):
    """Notes each message it begins to handle."""

    def __init__(self, begun: list[Any]) -> None:
        self.begun = begun

    @handles(int)
    def count(self, message: int) -> int:
        self.begun.append(message)
        return message

    @handles(str)
    def crash(self, _message: str) -> None:
        raise Boom


class CountedShort(Counted):
    hand_off = True


def _stop(ref: ActorRef[Any]) -> None:
    _ = ref.stop(block=False)


def _exit(ref: ActorRef[Any]) -> None:
    ref.exit()


def _crash(ref: ActorRef[Any]) -> Any:
    return ref.ask("crash", block=False)


def _kill(ref: ActorRef[Any]) -> None:
    ref.kill()


@pytest.mark.usefixtures("switching", "fallen")
@pytest.mark.parametrize("kind", [Counted, CountedShort])
@pytest.mark.parametrize("end", [_stop, _exit, _crash, _kill])
def test_every_ask_ends_whatever_ends_its_actor_and_when(
    kind: type[Counted], end: Callable[[ActorRef[Any]], Any]
) -> None:
    rounds = many(20_000, short=1_500)
    chance = random.Random(1)
    began_s = time.monotonic()
    system = ActorSystem("races", settings=Settings(ask_timeout_s=ASK_S))
    begun: list[Any] = []
    downs: list[Any] = []
    futures: list[Any] = []
    tells = [0, 0]
    current: list[ActorRef[Any]] = [system.spawn(kind, begun)]
    is_over = threading.Event()
    taken = threading.Semaphore(0)
    outcomes: Counter[str] = Counter()

    def sender(number: int) -> None:
        """Ask and tell whoever is the current one, a few times each."""
        last, left = current[0], 6
        while not is_over.is_set():
            ref = current[0]
            if ref is not last:
                last, left = ref, 6
            if not left:
                taken.release()
                time.sleep(0)
                continue
            left -= 1
            if left == 4:
                taken.release()
            if left % 3:
                futures.append(ref.ask(number, block=False))
                continue
            try:
                ref.tell(number)
                tells[number] += 1
            except ActorDeadError:
                outcomes["refused tells"] += 1

    senders = [threading.Thread(target=sender, args=(number,)) for number in range(2)]
    for each in senders:
        each.start()
    for _ in range(rounds):
        ref = system.spawn(kind, begun)
        assert ref.when_dead("stress", downs.append)
        while taken.acquire(blocking=False):
            pass
        current[0] = ref
        futures.append(ref.ask(0, block=False))
        if chance.random() < 0.7:
            assert taken.acquire(timeout=WITHIN_S)
        for _ in range(chance.randrange(1_000)):
            pass
        futures.append(end(ref) or ref.ask(0, block=False))
        futures.append(ref.ask(0, block=False))
    is_over.set()
    for each in senders:
        each.join(WITHIN_S)

    for future in futures:
        try:
            future.get(timeout=WITHIN_S)
            outcomes["answered"] += 1
        except ActorDeadError:
            outcomes["dead"] += 1
        except Boom:
            outcomes["crashed"] += 1
    current[0].exit()
    final = system.stop()
    answered_asks = len(futures)
    report(f"{end.__name__} {kind.__name__}", began_s, asks=answered_asks, **outcomes)

    assert final.is_clean
    assert len(downs) == rounds
    assert outcomes["answered"]
    assert outcomes["dead"]
    assert bool(outcomes["crashed"]) == (end is _crash)
    assert answered_asks >= rounds
    # Law 2: each tell that was taken was begun, or is a dead letter; none both.
    letters = system.dead_letters.count
    begun_tells = sum(tells) - letters
    assert begun_tells >= 0
    assert len(begun) >= begun_tells


@pytest.mark.usefixtures("contended", "fallen")
@pytest.mark.parametrize("end", [_stop, _crash, _kill])
def test_no_tell_that_was_taken_vanishes(end: Callable[[ActorRef[Any]], Any]) -> None:
    rounds = many(5_000, short=500)
    began_s = time.monotonic()
    told: list[object] = []
    system = ActorSystem("tells", on_event=told.append)
    begun: list[int] = []
    taken = Counter[int]()
    refs: list[ActorRef[Any]] = []
    for number in range(rounds):
        ref = system.spawn(Counted, begun)
        refs.append(ref)
        sent: list[int] = []

        def send(ref: ActorRef[Any] = ref, sent: list[int] = sent, number: int = number) -> None:
            for _ in range(20):
                try:
                    ref.tell(number)
                    sent.append(number)
                except ActorDeadError:
                    return
                time.sleep(0)

        sender = threading.Thread(target=send)
        sender.start()
        until_s = time.monotonic() + WITHIN_S
        while not sent and time.monotonic() < until_s:
            time.sleep(0)
        end(ref)
        sender.join(WITHIN_S)
        taken.update(sent)
    assert system.stop().is_clean
    letters = [each.message for each in told if isinstance(each, DeadLetter)]
    report(
        end.__name__,
        began_s,
        taken=taken.total(),
        begun=len(begun),
        letters=system.dead_letters.count,
    )

    vanished = taken - Counter(begun) - Counter(letters)
    # A kill may strike a handler before its first line, which would have noted that it has begun.
    struck = {number for number, ref in enumerate(refs) if end is _kill and ref.failed_on == "int"}
    assert set(vanished) <= struck
    assert vanished.total() <= rounds // 100
    assert len(begun) + len(letters) + vanished.total() == taken.total()
    assert system.dead_letters.count == len(letters)
    assert begun
    assert letters


@pytest.mark.usefixtures("contended", "fallen")
def test_a_kill_strikes_the_handler_it_is_for_and_nothing_else() -> None:
    rounds = many(100_000, short=4_000)
    began_s = time.monotonic()
    events: list[object] = []
    settings = Settings(ask_timeout_s=ASK_S)
    system = ActorSystem("kills", settings=settings, on_event=events.append)
    innocents = [system.spawn(Puppet) for _ in range(2)]
    struck: Counter[str] = Counter()
    endless = 0
    hurt: list[BaseException] = []
    is_over = threading.Event()

    begun = threading.Lock()
    begun.acquire()

    def work(numbers: Iterable[int]) -> Callable[[Any], None]:
        def act(_actor: Any) -> None:
            try:
                begun.release()
                for number in numbers:
                    abs(number)
                struck["ended by itself"] += 1
            except BaseException:
                struck["struck inside"] += 1
                raise

        return act

    def ask_innocents(innocent: ActorRef[Any]) -> None:
        while not is_over.is_set():
            try:
                assert innocent.ask(Do(lambda _: sum(range(200)))) == 19_900
                struck["innocent answers"] += 1
            except BaseException as error:  # noqa: BLE001 -- whatever it is, it must not be
                hurt.append(error)
                return

    askers = [threading.Thread(target=ask_innocents, args=(each,)) for each in innocents]
    for each in askers:
        each.start()
    chance = random.Random(2)
    for turn in range(rounds):
        ref = system.spawn(Puppet)
        # However fast the machine is, some are at work when the kill comes: those end by it alone.
        is_endless = turn % 8 == 0
        numbers = count() if is_endless else range(chance.randrange(3_000))
        endless += is_endless
        ref.tell(Do(work(numbers)))
        assert begun.acquire(timeout=WITHIN_S)
        for _ in range(chance.randrange(300)):
            pass
        runner = ref.runner
        ref.kill()
        if isinstance(runner, Worker) and runner.strike(ref):
            struck["aimed at"] += 1
    is_over.set()
    for each in askers:
        each.join(WITHIN_S)
    final = system.stop()
    report("kills", began_s, kills=rounds, **struck)

    assert hurt == []
    assert final.is_clean
    kills = [each for each in events if isinstance(each, ActorCrashed) and each.reason == Killed()]
    assert [each for each in events if each not in kills] == []
    assert struck["struck inside"] >= endless
    assert struck["ended by itself"]
    assert struck["aimed at"]


@pytest.mark.usefixtures("contended", "fallen")
def test_a_kill_of_an_asker_spares_the_actor_that_its_thread_runs_by_hand_off() -> None:
    rounds = many(5_000, short=300)
    began_s = time.monotonic()
    system = ActorSystem("innocents", settings=Settings(ask_timeout_s=ASK_S))
    innocent = system.spawn(Short).wait_started()
    begun, ended = [0], [0]

    def serve(_actor: Any) -> None:
        begun[0] += 1
        for number in range(200):
            abs(number)
        ended[0] += 1

    def live_in_hand_offs(_actor: Any) -> None:
        while True:
            innocent.ask(Do(serve))

    for number in range(rounds):
        asker = system.spawn(Puppet)
        asker.tell(Do(live_in_hand_offs))
        served = ended[0]
        until_s = time.monotonic() + WITHIN_S
        while ended[0] == served and time.monotonic() < until_s:
            pass
        for _ in range(number % 300):
            pass
        asker.kill()
    assert innocent.ask(Do(lambda _: "alive")) == "alive"
    final = system.stop()
    report("innocents", began_s, kills=rounds, served=ended[0])

    assert begun == ended
    assert final.is_clean
    assert innocent.reason != Killed()


class Interrupted(BaseException):
    """What a signal raises in the main thread, as Ctrl-C does."""


armed = [False]
"""Whether the alarm may strike; cleared by a plain store, at which no signal is looked at."""


def _raise(_number: int, _frame: FrameType | None) -> None:
    if armed[0]:
        raise Interrupted


@pytest.fixture
def alarm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Raise `Interrupted` in the main thread after so many seconds, while `armed`."""
    report = sys.unraisablehook

    def report_others(unraisable: Any) -> None:
        # The next one might strike inside of pytest's report of this one, and break that.
        if unraisable.exc_type is not Interrupted:
            report(unraisable)

    monkeypatch.setattr(sys, "unraisablehook", report_others)
    usual = signal.signal(signal.SIGALRM, _raise)
    # Again after a while: one that strikes where Python cannot raise (in a gc callback) is lost.
    yield lambda after_s: (signal.setitimer(signal.ITIMER_REAL, after_s, 0.1), None)[1]
    armed[0] = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, usual)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("fallen")
@pytest.mark.parametrize("how", ["tell", "ask by hand-off", "ask through the pool"])
def test_a_sender_that_is_interrupted_leaves_no_receiver_stuck(
    alarm: Callable[[float], None], how: str
) -> None:
    rounds = many(3_000, short=400)
    chance = random.Random(3)
    began_s = time.monotonic()
    system = ActorSystem("interrupted", settings=Settings(ask_timeout_s=ASK_S, mailbox_max=10**9))
    kind = CountedShort if how == "ask by hand-off" else Counted
    system.spawn(Counted, []).ask(0)
    stuck = interrupted = 0
    for _ in range(rounds):
        begun: list[Any] = []
        ref = system.spawn(kind, begun)
        ref.wait_started(timeout=WITHIN_S)
        send: Callable[[int], object] = ref.tell if how == "tell" else ref.ask
        try:
            armed[0] = True
            alarm(chance.uniform(20e-6, 600e-6))
            while True:
                send(1)
        except Interrupted:
            armed[0] = False
            interrupted += 1
        finally:  # whatever came instead is not to be interrupted while it is reported
            armed[0] = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        if ref.is_dead or ref.reason is not None:
            continue  # an interrupt inside a handed-off handler ends the actor: that is not stuck
        try:
            ref.tell(2)
            assert ref.ask(3, timeout=WITHIN_S) == 3
        except pykka.Timeout:
            stuck += 1
        except ActorDeadError:
            continue
        ref.exit()
    final = system.stop(timeout_s=WITHIN_S)
    report(how, began_s, interrupted=interrupted, stuck=stuck)

    assert interrupted == rounds
    assert stuck == 0
    assert final.is_clean


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("fallen")
def test_a_system_whose_very_first_message_is_interrupted_still_works(
    alarm: Callable[[float], None],
) -> None:
    rounds = many(300, short=40)
    chance = random.Random(4)
    began_s = time.monotonic()
    interrupted = 0
    for _ in range(rounds):
        system = ActorSystem("first")
        try:
            armed[0] = True
            alarm(chance.uniform(10e-6, 1500e-6))
            while True:
                system.spawn(Puppet)
        except Interrupted:
            armed[0] = False
            interrupted += 1
        finally:  # whatever came instead is not to be interrupted while it is reported
            armed[0] = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        assert system.spawn(Puppet).ask(Do(lambda _: "works"), timeout=WITHIN_S) == "works"
        system.stop(timeout_s=WITHIN_S)
    report("first messages", began_s, interrupted=interrupted)

    assert interrupted == rounds


@pytest.mark.usefixtures("fallen")
def test_a_thousand_handlers_that_sleep_are_all_served() -> None:
    count = many(1_000, short=1_000)
    with ActorSystem("sleepers") as system:
        refs = [system.spawn(Puppet) for _ in range(count)]
        began_s = time.monotonic()
        answers = [
            ref.ask(Do(lambda _: time.sleep(0.1)), block=False, timeout=WITHIN_S) for ref in refs
        ]
        for each in answers:
            each.get()
        report("sleepers", began_s, handlers=count)
        assert isinstance(system.dispatcher, Pool)
        assert len(system.dispatcher.workers) <= Settings().workers_max


@pytest.mark.usefixtures("fallen")
def test_ten_thousand_async_handlers_wait_on_a_few_threads() -> None:
    count = many(10_000, short=10_000)
    before = threading.active_count()

    async def act(_actor: Any) -> int:
        await asyncio.sleep(1)
        return 1

    with ActorSystem("waiters") as system:
        refs = [system.spawn(AsyncPuppet) for _ in range(count)]
        began_s = time.monotonic()
        answers = [ref.ask(Await(act), block=False, timeout=WITHIN_S) for ref in refs]
        most = threading.active_count() - before
        assert sum(each.get() for each in answers) == count
        report("waiters", began_s, handlers=count, threads=most)

    assert most <= 32


@pytest.mark.usefixtures("switching", "fallen")
def test_asks_two_hundred_deep_are_answered() -> None:
    rounds = many(50, short=5)
    began_s = time.monotonic()
    with ActorSystem("deep") as system:
        refs = [system.spawn(Puppet) for _ in range(200)]

        def act(depth: int) -> Callable[[Any], int]:
            if depth == len(refs):
                return lambda _: depth
            return lambda _: refs[depth].ask(Do(act(depth + 1)), timeout=WITHIN_S)

        for _ in range(rounds):
            assert refs[0].ask(Do(act(1)), timeout=WITHIN_S) == 200
    report("deep", began_s, rounds=rounds)


class Judge(SupervisedActor):
    """Sees whether each sender's messages come in order, and one at a time."""

    hand_off = True

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.wrong: list[Any] = []
        self.is_inside = False
        self.threads: set[int] = set()

    @handles(tuple)
    def judge(self, message: tuple[int, int]) -> int:
        if self.is_inside:
            self.wrong.append("two at once")
        self.is_inside = True
        sender, number = message
        if number != self.last.get(sender, -1) + 1:
            self.wrong.append((sender, self.last.get(sender), number))
        self.last[sender] = number
        self.threads.add(threading.get_ident())
        self.is_inside = False
        return number

    @handles(str)
    def verdict(self, _message: str) -> tuple[list[Any], dict[int, int], int]:
        return self.wrong, self.last, len(self.threads)


@pytest.mark.usefixtures("switching", "fallen")
@pytest.mark.parametrize("mailbox", ["its own", "its address's"])
def test_a_senders_messages_keep_their_order(mailbox: str) -> None:
    count = many(20_000, short=2_000)
    began_s = time.monotonic()
    settings = Settings(mailbox_max=10**7, ask_timeout_s=ASK_S)
    with ActorSystem("order", settings=settings) as system:
        address = system.reserve("judge", keeps_mailbox=mailbox != "its own")
        ref = system.start_child(None, Judge, address=address).wait_started()

        def send(sender: int) -> None:
            chance = random.Random(sender)
            for number in range(count):
                target: Any = address if chance.random() < 0.5 else ref
                message = (sender, number)
                if chance.random() < 0.3:
                    assert target.ask(message) == number
                else:
                    target.tell(message)

        senders = [threading.Thread(target=send, args=(each,)) for each in range(4)]
        for each in senders:
            each.start()
        for each in senders:
            each.join(10 * WITHIN_S)
        wrong, last, threads = ref.ask("verdict", timeout=WITHIN_S)
        report("order", began_s, messages=4 * count, threads=threads)

    assert wrong == []
    assert last == dict.fromkeys(range(4), count - 1)
    assert threads > 1


class Keeper(Puppet, SystemActor):
    """A puppet of the system's own kind."""


@pytest.mark.usefixtures("switching", "fallen")
def test_an_operation_misses_nothing_it_waits_for() -> None:
    rounds = many(5_000, short=500)
    began_s = time.monotonic()
    with ActorSystem("operations", settings=Settings(ask_timeout_s=ASK_S)) as system:
        keeper = system.spawn(Keeper, hears=lambda _: None)

        def act(actor: Any) -> Generator[Until, bool, tuple[bool, bool]]:
            child = system.start_child(actor.actor_ref, Puppet)
            has_started = yield Until(lambda: child.is_started, WITHIN_S / 2)
            child.exit()
            has_ended = yield Until(lambda: child.is_dead, WITHIN_S / 2)
            return has_started, has_ended

        for _ in range(rounds):
            assert keeper.ask(Do(cast("Callable[[Any], object]", act))) == (True, True)
    report("operations", began_s, rounds=rounds)
    assert time.monotonic() - began_s < WITHIN_S / 2 + rounds * 0.05


@pytest.mark.usefixtures("switching", "fallen")
def test_every_monitor_gives_exactly_one_down() -> None:
    rounds = many(3_000, short=300)
    watchers_count = 3
    began_s = time.monotonic()
    chance = random.Random(5)
    with ActorSystem("monitors", settings=Settings(mailbox_max=10**7)) as system:
        downs: list[Down] = []
        watchers = [system.spawn(Puppet, hears=downs.append) for _ in range(watchers_count)]
        numbers: list[int] = []
        ends = (_stop, _exit, _crash, _kill)
        for _ in range(rounds):
            ref = system.spawn(Counted, [])
            asked = [
                watcher.ask(Do(lambda actor: actor.monitor(ref)), block=False)  # noqa: B023
                for watcher in watchers
            ]
            if chance.random() < 0.8:
                asked[chance.randrange(watchers_count)].get()
            chance.choice(ends)(ref)
            numbers += [each.get() for each in asked]
            assert ref.actor_stopped.wait(WITHIN_S)
        for watcher in watchers:
            watcher.ask(Do(lambda _: None), timeout=WITHIN_S)
        reasons = Counter(type(each.reason).__name__ for each in downs)
        report("monitors", began_s, **reasons)

    assert sorted(each.monitor for each in downs) == sorted(numbers)


@pytest.mark.usefixtures("fallen")
def test_systems_come_and_go_without_a_trace() -> None:
    rounds = many(200, short=30)
    began_s = time.monotonic()
    before = threading.active_count()
    for _ in range(rounds):
        system = ActorSystem("fleeting")
        refs = [system.spawn(Puppet) for _ in range(10)]
        answers = [ref.ask(Do(lambda _: None), block=False) for ref in refs]
        assert system.stop(timeout_s=WITHIN_S).is_clean
        assert all(each.is_done for each in answers)
    report("systems", began_s, rounds=rounds)

    assert threading.active_count() == before
