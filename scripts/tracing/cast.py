"""The actors of a scenario: workers that do what a script says, and supervisors."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import msgspec

from callboard.supervision import (
    BRUTAL_KILL,
    AutoShutdown,
    ChildKind,
    ChildSpec,
    Crashed,
    Exit,
    ExitReason,
    InvalidSpec,
    Normal,
    RestartType,
    Shutdown,
    SimpleOneForOneSupervisor,
    StopStart,
    Strategy,
    SupervisedActor,
    Supervisor,
    handles,
)
from scripts.tracing.reporting import report_of
from scripts.tracing.stage import Stage
from scripts.tracing.vocabulary import REFUSED, ScriptedError, UnknownWord

Script = Mapping[str, Any]
"""A child as a recording describes it."""

T = TypeVar("T")


class RefusedSpec(Exception):
    """A spec that callboard refused.

    Args:
        term: what OTP says about it.
    """

    def __init__(self, term: Any) -> None:
        super().__init__(json.dumps(term))
        self.term = term


# -- workers ---------------------------------------------------------------


class Raise(msgspec.Struct, frozen=True):
    """Raise this in a handler.

    Args:
        reason: the error's name.
    """

    reason: str


class Leave(msgspec.Struct, frozen=True):
    """End by yourself, in order.

    Args:
        reason: with this reason.
    """

    reason: ExitReason


class Worker(SupervisedActor):
    """Starts, works and stops as its script says.

    Args:
        stage: where it is played.
        sup: the name of its supervisor.
        script: what it does.
    """

    _is_up = False
    _leaves = False

    def __init__(self, stage: Stage, sup: str, script: Script) -> None:
        super().__init__()
        self._stage = stage
        self._sup = sup
        self._script = script

    def on_start(self) -> None:
        """Come up, or not."""
        self._stage.enter(self.actor_ref, self._sup, self._script)
        self._is_up = True

    @handles(Raise)
    def on_raise(self, message: Raise) -> None:
        """Crash."""
        raise ScriptedError(message.reason)

    @handles(Leave)
    def on_leave(self, message: Leave) -> None:
        """End."""
        self._leaves = True
        self.stop(message.reason)

    @handles(Exit)
    def on_exit(self, message: Exit) -> None:
        """Ignore it, as a server does that traps exits and is sent one by a stranger."""

    def terminate(self, reason: ExitReason) -> ExitReason | None:
        """Clean up as the script says, if its supervisor asked for it.

        An actor that does not trap exits is not cleaned up in OTP; here it is, so there is
        nothing in it (`docs/reference/otp-parity.md`, S42).
        """
        if not (self.trap_exit and self._is_up) or self._leaves or reason != Shutdown():
            return None
        if "stop_ms" in self._script:
            self._stage.sleep_in_cleanup(self.actor_ref, self._script["stop_ms"] / 1000)
        match self._script.get("on_stop", "ok"):
            case "ok":
                return None
            case "raise":
                raise ScriptedError("stop_raise")
            case "normal":
                return Normal()
            case "shutdown_term":
                return Shutdown(detail="bye")
            case unknown:
                msg = f"there is no on_stop {unknown!r}"
                raise UnknownWord(msg)


class Trapping(Worker):
    """One that traps exits."""

    trap_exit: ClassVar[bool] = True


class Stranger(SupervisedActor):
    """A live process that is nobody's child."""


def new_worker(stage: Stage, sup: str, script: Script, more: Script | None = None) -> Worker:
    """Return a worker; `more` is what the start of a child adds to its template."""
    script = {**script, **(more or {})}
    return (Trapping if script.get("trap_exit") else Worker)(stage, sup, script)


# -- supervisors -----------------------------------------------------------


class StaticSupervisor(Supervisor):
    """A supervisor that is written down.

    Args:
        stage: where it is played.
        sup: the name of its own supervisor.
        script: its description.
    """

    def __init__(
        self, stage: Stage, sup: str | None, script: Script, more: Script | None = None
    ) -> None:
        script = {**script, **(more or {})}
        node: Script = script["supervisor"]
        flags: Script = node.get("flags", {})
        self._stage = stage
        self._process = stage.enter(self.actor_ref, sup, script, flags=flags)
        with _refusing():
            super().__init__(strategy=_strategy(flags), **_flags_of(flags))  # OTP looks there first
            children = [
                spec_of(stage, self._process.name, each, flags) for each in node["children"]
            ]
            super().__init__(children, strategy=_strategy(flags), **_flags_of(flags))

    def on_report(self, event: object) -> None:
        """Keep what OTP would report."""
        _keep(self._stage, self._process.who, event)


class SimpleSupervisor(SimpleOneForOneSupervisor):
    """A `simple_one_for_one` supervisor that is written down; otherwise like the static one."""

    def __init__(
        self, stage: Stage, sup: str | None, script: Script, more: Script | None = None
    ) -> None:
        script = {**script, **(more or {})}
        node: Script = script["supervisor"]
        flags: Script = node.get("flags", {})
        self._stage = stage
        self._process = stage.enter(self.actor_ref, sup, script, flags=flags)
        with _refusing():
            name = self._process.name
            specs: Any = tuple(spec_of(stage, name, each, flags) for each in node["children"])
            super().__init__(specs[0] if len(specs) == 1 else specs, **_flags_of(flags))

    def on_report(self, event: object) -> None:
        """Keep what OTP would report."""
        _keep(self._stage, self._process.who, event)


def supervisor_class(node: Script) -> type[Supervisor]:
    """Return the class for a supervisor as described."""
    return SimpleSupervisor if is_simple(node.get("flags", {})) else StaticSupervisor


def is_simple(flags: Script) -> bool:
    """Say whether a supervisor has a template instead of children."""
    return flags.get("strategy") == "simple_one_for_one"


def _keep(stage: Stage, who: str, event: object) -> None:
    report = report_of(event, stage.who)
    if report is not None:
        stage.report(report | {"sup": who})


def _strategy(flags: Script) -> Any:
    return _member(Strategy, flags.get("strategy", "one_for_one"))


def _flags_of(flags: Script) -> dict[str, Any]:
    """Return the flags as callboard takes them; what is left out stays its default."""
    ours: dict[str, Any] = {}
    if "intensity" in flags:
        ours["intensity"] = flags["intensity"]
    if "period" in flags:
        ours["period_s"] = flags["period"]
    if "auto_shutdown" in flags:
        ours["auto_shutdown"] = _member(AutoShutdown, flags["auto_shutdown"])
    return ours


# -- specs -----------------------------------------------------------------


def spec_of(stage: Stage, sup: str, script: Script, flags: Script) -> ChildSpec:
    """Return the spec for a child as described.

    Args:
        stage: where it will be played.
        sup: the name of its supervisor.
        script: the description.
        flags: its supervisor's.

    Raises:
        RefusedSpec: callboard refuses it.
    """
    given: dict[str, Any] = {
        "args": (stage, sup, script),
        "kind": _member(ChildKind, script.get("type", "worker")),
        "start": supervisor_class(script["supervisor"]) if "supervisor" in script else new_worker,
    }
    if "id" in script:
        given["id"] = script["id"]
    if "restart" in script:
        given["restart"] = _member(RestartType, script["restart"])
    if "shutdown" in script:
        given["shutdown_s"] = shutdown_of(script["shutdown"])
    if "significant" in script:
        given["significant"] = script["significant"]
    try:
        return ChildSpec(**given)
    except InvalidSpec as invalid:
        raise RefusedSpec(refusal_of(invalid, script, flags)) from invalid
    except TypeError as missing:
        raise RefusedSpec("missing_id") from missing


def _member(of: type[T], word: Any) -> Any:
    """Return the member of an enumeration, or the word itself for callboard to refuse."""
    members: Any = of
    return next((each for each in members if each.value == word), word)


def shutdown_of(word: Any) -> Any:
    """Return a shutdown time as callboard takes it; what is none goes on to be refused."""
    if word == "brutal_kill":
        return BRUTAL_KILL
    if word == "infinity":
        return float("inf")
    return word / 1000 if isinstance(word, (int, float)) else word


@contextmanager
def _refusing() -> Generator[None]:
    """End a start with what OTP says of specs and flags that callboard refuses."""
    try:
        yield
    except RefusedSpec as refused:
        term: Any = {"start_spec": refused.term}
    except InvalidSpec as invalid:
        term = _start_refusal_of(invalid)
    else:
        return
    raise StopStart(Crashed(error=REFUSED, message=json.dumps(term)))


_FLAGS = {
    "strategy": "invalid_strategy",
    "intensity": "invalid_intensity",
    "period_s": "invalid_period",
    "auto_shutdown": "invalid_auto_shutdown",
}
_FIELDS = {
    "restart": ("invalid_restart_type", "restart"),
    "shutdown_s": ("invalid_shutdown", "shutdown"),
    "kind": ("invalid_child_type", "type"),
}


def _start_refusal_of(invalid: InvalidSpec) -> Any:
    """Return what OTP says when a supervisor's start is refused for this."""
    if invalid.field in _FLAGS:
        return {"supervisor_data": {_FLAGS[invalid.field]: invalid.value}}
    if invalid.field == "template":
        specs: Any = invalid.value
        return {"bad_start_spec": [{"childspec": each.id} for each in specs]}
    if invalid.field == "id":
        return {"start_spec": {"duplicate_child_name": invalid.value}}
    return {"start_spec": refusal_of(invalid, {}, {})}


def refusal_of(invalid: InvalidSpec, script: Script, flags: Script) -> Any:
    """Return what OTP says of a child spec that is refused for this.

    Args:
        invalid: the refusal.
        script: the spec as described.
        flags: the supervisor's.
    """
    if invalid.field in _FIELDS:
        word, field = _FIELDS[invalid.field]
        return {word: script[field]}
    if invalid.field == "significant" and isinstance(invalid.value, bool):
        # OTP looks at the supervisor first, callboard at the spec, which it sees first.
        if flags.get("auto_shutdown", "never") == "never":
            return {"bad_combination": [{"auto_shutdown": "never"}, {"significant": True}]}
        return {"bad_combination": [{"restart": "permanent"}, {"significant": True}]}
    return {f"invalid_{invalid.field}": invalid.value}
