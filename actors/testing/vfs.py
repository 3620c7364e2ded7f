"""How does SQLite read and write a disk in memory? By a VFS of apsw's, which must be installed.

apsw brings a SQLite of its own; a VFS of it does not reach the standard library's `sqlite3`.
"""

from __future__ import annotations

import errno
from types import TracebackType
from typing import Any, Final, NoReturn, cast
from weakref import ReferenceType

import apsw

from callboard.actors.testing.device import Device, OpenFile

_SECTOR_BYTES: Final = 4096
"""As SQLite's own VFS says on Linux; the drive loses smaller ones."""

_OF_THE_FOLDER: Final = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
"""Files after whose first sync SQLite's own VFS syncs the folder, if it has made them."""

_JULIAN_MS: Final = 210_866_803_200_000
"""1970, as SQLite tells time: a disk has no clock."""


class Vfs(apsw.VFS):
    """What SQLite asks of an operating system, on a `Device`.

    Args:
        name: under which connections find it, in the whole process.
        device: where the files are.
        owner: whose connection it is for. When he is gone and has not closed it, Python does,
            sooner or later: nothing is changed by that.
    """

    def __init__(self, name: str, device: Device, owner: ReferenceType[object]) -> None:
        super().__init__(name)
        self.name = name
        self._device = device
        self._owner = owner

    def xOpen(  # noqa: N802 -- apsw's name
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        """Open a file.

        Raises:
            apsw.CantOpenError: it is not there, and not to be made; or the disk does not do it.
        """
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        is_new = text is not None and not self._device.has(text)
        if is_new and not flags[0] & apsw.SQLITE_OPEN_CREATE:
            msg = "no such file"
            raise apsw.CantOpenError(msg)
        try:
            file = self._device.open(text)
        except OSError as error:
            raise apsw.CantOpenError(error.strerror) from error
        flags[1] = flags[0]
        syncs_folder = is_new and bool(flags[0] & _OF_THE_FOLDER)
        opened = VfsFile(self._device, self._owner, file, syncs_folder=syncs_folder)
        return cast("apsw.VFSFile", opened)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802, FBT001 -- apsw's
        """Delete a file."""
        device = self._device_of_owner()
        if device is None:
            return
        if not device.has(filename):
            _raise(apsw.SQLITE_IOERR_DELETE_NOENT)
        try:
            device.unlink(filename, is_synced=syncdir)
        except OSError as error:
            _translate(error, apsw.SQLITE_IOERR_DELETE)

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802 -- apsw's name
        """Say whether a file is there; then it may be read and written."""
        del flags
        device = self._device_of_owner()
        return device is not None and device.has(pathname)

    def xFullPathname(self, name: str) -> str:  # noqa: N802 -- apsw's name
        """Return the name: there is one folder."""
        return name

    def _device_of_owner(self) -> Device | None:
        owner: ReferenceType[object] | None = getattr(self, "_owner", None)
        # Where the garbage collector takes all of it, this may have lost what it had.
        return None if owner is None or owner() is None else self._device

    def xGetLastError(self) -> tuple[int, str]:  # noqa: N802 -- apsw's name
        """Return nothing: what is raised says it all."""
        return 0, ""

    def excepthook(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool:
        """Leave it at that where SQLite tells nobody of an error, as at a close."""
        return _is_told_to_nobody(etype, evalue, etraceback)

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802 -- apsw's name
        """Return no chance; SQLite asks the operating system's own VFS for it anyway."""
        return bytes(numbytes)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802 -- apsw's name
        """Return at once: nobody else is there to wait for."""
        return microseconds

    def xCurrentTimeInt64(self) -> int:  # noqa: N802 -- apsw's name
        """Return always the same time: who asks SQLite for it shall see that."""
        return _JULIAN_MS


class VfsFile:
    """A file that SQLite has open.

    Without the methods for shared memory, which apsw does not offer: with a WAL SQLite then
    takes memory of its own, if its connection is the only one (`locking_mode=EXCLUSIVE`).

    Args:
        device: where it is.
        owner: as for the `Vfs`.
        file: which.
        syncs_folder: whether its first sync is one of the folder, too.
    """

    def __init__(
        self,
        device: Device,
        owner: ReferenceType[object],
        file: OpenFile,
        *,
        syncs_folder: bool,
    ) -> None:
        self._device = device
        self._owner = owner
        self._file = file
        self._syncs_folder = syncs_folder

    def excepthook(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool:
        """Leave it at that where SQLite tells nobody of an error."""
        return _is_told_to_nobody(etype, evalue, etraceback)

    def xRead(self, size: int, offset: int) -> bytes:  # noqa: N802 -- apsw's name
        """Read; SQLite fills up with zeros what is not there."""
        try:
            return self._device.read(self._file, offset, size)
        except OSError as error:
            _translate(error, apsw.SQLITE_IOERR_READ)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 -- apsw's name
        """Write."""
        if self._owner() is None:
            return
        try:
            self._device.write(self._file, offset, bytes(data))
        except OSError as error:
            _translate(error, apsw.SQLITE_IOERR_WRITE)

    def xTruncate(self, size: int) -> None:  # noqa: N802 -- apsw's name
        """Cut."""
        if self._owner() is None:
            return
        try:
            self._device.resize(self._file, size)
        except OSError as error:
            _translate(error, apsw.SQLITE_IOERR_TRUNCATE)

    def xSync(self, flags: int) -> None:  # noqa: N802 -- apsw's name
        """Make durable."""
        del flags
        if self._owner() is None:
            return
        try:
            self._device.sync(self._file, with_folder=self._syncs_folder)
        except OSError as error:
            _translate(error, apsw.SQLITE_IOERR_FSYNC)
        self._syncs_folder = False

    def xFileSize(self) -> int:  # noqa: N802 -- apsw's name
        """Return its size."""
        return self._device.size(self._file)

    def xClose(self) -> None:  # noqa: N802 -- apsw's name
        """Close."""
        self._device.close(self._file)

    def xLock(self, level: int) -> None:  # noqa: N802 -- apsw's name
        """Do nothing: a disk has one connection to each database."""

    def xUnlock(self, level: int) -> None:  # noqa: N802 -- apsw's name
        """Do nothing."""

    def xCheckReservedLock(self) -> bool:  # noqa: N802 -- apsw's name
        """Say that nobody else writes."""
        return False

    def xFileControl(self, operation: int, pointer: int) -> bool:  # noqa: N802 -- apsw's name
        """Understand nothing."""
        del operation, pointer
        return False

    def xSectorSize(self) -> int:  # noqa: N802 -- apsw's name
        """Return what Linux says."""
        return _SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:  # noqa: N802 -- apsw's name
        """Promise what SQLite's own VFS does: a write harms no bytes beside it."""
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE


def _is_told_to_nobody(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> bool:
    """Drop what a disk has raised; show what is a mistake here."""
    del kind, trace
    if error is not None and not isinstance(error, apsw.Error):
        raise error
    return True


def _translate(error: OSError, code: int) -> NoReturn:
    """Raise what SQLite takes for this.

    Args:
        error: of the device.
        code: what an I/O error is called where it happened.
    """
    if error.errno == errno.ENOSPC:
        full: Any = apsw.FullError(error.strerror)
        full.extendedresult = apsw.SQLITE_FULL
        raise full from error
    _raise(code, error)


def _raise(code: int, error: OSError | None = None) -> NoReturn:
    raised: Any = apsw.IOError("disk I/O error" if error is None else error.strerror)
    raised.extendedresult = code
    raise raised from error
