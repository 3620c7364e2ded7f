"""Where does a session keep its files, out of reach of every other? A port, and folders on disk.

    root/                   the host's: its owner alone may write there, and above
      ada/                  one folder for each user
        0190-.../           one for each session; `Session.workspace`
      .callboard/           which of them are ours, and what is to be deleted: `proofs.py`

Every level is made by itself below an open descriptor of the level above, without
following links, so no name and no link leads out of the root. A session's folder is proven before
it is made and until it is gone, and whatever is done in it, its proof is elsewhere: whatever
strikes in between, what is left is known for ours, and nothing else is.

A folder goes in two steps. `remove` moves it aside, which takes no longer for a large one, and has
its place free; `clear` deletes it, a part at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from callboard.actors.deleting import FOLDER, FOLDER_MODE, entered, opened
from callboard.actors.errors import WorkspaceError
from callboard.actors.home import at_home
from callboard.actors.proofs import OURS, NotOurs, Proofs
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.showing import shown

NOBODY: Final = "_nobody"
"""The folder of sessions without a user. No user's folder is called so."""

ATTEMPTS_MAX: Final = 1_024
"""How often a folder is made again when its user's was removed meanwhile, being empty.

That is done by nobody who began later, so as often as others are at work, not one for each of them
that ends a session.
"""

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
_OF: Final = ":"  # in no key
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class Remains(msgspec.Struct, frozen=True):
    """What is still there of folders that were removed.

    Args:
        folders: how many of them are.
        error: why nothing of that can be deleted now; None: call again, if there are any.
    """

    folders: int = 0
    error: str | None = None


class WorkspaceProvider(Protocol):
    """Makes and removes the folders of sessions. The port.

    `sweep` is called first, `close` last, by whoever starts and stops the
    system; the others by many sessions at once, each on a thread that may block.
    What is under way may be ended at any point, and `remove` is then called.
    """

    def sweep(self, session_ids: Collection[str]) -> tuple[str, ...]:
        """Take possession, and remove the folders of all sessions but these; return their ids.

        Raises:
            InvalidSpec: what the provider was given cannot be used.
            WorkspaceError: it could not be done.
        """
        ...

    def make(self, user_id: str | None, session_id: str) -> str:
        """Make an empty folder for a session; return its absolute path.

        Raises:
            WorkspaceError: it could not be made.
        """
        ...

    def remove(self, user_id: str | None, session_id: str) -> None:
        """Remove a session's folder with all that is in it; harmless when there is none.

        What takes long is left to `clear`: this has `Keeping.undo_s` (4 s).

        Raises:
            WorkspaceError: the folder is still there.
        """
        ...

    def clear(self, entries_max: int) -> Remains:
        """Do a part of what `remove` and `sweep` have left to be done; say what is left.

        Called again and again, now and then by two at once, until nothing is left; when there is
        an error, later. A provider whose `remove` does it all returns `Remains()`.

        Args:
            entries_max: files and folders that may be deleted by one call.
        """
        ...

    def close(self) -> None:
        """Let go of what `sweep` took. Idempotent."""
        ...


class FolderWorkspaces:
    """Folders on disk: `{root}/{user}/{session}`, each for its owner alone (0700).

    An id that is a plain name names its folder; any other is replaced by a hash,
    so that `..`, `/etc`, NUL or 300 characters are names like others. A user's id is
    normalised first (NFC): both spellings of an é are one folder. Sessions without a
    user share the folder `_nobody`. What is needed to know which folders are ours lies in
    `{root}/.callboard`, and is gone with the last of them.

    One process uses a root at a time: `sweep` locks it until `close`.

    Args:
        root: the folder below which all is made; made if it is not there, but not
            what is above it.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._given = at_home(root)
        self._path = ""
        self._root: int | None = None
        self._proofs: Proofs | None = None
        self._opened_by = 0
        self._making: dict[tuple[str, str], None] = {}
        """Whose folders are just being made: then that of their user stays."""

    def __repr__(self) -> str:
        return f"FolderWorkspaces({self._given!r})"

    # -- the root ----------------------------------------------------------

    def sweep(self, session_ids: Collection[str]) -> tuple[str, ...]:
        """Open and lock the root; remove the folders that we have made for other sessions.

        Only what is proven is touched: by a proof whose name is that of the folder, and fits the
        id in it. The rest stays as it is. As after `remove`, `clear` deletes what was in them.

        Returns:
            The ids of those that were removed, sorted.

        Raises:
            InvalidSpec: the root cannot be used: it is no folder, it is somebody else's, others
                may write there or above, or another process uses it.
            WorkspaceError: a folder is still there; the others have been removed.
        """
        if self._root is None:
            self._open()
        root, proofs = self._opened()
        living = {_session_key(each) for each in session_ids}
        removed: list[str] = []
        users: list[str] = []
        failed: list[OSError | WorkspaceError] = []
        with _translated(f"sweep {self._path}"):
            for name in proofs:
                user, is_of_session, session = name.partition(_OF)
                if not is_of_session:
                    users.append(user)
                    continue
                made_for = proofs.id_of(name)
                if made_for is None or _session_key(made_for) != session or session in living:
                    continue
                try:
                    if self._put_aside(root, proofs, user, session, made_for):
                        removed.append(made_for)
                except (OSError, WorkspaceError) as error:
                    failed.append(error)
            for user in users:
                self._drop_if_empty(root, proofs, user)
            if failed:
                raise failed[0]
        return tuple(sorted(removed))

    def _open(self) -> None:
        try:
            Path(self._given).mkdir(mode=FOLDER_MODE, exist_ok=True)
            # Links above and of the root itself are followed once, here; none ever after.
            path = os.path.realpath(self._given, strict=True)
            root = os.open(path, FOLDER)
        except (OSError, ValueError) as error:
            raise self._refusal(error) from error
        try:
            self._check(root, Path(path))
            self._proofs = Proofs(root)
        except NotOurs as error:
            os.close(root)
            remedy = f"Give a folder in which {OURS} is free: there is one that is not ours."
            raise InvalidSpec("workspace", self._given, remedy) from error
        except OSError as error:
            os.close(root)
            raise self._refusal(error) from error
        except BaseException:  # no descriptor is left open, whatever struck
            os.close(root)
            raise
        self._path, self._root, self._opened_by = path, root, os.getpid()

    def _refusal(self, error: OSError | ValueError) -> InvalidSpec:
        why = getattr(error, "strerror", None) or str(error)
        return InvalidSpec("workspace", self._given, f"Give a folder that can be used ({why}).")

    def _check(self, root: int, path: Path) -> None:
        found = os.fstat(root)
        if found.st_uid != os.geteuid():
            remedy = "Give a folder of the user who runs this: it belongs to somebody else."
            raise InvalidSpec("workspace", self._given, remedy)
        if found.st_mode & _OTHERS_WRITE:
            remedy = f"Others may write there: chmod go-w {self._given}."
            raise InvalidSpec("workspace", self._given, remedy)
        for above in path.parents:
            self._check_above(above)
        try:
            fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            remedy = "Give each system a root of its own: another one uses this."
            raise InvalidSpec("workspace", self._given, remedy) from error

    def _check_above(self, folder: Path) -> None:
        """Refuse a folder in which others could put another root in the place of ours."""
        found = folder.stat()
        if found.st_uid not in {0, os.geteuid()}:
            remedy = f"Give a folder below others of yours or of root: {folder} is somebody else's."
            raise InvalidSpec("workspace", self._given, remedy)
        if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
            remedy = f"Others may put another folder in its place: chmod go-w {folder}."
            raise InvalidSpec("workspace", self._given, remedy)

    def _opened(self) -> tuple[int, Proofs]:
        root, proofs = self._root, self._proofs
        if root is None or proofs is None:
            msg = f"{self} is not open"
            raise WorkspaceError(msg)
        return root, proofs

    def close(self) -> None:
        """Unlock and close the root. Idempotent; the folders stay."""
        root, self._root = self._root, None
        proofs, self._proofs = self._proofs, None
        # A process that was forked meanwhile has the lock, too, until it is taken back; it is not
        # there that it is taken back from the one that has forked it.
        is_mine = self._opened_by == os.getpid()
        if proofs is not None:
            if is_mine:
                proofs.drop_if_empty()
            proofs.close()
        if root is not None:
            if is_mine:
                fcntl.flock(root, fcntl.LOCK_UN)
            os.close(root)

    # -- one session -------------------------------------------------------

    def make(self, user_id: str | None, session_id: str) -> str:
        """Make an empty folder for a session; return its absolute path.

        One that an earlier session of this id has left is removed first.

        Raises:
            WorkspaceError: it could not be made, or something else is at its place.
        """
        (root, proofs), user, session = self._opened(), _user_key(user_id), _session_key(session_id)
        self._making[user, session] = None  # before looking: who drops the user's looks after it
        try:
            with _translated(f"make the workspace of session {shown(session_id)}"):
                for attempt in range(1, ATTEMPTS_MAX + 1):
                    try:
                        self._make(root, proofs, user, session, session_id)
                        break
                    except FileNotFoundError:  # who had looked before has dropped the user's
                        if attempt == ATTEMPTS_MAX:
                            raise
        finally:
            self._making.pop((user, session), None)
        return str(Path(self._path, user, session))

    def _make(self, root: int, proofs: Proofs, user: str, session: str, session_id: str) -> None:
        if not _is_there(user, root):
            proofs.enter(user, user)
            with suppress(FileExistsError):  # another session of this user was faster
                os.mkdir(user, FOLDER_MODE, dir_fd=root)
        self._put_aside(root, proofs, user, session, session_id)
        with _user_folder(user, root) as folder:
            name = user + _OF + session
            proofs.enter(name, session_id)
            try:
                os.mkdir(session, FOLDER_MODE, dir_fd=folder)
            except FileExistsError:  # just now, and not by us
                proofs.take_out(name)
                raise
            with entered(session, folder):  # whatever the umask says
                pass

    def remove(self, user_id: str | None, session_id: str) -> None:
        """Remove a session's folder with all that is in it; harmless when there is none.

        It takes one step of the disk; `clear` deletes what was in it. A link or file that was put
        in its place goes, too, and nothing that the link leads to. Its user's folder goes when it
        is empty and we have made it.

        Raises:
            WorkspaceError: it is still there, or what is there was not made by us for this session.
        """
        (root, proofs), user, session = self._opened(), _user_key(user_id), _session_key(session_id)
        with _translated(f"remove the workspace of session {shown(session_id)}"):
            self._put_aside(root, proofs, user, session, session_id)
            self._drop_if_empty(root, proofs, user)

    def clear(self, entries_max: int) -> Remains:
        """Delete some of what is in folders that were removed; say how many are left.

        Links in them are removed, not followed, and neither depth nor modes matter. What cannot be
        deleted keeps the rest of it, and the others, no longer than it is looked at.

        Args:
            entries_max: so many files and folders at most.

        Raises:
            WorkspaceError: it is not open.
        """
        _, proofs = self._opened()
        with _translated(f"clear {self._path}"):
            folders, error = proofs.delete(entries_max)
        return Remains(folders, None if error is None else _why(error))

    # -- what they are made of ---------------------------------------------

    def _put_aside(
        self, root: int, proofs: Proofs, user: str, session: str, session_id: str
    ) -> bool:
        """Take a session's folder out of its place; say whether there was one.

        Raises:
            WorkspaceError: there is one, and it is not proven.
        """
        name, was_there = user + _OF + session, False
        with suppress(FileNotFoundError), _user_folder(user, root) as folder:
            if _is_there(session, folder):
                if not proofs.has(name, session_id):
                    msg = f"{user}/{session} was not made for this session by callboard, and stays"
                    raise WorkspaceError(msg)
                proofs.put_aside(session, folder)
                was_there = True
        proofs.take_out(name)
        return was_there

    def _drop_if_empty(self, root: int, proofs: Proofs, user: str) -> None:
        """Remove a user's folder that we have made and that no session has or gets anything in.

        In this order, a folder that comes to be at the same time is proven afterwards:

            here    (1) unproven (2) removed? (3) there, or one is being made? proven again
            make    (1) being made (2) not there? proven (3) made
        """
        if not proofs.has(user, user) or self._is_made_in(user):
            return
        proofs.take_out(user)
        try:
            os.rmdir(user, dir_fd=root)
        except OSError:  # another session has something there
            pass
        finally:
            if self._is_made_in(user) or _is_there(user, root):
                proofs.enter(user, user)

    def _is_made_in(self, user: str) -> bool:
        return any(each[0] == user for each in tuple(self._making))


# -- names -----------------------------------------------------------------


def _user_key(user_id: str | None) -> str:
    """Return the name of a user's folder.

    >>> _user_key("ada@example.org"), _user_key("../../etc")[:5]
    ('ada@example.org', '_74cc')
    """
    if user_id is None:
        return NOBODY
    return _key(unicodedata.normalize("NFC", user_id))


def _session_key(session_id: str) -> str:
    # As given, not normalised: two sessions whose ids look alike are two sessions.
    return _key(session_id)


def _key(text: str) -> str:
    if _PLAIN.match(text):
        return text
    return "_" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:40]


# -- folders ---------------------------------------------------------------


@contextmanager
def _translated(what: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        msg = f"could not {what}: {_why(error)}"
        raise WorkspaceError(msg) from error


def _why(error: OSError) -> str:
    return error.strerror or str(error)


@contextmanager
def _user_folder(user: str, root: int) -> Generator[int]:
    """Open a user's folder, and see that nobody else gets in."""
    with opened(user, root) as folder:
        if os.fstat(folder).st_uid != os.geteuid():
            msg = f"the folder {user} belongs to somebody else"
            raise WorkspaceError(msg)
        os.fchmod(folder, FOLDER_MODE)
        yield folder


def _is_there(name: str, folder: int) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True
