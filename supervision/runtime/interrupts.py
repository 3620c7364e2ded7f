"""Ending a killed handler: an exception raised on its thread, from another one.

The interpreter delivers such an exception after calls, at function entry and at
backward jumps. It must strike the handler's own code and nothing else: not the
runtime on its behalf, not an actor that its thread runs by hand-off, not what
the thread does next. So its frames are looked at first, and struck at once if
they are the handler's: that takes some microseconds of the five milliseconds that
a thread has before it must make way. Should it have to after all, the other one
may be in the runtime by then, which is made to be struck between any two of its
steps, but not to be left there: what was not delivered when the handler ends is
taken back.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from types import CodeType, FrameType
from typing import Any, TypeVar

F = TypeVar("F")

_RUNTIME = ("callboard.supervision.runtime", "callboard.supervision.registry")
_FINALIZERS = frozenset({"weakref", "_weakrefset"})


class KillSignal(BaseException):
    """Raised inside the handler of a killed actor. Let it pass: nothing you do counts any more."""


class Unwound(KillSignal):
    """Raised where an activation is suspended when its whole world ends: a simulation is closed."""


_collector = threading.Lock()
"""Held by who holds the garbage collector off. One watcher at a time: they are never killed."""

_armed: set[CodeType] = set()
_passed: set[CodeType] = set()


def _code_of(function: Any) -> CodeType:
    return function.__code__  # type: ignore[no-any-return]  # a plain function has one


def arms(function: F) -> F:
    """Mark the function that calls a user's code with an interrupt allowed."""
    _armed.add(_code_of(function))
    return function


def passes(function: F) -> F:
    """Mark a function of the runtime that may stand between the two."""
    _passed.add(_code_of(function))
    return function


def strike(thread: threading.Thread) -> bool:
    """Raise `KillSignal` on the thread if a user's own code is what it runs.

    The caller holds the worker's guard, so the worker cannot leave meanwhile. Nor is anything
    collected meanwhile: a finalizer lets the other thread go on under the look, and in Python 3.11
    even while the object is made that stands for a frame, which is then one of freed memory.
    """
    ident = thread.ident
    if ident is None:
        return False
    with _collector:  # else two who look at once might both leave it off
        collects = gc.isenabled()
        gc.disable()
        try:
            return _look_and_strike(ident)
        finally:
            if collects:
                gc.enable()


def _look_and_strike(ident: int) -> bool:
    is_users = _runs_user_code(sys._current_frames().get(ident))
    return is_users and set_async_exception(ident, KillSignal) == 1


class TakenBack(BaseException):
    """Takes the place of what was not delivered, and is caught where it strikes."""


def take_back() -> None:
    """Withdraw from this thread an exception that has not been delivered yet.

    By having another one delivered. To set None would leave the interpreter's mark that there is
    one: in 3.12 each call then costs half as much again for as long as the process lives, and in
    3.11 the first function that is traced, by a debugger or for coverage, never begins.

    That one may be lost: when the collector begins before it is delivered, it is raised in a
    finalizer, which lets nothing out. So it is set until it comes.
    """
    ident = threading.get_ident()
    try:
        while True:
            set_async_exception(ident, TakenBack)  # it strikes when this returns
    except TakenBack:
        return


def set_async_exception(ident: int, kind: type[BaseException] | None) -> int:
    """Have `kind()` raised on a thread before its next line; None takes that back."""
    argument = None if kind is None else ctypes.py_object(kind)
    return int(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), argument))


def start_thread(thread: threading.Thread) -> None:
    """Start a thread, where a signal's handler may raise at any step.

    Struck while it waits for the thread's first step, the standard library's own
    lock turns what was raised into "release unlocked lock"; the host gets what its
    handler raised, and nobody takes it for a lack of threads.
    """
    try:
        thread.start()
    except RuntimeError as error:
        struck = error.__context__
        if struck is not None and not isinstance(struck, Exception):
            raise struck from None
        raise


def is_users_code(frame: FrameType) -> bool:
    """Say whether this frame is neither the runtime's nor the collector's."""
    module = frame.f_globals.get("__name__", "")
    return not _is_collectors(frame.f_code, module) and not module.startswith(
        "callboard.supervision."
    )


def _runs_user_code(frame: FrameType | None) -> bool:
    is_top = True
    while frame is not None:
        code = frame.f_code
        if code in _armed:
            return not is_top
        module = frame.f_globals.get("__name__", "")
        if _is_collectors(code, module):
            return False  # look again later
        is_runtime = module.startswith(_RUNTIME)
        if is_runtime and (is_top or code not in _passed):
            return False
        is_top = False
        frame = frame.f_back
    return False


def _is_collectors(code: CodeType, module: str) -> bool:
    """Say whether the collector calls this code, out of which it lets nothing be raised."""
    if code.co_name == "__del__" or module in _FINALIZERS:
        return True
    return any(getattr(callback, "__code__", None) is code for callback in gc.callbacks)
