"""What happened in a schedule, as values: two runs are the same run if this is equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

from callboard.supervision.model.reasons import Crashed
from callboard.supervision.runtime.notices import name_of

STEPS = frozenset({"run", "resume", "client", "loop", "timer"})
"""The kinds of entries that begin a step; the name follows."""

TEST = "the test"
"""What the test's own code is called."""

_WHAT = frozenset({"event", "fault", "note"})
"""The kinds of entries whose second word says what happened."""


class Moment(NamedTuple):
    """A place in a run."""

    step: int
    time_s: float
    entry: int
    """How many entries the trace had."""

    def __str__(self) -> str:
        return f"step {self.step}, t={self.time_s:.6g} s"


class Trace:
    """What happened, in order.

    Entries are tuples of words and numbers; text is made only when somebody
    looks. They hold names and our own words: no addresses, no texts of
    exceptions, which differ from one Python version to the next.
    """

    __slots__ = ("entries", "note")

    def __init__(self) -> None:
        self.entries: list[tuple[str | float, ...]] = []
        """All of it."""
        self.note = self.entries.append
        """Add a tuple, such as `("note", "restart")`, to what must be equal in every run."""

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def digest(self) -> str:
        """A short text that is equal for equal traces, in every process."""
        hashed = blake2b(digest_size=6)
        for entry in self.entries:
            hashed.update(repr(entry).encode())
        return hashed.hexdigest()

    def latest(self, count: int = 50) -> str:
        """Return the last `count` entries, one a line."""
        return "\n".join(" ".join(map(str, entry)) for entry in self.entries[-count:])

    def seen(self, kind: str) -> int:
        """Return how many entries are of a kind, or of an event, fault or note of this name."""
        return self.kinds()[kind]

    def kinds(self) -> Counter[str | float]:
        """Count all kinds of entries, and what events, faults and notes are called."""
        kinds = Counter(entry[0] for entry in self.entries)
        kinds.update(each[1] for each in self.entries if each[0] in _WHAT and each[1] != each[0])
        return kinds


def name_in_line(who: Any) -> str:
    """Return what an actor or address is called in the trace."""
    line = getattr(who, "enqueue", None)
    name: str = line.args[0] if isinstance(line, partial) else who.name
    return name


def at_point(label: str, me: str, who: Any, what: object) -> tuple[str, ...]:
    """Return the entry for what is about to happen at a point.

    Args:
        label: `put`, `signal`, `reply` or `dead`.
        me: who is under way.
        who: whom it happens to.
        what: the message, the signal's act, the answer or the exit reason.
    """
    if label == "dead":
        return ("dead", name_in_line(who), in_words(what), who.failed_on or "")
    if label == "signal":
        return (label, me, name_in_line(who), getattr(what, "__name__", "act"))
    return (label, me, name_in_line(who), name_of(what))


def in_words(reason: object) -> str:
    """Return an exit reason in words that are the same in every Python."""
    name = type(reason).__name__
    return f"{name} by {reason.error}" if isinstance(reason, Crashed) else name


class Overheard:
    """A hook for events that adds them to a trace, and gives them to the host's own.

    It hears what the host's hook hears; all, where there is none.

    Args:
        trace: gets them.
        hook: the host's own.
    """

    def __init__(self, trace: Trace, hook: Callable[[object], None] | None) -> None:
        self._trace = trace
        self._hook = hook
        self.hears_routine = bool(getattr(hook, "hears_routine", True))
        self.flush: Callable[[], object] | None = getattr(hook, "flush", None)

    def __call__(self, event: object) -> None:
        """Take one event."""
        words = [
            str(value)
            for name in ("supervisor", "child_id", "name", "session_id", "incarnation")
            if isinstance(value := getattr(event, name, None), (str, int))
        ]
        reason = getattr(event, "reason", None)
        if reason is not None and not isinstance(reason, str):
            words.append(in_words(reason))
        self._trace.note(("event", type(event).__name__, *words))
        if self._hook is not None:
            self._hook(event)
