"""How to start, restart and stop one child, and how a supervisor treats them all."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import iscoroutinefunction
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.intensity import RestartWindow

ChildId: TypeAlias = str | int
"""The name of a child within its supervisor; partitions are numbered."""

WORKER_SHUTDOWN_S: Final = 5.0
"""How long a worker may take to stop when its spec does not say, as in OTP."""

EnumT = TypeVar("EnumT", bound=enum.Enum)


class RestartType(enum.Enum):
    """Which ends of a child call for a restart.

    Source: OTP supervisor.erl, child spec `restart`.
    """

    PERMANENT = "permanent"
    """Every end."""

    TRANSIENT = "transient"
    """An abnormal end only; otherwise the spec stays, stopped."""

    TEMPORARY = "temporary"
    """None; the spec goes with the child."""


class Strategy(enum.Enum):
    """Who is restarted together with a child.

    Source: OTP supervisor.erl, flag `strategy`.
    """

    ONE_FOR_ONE = "one_for_one"
    """Nobody."""

    ONE_FOR_ALL = "one_for_all"
    """All its siblings."""

    REST_FOR_ONE = "rest_for_one"
    """The siblings started after it."""


class AutoShutdown(enum.Enum):
    """Whether a supervisor ends when its significant children have.

    Source: OTP supervisor.erl, flag `auto_shutdown`.
    """

    NEVER = "never"
    """It lives on, without children if need be."""

    ANY_SIGNIFICANT = "any_significant"
    """It ends with the first significant child that ends by itself and is not restarted."""

    ALL_SIGNIFICANT = "all_significant"
    """It ends with the last one."""


class ChildKind(enum.Enum):
    """What a child is: it decides the default shutdown time and how children are counted.

    Source: OTP supervisor.erl, child spec `type`.
    """

    WORKER = "worker"
    """It does the work."""

    SUPERVISOR = "supervisor"
    """It has children of its own, and gets the time they need."""


class BrutalKill(enum.Enum):
    """The type of `BRUTAL_KILL`."""

    BRUTAL_KILL = "brutal_kill"


BRUTAL_KILL: Final = BrutalKill.BRUTAL_KILL
"""As a shutdown time: killed at once, without cleanup.

Source: OTP supervisor.erl, child spec `shutdown`.
"""

ShutdownTime: TypeAlias = float | BrutalKill
"""Seconds that a child may take to stop (`math.inf` waits for ever), or `BRUTAL_KILL`."""

_NOTHING: Mapping[str, object] = MappingProxyType({})


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How to start, restart and stop one child.

    Checked when made, and then complete: what was left out has its default, so
    `kind` and `shutdown_s` are never None in a finished spec.

    Args:
        id: the child's name within its supervisor; a dynamic supervisor ignores it.
        start: the actor's class, or a callable that returns the actor. A function that makes a
            supervisor does not show that it does: say `kind=ChildKind.SUPERVISOR`, or it counts
            as a worker and has 5 s to stop.
        args: positional arguments for `start`.
        kwargs: keyword arguments for `start`.
        restart: which ends call for a restart.
        shutdown_s: seconds it may take to stop, `math.inf`, or `BRUTAL_KILL`; None means
            5 s for a worker and no limit for a supervisor. 0 leaves no time for a cleanup: the
            child ends at once with `Shutdown`, or, if it traps exits, is killed, and reported.
        significant: whether its end may end the supervisor (`AutoShutdown`).
        kind: worker or supervisor; None asks `start`'s attribute `child_kind`, or means worker.
        name: a name to register, under which every incarnation answers.
        backoff: delays before restarts; None restarts at once, as OTP does.
        budget: restarts the child may have of its own, beside the supervisor's; a child that
            has spent it is given up alone under `ONE_FOR_ONE`.
        keeps_mailbox: whether waiting messages are handed to the next incarnation; for a child with
            a name, whose class is one of ours. When the child is not to come back (it ended in
            order, its budget is spent, it was terminated) they are answered `ActorDeadError`, or
            become dead letters, and so is what comes after; `RestartChild` opens the mailbox again.
            What an actor tells or asks itself by its own ref is for this incarnation alone, like a
            timer; by its address it is for whoever lives there then.
            While a group is stopped to be restarted, an ask there by one of the group gets
            `AskCycle` at once: the child comes back only when the asker has ended.
        start_s: seconds its start may take, `__init__` and `on_start`; what has not started by
            then is killed, and its start has failed with `START_TIMED_OUT`. None, or `math.inf`:
            as long as it takes. The time that a predecessor's cleanup takes does not count. With
            a limit the start runs on a worker also of a class with `hand_off`, but not of one
            with `starts_at_once`, which waits for nothing.

    Raises:
        InvalidSpec: a value that cannot be, naming field, value and remedy.

    Example:
        >>> ChildSpec(id="clock", start=object).shutdown_s
        5.0

    Source: OTP supervisor.erl, `child_spec()`; for `start_s`, which OTP leaves to the child's
    start function, gen_server:start_link/3, option `timeout`, and proc_lib:start_link/5.
    `backoff`, `budget` and `keeps_mailbox` are beyond OTP.
    """

    id: ChildId
    start: Callable[..., object]
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = _NOTHING
    restart: RestartType = RestartType.PERMANENT
    shutdown_s: ShutdownTime | None = None
    significant: bool = False
    kind: ChildKind | None = None
    name: str | None = None
    backoff: Backoff | None = None
    budget: RestartWindow | None = None
    keeps_mailbox: bool = False
    start_s: float | None = None

    def __post_init__(self) -> None:
        _check_id(self.id)
        if not callable(self.start):
            remedy = "Give the actor's class, or a callable that returns the actor."
            raise InvalidSpec("start", self.start, remedy)
        if not isinstance(self.start, type) and iscoroutinefunction(self.start):
            remedy = "Give a plain function: it makes the actor, whose on_start may be async."
            raise InvalidSpec("start", self.start, remedy)
        check_type("args", self.args, tuple, "Give a tuple, as in args=(1,).")
        check_type("kwargs", self.kwargs, Mapping, "Give a mapping from names to values.")
        if self.kwargs and not all(isinstance(name, str) for name in self.kwargs):
            raise InvalidSpec("kwargs", self.kwargs, "Give a mapping from names to values.")
        _check_member("restart", self.restart, RestartType)
        check_type("significant", self.significant, bool, "Give True or False.")
        check_type("keeps_mailbox", self.keeps_mailbox, bool, "Give True or False.")
        _check_name(self.name)
        if self.keeps_mailbox and self.name is None:
            remedy = (
                "Give the child a name: the mailbox that outlives an incarnation is its address's."
            )
            raise InvalidSpec("keeps_mailbox", self.keeps_mailbox, remedy)
        _check_optional("backoff", self.backoff, Backoff)
        _check_optional("budget", self.budget, RestartWindow)
        _check_start_time(self.start_s)
        if self.significant and self.restart is RestartType.PERMANENT:
            remedy = "Make the child TRANSIENT or TEMPORARY: a permanent one never ends for good."
            raise InvalidSpec("significant", self.significant, remedy)
        self._complete()

    def _complete(self) -> None:
        start: Any = self.start
        while isinstance(start, partial):
            start = start.func
        kind = getattr(start, "child_kind", None) if self.kind is None else self.kind
        if kind is None:
            kind = ChildKind.WORKER
        _check_member("kind", kind, ChildKind)
        shutdown_s: object = self.shutdown_s
        if shutdown_s is None:
            shutdown_s = math.inf if kind is ChildKind.SUPERVISOR else WORKER_SHUTDOWN_S
        _check_shutdown(shutdown_s)
        msgspec.structs.force_setattr(self, "kind", kind)
        msgspec.structs.force_setattr(self, "shutdown_s", shutdown_s)

    @property
    def is_supervisor(self) -> bool:
        """Whether the child is counted and stopped as a supervisor."""
        return self.kind is ChildKind.SUPERVISOR

    @property
    def shutdown_time(self) -> ShutdownTime:
        """How long the child may take to stop, its default filled in."""
        assert self.shutdown_s is not None
        return self.shutdown_s

    @property
    def start_limit_s(self) -> float | None:
        """How long the start may take, in seconds; None without a limit."""
        return None if self.start_s == math.inf else self.start_s


class SupervisorFlags(msgspec.Struct, frozen=True, kw_only=True):
    """How a supervisor treats its children as a whole.

    Args:
        strategy: who is restarted together with a child.
        intensity: restarts that may lie within `period_s`; one more and the supervisor gives
            up. None sets no limit (beyond OTP: for children that have budgets of their own).
        period_s: length of that window, in seconds.
        auto_shutdown: whether it ends when its significant children have.

    Raises:
        InvalidSpec: a value that cannot be, naming field, value and remedy.

    Source: OTP supervisor.erl, `sup_flags()`, and its defaults.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: int | None = 1
    period_s: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER

    def __post_init__(self) -> None:
        _check_member("strategy", self.strategy, Strategy)
        intensity = 0 if self.intensity is None else self.intensity
        RestartWindow(intensity=intensity, period_s=self.period_s)  # refuses what cannot be
        _check_member("auto_shutdown", self.auto_shutdown, AutoShutdown)

    def new_window(self) -> RestartWindow | None:
        """Return the empty restart history of a supervisor that starts; None without a limit."""
        if self.intensity is None:
            return None
        return RestartWindow(intensity=self.intensity, period_s=self.period_s)


def check_specs(specs: Iterable[ChildSpec], auto_shutdown: AutoShutdown) -> None:
    """Refuse specs that cannot stand together under one supervisor, before anything starts.

    Args:
        specs: in start order.
        auto_shutdown: the supervisor's flag.

    Raises:
        InvalidSpec: something that is no spec, an id or a name given twice, or a significant
            child under a supervisor that never ends because of one.

    Source: OTP supervisor.erl, `check_startspec/2`.
    """
    ids: set[ChildId] = set()
    names: set[str] = set()
    for spec in specs:
        check_spec(spec, auto_shutdown)
        if spec.id in ids:
            raise InvalidSpec("id", spec.id, "Give every child an id of its own.")
        ids.add(spec.id)
        if spec.name in names:
            raise InvalidSpec("name", spec.name, "Give every child a name of its own, or None.")
        if spec.name is not None:
            names.add(spec.name)


def check_spec(spec: ChildSpec, auto_shutdown: AutoShutdown) -> None:
    """Refuse one spec that does not fit a supervisor.

    Args:
        spec: the spec, checked in itself when it was made.
        auto_shutdown: the supervisor's flag.

    Raises:
        InvalidSpec: it is no spec, or significant under a supervisor that never ends
            because of that.

    Source: OTP supervisor.erl, `check_childspec/2`.
    """
    check_type("child", spec, ChildSpec, "Give a ChildSpec.")
    if spec.significant and auto_shutdown is AutoShutdown.NEVER:
        remedy = f"Give the supervisor of {spec.id!r} another auto_shutdown than NEVER."
        raise InvalidSpec("significant", spec.significant, remedy)


def check_type(field: str, value: object, of: type[object], remedy: str) -> None:
    """Refuse a value of another type: whoever has no type checker learns it here.

    Args:
        field: the name of the value.
        value: what was given.
        of: what it must be an instance of.
        remedy: what would be right, as a sentence.

    Raises:
        InvalidSpec: it is none.
    """
    if not isinstance(value, of):
        raise InvalidSpec(field, value, remedy)


def _check_id(value: object) -> None:
    if type(value) is int or (isinstance(value, str) and value):
        return
    raise InvalidSpec("id", value, "Give the child an id: text that is not empty, or a number.")


def _check_name(value: object) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise InvalidSpec("name", value, "Give text that is not empty, or None.")


def _check_optional(field: str, value: object, of: type[object]) -> None:
    if value is not None:
        check_type(field, value, of, f"Give a {of.__name__}, or None.")


def _check_member(field: str, value: object, of: type[EnumT]) -> None:
    if not isinstance(value, of):
        choice = ", ".join(f"{of.__name__}.{each.name}" for each in of)
        raise InvalidSpec(field, value, f"Give one of {choice}.")


def _check_shutdown(value: object) -> None:
    if value is BRUTAL_KILL:
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return  # NaN is not >= 0
    raise InvalidSpec("shutdown_s", value, "Give seconds >= 0, math.inf or BRUTAL_KILL.")


def _check_start_time(value: object) -> None:
    if value is None:
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return
    raise InvalidSpec("start_s", value, "Give seconds above zero, or None for as long as it takes.")
