"""Which values does a pattern mean? Plain Python values with holes; nothing is evaluated."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import msgspec


class AnyValue(enum.Enum):
    """The type of `ANY`."""

    ANY = "any"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final[Any] = AnyValue.ANY
"""In a pattern: whatever stands here.

Source: Elixir, the `:_` of a match pattern.
"""


def fits(pattern: object, value: object) -> bool:
    """Say whether a value is one that the pattern means.

    - `ANY` means every value.
    - A frozen struct or a dataclass: one of the same class whose fields fit.
    - A tuple or a list: one of the same length whose members fit.
    - A mapping: one that has these keys, with values that fit, and perhaps more.
    - A class: its instances.
    - Any other callable: what it is true of. It is called with the value.
    - Anything else: what is equal and of the same type, so `1` is not `1.0` nor `True`.

    Example:
        >>> fits((1, ANY), (1, 2)), fits({"size": int}, {"size": 3, "open": True})
        (True, True)
        >>> fits(lambda value: value > 3, 2)
        False

    Source: Elixir, Registry.match/4. Its guards are predicates here.
    """
    if pattern is ANY:
        return True
    names = _fields_of(pattern)
    if names is not None:
        return type(value) is type(pattern) and all(
            fits(getattr(pattern, name), getattr(value, name)) for name in names
        )
    if isinstance(pattern, (tuple, list)):
        patterns = cast("Sequence[object]", pattern)
        return type(value) is type(patterns) and _all_fit(patterns, value)
    if isinstance(pattern, Mapping):
        return isinstance(value, Mapping) and _has(
            cast("Mapping[object, object]", value), cast("Mapping[object, object]", pattern)
        )
    if isinstance(pattern, type):
        return isinstance(value, pattern)
    if callable(pattern):
        return bool(cast("Callable[[object], object]", pattern)(value))
    return type(value) is type(pattern) and value == pattern


class HasValue(Protocol):
    """Something with a value, such as an entry of a registry."""

    @property
    def value(self) -> Any:
        """The value."""
        ...


def value_fits(pattern: object) -> Callable[[HasValue], bool]:
    """Return what says of a thing whether its value fits the pattern."""
    return lambda each: fits(pattern, each.value)


def _fields_of(pattern: object) -> Sequence[str] | None:
    if isinstance(pattern, msgspec.Struct):
        return pattern.__struct_fields__
    if dataclasses.is_dataclass(pattern) and not isinstance(pattern, type):
        return [field.name for field in dataclasses.fields(pattern)]
    return None


def _all_fit(patterns: Sequence[object], values: Sequence[object]) -> bool:
    return len(patterns) == len(values) and all(map(fits, patterns, values))


def _has(value: Mapping[object, object], pattern: Mapping[object, object]) -> bool:
    return all(key in value and fits(each, value[key]) for key, each in pattern.items())
