"""A bug put in the place of one line: does the explorer find it?"""

from __future__ import annotations

import inspect
import linecache
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from typing import Any, NamedTuple

import pytest

_numbers = count(1)


class Bug(NamedTuple):
    """One that could have been made.

    Args:
        race: who finds it.
        owner: the class or the module of the function.
        function: its name.
        right: what stands there, without indentation.
        wrong: what stands there instead.
    """

    race: str
    owner: Any
    function: str
    right: str
    wrong: str


@contextmanager
def planted(bug: Bug) -> Generator[None]:
    """Have the function be wrong for a while."""
    function = getattr(bug.owner, bug.function)
    source = textwrap.dedent(inspect.getsource(function))
    right, wrong = textwrap.dedent(bug.right), textwrap.dedent(bug.wrong)
    indented = _indentations(source, right)
    assert len(indented) == 1, f"{bug.right!r} stands {len(indented)} times in {bug.function}"
    (indent,) = indented
    source = source.replace(textwrap.indent(right, indent), textwrap.indent(wrong, indent))
    source = f"from __future__ import annotations\n{source}"
    path = f"<planted {next(_numbers)}>"
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {}
    world = vars(sys.modules[function.__module__])
    exec(compile(source, path, "exec"), world, namespace)  # noqa: S102 -- our own source
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bug.owner, bug.function, namespace[bug.function])
        yield


def _indentations(source: str, lines: str) -> list[str]:
    return [
        " " * width
        for width in range(0, 40, 4)
        if f"\n{textwrap.indent(lines, ' ' * width)}" in source
    ]
