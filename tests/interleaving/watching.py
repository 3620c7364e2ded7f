"""Where may another thread come in? Before every line that touches what threads share.

A line that only moves its own local values about commutes with everything others do: to come in
before it is to come in before the next one. So such lines are passed over, and nothing is lost.
"""

from __future__ import annotations

import ast
import dis
import inspect
import linecache
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from types import CodeType, ModuleType
from typing import Any

NEVER_CHANGE = frozenset(
    {"actor_class", "batch_max", "dispatcher", "enqueue", "handlers", "hands_off", "is_system"}
    | {"mailbox_max", "name", "now_s", "parent", "point", "rare", "settings", "system", "tag"}
    | {"_clock", "_pool", "_settings"}
)
"""Attributes that are set before anybody else can see their object, and by no scene again."""

OF_ONE_THREAD = frozenset({"cell", "deadline_s", "depth", "may_run_user_code"})
"""Attributes of a `runner` that no other thread looks at."""

Watched = ModuleType | Callable[..., Any] | property
"""Code to interleave: a module, all of it; or one function with what is defined in it."""


class Watch:
    """The code that is interleaved, and the places in it.

    Args:
        watched: modules and functions.
        after_calls: whether to come in within lines as well, wherever the interpreter may
            change threads: after each call.
    """

    def __init__(self, watched: Iterable[Watched], *, after_calls: bool = False) -> None:
        self._after_calls = after_calls
        self._codes = frozenset(code for each in watched for code in _codes_of(each))
        self._places: dict[CodeType, Places | None] = {}

    def places_in(self, code: CodeType) -> Places | None:
        """Return where to come in there; None for code that is not interleaved."""
        try:
            return self._places[code]
        except KeyError:
            is_watched = code in self._codes
            places = Places(code, after_calls=self._after_calls) if is_watched else None
            self._places[code] = places
            return places


class Places:
    """Where to come in, within one function.

    Args:
        code: the function's.
        after_calls: whether within lines, too.
    """

    __slots__ = ("lines", "offsets")

    def __init__(self, code: CodeType, *, after_calls: bool) -> None:
        self.lines = _shared_lines(code.co_filename)
        self.offsets = _after_calls(code) if after_calls else frozenset[int]()


def _after_calls(code: CodeType) -> frozenset[int]:
    instructions = list(dis.get_instructions(code))
    return frozenset(
        after.offset for call, after in pairwise(instructions) if call.opname.startswith("CALL")
    )


def _codes_of(watched: Watched) -> Iterator[CodeType]:
    if isinstance(watched, ModuleType):
        for each in vars(watched).values():
            if getattr(each, "__module__", None) != watched.__name__:
                continue
            for member in vars(each).values() if inspect.isclass(each) else (each,):
                yield from _codes_of_function(member, watched.__file__)
    else:
        yield from _codes_of_function(watched)


def _codes_of_function(function: Any, path: str | None = None) -> Iterator[CodeType]:
    function = getattr(function, "fget", getattr(function, "__func__", function))
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    if code is not None and (path in (None, code.co_filename) or "<planted" in code.co_filename):
        yield from _and_within(code)


def _and_within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _and_within(constant)


@cache
def _shared_lines(path: str) -> frozenset[int]:
    """Return the lines of a file that touch more than local names and what never changes."""
    tree = ast.parse("".join(linecache.getlines(path)))
    lines: set[int] = set()
    for node in ast.walk(tree):
        if _is_shared(node):
            assert isinstance(node, ast.expr | ast.stmt)
            is_block = isinstance(node, ast.For | ast.AsyncFor | ast.With | ast.AsyncWith)
            last = node.lineno if is_block else node.end_lineno or node.lineno
            lines.update(range(node.lineno, last + 1))
    return frozenset(lines)


def _is_shared(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="runner"), attr=attribute):
            return attribute not in OF_ONE_THREAD
        case ast.Attribute(attr=attribute):
            return attribute not in NEVER_CHANGE
        case ast.Call() | ast.Subscript() | ast.Yield() | ast.YieldFrom() | ast.Await():
            return True
        case ast.For() | ast.AsyncFor() | ast.With() | ast.AsyncWith() | ast.Delete():
            return True
        case ast.Compare(ops=operators):
            return any(isinstance(each, ast.In | ast.NotIn) for each in operators)
        # Whether a list is empty is asked of what may be another's.
        case ast.If(test=ast.Name()) | ast.While(test=ast.Name()):
            return True
        case ast.UnaryOp(op=ast.Not(), operand=ast.Name()):
            return True
        case ast.BoolOp(values=values):
            return any(isinstance(each, ast.Name) for each in values)
        case _:
            return False
