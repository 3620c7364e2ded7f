"""How is a folder deleted, however deep and large it is? One entry after the other.

No path is made of what is in it and no link followed, and nothing goes on the stack: what lies
deeper is moved up first. All that has been done is on the disk, so it may be left off at any
entry and gone on with later, by somebody else or by two at once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final

FOLDER_MODE: Final = 0o700
"""Of every folder that is made or entered: nobody but its owner gets in."""

FAILURES_MAX: Final = 100
"""Entries of one folder that cannot be deleted, then it is left as it is: it is tried again."""

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened: a link is none."""

TAKEN: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})
"""What is said when something is to be moved to where something else is."""

_NO_FOLDER: Final = frozenset({errno.ENOTDIR, errno.ELOOP})
_MOVED: Final = ".gone-"


@contextmanager
def opened(name: str, parent: int) -> Generator[int]:
    """Open a folder below another one; a link is not followed."""
    folder = os.open(name, FOLDER, dir_fd=parent)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def entered(name: str, parent: int) -> Generator[int]:
    """Open a folder whatever its mode, and make it writable for its owner alone."""
    try:
        folder = os.open(name, FOLDER, dir_fd=parent)
    except PermissionError:
        _let_in(name, parent)
        folder = os.open(name, FOLDER, dir_fd=parent)
    try:
        os.fchmod(folder, FOLDER_MODE)
        yield folder
    finally:
        os.close(folder)


def _let_in(name: str, parent: int) -> None:
    """Change the mode of a folder that cannot be opened; by a descriptor, so it is no link."""
    by_path = getattr(os, "O_PATH", 0)  # Linux has it; elsewhere such a folder stays
    place = os.open(name, by_path | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{place}", FOLDER_MODE)  # noqa: PTH101 -- fchmod refuses O_PATH
    finally:
        os.close(place)


def move(name: str, folder: int, to: int, numbers: Iterator[int], prefix: str = "") -> None:
    """Move an entry into another folder, whatever it is, under the next number that is free."""
    try:
        with entered(name, folder):  # a folder must be writable for that
            pass
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise
    for number in numbers:
        try:
            os.rename(name, f"{prefix}{number}", src_dir_fd=folder, dst_dir_fd=to)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
        else:
            return


def deleting(
    name: str, parent: int, numbers: Iterator[int], failures: list[OSError]
) -> Generator[None]:
    """Delete an entry of a folder, and all that is in it; yield after each step.

    Args:
        name: of the entry; it may be a folder, a file or a link.
        parent: the folder.
        numbers: none of which comes twice.
        failures: gets why entries, and so at last this one, cannot be deleted.
    """
    mine: list[OSError] = []
    try:
        with entered(name, parent) as top:
            is_growing = True
            while is_growing and len(mine) < FAILURES_MAX:  # what was moved up has its turn
                is_growing = False
                for _ in _clearing(top, top, numbers, mine):
                    is_growing = True
                    yield
        os.rmdir(name, dir_fd=parent)
    except FileNotFoundError:  # somebody else has done it
        return
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            failures.append(mine[0] if mine else error)
            return
        os.unlink(name, dir_fd=parent)
    yield


def _clearing(
    folder: int, top: int, numbers: Iterator[int], failures: list[OSError]
) -> Generator[None]:
    """Delete what is in a folder; of one below the top only files: folders are moved up."""
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=folder)
                elif folder != top:
                    move(entry.name, folder, top, numbers, _MOVED)
                else:
                    with entered(entry.name, top) as below:
                        yield from _clearing(below, top, numbers, failures)
                    os.rmdir(entry.name, dir_fd=top)
            except FileNotFoundError:  # somebody else has done it
                continue
            except OSError as error:
                failures.append(error)
                if len(failures) >= FAILURES_MAX:
                    return
            else:
                yield
