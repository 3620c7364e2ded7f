"""How does a structure that a caller gave become one that nobody can change?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias, cast

import msgspec

from callboard.actors.errors import InvalidField, MessageTooLarge
from callboard.actors.limits import DEFAULT_LIMITS, SessionLimits

FrozenJson: TypeAlias = "bool | int | float | str | tuple[FrozenJson, ...] | FrozenDict | None"
"""What JSON can say, with tuples for lists and `FrozenDict` for objects."""

_INT_MIN = -(2**63)
_INT_MAX = 2**64 - 1


def _refuse(*_: object, **__: object) -> NoReturn:
    msg = "it belongs to a frozen snapshot; change the session with UpdateSession"
    raise TypeError(msg)


class FrozenDict(dict[str, Any]):
    """A dict that refuses every change; equal to a plain dict, and the same in JSON."""

    __slots__ = ()

    __setitem__: Any = _refuse
    __delitem__: Any = _refuse
    __ior__: Any = _refuse
    clear: Any = _refuse
    pop: Any = _refuse
    popitem: Any = _refuse
    setdefault: Any = _refuse
    update: Any = _refuse

    def __repr__(self) -> str:
        return f"FrozenDict({super().__repr__()})"

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenDict:
        return self

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


EMPTY = FrozenDict()
"""The one empty structure that all snapshots share."""


def freeze(
    field: str, value: Mapping[str, object], limits: SessionLimits = DEFAULT_LIMITS
) -> FrozenDict:
    """Return a deep copy that cannot be changed, made of JSON's types only.

    Args:
        field: what to call it in an error.
        value: what the caller gave; it is not touched.
        limits: how deep and how large it may be.

    Raises:
        InvalidField: it holds something that JSON cannot say exactly, or nests too deep.
        MessageTooLarge: as JSON it has too many bytes.
    """
    if value is EMPTY or (isinstance(value, Mapping) and not value):
        return EMPTY
    frozen = _frozen((None, field), value, limits.metadata_depth_max)
    if not isinstance(frozen, FrozenDict):
        raise InvalidField(field, value, "Give a mapping with text keys.")
    try:
        size_bytes = len(msgspec.json.encode(frozen))
    except (UnicodeEncodeError, ValueError) as unsayable:
        raise InvalidField(field, value, "Give text that UTF-8 can carry.") from unsayable
    if size_bytes > limits.metadata_bytes_max:
        raise MessageTooLarge(field, size_bytes, bytes_max=limits.metadata_bytes_max)
    return frozen


_Path: TypeAlias = "tuple[_Path | None, str | int]"
"""Where a value stands: what it stands in, and the last step, a key or a place in a list.

Written out only for an error: a path may have a key of megabytes, and a list below it a million
items.
"""


def _written(path: _Path) -> str:
    above, step = path
    if above is None:
        return str(step)
    return _written(above) + (f"[{step}]" if isinstance(step, int) else f".{step}")


def _refused(path: _Path, value: object, remedy: str) -> InvalidField:
    return InvalidField(_written(path), value, remedy)


def _frozen(path: _Path, value: object, depth_left: int) -> FrozenJson:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise _refused(path, value, "Give a number of at most 64 bits, or text.")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _refused(path, value, "Give a finite number.")
        return value
    if depth_left < 1:
        raise _refused(path, value, "Nest less deep.")
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return FrozenDict(
            {
                (name := _key(path, key)): _frozen((path, name), each, depth_left - 1)
                for key, each in pairs
            }
        )
    if isinstance(value, (list, tuple)):
        items = cast("list[object] | tuple[object, ...]", value)
        return tuple(
            _frozen((path, index), each, depth_left - 1) for index, each in enumerate(items)
        )
    raise _refused(path, value, "Use None, booleans, numbers, text, lists and mappings only.")


def _key(path: _Path, key: object) -> str:
    if not isinstance(key, str):
        raise _refused(path, key, "Use text for every key.")
    return key
