"""What belongs to the process and not to a system: fork, exit, and the kind of interpreter."""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING

from callboard.supervision.model.errors import CallboardError
from callboard.supervision.runtime.errors import SystemStopped

if TYPE_CHECKING:
    from callboard.supervision.runtime.system import ActorSystem

_open: dict[int, ActorSystem] = {}
"""The systems that are open, by `id`; for the two hooks below, which are the process's own."""


class FreeThreadingRefused(CallboardError):
    """A build of Python without the GIL."""

    code = "free_threading"
    remedy = "Run a standard build of Python: the protocol has not been proved without the GIL."


def refuse_free_threading() -> None:
    """Raise on an interpreter for which the runtime has not been proved.

    Raises:
        FreeThreadingRefused: the GIL is off.
    """
    is_gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)
    if not is_gil_enabled():
        msg = "callboard does not run on a free-threaded build of Python yet"
        raise FreeThreadingRefused(msg)


class _Forked:
    """The dispatcher of a system in a forked child: it has no threads, so everything says so."""

    is_asleep = True
    batch_max = 1
    hand_off_depth = 0

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, _name: str) -> object:
        return self.refuse

    def refuse(self, *_args: object) -> None:
        """Say whose the system is.

        Raises:
            SystemStopped: always.
        """
        msg = f"<ActorSystem {self._name}> belongs to the process that was forked"
        raise SystemStopped(msg, address=self._name)


def enter(system: ActorSystem) -> None:
    """Have a system looked after at fork and at exit."""
    _open[id(system)] = system


def leave(system: ActorSystem) -> None:
    """Look after it no longer."""
    _open.pop(id(system), None)


def _stop_all() -> None:
    # Workers are daemon threads, so that a failed host can end; their actors are stopped here.
    for system in reversed(list(_open.values())):
        system.stop()


def _after_fork() -> None:
    for system in list(_open.values()):
        forked = _Forked(system.name)
        # The futures that were given out know the parent's dispatcher: nobody will answer them.
        vars(system.dispatcher).update(block=forked.refuse, awaited_in=forked.refuse)
        system.become_foreign(forked)
    _open.clear()


atexit.register(_stop_all)
os.register_at_fork(after_in_child=_after_fork)
