"""What comes in from outside: right types with values on the edge, and everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

LENGTHS = (0, 1, 80, 127, 128, 129, 256, 257, 512, 513, 1_024, 1_025, 65_537, 262_145, 1_048_577)
"""Lengths of texts: the bounds, and one more."""

ODD_TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "\udfff\ud800",
    "\x1b[31m",
    "\r\n",
    "\u202e",
    "\u200b",
    "\ufeff",
    "\u0430da",  # it looks like `ada`
    "e\u0301",
    "💬" * 40,
    ".",
    "..",
    "../../etc/passwd",
    "/",
    "a/b",
    "%00",
    "%2F",
    "count",
    "null",
    "-1",
    "{}",
    "$HOME",
    "'; --",
)

NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400)

UNWRITABLE_BITS = 20_000
"""A number of so many bits has more digits than Python writes."""

FLOATS = (0.0, -0.0, -1.5, 1e-300, 1e9, 1e300, math.inf, -math.inf, math.nan)


def texts() -> st.SearchStrategy[str]:
    """Return texts: odd ones, long ones, any."""
    return st.one_of(
        st.text(max_size=20),
        st.sampled_from(ODD_TEXTS),
        st.text(st.characters(categories=None), max_size=8),  # what UTF-8 cannot carry, too
        st.builds(_long, st.sampled_from(("x", "é")), st.sampled_from(LENGTHS)),
    )


def _long(letter: str, length: int) -> str:
    return letter * length


def numbers() -> st.SearchStrategy[int]:
    """Return whole numbers, huge ones and negative ones too."""
    unwritable = st.sampled_from((1, -1)).map(lambda sign: sign << UNWRITABLE_BITS)
    return st.one_of(st.integers(-3, 50), st.sampled_from(NUMBERS), st.integers(), unwritable)


def floats() -> st.SearchStrategy[float]:
    """Return numbers, NaN and the infinities too."""
    return st.one_of(st.floats(0, 3), st.sampled_from(FLOATS), st.floats(), numbers())


def nested(depth: int) -> dict[str, Any]:
    """Return an object that nests so deep."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def _in_itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def structures() -> st.SearchStrategy[Any]:
    """Return what JSON can say, and what it cannot, deep and shallow."""
    return st.one_of(
        st.dictionaries(texts(), json_values(), max_size=4),
        st.sampled_from((1, 15, 16, 17, 100, 3_000)).map(nested),
        st.builds(_in_itself),
        # What a path to every item costs, where one is written out.
        st.just({"k" * 50_000: [0] * 5_000}),
    )


def json_values() -> st.SearchStrategy[Any]:
    """Return values as they stand in a structure."""
    leaves = st.one_of(st.none(), st.booleans(), numbers(), floats(), texts())
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    )


class Odd:
    """A value whose words raise, and which has no hash."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        raise TypeError

    def __repr__(self) -> str:
        msg = "nobody can say what this is"
        raise RuntimeError(msg)


def anything() -> st.SearchStrategy[Any]:
    """Return values of every type that somebody might mistake for a right one."""
    return st.one_of(
        st.none(),
        st.booleans(),
        numbers(),
        floats(),
        texts(),
        structures(),
        json_values(),
        st.binary(max_size=4),
        st.binary(max_size=4).map(bytearray),
        st.builds(set[int]),
        st.just({1: 2}),
        st.just(int),
        st.just(len),
        st.builds(object),
        st.builds(Odd),
        st.just(1j),
    )


def of_type(
    info: inspect.Type, own: Mapping[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    """Return values of a type as msgspec sees it.

    Args:
        info: the type.
        own: for fields of structs, by name.
    """
    match info:
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return numbers()
        case inspect.FloatType():
            return floats()
        case inspect.StrType():
            return texts()
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.LiteralType(values=values):
            return st.sampled_from(list(values))
        case inspect.UnionType(types=types):
            return st.one_of(*(of_type(each, own) for each in types))
        case inspect.DictType():
            return structures()
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return st.lists(of_type(item, own), max_size=3).map(tuple)
        case inspect.StructType(cls=cls):
            return structs(cls, own)
        case _:
            return anything()


def structs(
    kind: Callable[..., msgspec.Struct], own: Mapping[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[Any]:
    """Return structs: mostly right types, now and then a field of a wrong one.

    Args:
        kind: the class.
        own: for fields, by name, values that fit together.
    """
    info: Any = inspect.type_info(kind)
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in info.fields:
        right = of_type(field.type, own)
        chosen = own.get(field.name, right)
        values = st.one_of(chosen, chosen, right, right, anything())
        (required if field.required else optional)[field.name] = values
    return st.fixed_dictionaries(required, optional=optional).map(lambda given: kind(**given))
