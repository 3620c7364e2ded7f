"""The lines on whole sessions: created, supervised, registered, watched."""

from __future__ import annotations

import gc
import itertools
import statistics
import sys
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Self

import msgspec

from callboard.actors import (
    AppendMessage,
    CountSessions,
    CreateSession,
    MaxSessionsReached,
    PassivateSession,
    Presence,
    Role,
    SessionActor,
    SessionLimits,
    SessionSystem,
    TerminateSession,
)
from callboard.actors import manager as manager_module
from callboard.actors.sessions.creating import Creator
from callboard.actors.sessions.waking import Waker
from callboard.actors.sessions.watching import Watcher
from scripts.benchmarks.measure import (
    WAIT_S,
    Figures,
    cpu_s,
    median_of,
    now_s,
    per_op_us,
    resident_bytes,
)

_CREATE = CreateSession(user_id="ada", org_id="acme", agent_role="guide")


def _system() -> SessionSystem:
    return SessionSystem(name="bench", cleanup_interval_s=0)


def _create(sessions: SessionSystem, n: int) -> None:
    for _ in range(n):
        sessions.ask(_CREATE)


def create(*, is_quick: bool) -> Figures:
    """Create many sessions one by one, each answered; then a few more with a watch on each part.

    The garbage collector's passes are in the first two figures, and not in the parts.
    """
    n = 10_000 if is_quick else 100_000
    with _system() as sessions:
        _create(sessions, 500)
        gc.collect()
        began_s, began_cpu_s = now_s(), cpu_s()
        _create(sessions, n)
        found = {"us": (now_s() - began_s) / n * 1e6, "cpu_us": (cpu_s() - began_cpu_s) / n * 1e6}
        return found | _split(sessions, 2_000)


class Watch:
    """Adds up the processor time inside functions, what they call included.

    Args:
        wrapped: the owner and the name of each, by the name of the part.
    """

    def __init__(self, wrapped: dict[str, tuple[Any, str]]) -> None:
        self.spent_s = dict.fromkeys(wrapped, 0.0)
        self._own = {part: getattr(*where) for part, where in wrapped.items()}
        self._wrapped = wrapped

    def __enter__(self) -> Self:
        for part, (owner, name) in self._wrapped.items():
            setattr(owner, name, self._timed(part, self._own[part]))
        return self

    def __exit__(self, *_exc: object) -> None:
        for part, (owner, name) in self._wrapped.items():
            setattr(owner, name, self._own[part])

    def _timed(self, part: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began_s = cpu_s()
            try:
                return act(*args, **kwargs)
            finally:
                self.spent_s[part] += cpu_s() - began_s

        return timed


def _split(sessions: SessionSystem, n: int) -> Figures:
    parts = {
        "check": (manager_module, "check"),
        "create": (Creator, "create"),
        "start": (Waker, "start"),
        "commit": (SessionActor, "on_start"),
        "watch": (Watcher, "started"),
    }
    gc.collect()
    gc.freeze()  # a pass over all that lives would be put down to whoever allocates just then
    with Watch(parts) as watch:
        began_s = cpu_s()
        _create(sessions, n)
        all_us = (cpu_s() - began_s) / n * 1e6
    us = {part: spent_s / n * 1e6 for part, spent_s in watch.spent_s.items()}
    return {
        "check_us": us["check"],
        "reserve_us": us["create"] - us["start"],
        "start_us": us["start"] - us["commit"] - us["watch"],
        "commit_us": us["commit"],
        "answer_us": all_us - us["check"] - us["create"] + us["watch"],
    }


def get(*, is_quick: bool) -> Figures:
    """Read the snapshot of each of 100k sessions in turn."""
    n = 10_000 if is_quick else 100_000
    with _system() as sessions:
        ids = [sessions.ask(_CREATE).id for _ in range(n)]
        find = sessions.get

        def act() -> None:
            for session_id in ids:
                find(session_id)

        return {"us": median_of(5, lambda: per_op_us(n, act))}


def append(*, is_quick: bool) -> Figures:
    """Append to a log that is long and to one that begins, in turns; a new short one each time."""
    length, turns, block = (20_000 if is_quick else 1_000_000), 41, 250
    with _system() as sessions:

        def appends(session_id: str, n: int) -> Callable[[], None]:
            message = AppendMessage(session_id, Role.USER, "hello")

            def act() -> None:
                for _ in range(n):
                    sessions.ask(message)

            return act

        long = sessions.ask(_CREATE).id
        appends(long, length)()
        gc.collect()
        found: dict[str, list[float]] = {"short_us": [], "long_us": []}
        for _ in range(turns):
            short = sessions.ask(_CREATE).id
            found["short_us"].append(per_op_us(block, appends(short, block)))
            found["long_us"].append(per_op_us(block, appends(long, block)))
        short_us, long_us = (statistics.median(each) for each in found.values())
        return {"short_us": short_us, "long_us": long_us, "ratio": long_us / short_us}


def million(*, is_quick: bool) -> Figures:
    """A million sessions with a message each, of which the last ten thousand are awake."""
    n = 10_000 if is_quick else 1_000_000
    gc.collect()
    before = resident_bytes()
    with _system() as sessions:
        for number in range(n):
            session_id = sessions.ask(_CREATE).id
            sessions.ask(AppendMessage(session_id, Role.USER, "hello"))
            if number < n - n // 100:
                sessions.ask(PassivateSession(session_id))
        gc.collect()
        awake = sessions.ask(CountSessions(presence=Presence.AWAKE))
        assert awake == n // 100, f"{awake} are awake"
        return {"GB": (resident_bytes() - before) / 1e9 * (1_000_000 / n)}


def memory(*, is_quick: bool) -> Figures:
    """Resident bytes of each idle session, fresh and after its first message; what takes them."""
    n = 5_000 if is_quick else 20_000
    with _system() as sessions:
        _create(sessions, 500)
        gc.collect()
        before = resident_bytes()
        ids = [sessions.ask(_CREATE).id for _ in range(n)]
        gc.collect()
        fresh = resident_bytes()
        for session_id in ids:
            sessions.ask(AppendMessage(session_id, Role.USER, "hello"))
        gc.collect()
        used_B = (resident_bytes() - before) / n  # noqa: N806 -- the unit
        data_B = statistics.median(  # noqa: N806 -- the unit
            _own_bytes(_data_of(sessions, one), _data_of(sessions, other))
            for one, other in itertools.pairwise(ids[:100])
        )
    found = {"fresh_B": (fresh - before) / n, "used_B": used_B}
    parts = _traced_bytes(n // 5)
    parts["version"] -= data_B  # what holds it is allocated beside it
    by_part = {f"{part}_B": size for part, size in parts.items()}
    other_B = used_B - data_B - sum(parts.values())  # noqa: N806 -- the unit
    return {**found, "beyond_B": used_B - data_B, "data_B": data_B, **by_part, "other_B": other_B}


def _data_of(sessions: SessionSystem, session_id: str) -> tuple[object, ...]:
    """Return what a session's data are: its snapshot and its log."""
    services = sessions._services  # noqa: SLF001 -- what it weighs is not public
    assert services is not None
    kept = services.table.row(session_id).latest()
    return kept.session, kept.log


def _own_bytes(mine: tuple[object, ...], another: tuple[object, ...]) -> int:
    """Return the bytes of all that is reached from one and not from the other: shared is free."""
    shared = _reached(another)
    return sum(sys.getsizeof(each) for key, each in _reached(mine).items() if key not in shared)


def _reached(start: tuple[object, ...]) -> dict[int, object]:
    """Return all that values hold, by its place in memory: structs, and what is in them."""
    found: dict[int, object] = {}
    ahead = list(start)
    while ahead:
        each = ahead.pop()
        if id(each) in found:
            continue
        found[id(each)] = each
        if isinstance(each, msgspec.Struct):  # the collector does not look into these
            ahead += [getattr(each, field) for field in each.__struct_fields__]
        elif isinstance(each, (tuple, dict)):
            ahead += gc.get_referents(each)
    return found


_PARTS: Final = {
    "version": (
        "actors/sessions/draft.py",
        "actors/sessions/log.py",
        "actors/sessions/creating.py",
        "supervision/runtime/chance.py",
    ),
    "behaviour": (
        "actors/sessions/living.py",
        "actors/sessions/committing.py",
        "actors/sessions/actor.py",
        "supervision/runtime/pooled.py",
    ),
    "row": ("actors/sessions/table.py",),
    "address": ("actors/sessions/address.py", "actors/sessions/naming.py"),
    "child": ("actors/sessions/partition.py", "supervision/model/", "supervision/tree/"),
    "cell": ("supervision/runtime/",),
}
"""Part -> where it is allocated; the first that fits. Its data are a part of the first."""


def _traced_bytes(n: int) -> dict[str, float]:
    """Return the bytes that a session with a message takes, by who has allocated them."""
    sizes = dict.fromkeys(_PARTS, 0.0)
    with _system() as sessions:
        _create(sessions, 500)
        gc.collect()
        tracemalloc.start()
        ids = [sessions.ask(_CREATE).id for _ in range(n)]
        for session_id in ids:
            sessions.ask(AppendMessage(session_id, Role.USER, "hello"))
        gc.collect()
        statistics_ = tracemalloc.take_snapshot().statistics("filename")
        tracemalloc.stop()
        for each in statistics_:
            for part, places in _PARTS.items():
                if any(place in each.traceback[0].filename for place in places):
                    sizes[part] += each.size / n
                    break
    return sizes


def place(*, is_quick: bool) -> Figures:
    """Fifty creators at once for one place, again and again: how often was it not one that won?"""
    rounds, creators = (20 if is_quick else 200), 50
    limits = SessionLimits(sessions_max=1)
    wrong = 0
    with (
        SessionSystem(name="bench", cleanup_interval_s=0, limits=limits) as sessions,
        ThreadPoolExecutor(creators) as threads,
    ):
        line = threading.Barrier(creators)

        def create_one() -> str | None:
            line.wait(WAIT_S)
            try:
                return sessions.ask(_CREATE).id
            except MaxSessionsReached:
                return None

        began_s = now_s()
        for _ in range(rounds):
            tries = [threads.submit(create_one) for _ in range(creators)]
            won = [made for each in tries if (made := each.result()) is not None]
            wrong += len(won) != 1
            for session_id in won:
                sessions.ask(TerminateSession(session_id))
        return {"wrong": wrong, "ms": (now_s() - began_s) / rounds * 1e3}
