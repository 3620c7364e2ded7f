"""How is a store opened, and read for the first time, when its disk may hang for ever?

Nothing can end a read that hangs, so it is done on a thread of its own, which is left when it takes
too long: should it come back, it lets go of the store.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from callboard.actors.errors import StoreError
from callboard.actors.sessions.draft import SessionStore
from callboard.actors.sessions.recovering import Recovered, recover
from callboard.actors.sessions.services import Services
from callboard.actors.storage.records import Leased, Store
from callboard.actors.storage.sqlite import SqliteStore
from callboard.supervision import ActorSystem, Timeout

R = TypeVar("R")

STORE_START_S: Final = 120.0
"""Seconds that the store has, in a start, to open and to give back its sessions, unless the system
says otherwise."""

YOUNG_MAX: Final = 50_000
"""Objects that are made between two looks of the garbage collector while a store gives back its
sessions: a start with 100,000 takes as long as with none, and a fifth more with Python's 700."""

THREAD: Final = "opening"
"""The end of the name of the thread that waits for the store."""


class Opening:
    """The part of a start that a store may hold up.

    Args:
        system: whose thread waits for the store.
        given: the store, as the host has given it.
        within_s: seconds that all of this may take.
    """

    def __init__(
        self,
        system: ActorSystem,
        given: str | os.PathLike[str] | Store | SessionStore | None,
        *,
        within_s: float,
    ) -> None:
        self._system = system
        self._given = given
        self._within_s = within_s
        self._until_s = system.dispatcher.now_s() + within_s

    def store(self) -> tuple[Store | None, SessionStore | None]:
        """Return the durable store that is meant, opened; or the host's own.

        Raises:
            StoreRefused: it cannot be used as it is; StoreLocked: somebody else has it.
            StoreError: it cannot be read, or does not answer.
        """
        given: Any = self._given
        if isinstance(given, (str, os.PathLike)):
            return self._opened(given), None  # pyright: ignore[reportUnknownArgumentType]  # a path
        # The options have been checked: one of the two.
        return (None, given) if given is None or hasattr(given, "commit") else (given, None)

    def _opened(self, path: str | os.PathLike[str]) -> SqliteStore:
        found: list[SqliteStore] = []
        fate: dict[str, bool] = {}

        def open_it() -> None:
            store = SqliteStore(path)
            found.append(store)
            if not fate.setdefault("is_wanted", True):
                store.close()

        try:
            self._bounded(open_it)
        except BaseException:  # a signal of the host too: the store is not left open
            if fate.setdefault("is_wanted", False):  # it came back at the last moment
                found[0].close()
            raise
        return found[0]

    def recovered(self, services: Services) -> Recovered:
        """Have the rows of what the store has kept; return how many there are.

        Raises:
            StoreLocked: somebody else has the store.
            StoreError: it cannot be read, or does not answer.
        """
        storing = services.storing
        assert storing is not None, "there is nothing to recover from"
        storing.occupied_by = self  # so that a stop does not wait for it either

        def read() -> Recovered:
            try:
                if isinstance(storing.store, Leased):
                    storing.store.open()
                return recover(services)
            finally:
                storing.leave()

        with _little_is_garbage():
            return self._bounded(read)

    def _bounded(self, act: Callable[[], R]) -> R:
        left_s = max(0.0, self._until_s - self._system.dispatcher.now_s())
        try:
            return self._system.aside(act, name=THREAD, timeout_s=left_s)
        except Timeout:
            shown = self._given if isinstance(self._given, (str, os.PathLike)) else None
            name = repr(self._given) if shown is None else os.fspath(shown)
        msg = f"the store {name} has not answered within {self._within_s:g} s"
        error = StoreError(msg)
        error.remedy = (
            "See that its disk, or its server, answers; then start again. If it is only slow, or"
            " very large, give store_start_s more."
        )
        raise error


@contextmanager
def _little_is_garbage() -> Generator[None]:
    """Have the collector look seldom: all that is made within stays, and it would look at it often.

    Not never: the rest of the process makes garbage meanwhile, as long as a store takes. Set and
    put back on the host's thread, which is bounded: one that hangs at a disk could leave it so.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < YOUNG_MAX:  # never by itself, or as seldom as this
        yield
        return
    gc.set_threshold(YOUNG_MAX, *before[1:])
    try:
        yield
    finally:
        if gc.get_threshold()[0] == YOUNG_MAX:  # else the host has said otherwise meanwhile
            gc.set_threshold(*before)
