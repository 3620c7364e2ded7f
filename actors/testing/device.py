"""What does a disk do when it is asked to? Its work, or what a fault or its end make of it."""

from __future__ import annotations

import errno
from typing import NamedTuple, NoReturn

from callboard.actors.testing.disk_faults import (
    DiskErrs,
    DiskIsFull,
    Striking,
    SyncFails,
    SyncLies,
)
from callboard.actors.testing.drive import Drive


class OpenFile(NamedTuple):
    """A file that is open.

    Args:
        name: its name; empty: it has none.
        number: that of the drive.
    """

    name: str
    number: int


class Device:
    """A drive that counts its changes, fails where a fault strikes, and dies when it is told to.

    Args:
        drive: holds the files.
        faults: decides what strikes; None: nothing does.
    """

    def __init__(self, drive: Drive, faults: Striking | None = None) -> None:
        self.drive = drive
        self.faults = faults
        self.is_sealed = False
        """Whether the process is dead: nothing is changed any more."""
        self.steps = 0
        """How many changes there were: writes, resizes, syncs, files made and deleted."""
        self.dies_at: int | None = None
        """At which of these steps the process dies, in the middle of it."""

    def has(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        return self.drive.has(name)

    def open(self, name: str | None) -> OpenFile:
        """Open a file, which is made if there is none; this and all below raise OSError.

        A dead process makes no files: those it opens then have no name.
        """
        if name is None or self.drive.has(name):
            return OpenFile(name or "", self.drive.open(name))
        if not self._begins(name, "create"):
            return OpenFile(name, self.drive.open(None))
        file = OpenFile(name, self.drive.open(name))
        try:
            self._end()
        except OSError:
            self.drive.close(file.number)
            raise
        return file

    def close(self, file: OpenFile) -> None:
        """Close a file."""
        self.drive.close(file.number)

    def read(self, file: OpenFile, offset: int, size: int) -> bytes:
        """Return up to `size` bytes."""
        if not self.is_sealed:
            self._strike(file.name, "read")
        return self.drive.read(file.number, offset, size)

    def size(self, file: OpenFile) -> int:
        """Return how many bytes there are."""
        return self.drive.size(file.number)

    def write(self, file: OpenFile, offset: int, data: bytes) -> None:
        """Write bytes."""
        if self._begins(file.name, "write"):
            self.drive.write(file.number, offset, data)
            self._end()

    def resize(self, file: OpenFile, size: int) -> None:
        """Cut a file."""
        if self._begins(file.name, "resize"):
            self.drive.resize(file.number, size)
            self._end()

    def unlink(self, name: str, *, is_synced: bool) -> None:
        """Delete a file; `is_synced`: durably."""
        if self._begins(name, "unlink"):
            self.drive.unlink(name)
            self._end()
            if is_synced:
                self.drive.sync_folder()

    def put(self, name: str, content: bytes) -> None:
        """Have a file with this content, for good: whole, or not at all."""
        if self._begins(name, "create"):
            self._end()
            self.drive.put(name, content)

    def sync(self, file: OpenFile, *, with_folder: bool) -> None:
        """Make durable what a file holds; `with_folder`: and which files there are."""
        if not self._begins(file.name, "sync"):
            return
        self._end()
        faults = self.faults
        if faults is not None:
            if faults.strikes(SyncLies, of=file.name, on="sync") is not None:
                return
            fails = faults.strikes(SyncFails, of=file.name, on="sync")
            if fails is not None:
                if fails.is_kept:
                    self.drive.sync(file.number)
                else:
                    self.drive.forget_unsynced(file.number)
                _fail(errno.EIO, "a fault: the sync fails")
        self.drive.sync(file.number)
        if with_folder:
            self.drive.sync_folder()

    # -- how it fails --------------------------------------------------------

    def _begins(self, name: str, on: str) -> bool:
        """Count a change and say whether it is done; after death nothing is, and nobody told.

        Raises:
            OSError: a fault strikes.
        """
        if self.is_sealed:
            return False
        self._strike(name, on)
        self.steps += 1
        return True

    def _end(self) -> None:
        """Die in the middle of a change that was to be the last: it is not synced."""
        if self.steps == self.dies_at:
            self.is_sealed = True
            _fail(errno.EIO, "the process has died")

    def _strike(self, name: str, on: str) -> None:
        faults = self.faults
        if faults is None:
            return
        if faults.strikes(DiskIsFull, of=name, on=on) is not None:
            _fail(errno.ENOSPC, "a fault: the disk is full")
        if faults.strikes(DiskErrs, of=name, on=on) is not None:
            _fail(errno.EIO, "a fault: the disk errs")


def _fail(number: int, message: str) -> NoReturn:
    raise OSError(number, message)
