"""Which folders below a root have we made? What says so is kept where no session works.

    root/.callboard/      ours alone; no user's folder is called so
      proofs/             of a user's folder `ada`, of a session's `ada:0190-...`
      gone/               folders that were somebody's, to be deleted

A proof is a link that leads nowhere; what it would lead to is a fixed word and the id that the
folder was made for. A link is there whole or not at all, and not before what was done before it,
also when the power is cut in between; a file may be there and empty. It proves only the folder
whose name it has, and only if that is the name which its id makes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from itertools import count
from typing import Final

from callboard.actors.deleting import FOLDER, FOLDER_MODE, deleting, move, opened

OURS: Final = ".callboard"
"""The folder below a root where it is kept what is ours."""

_WORD: Final = b"callboard-workspace-1:"

_PROOFS: Final = "proofs"
_GONE: Final = "gone"
_ALL: Final = frozenset({_PROOFS, _GONE})


class NotOurs(OSError):
    """There is something in the folder of this name that we have not put there."""


class Proofs:
    """The proofs below one root, and what is to be deleted there. Any thread.

    Args:
        root: a descriptor of the root.

    Raises:
        NotOurs: the place is taken.
        OSError: it cannot be used.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._numbers = count()
        _make(OURS, root)
        with opened(OURS, root) as ours:
            if os.fstat(ours).st_uid != os.geteuid() or not _ALL.issuperset(os.listdir(ours)):  # noqa: PTH208 -- of a descriptor
                raise NotOurs(errno.EEXIST, f"{OURS} is somebody else's")
            os.fchmod(ours, FOLDER_MODE)  # whatever the umask says
            for name in (_PROOFS, _GONE):
                _make(name, ours)
            self._proofs = os.open(_PROOFS, FOLDER, dir_fd=ours)
            try:
                self._gone = os.open(_GONE, FOLDER, dir_fd=ours)
            except BaseException:  # no descriptor is left open, whatever struck
                os.close(self._proofs)
                raise

    def drop_if_empty(self) -> None:
        """Remove it if nothing is in it. Last of all, before it is closed."""
        try:
            with opened(OURS, self._root) as ours:
                for name in (_GONE, _PROOFS):
                    os.rmdir(name, dir_fd=ours)
            os.rmdir(OURS, dir_fd=self._root)
        except OSError:  # something is in it: whoever opens it next goes on with that
            return

    def close(self) -> None:
        """Close it. Once."""
        os.close(self._proofs)
        os.close(self._gone)

    # -- what proves -------------------------------------------------------

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all proofs, sorted."""
        return iter(sorted(os.listdir(self._proofs)))  # noqa: PTH208 -- of a descriptor

    def enter(self, name: str, made_for: str) -> None:
        """Prove a folder that is about to be made."""
        try:
            os.symlink(_said(made_for), name, dir_fd=self._proofs)
        except FileExistsError:
            if not self.has(name, made_for):
                raise

    def has(self, name: str, made_for: str) -> bool:
        """Say whether there is a proof of this name, for this id."""
        return self._read(name) == _said(made_for)

    def id_of(self, name: str) -> str | None:
        """Return the id that a folder was made for; None: there is no proof of it."""
        said = self._read(name)
        if not said.startswith(_WORD):
            return None
        try:
            text = said[len(_WORD) :].decode(errors="surrogatepass")
        except UnicodeDecodeError:
            return None
        return text.replace("%00", "\0").replace("%25", "%")

    def take_out(self, name: str) -> None:
        """Prove a folder no more, if it was proven. It must be gone, or be about to."""
        if self._read(name).startswith(_WORD):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._proofs)

    def _read(self, name: str) -> bytes:
        try:
            return os.fsencode(os.readlink(name, dir_fd=self._proofs))
        except FileNotFoundError:
            return b""
        except OSError as error:
            if error.errno == errno.EINVAL:  # it is no link
                return b""
            raise

    # -- what is to be deleted ---------------------------------------------

    def put_aside(self, name: str, folder: int) -> None:
        """Move what stands in a folder under a name to where it is deleted: one step of the disk.

        Raises:
            FileNotFoundError: nothing does.
            OSError: it cannot be moved.
        """
        move(name, folder, self._gone, self._numbers)

    def delete(self, entries_max: int) -> tuple[int, OSError | None]:
        """Delete some of what was put aside; say how many folders are left, and what is in the way.

        Args:
            entries_max: so many entries at most.

        Returns:
            The folders that are left; and, if all that can be deleted has been, why they cannot.
        """
        failures: list[OSError] = []
        deleted = 0
        for name in self._waiting():
            with closing(deleting(name, self._gone, self._numbers, failures)) as steps:
                for _ in steps:
                    deleted += 1
                    if deleted >= entries_max:
                        return len(self._waiting()), None
        return len(self._waiting()), failures[0] if failures else None

    def _waiting(self) -> Collection[str]:
        return os.listdir(self._gone)  # noqa: PTH208 -- of a descriptor


def _make(name: str, parent: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, FOLDER_MODE, dir_fd=parent)


def _said(made_for: str) -> bytes:
    r"""Return what a proof says: all that the id has but NUL, which no path has.

    >>> _said("0190-a"), _said("50%\0")
    (b'callboard-workspace-1:0190-a', b'callboard-workspace-1:50%25%00')
    """
    escaped = made_for.replace("%", "%25").replace("\0", "%00")
    return _WORD + escaped.encode(errors="surrogatepass")
