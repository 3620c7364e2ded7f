"""What does the log say of an event? One line, with fields for machines; a storm is summed up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, NamedTuple

from callboard.supervision.model.events import (
    LOGGER,
    ChildCrashed,
    ChildEvent,
    ChildFailedToStart,
    ChildFailedToStop,
    ChildFinished,
    ChildGivenUp,
    ChildrenFailedToStop,
    ChildRestartWasPostponed,
    ChildWasAbandoned,
    ChildWasIgnored,
    ChildWasStarted,
    ChildWasStopped,
    SupervisorEvent,
    SupervisorFinished,
    SupervisorGaveUp,
)
from callboard.supervision.model.reasons import is_abnormal
from callboard.supervision.model.specs import ChildKind
from callboard.supervision.observe.text import CHARS_MAX, escaped
from callboard.supervision.runtime.clock import SystemClock
from callboard.supervision.runtime.dead_letters import DeadLetter
from callboard.supervision.runtime.futures import CallbackFailed
from callboard.supervision.runtime.system import ActorCrashed
from callboard.supervision.runtime.timers import TimerFailed
from callboard.supervision.runtime.watcher import HandlerAbandoned

LINES_MAX: Final = 20
"""Lines of one kind in one window; the rest are counted."""

WINDOW_S: Final = 5.0
"""How long a window is, in seconds."""

FIELDS: Final = ("supervisor", "child_id", "incarnation", "reason")
"""What every line carries as attributes of its record, None where it does not apply."""


class _Line(NamedTuple):
    """What is said of one kind of event."""

    level: int
    event: str


_LINES: Final[Mapping[type, _Line]] = {
    ChildWasStarted: _Line(logging.DEBUG, "child.start.complete"),
    ChildWasIgnored: _Line(logging.DEBUG, "child.start.ignored"),
    ChildFailedToStart: _Line(logging.WARNING, "child.start.failed"),
    ChildCrashed: _Line(logging.WARNING, "child.crashed"),
    ChildFinished: _Line(logging.DEBUG, "child.finished"),
    ChildWasStopped: _Line(logging.DEBUG, "child.stop.complete"),
    ChildFailedToStop: _Line(logging.WARNING, "child.stop.failed"),
    ChildrenFailedToStop: _Line(logging.WARNING, "child.stop.failed"),
    ChildWasAbandoned: _Line(logging.ERROR, "child.abandoned"),
    ChildRestartWasPostponed: _Line(logging.DEBUG, "child.restart.postponed"),
    ChildGivenUp: _Line(logging.ERROR, "child.given_up"),
    SupervisorGaveUp: _Line(logging.ERROR, "supervisor.gave_up"),
    SupervisorFinished: _Line(logging.INFO, "supervisor.finished"),
    ActorCrashed: _Line(logging.ERROR, "actor.crashed"),
    DeadLetter: _Line(logging.WARNING, "message.undelivered"),
    HandlerAbandoned: _Line(logging.ERROR, "handler.abandoned"),
    TimerFailed: _Line(logging.ERROR, "timer.failed"),
    CallbackFailed: _Line(logging.ERROR, "callback.failed"),
}


class EventLog:
    """A hook that logs every event; give it to a system as `on_event`. Any thread, no lock.

    Lines carry `FIELDS` as attributes. What others wrote is shortened and
    escaped; message bodies are never logged. Of one kind of event at most
    `lines_max` lines appear in `window_s` seconds; how many were left out is
    said when the next window begins, or by `flush`, which a system that stops calls.

    Args:
        logger: where to; None: `callboard.events`.
        lines_max: lines of one kind in one window.
        window_s: the window, in seconds.
        now_s: the clock.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        lines_max: int = LINES_MAX,
        window_s: float = WINDOW_S,
        now_s: Callable[[], float] = SystemClock.now_s,
    ) -> None:
        self._logger = logger or logging.getLogger(LOGGER)
        self._lines_max = lines_max
        self._window_s = window_s
        self._now_s = now_s
        self._counts: dict[tuple[str, int], count[int]] = {}

    @property
    def hears_routine(self) -> bool:
        """Whether anything below a warning is logged; see `ActorSystem`."""
        return self._logger.isEnabledFor(logging.WARNING - 1)

    def __call__(self, event: object) -> None:
        """Log one event."""
        line = _line_of(event)
        level = _level_of(event, line.level)
        if not self._logger.isEnabledFor(level):
            return
        window = int(self._now_s() // self._window_s)
        key = (line.event, window)
        number = self._counts.get(key)
        if number is None:
            self._sum_up(before=window)
            number = self._counts.setdefault(key, count(1))  # one C call: all threads get one
        if next(number) <= self._lines_max:
            said = _said(event)
            self._logger.log(
                level, "%s %s", line.event, _shown(said), extra={"event": line.event, **said}
            )

    def flush(self) -> None:
        """Say how many lines were left out so far."""
        self._sum_up(before=None)

    def _sum_up(self, *, before: int | None) -> None:
        for key in list(self._counts):
            event, window = key
            if before is not None and window >= before:
                continue
            number = self._counts.pop(key, None)  # who pops it, says it
            left_out = 0 if number is None else next(number) - 1 - self._lines_max
            if left_out > 0:
                self._logger.warning(
                    "%s and %d more within %g s",
                    event,
                    left_out,
                    self._window_s,
                    extra={"event": event, "left_out": left_out, **dict.fromkeys(FIELDS)},
                )


class SafeFormatter(logging.Formatter):
    """Formats lines that may hold what clients wrote: control characters are escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        """Return the line; a line end inside the message does not begin another one."""
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- logging's name
        """Return the traceback, with its line ends."""
        return escaped(super().formatException(ei), keeps_lines=True)


def _line_of(event: object) -> _Line:
    line = _LINES.get(type(event))
    if line is None:  # not one of ours: its class may say how loud it is, and by which name
        kind: type = type(event)
        level: int = getattr(kind, "log_level", logging.INFO)
        return _Line(level, getattr(kind, "log_event", kind.__name__))
    if isinstance(event, ChildCrashed) and not is_abnormal(event.reason):
        return line._replace(event="child.ended")  # a permanent one, which should not
    return line


def _level_of(event: object, level: int) -> int:
    """Return the level of an event's kind, or another one by what the event is about.

    The starts and stops of whole trees are INFO, and DEBUG for other children. A supervised
    actor's crash is its supervisor's to report; nobody brings back another one.
    """
    if isinstance(event, ActorCrashed) and event.is_supervised:
        return logging.DEBUG
    if isinstance(event, (ChildWasStarted, ChildWasStopped)):
        made_by: object = getattr(event.ref, "actor_class", None)
        if getattr(made_by, "child_kind", None) is ChildKind.SUPERVISOR:
            return logging.INFO
    return level


def _said(event: object) -> dict[str, Any]:
    """Return an event's fields: the four of every line, then its own."""
    said: dict[str, Any] = dict.fromkeys(FIELDS)
    if isinstance(event, SupervisorEvent):
        said["supervisor"] = event.supervisor
    if isinstance(event, ChildEvent):
        said["incarnation"] = event.incarnation
    if isinstance(event, DeadLetter):
        said["message_type"] = type(event.message).__qualname__
    for name in getattr(event, "__struct_fields__", ()):
        if name in _NOT_LOGGED:
            continue
        value = getattr(event, name)
        # `name` and `message` are the log record's own attributes.
        field = "actor" if name == "name" else name
        is_plain = value is None or isinstance(value, (bool, int, float))
        said[field] = value if is_plain else escaped(str(value), chars_max=CHARS_MAX)
    return said


_NOT_LOGGED: Final = frozenset({"ref", "message", "is_supervised"})
"""Live objects, what users wrote to each other, and what the line's level says already."""


def _shown(said: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in said.items() if value is not None)
