"""The lines on callboard, through its public door, with everything on that it ships with."""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import threading
import time
from _thread import LockType, allocate_lock
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import msgspec

from callboard.supervision import (
    ActorRef,
    ActorSystem,
    ChildSpec,
    Down,
    DynamicSupervisor,
    Request,
    StartChild,
    SupervisedActor,
    get_all,
    handles,
)
from scripts.benchmarks.measure import (
    WAIT_S,
    Figures,
    Gate,
    cpu_s,
    median_of,
    now_s,
    per_op_us,
    resident_bytes,
    threads,
    watch_threads,
)


class Hit(msgspec.Struct, frozen=True):
    """Count this at the gate."""

    gate: Gate


class Echo(Request[int], frozen=True):
    """Answer with the number."""

    number: int


class Boom(msgspec.Struct, frozen=True):
    """Crash."""


class Worker(SupervisedActor):
    """Hits the gate it is sent, answers the number it is sent."""

    mailbox_max = sys.maxsize  # the bound is looked at all the same, only never reached

    @handles(Hit)
    def on_hit(self, message: Hit) -> None:
        """Hit."""
        message.gate.hit()

    @handles(Echo)
    def on_echo(self, message: Echo) -> int:
        """Answer."""
        return message.number


class ShortWorker(Worker):
    """The same, on its asker's own thread when idle."""

    hand_off = True


class Idle(SupervisedActor):
    """Does nothing but start."""

    started: ClassVar[Gate]

    def on_start(self) -> None:
        """Say that it is there."""
        Idle.started.hit()


class Place(msgspec.Struct, frozen=True):
    """Where a hop passes things on to, and where it says that the last came."""

    successor: Any
    gate: Gate


class Hop(SupervisedActor):
    """One place of a ring."""

    place: Place

    @handles(Place)
    def on_place(self, message: Place) -> None:
        """Take the place's settings."""
        self.place = message

    @handles(int)
    def on_hops_left(self, message: int) -> None:
        """Pass on one less."""
        if message:
            self.place.successor.tell(message - 1)
        else:
            self.place.gate.hit()


class Phoenix(SupervisedActor):
    """Crashes when told to; its next incarnation says so once it handles messages."""

    born: ClassVar[Gate]
    refs: ClassVar[dict[int, ActorRef[Any]]] = {}

    def __init__(self, key: int) -> None:
        super().__init__()
        self._key = key

    def on_start(self) -> None:
        """Be found, and handle a message of its own first."""
        Phoenix.refs[self._key] = self.actor_ref
        self.continue_with(Hit(Phoenix.born))

    @handles(Hit)
    def on_hit(self, message: Hit) -> None:
        """Hit."""
        message.gate.hit()

    @handles(Echo)
    def on_echo(self, message: Echo) -> int:
        """Answer."""
        return message.number

    @handles(Boom)
    def on_boom(self, message: Boom) -> None:
        """Crash."""
        raise ValueError(message)


class ShortPhoenix(Phoenix):
    """The same, whose start is said to wait for nothing."""

    starts_at_once = True


class Sleeper(SupervisedActor):
    """Keeps its thread for a tenth of a second."""

    @handles(Hit)
    def on_hit(self, message: Hit) -> None:
        """Sleep, then hit."""
        time.sleep(0.1)
        message.gate.hit()


class Waiter(SupervisedActor):
    """Waits a second without a thread."""

    @handles(Echo)
    async def on_echo(self, message: Echo) -> int:
        """Wait, then answer."""
        await asyncio.sleep(1.0)
        return message.number


class Mourn(msgspec.Struct, frozen=True):
    """Hit the gate when this one ends."""

    ref: Any
    gate: Gate


class Mourner(SupervisedActor):
    """Hits a gate when the one it monitors ends."""

    gate: Gate

    @handles(Mourn)
    def on_mourn(self, message: Mourn) -> None:
        """Monitor it."""
        self.gate = message.gate
        self.monitor(message.ref)

    @handles(Echo)
    def on_echo(self, message: Echo) -> int:
        """Answer: then it has done what it was told before."""
        return message.number

    @handles(Down)
    def on_down(self, _message: Down) -> None:
        """Hit."""
        self.gate.hit()


class Spinner(SupervisedActor):
    """Computes for ever, and notes when it was interrupted."""

    left: ClassVar[Gate]

    @handles(Hit)
    def on_hit(self, message: Hit) -> None:
        """Spin until killed."""
        message.gate.hit()
        try:
            while True:
                pass
        finally:
            Spinner.left.hit()


# -- starting, and what an idle actor weighs -------------------------------


def start(*, is_quick: bool) -> Figures:
    """Start all, tell all, wait for all."""
    n = 2_000 if is_quick else 10_000
    refs: list[ActorRef[Worker]] = []
    with ActorSystem() as system:

        def act() -> None:
            hit = Hit(Gate(n))
            refs.extend([system.spawn(Worker) for _ in range(n)])
            for ref in refs:
                ref.tell(hit)
            hit.gate.wait()

        def once() -> float:
            refs.clear()
            gc.collect()
            found = per_op_us(n, act)
            get_all([ref.stop(block=False) for ref in refs])
            return found

        return {"us": median_of(3, once)}


def memory(*, is_quick: bool) -> Figures:
    """Resident bytes of each idle actor: fresh, and after its first message."""
    n = 5_000 if is_quick else 20_000
    Idle.started = Gate(n)
    with ActorSystem() as system:
        gc.collect()
        before, before_threads = resident_bytes(), threads()
        refs = [system.spawn(Counted) for _ in range(n)]
        Idle.started.wait()
        gc.collect()
        fresh = resident_bytes()
        hit = Hit(Gate(n))
        for ref in refs:
            ref.tell(hit)
        hit.gate.wait()
        gc.collect()
        used = resident_bytes()
        more_threads = threads() - before_threads
    return {
        "fresh_B": (fresh - before) / n,
        "used_B": (used - before) / n,
        "threads": more_threads / n,
    }


class Counted(Idle):
    """An idle one that takes a message as well."""

    @handles(Hit)
    def on_hit(self, message: Hit) -> None:
        """Hit."""
        message.gate.hit()


def children(*, is_quick: bool) -> Figures:
    """Resident bytes of each child of a dynamic supervisor: fresh, and after its first message."""
    n = 5_000 if is_quick else 20_000
    Idle.started = Gate(n)
    with ActorSystem() as system:
        supervisor = system.spawn(DynamicSupervisor, intensity=None).wait_started()
        spec = ChildSpec(id="idle", start=Counted)
        gc.collect()
        before = resident_bytes()
        refs: list[ActorRef[Any]] = [supervisor.ask(StartChild(spec)) for _ in range(n)]
        Idle.started.wait()
        gc.collect()
        fresh = resident_bytes()
        hit = Hit(Gate(n))
        for ref in refs:
            ref.tell(hit)
        hit.gate.wait()
        gc.collect()
        return {"fresh_B": (fresh - before) / n, "used_B": (resident_bytes() - before) / n}


def million(*, is_quick: bool) -> Figures:
    """A million idle actors that have had no message, and their orderly end."""
    n = 100_000 if is_quick else 1_000_000
    size, stop_us = _crowd(n)
    _, fewer_us = _crowd(n // 10)
    return {
        "GB": size / 1e9 * (1_000_000 / n),
        "stop_us": stop_us,
        "linear": stop_us / fewer_us,
    }


def _crowd(n: int) -> tuple[int, float]:
    Idle.started = Gate(n)
    gc.collect()
    before = resident_bytes()
    system = ActorSystem()
    for _ in range(n):
        system.spawn(Idle)
    Idle.started.wait()
    size = resident_bytes() - before
    return size, per_op_us(n, partial(_stop_all_of, system))


def _stop_all_of(system: ActorSystem) -> None:
    report = system.stop(timeout_s=WAIT_S)
    assert report.is_clean, str(report)


def stop(*, is_quick: bool) -> Figures:
    """The orderly stop of a dynamic supervisor with many children."""
    small, large = (2_000, 8_000) if is_quick else (20_000, 80_000)
    small_us, large_us = _stop_us(small), _stop_us(large)
    return {"small_us": small_us, "large_us": large_us, "linear": large_us / small_us}


def _stop_us(n: int) -> float:
    Idle.started = Gate(n)
    with ActorSystem() as system:
        supervisor = system.spawn(DynamicSupervisor, intensity=None).wait_started()
        spec = ChildSpec(id="idle", start=Idle)
        for _ in range(n):
            supervisor.ask(StartChild(spec))
        Idle.started.wait()
        gc.collect()
        return per_op_us(n, lambda: supervisor.stop(timeout=WAIT_S))


# -- asking ----------------------------------------------------------------


def _ask(actor_class: type[Worker], n: int) -> Figures:
    with ActorSystem() as system:
        ref = system.spawn(actor_class).wait_started()
        message = Echo(1)

        def act() -> None:
            for _ in range(n):
                ref.ask(message)

        act()
        return {"us": median_of(5, lambda: per_op_us(n, act))}


def hand_off(*, is_quick: bool) -> Figures:
    """One asker, one idle actor whose class declares its handlers short."""
    return _ask(ShortWorker, 5_000 if is_quick else 50_000)


def ask(*, is_quick: bool) -> Figures:
    """One asker, one actor."""
    return _ask(Worker, 1_000 if is_quick else 5_000)


def flight(*, is_quick: bool) -> Figures:
    """As many asks under way as there are actors."""
    n = 500 if is_quick else 2_000
    with ActorSystem() as system:
        refs = [system.spawn(Worker) for _ in range(n)]
        message = Echo(1)

        def act() -> None:
            get_all([ref.ask(message, block=False) for ref in refs])

        act()
        return {"us": median_of(5, lambda: per_op_us(n, act))}


def awaiting(*, is_quick: bool) -> Figures:
    """Asks awaited on an event loop: one by one, and 5000 gathered."""
    singles, many = (500, 1_000) if is_quick else (2_000, 5_000)
    message = Echo(1)

    async def one_by_one(ref: ActorRef[Worker]) -> float:
        began_s = now_s()
        for _ in range(singles):
            await ref.ask_async(message)
        return (now_s() - began_s) / singles * 1e6

    async def gathered(ref: ActorRef[Worker]) -> float:
        began_s = now_s()
        await asyncio.gather(*(ref.ask_async(message) for _ in range(many)))
        return (now_s() - began_s) / many * 1e6

    async def all_of_it(ref: ActorRef[Worker]) -> Figures:
        await one_by_one(ref)
        return {
            "single_us": statistics.median([await one_by_one(ref) for _ in range(3)]),
            "gathered_us": statistics.median([await gathered(ref) for _ in range(3)]),
        }

    with ActorSystem() as system:
        return asyncio.run(all_of_it(system.spawn(Worker).wait_started()))


# -- telling ---------------------------------------------------------------


def tell(*, is_quick: bool) -> Figures:
    """Many messages to one actor, until the last is handled."""
    n = 10_000 if is_quick else 100_000
    with ActorSystem() as system:
        ref = system.spawn(Worker).wait_started()
        return {"us": median_of(5, lambda: per_op_us(n, lambda: _tell_all([ref], n)))}


def spread(*, is_quick: bool) -> Figures:
    """Many messages over 1000 actors, until the last is handled."""
    n = 10_000 if is_quick else 100_000
    with ActorSystem() as system:
        refs = [system.spawn(Worker) for _ in range(1_000)]
        _tell_all(refs, 1_000)
        return {"us": median_of(5, lambda: per_op_us(n, lambda: _tell_all(refs, n)))}


def _tell_all(refs: list[ActorRef[Worker]], n: int) -> None:
    hit = Hit(Gate(n))
    for _ in range(n // len(refs)):
        for ref in refs:
            ref.tell(hit)
    hit.gate.wait()


def ring(*, is_quick: bool) -> Figures:
    """One message round a ring of 1000."""
    hops = 20_000 if is_quick else 100_000
    with ActorSystem() as system:
        refs = [system.spawn(Hop) for _ in range(1_000)]
        gate = Gate(1)

        def act(gate: Gate) -> None:
            for at, ref in enumerate(refs):
                ref.ask(Place(refs[(at + 1) % 1_000], gate))
            began_s = now_s()
            refs[0].tell(hops)
            gate.wait()
            found.append((now_s() - began_s) / hops * 1e6)

        found: list[float] = []
        act(gate)
        for _ in range(3):
            act(Gate(1))
        return {"us": statistics.median(found[1:])}


# -- crashing --------------------------------------------------------------


def _phoenixes(system: ActorSystem, n: int, kind: type[Phoenix] = Phoenix) -> None:
    Phoenix.born = Gate(n)
    supervisor = system.spawn(DynamicSupervisor, intensity=None).wait_started()
    for key in range(n):
        supervisor.ask(StartChild(ChildSpec(id=key, start=kind, args=(key,))))
    Phoenix.born.wait()


def restart(*, is_quick: bool) -> Figures:
    """From the message that crashes it to the next incarnation's first message handled."""
    return _restart(Phoenix, 300 if is_quick else 2_000)


def short_restart(*, is_quick: bool) -> Figures:
    """The same of a class whose start waits for nothing; the processor time as well."""
    return _restart(ShortPhoenix, 300 if is_quick else 2_000)


def _restart(kind: type[Phoenix], n: int) -> Figures:
    samples: list[float] = []
    with ActorSystem() as system:
        _phoenixes(system, 1, kind)
        began_cpu_s = cpu_s()
        for _ in range(n):
            Phoenix.born = Gate(1)
            ref = Phoenix.refs[0]
            began_s = now_s()
            ref.tell(Boom())
            Phoenix.born.wait()
            samples.append(now_s() - began_s)
        used_s = cpu_s() - began_cpu_s
    return {"us": statistics.median(samples[n // 10 :]) * 1e6, "cpu_us": used_s / n * 1e6}


def crashes(*, is_quick: bool) -> Figures:
    """1000 crashes at once, until all next incarnations have answered."""
    return _crashes(Phoenix, 300 if is_quick else 1_000)


def short_crashes(*, is_quick: bool) -> Figures:
    """The same of a class whose start waits for nothing."""
    return _crashes(ShortPhoenix, 300 if is_quick else 1_000)


def _crashes(kind: type[Phoenix], n: int) -> Figures:
    with ActorSystem() as system:
        _phoenixes(system, n, kind)
        found = [_crash_all(n) for _ in range(5)]
    return {
        "ms": statistics.median(ms for ms, _ in found) * 1_000 / n,
        "cpu_us": statistics.median(us for _, us in found),
    }


def _crash_all(n: int) -> tuple[float, float]:
    gc.collect()
    Phoenix.born = Gate(n)
    refs = list(Phoenix.refs.values())
    boom, echo = Boom(), Echo(1)
    began_s, began_cpu_s = now_s(), cpu_s()
    for ref in refs:
        ref.tell(boom)
    Phoenix.born.wait()
    used_s = cpu_s() - began_cpu_s
    get_all([ref.ask(echo, block=False) for ref in Phoenix.refs.values()])
    return (now_s() - began_s) * 1e3, used_s / n * 1e6


def kill(*, is_quick: bool) -> Figures:
    """From `kill` to the monitor's `Down`, and to the end of a handler that computes."""
    n = 50 if is_quick else 300
    with ActorSystem() as system:
        mourner = system.spawn(Mourner).wait_started()
        downs = [_kill_idle(system, mourner) for _ in range(n)]
        lefts = [_kill_busy(system) for _ in range(20 if is_quick else 50)]
    return {
        "down_us": statistics.median(downs) * 1e6,
        "left_ms": statistics.median(lefts) * 1e3,
    }


def _kill_idle(system: ActorSystem, mourner: ActorRef[Mourner]) -> float:
    ref = system.spawn(Worker).wait_started()
    gate = Gate(1)
    mourner.tell(Mourn(ref, gate))
    mourner.ask(Echo(1))
    began_s = now_s()
    ref.kill()
    gate.wait()
    return now_s() - began_s


def _kill_busy(system: ActorSystem) -> float:
    Spinner.left = Gate(1)
    spins = Gate(1)
    ref = system.spawn(Spinner)
    ref.tell(Hit(spins))
    spins.wait()
    began_s = now_s()
    ref.kill()
    Spinner.left.wait()
    return now_s() - began_s


# -- finding, waiting ------------------------------------------------------


def lookup(*, is_quick: bool) -> Figures:
    """Look up every one of 100k names in turn."""
    n = 10_000 if is_quick else 100_000
    with ActorSystem() as system:
        names = [f"session/{number:06}" for number in range(n)]
        for name in names:
            system.spawn_named(name, Worker)
        find = system.lookup

        def act() -> None:
            for name in names:
                find(name)

        return {"us": median_of(5, lambda: per_op_us(n, act))}


def sleepers(*, is_quick: bool) -> Figures:
    """1000 handlers that sleep for 0.1 s; the pool sees that they are stuck, and grows."""
    del is_quick
    n = 1_000
    with ActorSystem() as system:
        refs = [system.spawn(Sleeper) for _ in range(n)]
        refs[-1].wait_started()
        hit = Hit(Gate(n))

        def act() -> None:
            for ref in refs:
                ref.tell(hit)
            hit.gate.wait()

        return {"s": per_op_us(1, act) / 1e6}


def waiters(*, is_quick: bool) -> Figures:
    """10,000 async handlers that wait for a second, all at once."""
    del is_quick
    n = 10_000
    seen, is_over = [threads()], threading.Event()
    counter = threading.Thread(target=watch_threads, args=(is_over, seen), daemon=True)
    with ActorSystem() as system:
        refs = [system.spawn(Waiter) for _ in range(n)]
        counter.start()
        message = Echo(1)
        took_us = per_op_us(
            1, lambda: get_all([ref.ask(message, block=False, timeout=60) for ref in refs])
        )
        is_over.set()
        counter.join()
    return {"s": took_us / 1e6, "threads": max(seen) - 1}


# -- what things weigh -----------------------------------------------------


def weights(*, is_quick: bool) -> Figures:
    """Resident bytes of what waits: a told message, an ask with its future."""
    n = 20_000 if is_quick else 100_000
    with ActorSystem() as system:
        ref = system.spawn(Worker).wait_started()
        release = allocate_lock()
        release.acquire()
        ref.tell(Hit(_Blocking(release)))
        told = _grown_by(n, lambda: _repeat(n, lambda: ref.tell(_ECHO)))
        futures: list[object] = []
        asked = _grown_by(
            n, lambda: _repeat(n, lambda: futures.append(ref.ask(_ECHO, block=False, timeout=60)))
        )
        release.release()
        ref.ask(_ECHO, timeout=60)
    return {"tell_B": told, "ask_B": asked}


_ECHO = Echo(1)


class _Blocking(Gate):
    """A gate whose hit waits: it holds the mailbox of whoever is sent it."""

    def __init__(self, until: LockType) -> None:
        super().__init__(1)
        self._until = until

    def hit(self) -> None:
        self._until.acquire()


def _repeat(n: int, act: Callable[[], object]) -> None:
    for _ in range(n):
        act()


def _grown_by(n: int, act: Callable[[], None]) -> float:
    gc.collect()
    before = resident_bytes()
    act()
    gc.collect()
    return (resident_bytes() - before) / n
