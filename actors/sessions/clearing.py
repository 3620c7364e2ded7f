"""What is left of workspaces that were removed? Deleted a part at a time, by whoever has the time.

The system owns this. The clearer deletes while sessions live; a stop has the rest of it done.
"""

from __future__ import annotations

import logging
from typing import ClassVar, Final

import msgspec

from callboard.actors.sessions.internal import ClearUp
from callboard.actors.sessions.naming import CLEARER
from callboard.actors.workspace import Remains, WorkspaceProvider
from callboard.supervision import ActorSystem

ENTRIES_PER_STEP: Final = 1_000
"""Files and folders that are deleted in one go: some 50 ms of a disk."""


class FoldersLeft(msgspec.Struct, frozen=True):
    """An event of the system's hook: removed workspaces cannot be deleted; it is tried again.

    Told once, and when the reason becomes another one.

    Args:
        folders: how many are left.
        error: why.
    """

    log_level: ClassVar[int] = logging.WARNING
    log_event: ClassVar[str] = "workspace.folders_left"

    folders: int
    error: str


class Clearing:
    """The folders that are to be deleted.

    Args:
        system: the actor system.
        provider: whose they are.
    """

    def __init__(self, system: ActorSystem, provider: WorkspaceProvider) -> None:
        self.provider = provider
        self.left = 0
        """How many there were at the last look."""
        self._system = system
        self._clearer = system.reserve(CLEARER, keeps_mailbox=True)
        self._is_announced = False
        self._told: str | None = None

    def announce(self) -> None:
        """Have the clearer look: a folder was removed. Any thread; it never waits."""
        if not self._is_announced:
            self._is_announced = True
            self._clearer.notify(ClearUp())

    def step(self) -> Remains:
        """Delete some; say what is left. It may block."""
        self._is_announced = False  # before looking: what comes is announced again
        try:
            remains = self.provider.clear(ENTRIES_PER_STEP)
        except Exception as error:  # noqa: BLE001 -- named edge: a cleanup step
            remains = Remains(self.left, str(error) or type(error).__name__)
        self.left = remains.folders
        if remains.error is not None and remains.error != self._told:
            self._system.emit(FoldersLeft(remains.folders, remains.error))
        self._told = remains.error
        return remains
