"""Can a behaviour's `data` be changed from within? Then it would be no part of a snapshot."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, MutableMapping, MutableSequence, MutableSet
from types import MappingProxyType
from typing import Any, cast

import msgspec

from callboard.actors.sessions.frozen import FrozenDict

_ATOMS = frozenset({bool, int, float, str, bytes, type(None)})
_MUTABLE = (MutableSequence, MutableMapping, MutableSet, bytearray)


def changeable(data: msgspec.Struct, before: object = None) -> str | None:
    """Return the field of a frozen struct that somebody could change from within, or None.

    It costs as much as looking at each value; those that were there before are not looked at
    again. What is of a class of one's own counts as unchanging, unless it is a dataclass that
    is not frozen.

    Args:
        data: a frozen struct.
        before: what it takes the place of.
    """
    is_alike = type(before) is type(data)
    for name in data.__struct_fields__:
        value: object = getattr(data, name)
        if not (is_alike and getattr(before, name) is value) and _can_change(value):
            return name
    return None


def _can_change(value: Any) -> bool:
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]  # of anything
    if kind in _ATOMS:
        return False
    if isinstance(value, (tuple, frozenset)):
        return any(map(_can_change, cast("Iterable[object]", value)))
    if isinstance(value, (FrozenDict, MappingProxyType)):
        return any(map(_can_change, cast("dict[Any, object]", value).values()))
    fields: Iterable[str]
    if issubclass(kind, msgspec.Struct):
        fields, is_frozen = kind.__struct_fields__, kind.__struct_config__.frozen
    elif dataclasses.is_dataclass(kind):
        fields = [field.name for field in dataclasses.fields(kind)]
        is_frozen = cast("Any", kind).__dataclass_params__.frozen
    else:
        return isinstance(value, _MUTABLE)
    return not is_frozen or any(_can_change(getattr(value, name)) for name in fields)
