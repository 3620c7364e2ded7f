"""The lines on pykka's own ThreadingActor; restarts by hand, as its users make them."""

from __future__ import annotations

import gc
import logging
import statistics
import time
from typing import Any

import pykka

from scripts.benchmarks.measure import (
    Figures,
    Gate,
    cpu_s,
    median_of,
    now_s,
    per_op_us,
    resident_bytes,
    threads,
)

Ref = pykka.ActorRef[Any]


class Worker(pykka.ThreadingActor):
    """Hits the gate it is sent, answers whatever else it is sent."""

    use_daemon_thread = True

    def on_receive(self, message: object) -> object:
        """Hit or answer."""
        if isinstance(message, Gate):
            message.hit()
            return None
        return message


class Hop(pykka.ThreadingActor):
    """One place of a ring."""

    use_daemon_thread = True
    successor: Ref
    gate: Gate

    def on_receive(self, message: object) -> None:
        """Pass on one less, or take the place's settings."""
        if isinstance(message, tuple):
            self.successor, self.gate = message
        elif isinstance(message, int) and message:
            self.successor.tell(message - 1)
        else:
            self.gate.hit()


class Sleeper(pykka.ThreadingActor):
    """Keeps its thread for a tenth of a second."""

    use_daemon_thread = True

    def on_receive(self, message: object) -> None:
        """Sleep, then hit the gate."""
        assert isinstance(message, Gate)
        time.sleep(0.1)
        message.hit()


class Phoenix(pykka.ThreadingActor):
    """Starts its successor when it fails, the recipe of pykka's issue 42.

    Args:
        table: who lives where.
        key: where this one lives.
    """

    use_daemon_thread = True
    born: Gate

    def __init__(self, table: dict[int, Ref], key: int) -> None:
        super().__init__()
        self._table = table
        self._key = key

    def on_start(self) -> None:
        """Say that it is there."""
        self._table[self._key] = self.actor_ref
        Phoenix.born.hit()

    def on_failure(self, *_args: object, **_kwargs: object) -> None:
        """Come again."""
        Phoenix.start(self._table, self._key)

    def on_receive(self, message: object) -> object:
        """Crash when told to."""
        if message == "boom":
            raise ValueError(message)
        return message


def _started(n: int) -> list[Ref]:
    return [Worker.start() for _ in range(n)]


def _stop(refs: list[Ref]) -> None:
    for future in [ref.stop(block=False) for ref in refs]:
        future.get()


def start(*, is_quick: bool) -> Figures:
    """Start all, tell all, wait for all."""
    n = 300 if is_quick else 1_000
    refs: list[Ref] = []

    def act() -> None:
        gate = Gate(n)
        refs.extend(_started(n))
        for ref in refs:
            ref.tell(gate)
        gate.wait()

    def once() -> float:
        refs.clear()
        gc.collect()
        found = per_op_us(n, act)
        _stop(refs)
        return found

    return {"us": median_of(3, once)}


def memory(*, is_quick: bool) -> Figures:
    """Resident bytes of each idle actor, its thread's stack included."""
    n = 300 if is_quick else 1_000
    before, before_threads = resident_bytes(), threads()
    refs = _started(n)
    fresh = resident_bytes()
    gate = Gate(n)
    for ref in refs:
        ref.tell(gate)
    gate.wait()
    return {
        "fresh_B": (fresh - before) / n,
        "used_B": (resident_bytes() - before) / n,
        "threads": (threads() - before_threads) / n,
    }


def ask(*, is_quick: bool) -> Figures:
    """One asker, one actor."""
    n = 1_000 if is_quick else 5_000
    ref = Worker.start()

    def act() -> None:
        for _ in range(n):
            ref.ask(1)

    act()
    return {"us": median_of(3, lambda: per_op_us(n, act))}


def flight(*, is_quick: bool) -> Figures:
    """As many asks under way as there are actors."""
    n = 500 if is_quick else 2_000
    refs = _started(n)

    def act() -> None:
        for future in [ref.ask(1, block=False) for ref in refs]:
            future.get()

    act()
    return {"us": median_of(3, lambda: per_op_us(n, act))}


def tell(*, is_quick: bool) -> Figures:
    """Many messages to one actor, until the last is handled."""
    n = 10_000 if is_quick else 100_000
    ref = Worker.start()

    def act() -> None:
        gate = Gate(n)
        for _ in range(n):
            ref.tell(gate)
        gate.wait()

    return {"us": median_of(3, lambda: per_op_us(n, act))}


def spread(*, is_quick: bool) -> Figures:
    """Many messages over 1000 actors, until the last is handled."""
    n = 10_000 if is_quick else 100_000
    refs = _started(1_000)

    def act() -> None:
        gate = Gate(n)
        for _ in range(n // 1_000):
            for ref in refs:
                ref.tell(gate)
        gate.wait()

    return {"us": median_of(1 if is_quick else 2, lambda: per_op_us(n, act))}


def ring(*, is_quick: bool) -> Figures:
    """One message round a ring of 1000."""
    hops = 5_000 if is_quick else 20_000
    refs = [Hop.start() for _ in range(1_000)]
    gate = Gate(1)
    for i, ref in enumerate(refs):
        ref.ask((refs[(i + 1) % 1_000], gate))

    def act() -> None:
        refs[0].tell(hops)
        gate.wait()

    return {"us": per_op_us(hops, act)}


def restart(*, is_quick: bool) -> Figures:
    """From the message that crashes it to its successor's start."""
    logging.disable(logging.CRITICAL)
    n = 100 if is_quick else 300
    table: dict[int, Ref] = {}
    Phoenix.born = Gate(1)
    Phoenix.start(table, 0)
    Phoenix.born.wait()
    samples: list[float] = []
    for _ in range(n):
        Phoenix.born = Gate(1)
        began_s = now_s()
        table[0].tell("boom")
        Phoenix.born.wait()
        samples.append(now_s() - began_s)
    return {"us": statistics.median(samples) * 1e6}


def crashes(*, is_quick: bool) -> Figures:
    """1000 crashes at once, until all successors have answered."""
    logging.disable(logging.CRITICAL)
    n = 300 if is_quick else 1_000
    table: dict[int, Ref] = {}
    Phoenix.born = Gate(n)
    for key in range(n):
        Phoenix.start(table, key)
    Phoenix.born.wait()
    Phoenix.born = Gate(n)
    began_s, began_cpu_s = now_s(), cpu_s()
    for ref in list(table.values()):
        ref.tell("boom")
    Phoenix.born.wait()
    used_s = cpu_s() - began_cpu_s
    for future in [ref.ask(1, block=False) for ref in table.values()]:
        future.get()
    return {"ms": (now_s() - began_s) * 1e3 * 1_000 / n, "cpu_us": used_s / n * 1e6}


def lookup(*, is_quick: bool) -> Figures:
    """Ask pykka's registry for a URN among 100k; it reads the whole list each time."""
    del is_quick
    actors = [Worker() for _ in range(100_000)]
    # Straight into its list: registering one by one looks through all of them, every time.
    pykka.ActorRegistry._actor_refs.extend(each.actor_ref for each in actors)  # noqa: SLF001
    urns = [actors[at].actor_urn for at in range(0, 100_000, 5_000)]

    def act() -> None:
        for urn in urns:
            pykka.ActorRegistry.get_by_urn(urn)

    return {"us": median_of(3, lambda: per_op_us(len(urns), act))}


def stop(*, is_quick: bool) -> Figures:
    """Stop all; 20k would be beyond the threads a machine has."""
    n = 500 if is_quick else 2_000
    _started(n)
    return {"small_us": per_op_us(n, lambda: pykka.ActorRegistry.stop_all(timeout=100))}


def sleepers(*, is_quick: bool) -> Figures:
    """1000 handlers that sleep for 0.1 s, all under way at once."""
    del is_quick
    n = 1_000
    refs = [Sleeper.start() for _ in range(n)]
    gate = Gate(n)

    def act() -> None:
        for ref in refs:
            ref.tell(gate)
        gate.wait()

    return {"s": per_op_us(1, act) / 1e6}
