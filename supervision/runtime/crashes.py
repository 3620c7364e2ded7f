"""An exception as a value: what it was and where, without keeping it alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callboard.supervision.model.reasons import Crashed, Frame

if TYPE_CHECKING:
    from types import TracebackType

_FRAMES_MAX = 12
"""Innermost frames kept in an exit reason."""

_TEXT_MAX = 500
"""Characters of the exception's own text kept in an exit reason."""


def crashed(error: BaseException) -> Crashed:
    """Return the exit reason for an exception that nobody handled.

    An exit reason that held the exception would hold its traceback, its frames
    and so the dead actor. A walk of names costs 0.7 us, a formatted traceback
    two hundred times as much: whoever shows it formats it, off the crash path.
    """
    return Crashed(
        error=type(error).__qualname__,
        message=_text_of(error),
        walk=_walk(error.__traceback__),
    )


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 -- an exception whose own text raises must not win
        return f"<unprintable: {type(broken).__qualname__}>"
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"


def _walk(trace: TracebackType | None) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(Frame(code.co_filename, trace.tb_lineno, code.co_qualname))
        trace = trace.tb_next
    return tuple(frames[-_FRAMES_MAX:])
