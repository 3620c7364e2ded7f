"""What happened in a run, for a reader: who sent what to whom, who died why, what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from callboard.supervision.testing.trace import STEPS, TEST

Entry: TypeAlias = tuple[str | float, ...]

STORY_LINES_MAX = 60
"""Lines of a story; of a longer one the last are told."""


def story(entries: Sequence[Entry]) -> list[str]:
    """Return the lines of a story: one for each step in which something happened.

    Args:
        entries: those of a trace, up to where the story ends.
    """
    lines = list(_lines(_without_starts(entries)))
    left_out = len(lines) - STORY_LINES_MAX
    if left_out <= 0:
        return lines
    return [f"... {left_out} lines before this", *lines[-STORY_LINES_MAX:]]


STARTS, STARTED = "starts", "started"
"""The kinds of the entries around a start that a story tells in one line; the name follows."""


def _without_starts(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Leave out how a tree was started: a test begins when it runs, if it comes so far."""
    ends = {entry[1]: index for index, entry in enumerate(entries) if entry[0] == STARTED}
    skipped_to = -1
    for index, entry in enumerate(entries):
        if entry[0] == STARTS:
            skipped_to = ends.get(entry[1], -1)
        if index >= skipped_to and entry[0] != STARTS:
            yield entry


def _lines(entries: Iterable[Entry]) -> Iterator[str]:
    who: str | float = TEST
    said: list[str] = []
    for entry in entries:
        kind, name = entry[:2]
        begins = kind in STEPS or kind in _ALONE or (name == TEST != who and kind in _BY)
        if begins and said:
            yield f"{who}: {', '.join(said)}"
            said = []
        if kind == "time":
            yield f"-- t={name:.6g} s"
        elif kind == STARTED:
            yield f"{name} has started"
        elif begins:
            who = f"timer {name}" if kind == "timer" else name
            if kind == "resume":
                said.append("goes on")
        if kind not in STEPS and kind not in _ALONE:
            said.extend(_words(who, entry))
    if said:
        yield f"{who}: {', '.join(said)}"


_ALONE = frozenset({"time", STARTED})
"""The kinds of entries that have a line of their own."""

_BY = frozenset({"put", "signal", "reply", "point"})
"""The kinds of entries whose second word is who does it."""


def _words(who: str | float, entry: Entry) -> Iterator[str]:
    """Yield what an entry says, in the middle of a sentence about `who`."""
    match entry:
        case ("put", me, to, what):
            yield f"{_by(who, me)}sends {what} to {to}"
        case ("signal", _me, _to, "_do_nothing" | "do_nothing"):
            return  # it wakes somebody, who will tell for himself
        case ("signal", me, to, what):
            yield f"{_by(who, me)}signals {to} to {str(what).strip('_').replace('_', ' ')}"
        case ("reply", _me, of, what):
            yield f"{_by(who, of)}answers {what}"
        case ("dead", name, reason, on):
            yield f"{name} is dead, {reason}" + (f", on {on}" if on else "")
        case ("event", what, *about):
            yield f"[{' '.join(map(str, (what, *about)))}]"
        case ("hand-off", name):
            yield f"asks {name} on its own stack"
        case ("wait", name):
            yield f"{_by(who, name)}waits"
        case ("point", me, label):
            yield f"{_by(who, me)}is held up at {label}"
        case ("fault", _what, _me, told):
            yield f"fault: {told}"
        case ("fault", what, _me):
            yield f"fault {what} strikes"
        case ("wall clock", by_s):
            yield f"the wall clock is {by_s:g} s off"
        case ("unwound", name, *_):
            yield f"{name} is unwound"
        case _:
            yield " ".join(map(str, entry))


def _by(who: str | float, name: str | float) -> str:
    return "" if name == who else f"{name} "
