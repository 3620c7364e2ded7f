"""Which arguments can a session system have? A table: what each must be, and what to give else.

Asked when the system is made, so that no slip of its host is met later, inside an actor.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias, cast

from callboard.actors.checks import are_seconds
from callboard.actors.connections.ports import Connectors
from callboard.actors.keeping import Keeping
from callboard.actors.limits import SessionLimits
from callboard.actors.sessions.actor import SessionActor
from callboard.actors.sessions.behaviours import check_behaviour
from callboard.actors.sessions.data import DEFAULT_KIND
from callboard.supervision import InvalidSpec, Settings
from callboard.supervision.runtime.system import check_ports

PARTITIONS_MAX: Final = 1_024
"""Supervisors that the sessions of one system may be spread over; each is started with it."""

Rule: TypeAlias = Callable[[object], bool]


class Option(NamedTuple):
    """One argument.

    Args:
        can_be: says whether a value may be given.
        remedy: what may be, as a sentence.
    """

    can_be: Rule
    remedy: str


def check_options(given: Mapping[str, Any]) -> None:
    """Refuse arguments of a `SessionSystem` that cannot be.

    Args:
        given: all of them, by name.

    Raises:
        InvalidSpec: one cannot be; it is named.
    """
    if is_address(given["store"]):
        raise InvalidSpec("store", "(not shown)", _NO_ADDRESS)  # a password may be in it
    for field, option in OPTIONS.items():
        if not option.can_be(given[field]):
            raise InvalidSpec(field, given[field], option.remedy)
    kinds: Mapping[object, object] = given["kinds"] or {}
    for kind, behaviour in kinds.items():
        field = f"kinds[{kind!r}]"
        if not _is_text(kind):
            raise InvalidSpec(field, behaviour, "Name a kind with text that is not empty.")
        if not _is_behaviour(behaviour):
            raise InvalidSpec(field, behaviour, _BEHAVIOUR)
        if kind == DEFAULT_KIND:
            remedy = f"Give it as session=, in place of {given['session'].__qualname__}."
            raise InvalidSpec(field, behaviour, remedy)
    store = given["store"]
    is_durable = store is not None and not hasattr(store, "commit")
    for behaviour in (given["session"], *kinds.values()):
        check_behaviour(cast("type[SessionActor[Any]]", behaviour), is_durable=is_durable)
    check_ports(given["runtime"], given["clock"], given["ids"])
    if given["audit_required"] and given["audit"] is None:
        raise InvalidSpec("audit_required", given["audit_required"], "Give an audit sink with it.")


# -- rules -----------------------------------------------------------------


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_behaviour(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, SessionActor)


def _can_be_partitions(value: object) -> bool:
    return value is None or (type(value) is int and 1 <= value <= PARTITIONS_MAX)


def _is_above_zero(value: object) -> bool:
    return are_seconds(value) and cast("float", value) > 0


def _is_watchdog(value: object) -> bool:
    interval_s = getattr(value, "interval_s", None)
    return _has(value, "beat") and _is_above_zero(interval_s) and interval_s != math.inf


def is_address(value: object) -> bool:
    """Say whether a text names a server, or what SQLite alone takes for a name: no path does.

    `./file:...` is a path.
    """
    return isinstance(value, str) and _ADDRESS.match(value) is not None


def _is_store(value: object) -> bool:
    if isinstance(value, (str, os.PathLike)):
        return bool(str(cast("object", value)))
    return _has(value, "commit") or _has(value, *_STORE)


def _is_place(value: object) -> bool:
    return isinstance(value, (str, os.PathLike)) or _has(value, *_PROVIDER)


def _has(value: object, *methods: str) -> bool:
    is_class = isinstance(value, type)  # whose methods lack the object they are of
    return not is_class and all(callable(getattr(value, each, None)) for each in methods)


def _a(kind: type, remedy: str) -> Option:
    def can_be(value: object) -> bool:
        return isinstance(value, kind)

    return Option(can_be, remedy)


def _a_port(*methods: str) -> Option:
    def can_be(value: object) -> bool:
        return _has(value, *methods)

    return _or_none(Option(can_be, f"Give an object with {_named(methods)}."))


def _or_none(option: Option) -> Option:
    def can_be(value: object) -> bool:
        return value is None or option.can_be(value)

    return Option(can_be, f"{option.remedy.removesuffix('.')}, or None.")


def _named(methods: tuple[str, ...]) -> str:
    return " and ".join(f"{each}()" for each in methods)


_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://|file:|:memory:", re.IGNORECASE)
_NO_ADDRESS: Final = (
    "Give the path of a file (./file:... if that is its name); for a PostgreSQL server give"
    " PostgresStore(dsn) of callboard.actors; to keep sessions in memory alone, None."
)
_BEHAVIOUR: Final = "Give a subclass of SessionActor."
_PROVIDER: Final = ("sweep", "make", "remove", "clear", "close")
_READS: Final = ("sessions", "messages", "keyed", "ended_with_key")
_STORE: Final = ("write", *_READS, "purge", "reader", "close")
_FLAG: Final = _a(bool, "Give True or False.")

OPTIONS: Final[Mapping[str, Option]] = MappingProxyType(
    {
        "session": Option(_is_behaviour, _BEHAVIOUR),
        "kinds": _or_none(_a(Mapping, "Give a mapping of names to classes.")),
        "name": Option(_is_text, "Give text that is not empty."),
        "limits": _a(SessionLimits, "Give SessionLimits(...)."),
        "settings": _or_none(_a(Settings, "Give Settings(...).")),
        "partitions": Option(
            _can_be_partitions, f"Give a whole number from 1 to {PARTITIONS_MAX}."
        ),
        "tenants": _FLAG,
        "unique_role": _FLAG,
        "faults": _FLAG,
        "connectors": _or_none(_a(Connectors, "Give Connectors(...).")),
        "keeping": _a(Keeping, "Give Keeping(...)."),
        "memory": _a_port("resident_bytes", "give_back"),
        "watchdog": _or_none(
            Option(_is_watchdog, "Give an object with beat() and interval_s, seconds above zero.")
        ),
        "workspace": _or_none(
            Option(_is_place, f"Give the path of a folder, or an object with {_named(_PROVIDER)}.")
        ),
        "prompts": _a_port("compose"),
        "strict_prompt": _FLAG,
        "default_prompt": _or_none(_a(str, "Give text.")),
        "cleaner": _a_port("clean"),
        "secrets": _a_port("resolve"),
        "audit": _a_port("log_session_event"),
        "audit_required": _FLAG,
        "metrics": _a_port("counter", "gauge", "histogram"),
        "log": _a_port("log"),
        "store": _or_none(
            Option(
                _is_store,
                "Give the path of a file, a Store such as PostgresStore(...), or an object with"
                " commit().",
            )
        ),
        "store_start_s": Option(
            _is_above_zero, "Give seconds above zero, or math.inf to wait for ever."
        ),
        "hung_after_s": Option(
            _is_above_zero, "Give seconds above zero, or math.inf to call none hung."
        ),
        "part_hung_after_s": Option(
            _is_above_zero, "Give seconds above zero, or math.inf to call none hung."
        ),
        "on_event": _or_none(Option(callable, "Give a function of one event.")),
    }
)
"""What each argument must be. The bounds in `keeping`, and those in its place, it checks itself."""
