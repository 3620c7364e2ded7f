"""Which law did a schedule break? Two failures are the same one if this is equal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple, TypeAlias

import callboard.supervision.testing as kit
from callboard.supervision.testing.errors import EndlessStep

_LIBRARY = str(Path(kit.__file__).parents[1])
"""Where the frames are that say nothing of what a test checks."""

Place: TypeAlias = tuple[str, str, int]
"""A file, a function and a line."""


class Broken(NamedTuple):
    """A failure without its text, which may differ each time."""

    kind: str
    """The exception's type."""
    key: str
    """Our own word for it: the law, the code of an error of ours, or empty."""
    in_body: Place | None
    """The line of the test that was under way."""
    raised_at: Place | None
    """The innermost line outside of the library."""

    @property
    def what(self) -> str:
        """What was broken, in words."""
        return f"{self.kind} ({self.key})" if self.key else self.kind


def broken_by(error: BaseException, body: Callable[..., Any]) -> Broken:
    """Return what a failure of this test broke."""
    body_file = body.__code__.co_filename
    in_body: Place | None = None
    raised_at: Place | None = None
    for frame, line in walk_tb(error.__traceback__):
        code = frame.f_code
        place = (Path(code.co_filename).name, code.co_qualname, line)
        if code.co_filename == body_file:
            in_body = place
        if not code.co_filename.startswith(_LIBRARY):
            raised_at = place
    key = str(getattr(error, "law", None) or getattr(error, "code", None) or "")
    return Broken(type(error).__qualname__, key, in_body, raised_at)


def is_failure(error: BaseException) -> bool:
    """Say whether this is the test's failure, and not the wish of whoever runs it."""
    if isinstance(error, (Exception, EndlessStep)):
        return True
    # What `pytest.fail` and `pytest.raises` raise is no Exception; `pytest.skip` is no failure.
    fail = getattr(sys.modules.get("pytest"), "fail", None)
    kind = getattr(fail, "Exception", None)
    return isinstance(kind, type) and isinstance(error, kind)
