"""How does a database lie on a real disk? For its owner alone, and for one system at a time.

sessions.db              0600, as all that SQLite makes beside it
sessions.db.lock         there while a system has the store; locked by the kernel for its process
sessions.db.v1-backup    what was kept before an upgrade of the schema
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from callboard.actors.errors import StoreLocked, StoreRefused
from callboard.actors.home import at_home
from callboard.actors.private import FILE_MODE, NotPrivate, private_folder
from callboard.actors.storage.database import (
    SQLITE_CANTOPEN,
    Database,
    DatabaseError,
    StandardDatabase,
)

BUSY_S: Final = 2.0
"""How long a write waits for a lock on the file that somebody else has, in seconds."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_PID_BYTES_MAX: Final = 32
_NOTHING_IS_MADE: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


class LocalDisk:
    """The disk of this machine, and SQLite as the standard library brings it.

    Args:
        busy_s: how long a write waits for a lock that somebody else has, in seconds.
    """

    def __init__(self, *, busy_s: float = BUSY_S) -> None:
        self._busy_s = busy_s

    def prepare(self, path: str) -> str:
        """See that a database can be at this place; return its absolute path, without links.

        Raises:
            StoreRefused: others may read the file or write it, or put another in its place; it is
                a link, has a second name, or is no file; or it cannot be made.
        """
        path, place = _placed(path)
        log = place.with_name(f"{place.name}-wal")
        if not os.path.lexists(place) and _is_filled(log):
            # SQLite would delete it, and all that is in it alone.
            why = f"it is not there, and its write-ahead log {log.name} is"
            remedy = f"Put the file back beside it; to start anew, move {log.name} away."
            raise StoreRefused(path, why, remedy)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(place, flags, FILE_MODE))
        except FileExistsError:
            # Not opened: to close it again would take SQLite's locks from this whole process.
            _check(path, place.lstat())
            _check_writable(path, place)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            remedy = _in_the_way(error, place.parent) or "Give a file that can be made."
            raise StoreRefused(path, why, remedy) from error
        else:
            for folder in (place.parent, place.parent.parent):
                _sync(folder)
        return str(place)

    def find(self, path: str) -> str:
        """Return what `prepare` does of a file that is there; make nothing.

        Raises:
            StoreRefused: as of `prepare`; or it is not there.
        """
        path, place = _placed(path)
        try:
            _check(path, place.lstat())
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise StoreRefused(path, why, "Give the path of a file that is there.") from error
        return str(place)

    def is_filled(self, path: str) -> bool:
        """Say whether there is a file of this name with something in it."""
        return _is_filled(Path(path))

    def lock_to_read(self, path: str) -> FileLock | None:
        """Have this database alone; None: nothing can be written beside it, and nobody has it.

        Raises:
            StoreLocked, StoreRefused: as of `lock`.
        """
        return FileLock.to_read(path)

    def lock(self, path: str) -> FileLock:
        """Have this database alone until the process ends, however it ends, or lets go.

        Raises:
            StoreLocked: somebody has it.
            StoreRefused: the file beside it that is locked cannot be opened.
        """
        return FileLock(path)

    def open(self, path: str, *, is_readonly: bool = False, is_immutable: bool = False) -> Database:
        """Open a database that is there."""
        return StandardDatabase(
            path, busy_s=self._busy_s, is_readonly=is_readonly, is_immutable=is_immutable
        )

    def identity(self, path: str) -> object:
        """Return device and inode of the file at this path; None: there is none."""
        try:
            found = os.stat(path)  # noqa: PTH116 -- once for every commit: half the time of Path's
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def copy(self, database: Database, path: str) -> None:
        """Write what is committed in a database to a new file, synced before it gets its name."""
        part = Path(f"{path}.part")
        try:
            part.unlink(missing_ok=True)
            written = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            try:
                database.execute("VACUUM INTO ?", (str(part),))
                os.fsync(written)
            finally:
                os.close(written)
            part.rename(path)
            _sync(part.parent)
        except OSError as error:
            raise DatabaseError(SQLITE_CANTOPEN, f"{path}: {error.strerror}") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _placed(path: str) -> tuple[str, Path]:
    """Return the absolute path of a file, and where that is without links.

    Raises:
        StoreRefused: its folder is not for us alone, or cannot be made.
    """
    path = at_home(path)
    with suppress(OSError):  # the folder that we are in has gone
        path = str(Path(path).absolute())
    folder = Path(path).parent
    try:
        return path, private_folder(folder) / Path(path).name
    except NotPrivate as error:
        remedy = "Give a file in a folder of your own that others may not write (chmod go-w)."
        remedy = _in_the_way(error.__cause__, folder) or remedy
        raise StoreRefused(path, str(error), remedy) from error


def _in_the_way(error: BaseException | None, place: Path) -> str | None:
    """Say what to do when a place cannot be written; None: that depends."""
    match getattr(error, "errno", None):
        case errno.EROFS:
            return (
                "Mount the file system writable. What is kept on one that is not can be read:"
                " `callboard store check --store FILE`, `callboard store export --store FILE`."
            )
        case errno.EACCES:
            return f"Let the owner of {place} write to it (chmod u+rwX), and be that user."
        case errno.EPERM:
            return (
                f"Take away what forbids it to everybody, root too: `lsattr -d {place}` shows an i"
                " or a where `chattr -ia` helps; else a security module does it."
            )
        case errno.ENOSPC | errno.EDQUOT:
            return "Make room on the disk, or raise the quota."
        case _:
            return None


def _is_filled(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except (OSError, ValueError):
        return False


class FileLock:
    """A lock of the kernel on a file beside the database, which says who has it.

    It ends with the process, however that ends, and is not inherited by what the process starts, a
    bare `os.fork` included. Since when it is held is the file's own time.

    Args:
        path: the database.

    Raises:
        StoreLocked: somebody has it, in another process or in this one.
        StoreRefused: the file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._file = Path(f"{path}.lock")
        self._owner = os.getpid()
        self._held: int | None = self._take(path)
        _locks[id(self)] = self

    @classmethod
    def to_read(cls, path: str) -> Self | None:
        """Have the database alone; None: nobody has it, since nothing can be written beside it.

        Raises:
            StoreLocked: somebody has it.
            StoreRefused: the file cannot be opened.
        """
        try:
            return cls(path)
        except StoreRefused as error:
            cause = error.__cause__
            if not (isinstance(cause, OSError) and cause.errno in _NOTHING_IS_MADE):
                raise
            try:
                held = os.open(f"{path}.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
            except OSError:
                raise error from cause
        try:
            _lock(held, path)  # and let go at once: nobody can begin to use it, only go on
            fcntl.flock(held, fcntl.LOCK_UN)  # here, whoever was forked off meanwhile
        finally:
            os.close(held)
        return None

    def _take(self, path: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:  # as often as a holder goes between our opening and our locking
            try:
                held = os.open(self._file, flags, FILE_MODE)
            except OSError as error:
                remedy = f"Remove {self._file}, or make it a file of your own."
                if not os.path.lexists(self._file) or error.errno == errno.EROFS:
                    remedy = _in_the_way(error, self._file.parent) or remedy
                raise StoreRefused(path, f"{self._file}: {error.strerror}", remedy) from error
            try:
                _lock(held, path)
            except StoreLocked:
                os.close(held)
                raise
            if self._is_in_place(held):
                os.ftruncate(held, 0)
                os.pwrite(held, f"{self._owner}\n".encode(), 0)
                return held
            os.close(held)

    def _is_in_place(self, held: int) -> bool:
        """Say whether the file that is locked still has its name: the last holder removed it."""
        try:
            return os.path.samestat(os.fstat(held), self._file.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Let go, and remove the file. In a process that was forked off nothing is let go."""
        held, self._held = self._held, None
        _locks.pop(id(self), None)
        if held is None:
            return
        if self._owner == os.getpid():
            if self._is_in_place(held):
                with suppress(OSError):
                    self._file.unlink()
            fcntl.flock(held, fcntl.LOCK_UN)
        os.close(held)


_locks: dict[int, FileLock] = {}
"""The locks that this process has, by `id`; for the hook below, which is the process's own."""


def _after_fork() -> None:
    """Leave the locks to the process that has them: they would outlive it in this one."""
    for lock in list(_locks.values()):
        lock.release()
    _locks.clear()


os.register_at_fork(after_in_child=_after_fork)


def _lock(held: int, path: str) -> None:
    """Lock an open file of a database at once.

    Raises:
        StoreLocked: somebody has it.
    """
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        said = os.pread(held, _PID_BYTES_MAX, 0).strip()
        pid = int(said) if said.isdigit() else None
        raise StoreLocked(path, pid=pid, since=os.fstat(held).st_mtime) from error


def _check(path: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise StoreRefused(path, "it is a folder", "Name a file in it, as sessions.db.")
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        remedy = "Name a regular file of your own, or one that is not there yet."
        raise StoreRefused(path, "it is a link, no file, or somebody else's", remedy)
    if found.st_nlink > 1:
        remedy = "Remove the other name: SQLite takes the two for two databases."
        raise StoreRefused(path, "the file has a second name", remedy)
    if found.st_mode & _OTHERS:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        why = f"others may read or write it (mode {mode})"
        raise StoreRefused(path, why, "Make it a file for its owner alone (chmod 600).")


def _check_writable(path: str, place: Path) -> None:
    """Refuse a file that cannot be written: SQLite would take it, and fail at the first write."""
    if os.access(place, os.W_OK):
        return
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        code = errno.EROFS
    else:
        code = errno.EPERM if place.stat().st_mode & stat.S_IWUSR else errno.EACCES
    remedy = _in_the_way(OSError(code, ""), place)
    assert remedy is not None, "of each of these it is known"
    raise StoreRefused(path, f"it cannot be written: {os.strerror(code)}", remedy)


def _sync(folder: Path) -> None:
    """See that the names in a folder are on the disk; where that cannot be done, leave it."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
