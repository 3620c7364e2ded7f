"""Can a class run sessions? Asked when a system is made: its first session would find out late.

Told from the class alone: what it keeps, which messages it handles, what its handlers say that they
return. A value that is wrong all the same is found where it is given.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Literal,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec

from callboard.actors.link_messages import ConnectionMessage
from callboard.actors.messages import SessionMessage
from callboard.actors.sessions.actor import SessionActor
from callboard.actors.sessions.coding import TO_BE_KEPT, data_type_of
from callboard.actors.sessions.data import FROZEN_DATA
from callboard.supervision import InvalidSpec, Later, Request
from callboard.supervision.model.requests import handlers_of

_OF_JSON: Final = (dict, list, str, int, float, bool, NoneType)
"""What JSON is read as where nothing more is declared."""

_INIT: Final = (
    "It is called with what callboard gives: leave it out and begin in on_start, or define"
    " __init__(self, row, services), which calls super().__init__(row, services)."
)


_UNSEEN: Final = (AttributeError, NameError, SyntaxError, TypeError)
"""What looking up an annotation ends in that names what only a type checker can see."""


def check_behaviour(behaviour: type[Any], *, is_durable: bool) -> None:
    """Refuse a behaviour that no session could be run by.

    Args:
        behaviour: the subclass of `SessionActor`.
        is_durable: whether a durable store is to give its `data` back.

    Raises:
        InvalidSpec: its `__init__` does not take what it is given; a handler is for what is no
            frozen message, or says that it returns something else than its message declares; its
            `data` is of a type that cannot be a part of a snapshot, or not come back from a store.
    """
    _check_init(behaviour)
    for message, method in handlers_of(behaviour).items():
        _check_message(f"{behaviour.__qualname__}.{method}", message)
        _check_reply(behaviour, method, message)
    _check_data(behaviour, is_durable=is_durable)


def _check_init(behaviour: type[Any]) -> None:
    signature = inspect.signature(behaviour.__init__)
    try:
        signature.bind(None, None, None)
    except TypeError:
        raise InvalidSpec("__init__", f"{behaviour.__qualname__}{signature}", _INIT) from None


# -- what is handled -------------------------------------------------------


def _check_message(where: str, message: type[Any]) -> None:
    name = message.__qualname__
    if issubclass(message, msgspec.Struct):
        is_frozen = message.__struct_config__.frozen
    elif dataclasses.is_dataclass(message):
        is_frozen = cast("Any", message).__dataclass_params__.frozen
    else:
        remedy = f"{name} is no message: make one, class Said(SessionMessage[None], frozen=True)."
        raise InvalidSpec("handles", where, remedy)
    if not is_frozen:
        remedy = f"{name} could be changed on its way: make it frozen=True."
        raise InvalidSpec("handles", where, remedy)


def _check_reply(behaviour: type[Any], method: str, message: type[Any]) -> None:
    try:
        said = get_type_hints(getattr(behaviour, method)).get("return", Any)
    except _UNSEEN:
        return
    declared = _declared_by(message)
    wanted, found = _classes(declared), _classes(said)
    if wanted is None or found is None:
        return
    wanted = (*wanted, int) if float in wanted else wanted
    if all(issubclass(each, (*wanted, Later, Awaitable)) for each in found):
        return
    remedy = (
        f"{message.__qualname__} declares {_named(declared)} as its reply, and this returns"
        f" {_named(said)}: mend one of the two."
    )
    raise InvalidSpec("handles", f"{behaviour.__qualname__}.{method}", remedy)


def _declared_by(message: type[Any]) -> Any:
    """Return the type of reply that a message declares; `Any` where that is not plain to see."""
    for each in message.__mro__:
        for base in vars(each).get("__orig_bases__", ()):
            if get_origin(base) in {Request, SessionMessage, ConnectionMessage}:
                return get_args(base)[0]
            if inspect.isclass(get_origin(base)) and issubclass(get_origin(base), Request):
                return Any  # a generic one of the user's own
    return Any


def _classes(hint: Any) -> tuple[type, ...] | None:
    """Return of which classes a value may be that has this type; None: of any, or nobody knows."""
    origin = get_origin(hint)
    if hint is None:
        return (NoneType,)
    if origin in {Union, UnionType}:
        parts = [_classes(each) for each in get_args(hint)]
        known = [each for each in parts if each is not None]
        return tuple(kind for each in known for kind in each) if len(known) == len(parts) else None
    if origin is Literal:
        return tuple(map(type, get_args(hint)))
    kind: Any = hint if origin is None else origin
    if kind is object or kind is Any or getattr(kind, "_is_protocol", False):
        return None
    if is_typeddict(kind):
        return (dict,)
    return (kind,) if inspect.isclass(kind) else None


def _named(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


# -- what is kept ----------------------------------------------------------


def _check_data(behaviour: type[Any], *, is_durable: bool) -> None:
    declared, name = data_type_of(behaviour), behaviour.__qualname__
    classes = _classes(declared)
    if declared is None or classes is None:
        if is_durable and _gives_data(behaviour):
            shape = f"class {behaviour.__name__}(SessionActor[Data])"
            remedy = f"A store must know of which type it is: {shape}."
            raise InvalidSpec("data", f"{name}.initial_data", remedy)
        return
    for each in classes:
        if each is not NoneType and not _is_frozen_struct(each):
            raise InvalidSpec("data", f"{name}[{_named(declared)}]", FROZEN_DATA)
    if is_durable:
        _check_way_back(name, declared, classes)


def _gives_data(behaviour: type[Any]) -> bool:
    """Say whether a behaviour gives new sessions data of a type that it does not declare."""
    plain: type[Any] = SessionActor
    method = behaviour.initial_data
    said = getattr(method, "__annotations__", {}).get("return", Any)
    return method is not plain.initial_data and said not in {None, "None"}


def _is_frozen_struct(kind: type[Any]) -> bool:
    return issubclass(kind, msgspec.Struct) and kind.__struct_config__.frozen


def _check_way_back(name: str, declared: Any, classes: tuple[type[Any], ...]) -> None:
    """Refuse data with what no JSON can be read as."""
    structs = [each for each in classes if each is not NoneType]
    try:
        msgspec.json.Decoder(declared)
        fields = [field for struct in structs for field in msgspec.structs.fields(struct)]
        unknown = [(field.name, kind) for field in fields for kind in _unknown_in(field.type)]
    except (NameError, TypeError) as error:
        value, remedy = f"{name}[{_named(declared)}]", f"{TO_BE_KEPT} {error}"
        raise InvalidSpec("data", value, remedy) from None
    for field, kind in unknown:
        if not any(issubclass(each, kind) for each in _OF_JSON):
            where = f"data.{field}"
            raise InvalidSpec(where, f"{kind.__qualname__} of {name}", TO_BE_KEPT)


def _unknown_in(hint: Any) -> list[type[Any]]:
    """Return the classes in a type that JSON has no word for."""
    found: list[type[Any]] = []

    def note(kind: type[Any]) -> dict[str, str]:
        found.append(kind)
        return {"description": kind.__qualname__}

    msgspec.json.schema(hint, schema_hook=note)
    return found
