"""What do the options of `serve` stand for? Bounds by their names, a class by its module."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, TypeVar

import msgspec

from callboard.actors.daemon.errors import UnknownBehaviour
from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.keeping import Keeping
from callboard.actors.limits import SessionLimits
from callboard.actors.sessions.actor import SessionActor
from callboard.actors.wording import in_words
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.settings import Settings

S = TypeVar("S", bound=msgspec.Struct)

_FIELD = re.compile(r"at `\$\.(\w+)`")


_SHAPES: tuple[type[msgspec.Struct], ...] = (DaemonSettings, SessionLimits, Keeping, Settings)

BOUNDS: tuple[str, ...] = tuple(name for shape in _SHAPES for name in shape.__struct_fields__)
"""The names of all bounds."""

VALUE_CHARS_MAX = 32
"""Characters that a bound's value may have: enough for every number of 64 bits."""


class Bounds(NamedTuple):
    """Every bound of a daemon, by what it is about."""

    daemon: DaemonSettings
    limits: SessionLimits
    keeping: Keeping
    runtime: Settings


def read_bounds(given: Iterable[str]) -> Bounds:
    """Return the bounds, with those that were given by name.

    Args:
        given: each as NAME=VALUE.

    Raises:
        InvalidSpec: there is no such bound, or it cannot have this value.
    """
    chosen: dict[type[msgspec.Struct], dict[str, str]] = {shape: {} for shape in _SHAPES}
    for each in given:
        name, _, value = each.partition("=")
        owner = next((shape for shape in _SHAPES if name in shape.__struct_fields__), None)
        if owner is None:
            remedy = f"Give NAME=VALUE; the names are {', '.join(sorted(BOUNDS))}."
            raise InvalidSpec("--set", each, remedy)
        if not value.isascii() or len(value) > VALUE_CHARS_MAX:
            remedy = f"Give a number, of at most {VALUE_CHARS_MAX} characters."
            raise InvalidSpec(name, value, remedy)
        chosen[owner][name] = value

    def made(shape: type[S]) -> S:
        try:
            return msgspec.convert(chosen[shape], shape, strict=False)
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, InvalidSpec):  # the bound's own rule
                raise error.__cause__ from None
            place = _FIELD.search(str(error))
            assert place is not None, "what was given are fields of the struct"
            name = place[1]
            raise InvalidSpec(name, chosen[shape][name], in_words(str(error))) from None

    return Bounds(made(DaemonSettings), made(SessionLimits), made(Keeping), made(Settings))


def load_behaviour(name: str, folder: Path) -> type[SessionActor[Any]]:
    """Import the class that runs the sessions.

    Args:
        name: MODULE:CLASS.
        folder: goes to the front of `sys.path`, and stays there: a daemon of its own
            program is the host, and imports of that module may come later.

    Raises:
        UnknownBehaviour: it cannot be imported, or is no SessionActor.
    """
    module_name, _, class_name = name.partition(":")
    if not module_name or not class_name:
        raise UnknownBehaviour(name, "is not MODULE:CLASS")
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a program without a guard ends when it is imported
        raise UnknownBehaviour(name, f"cannot be imported: {_why(error)}") from error
    found: object = getattr(module, class_name, None)
    if not _is_behaviour(found):
        file: object = getattr(module, "__file__", None)  # Python's own may have none
        raise UnknownBehaviour(name, f"is no SessionActor of {file or module_name}")
    return found


def _why(error: BaseException) -> str:
    """Say what a module's import ran into; and where, if that is the module's own line."""
    reason = crashed(error)
    if reason.walk and reason.walk[-1].file.startswith("<frozen "):
        reason = msgspec.structs.replace(reason, walk=())
    return str(reason).removeprefix("crashed: ")


def _is_behaviour(found: object) -> TypeGuard[type[SessionActor[Any]]]:
    return isinstance(found, type) and issubclass(found, SessionActor)
