"""Which lines there are, what each figure of them is called, and the mark it has to meet."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

import msgspec

from scripts.benchmarks import durable, floors, ours, pykkas, sessions
from scripts.benchmarks.measure import Figures


class Measurement(Protocol):
    """Measures one line on one side."""

    def __call__(self, *, is_quick: bool) -> Figures:
        """Return the line's figures."""
        ...


class Kind(enum.Enum):
    """What a mark is compared with."""

    AT_MOST = "<="
    AT_LEAST = ">="
    TIMES_RAW = "x raw"
    TIMES_PYKKA = "x pykka"


class Mark(msgspec.Struct, frozen=True):
    """What we want to reach."""

    kind: Kind
    limit: float

    def is_met(self, value: float, *, raw: float | None, pykka: float | None) -> bool | None:
        """Say whether a median meets it; None when what it is compared with is missing."""
        match self.kind:
            case Kind.AT_MOST:
                return value <= self.limit
            case Kind.AT_LEAST:
                return value >= self.limit
            case Kind.TIMES_RAW:
                return None if raw is None else value <= self.limit * raw
            case Kind.TIMES_PYKKA:
                return None if pykka is None else pykka >= self.limit * value

    def __str__(self) -> str:
        match self.kind:
            case Kind.AT_MOST:
                return f"<= {self.limit:g}"
            case Kind.AT_LEAST:
                return f">= {self.limit:g}"
            case Kind.TIMES_RAW:
                return f"<= {self.limit:g} x raw"
            case Kind.TIMES_PYKKA:
                return f"{self.limit:g} x faster"


class Figure(msgspec.Struct, frozen=True):
    """One number of a line, a row of the table."""

    key: str
    says: str
    unit: str
    mark: Mark | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement, on ours and (where it can) on pykka.

    Args:
        ours: measures callboard.
        pykka: measures pykka; None where it has nothing like it.
        figures: what the measurement returns, in the table's order.
        switches: whether threads take turns in it, so that the raw round trip is told beside.
        is_pinned: whether its mark is one for a single core; it is measured on one then.
        is_long: measured in the first round only.
    """

    ours: Measurement
    pykka: Measurement | None = None
    figures: tuple[Figure, ...]
    switches: bool = False
    is_pinned: bool = False
    is_long: bool = False


def _at_most(limit: float) -> Mark:
    return Mark(Kind.AT_MOST, limit)


def _one(says: str, limit: float) -> tuple[Figure, ...]:
    return (Figure("us", says, "us", _at_most(limit)),)


def _durable(where: str) -> tuple[Figure, ...]:
    return (
        Figure("ours_per_s", f"durable appends acknowledged, 512 sessions, {where}", "/s"),
        Figure("ratio", "- beside raw SQLite, 256 in one commit", "x", Mark(Kind.AT_LEAST, 0.5)),
        Figure("raw_256_per_s", "- raw SQLite, 256 in one commit", "/s"),
        Figure("raw_64_per_s", "- raw SQLite, 64 in one commit", "/s"),
        Figure("one_p50_us", "- one append after the other, p50", "us"),
        Figure("one_p99_us", "- one append after the other, p99", "us"),
        Figure("raw_one_p50_us", "- raw SQLite, one after the other, p50", "us"),
        Figure("raw_one_p99_us", "- raw SQLite, one after the other, p99", "us"),
    )


LINES: dict[str, Line] = {
    "start": Line(
        ours=ours.start,
        pykka=pykkas.start,
        figures=_one("start one actor, until it handled a message", 5),
    ),
    "memory": Line(
        ours=ours.memory,
        pykka=pykkas.memory,
        figures=(
            Figure("fresh_B", "memory per idle actor, no message yet", "B"),
            Figure("used_B", "memory per idle actor, after a message", "B", _at_most(1_800)),
            Figure("threads", "threads per actor", ""),
        ),
    ),
    "children": Line(
        ours=ours.children,
        figures=(
            Figure("fresh_B", "the same under a supervisor, no message yet", "B"),
            Figure("used_B", "the same under a supervisor, after a message", "B", _at_most(1_800)),
        ),
    ),
    "create": Line(
        ours=sessions.create,
        figures=(
            Figure(
                "us",
                "create a supervised, registered session (of 100k; BEAM 13.7)",
                "us",
                _at_most(20),
            ),
            Figure("cpu_us", "processor time of one create", "us"),
            Figure("check_us", "- of it to check the message", "us"),
            Figure("reserve_us", "- of it to reserve place, id, role and name", "us"),
            Figure("start_us", "- of it to start the actor under its supervisor", "us"),
            Figure("commit_us", "- of it for the first commit, ACTIVE", "us"),
            Figure("answer_us", "- of it to look what runs and answer", "us"),
        ),
    ),
    "sessions": Line(
        ours=sessions.memory,
        figures=(
            Figure("fresh_B", "memory per idle session, no message yet", "B"),
            Figure("used_B", "memory per idle session, after a message", "B"),
            Figure("beyond_B", "- of it beyond its data", "B", _at_most(1_800)),
            Figure("data_B", "- its data: snapshot, id, log", "B"),
            Figure("version_B", "- the version that holds them for readers", "B"),
            Figure("row_B", "- its row, and its places in the table", "B"),
            Figure("address_B", "- its address and name", "B"),
            Figure("child_B", "- its place under its supervisor", "B"),
            Figure("cell_B", "- its cell", "B"),
            Figure("behaviour_B", "- its behaviour and working state", "B"),
            Figure("other_B", "- of nobody: what the allocator keeps", "B"),
        ),
    ),
    "place": Line(
        ours=sessions.place,
        figures=(
            Figure("wrong", "50 creators for one place: rounds not won by one", "", _at_most(0)),
            Figure("ms", "one such round, the end of the session included", "ms"),
        ),
    ),
    "million-sessions": Line(
        ours=sessions.million,
        figures=(Figure("GB", "a million sessions, 10,000 of them awake", "GB", _at_most(1)),),
        is_long=True,
    ),
    "append": Line(
        ours=sessions.append,
        figures=(
            Figure("short_us", "append to an empty log, acknowledged", "us"),
            Figure("long_us", "append to a log of 1,000,000 messages", "us"),
            Figure("ratio", "the long one beside the empty one", "x", _at_most(1.2)),
        ),
    ),
    "durable": Line(ours=durable.appends, figures=_durable("on this disk")),
    "durable-slow": Line(ours=durable.appends_slowly, figures=_durable("fsync 2 ms slower")),
    "recovery": Line(
        ours=durable.recovery,
        figures=(
            Figure("s", "start with 100,000 stored sessions", "s", _at_most(2)),
            Figure("raw_s", "- their rows read by raw SQLite", "s"),
        ),
    ),
    "get": Line(ours=sessions.get, figures=_one("sessions.get, over all of 100k", 0.3)),
    "hand-off": Line(
        ours=ours.hand_off,
        pykka=pykkas.ask,
        figures=_one("ask, direct hand-off", 0.6),
    ),
    "ask": Line(
        ours=ours.ask,
        pykka=pykkas.ask,
        figures=(Figure("us", "ask, through the pool", "us", Mark(Kind.TIMES_RAW, 1.7)),),
        switches=True,
    ),
    "flight": Line(
        ours=ours.flight,
        pykka=pykkas.flight,
        figures=(Figure("us", "2,000 asks in flight, each", "us", Mark(Kind.TIMES_PYKKA, 5)),),
    ),
    "await": Line(
        ours=ours.awaiting,
        figures=(
            Figure("single_us", "await an ask, one by one", "us", _at_most(30)),
            Figure("gathered_us", "await an ask, 5,000 gathered", "us", _at_most(8)),
        ),
        switches=True,
    ),
    "tell": Line(ours=ours.tell, pykka=pykkas.tell, figures=_one("tell, until handled", 0.5)),
    "spread": Line(
        ours=ours.spread,
        pykka=pykkas.spread,
        figures=_one("100k messages over 1000 actors, each", 0.8),
    ),
    "ring": Line(ours=ours.ring, pykka=pykkas.ring, figures=_one("ring of 1000, per hop", 1.5)),
    "restart": Line(
        ours=ours.restart,
        pykka=pykkas.restart,
        figures=(Figure("us", "crash -> answering again, p50, one core", "us", _at_most(30)),),
        switches=True,
        is_pinned=True,
    ),
    "short-restart": Line(
        ours=ours.short_restart,
        figures=(
            Figure("us", "the same, of a class that starts at once", "us", _at_most(30)),
            Figure("cpu_us", "processor time of one of them", "us", _at_most(8)),
        ),
        switches=True,
        is_pinned=True,
    ),
    "crashes": Line(
        ours=ours.crashes,
        pykka=pykkas.crashes,
        figures=(
            Figure("ms", "1000 crashes at once, all answering", "ms", _at_most(20)),
            Figure("cpu_us", "processor time of one crash and restart", "us", _at_most(8)),
        ),
    ),
    "short-crashes": Line(
        ours=ours.short_crashes,
        figures=(
            Figure("ms", "the same, of a class that starts at once", "ms", _at_most(20)),
            Figure("cpu_us", "processor time of one of them", "us", _at_most(8)),
        ),
    ),
    "kill": Line(
        ours=ours.kill,
        figures=(
            Figure("down_us", "kill -> the monitor has its Down, p50", "us"),
            Figure("left_ms", "kill -> a handler that computes has left, p50", "ms"),
        ),
        switches=True,
    ),
    "lookup": Line(
        ours=ours.lookup,
        pykka=pykkas.lookup,
        figures=_one("lookup by name, over all of 100k", 0.15),
    ),
    "stop": Line(
        ours=ours.stop,
        pykka=pykkas.stop,
        figures=(
            Figure("small_us", "orderly stop of 20k, each", "us", _at_most(6)),
            Figure("large_us", "orderly stop of 80k, each", "us", _at_most(6)),
            Figure("linear", "80k beside 20k", "x", _at_most(2)),
        ),
    ),
    "sleepers": Line(
        ours=ours.sleepers,
        pykka=pykkas.sleepers,
        figures=(Figure("s", "1,000 handlers that sleep 0.1 s", "s", _at_most(1)),),
    ),
    "waiters": Line(
        ours=ours.waiters,
        figures=(
            Figure("s", "10,000 async handlers that wait 1 s", "s", _at_most(2)),
            Figure("threads", "threads meanwhile", "", _at_most(32)),
        ),
    ),
    "weights": Line(
        ours=ours.weights,
        figures=(
            Figure("tell_B", "memory of a message that waits", "B"),
            Figure("ask_B", "memory of an ask that waits", "B"),
        ),
    ),
    "million": Line(
        ours=ours.million,
        figures=(
            Figure("GB", "a million idle actors, no message yet", "GB", _at_most(1.6)),
            Figure("stop_us", "their orderly stop, each", "us"),
            Figure("linear", "a million beside a tenth of them", "x", _at_most(2)),
        ),
        is_long=True,
    ),
}

FLOORS: dict[str, Callable[..., Figures]] = {"round trip": floors.round_trip, "call": floors.call}
