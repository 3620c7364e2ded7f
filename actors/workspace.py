"""Where does a session keep its files, out of reach of every other? A port, and folders on disk.

    root/                   the host's: its owner alone may write there
      ada/                  one folder for each user
        0190-.../           one for each session; `Session.workspace`
          .callboard        the marker: only what carries it is ever removed

Every level is made by itself below an open descriptor of the level above, without
following links, so no name and no link leads out of the root. A folder is made
under another name (`.new-`), marked, then renamed, and removed the other way round: whatever
strikes in between, what is left is known for ours.
"""

from __future__ import annotations

import errno
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

from callboard.actors.errors import WorkspaceError
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.showing import shown

FOLDER_MODE: Final = 0o700
"""Of every folder that is made: nobody but its owner gets in."""

MARKER: Final = ".callboard"
"""The file that says a folder is ours; it holds the id it was made for."""

NOBODY: Final = "_nobody"
"""The folder of sessions without a user. No user's folder is called so."""

MARKER_BYTES_MAX: Final = 8_192
"""How much of a marker is read: more than any id has."""

ATTEMPTS_MAX: Final = 8
"""How often a folder is made again when its user's was removed meanwhile, being empty."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
_MARKER_MODE: Final = 0o600
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = ".new-"
_MOVED: Final = ".gone-"
_TAKEN: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


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

        Raises:
            WorkspaceError: something is left of it.
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
    user share the folder `_nobody`.

    One process uses a root at a time: `sweep` locks it until `close`.

    Args:
        root: the folder below which all is made; made if it is not there, but not
            what is above it.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._given = os.fspath(root)
        self._path = ""
        self._root: int | None = None

    def __repr__(self) -> str:
        return f"FolderWorkspaces({self._given!r})"

    # -- the root ----------------------------------------------------------

    def sweep(self, session_ids: Collection[str]) -> tuple[str, ...]:
        """Open and lock the root; remove the marked folders of all sessions but these.

        What carries no marker, and what is no folder, stays as it is.

        Returns:
            The ids of those that were removed, sorted.

        Raises:
            InvalidSpec: the root cannot be used: it is no folder, it is somebody else's,
                others may write there, or another process uses it.
            WorkspaceError: a folder could not be looked into, or is still there; the others
                have been removed.
        """
        if self._root is None:
            self._open()
        root, living = self._opened(), frozenset(session_ids)
        removed: list[str] = []
        failed: list[OSError] = []
        with _translated(f"sweep {self._path}"):
            for user in _folders_in(root):
                try:
                    with _opened(user, root) as folder:
                        _sweep_user(folder, living, removed, failed)
                    _drop_if_empty(root, user)
                except OSError as error:
                    failed.append(error)
            if failed:
                raise failed[0]
        return tuple(sorted(removed))

    def _open(self) -> None:
        try:
            Path(self._given).mkdir(mode=FOLDER_MODE, exist_ok=True)
            # Links above and of the root itself are followed once, here; none ever after.
            path = os.path.realpath(self._given, strict=True)
            root = os.open(path, _FOLDER)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            remedy = f"Give a folder that can be used ({why})."
            raise InvalidSpec("workspace", self._given, remedy) from error
        try:
            self._check(root)
        except BaseException:
            os.close(root)
            raise
        self._path, self._root = path, root

    def _check(self, root: int) -> None:
        found = os.fstat(root)
        if found.st_uid != os.geteuid():
            remedy = "Give a folder of the user who runs this: it belongs to somebody else."
            raise InvalidSpec("workspace", self._given, remedy)
        if found.st_mode & _OTHERS_WRITE:
            remedy = f"Others may write there: chmod go-w {self._given}."
            raise InvalidSpec("workspace", self._given, remedy)
        try:
            fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            remedy = "Give each system a root of its own: another one uses this."
            raise InvalidSpec("workspace", self._given, remedy) from error

    def _opened(self) -> int:
        if self._root is None:
            msg = f"{self} is not open"
            raise WorkspaceError(msg)
        return self._root

    def close(self) -> None:
        """Unlock and close the root. Idempotent; the folders stay."""
        root, self._root = self._root, None
        if root is not None:
            os.close(root)

    # -- one session -------------------------------------------------------

    def make(self, user_id: str | None, session_id: str) -> str:
        """Make an empty folder for a session; return its absolute path.

        One that an earlier session of this id has left is removed first.

        Raises:
            WorkspaceError: it could not be made, or something else is at its place.
        """
        root, user, session = self._opened(), _user_key(user_id), _session_key(session_id)
        with _translated(f"make the workspace of session {shown(session_id)}"):
            for attempt in range(1, ATTEMPTS_MAX + 1):
                try:
                    with _user_folder(root, user, session) as folder:
                        _make_marked(folder, session, session_id, temporary=_NEW + session)
                    break
                except FileNotFoundError:  # another session of this user has just ended
                    if attempt == ATTEMPTS_MAX:
                        raise
                except OSError as error:
                    if error.errno not in _TAKEN or attempt == ATTEMPTS_MAX:
                        raise
                    _remove_marked(root, user, session, session_id)
        return str(Path(self._path, user, session))

    def remove(self, user_id: str | None, session_id: str) -> None:
        """Remove a session's folder with all that is in it; harmless when there is none.

        Links in it are removed, not followed. Its user's folder goes when it is empty.

        Raises:
            WorkspaceError: something is left of it, or what is there carries no marker
                of this session.
        """
        root, user, session = self._opened(), _user_key(user_id), _session_key(session_id)
        with _translated(f"remove the workspace of session {shown(session_id)}"):
            _remove_marked(root, user, session, session_id)
            _drop_if_empty(root, user)
            _drop_if_empty(root, _NEW + session)


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
        msg = f"could not {what}: {error.strerror or error}"
        raise WorkspaceError(msg) from error


@contextmanager
def _opened(name: str, parent: int) -> Generator[int]:
    """Open a folder below another one; a link is not followed."""
    folder = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _user_folder(root: int, user: str, session: str) -> Generator[int]:
    """Open a user's folder, made if it is not there."""
    try:
        folder = os.open(user, _FOLDER, dir_fd=root)
    except FileNotFoundError:
        try:
            # The temporary name is this session's: others of the user may be doing the same.
            _make_marked(root, user, user, temporary=_NEW + session)
        except OSError as error:
            if error.errno not in _TAKEN:  # another session of this user was faster
                raise
        folder = os.open(user, _FOLDER, dir_fd=root)
    try:
        if not _is_ours(folder):
            msg = f"the folder {user} belongs to somebody else"
            raise WorkspaceError(msg)
        os.fchmod(folder, FOLDER_MODE)
        yield folder
    finally:
        os.close(folder)


def _is_ours(folder: int) -> bool:
    return os.fstat(folder).st_uid == os.geteuid()


def _make_marked(parent: int, name: str, made_for: str, *, temporary: str) -> None:
    """Make a folder that carries our marker, from its first moment under its name on.

    Raises:
        OSError: with one of `_TAKEN`, when something is at its place that is not empty.
    """
    try:
        os.mkdir(temporary, FOLDER_MODE, dir_fd=parent)
    except FileExistsError:  # somebody was ended while he made it
        _remove_tree(parent, temporary)
        os.mkdir(temporary, FOLDER_MODE, dir_fd=parent)
    try:
        with _opened(temporary, parent) as folder:
            os.fchmod(folder, FOLDER_MODE)  # whatever the umask says
            _mark(folder, made_for)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(OSError):
            _remove_tree(parent, temporary)
        raise


def _mark(folder: int, made_for: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    marker = os.open(MARKER, flags, _MARKER_MODE, dir_fd=folder)
    try:
        os.write(marker, made_for.encode(errors="surrogatepass"))
    finally:
        os.close(marker)


def _marked_for(folder: int) -> str | None:
    """Return the id that a folder was made for; None: it carries no marker of ours."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        marker = os.open(MARKER, flags, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link
            return None
        raise
    try:
        found = os.fstat(marker)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return None
        return os.read(marker, MARKER_BYTES_MAX).decode(errors="replace")
    finally:
        os.close(marker)


def _folders_in(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(each.name for each in entries if each.is_dir(follow_symlinks=False))


def _sweep_user(
    folder: int, living: frozenset[str], removed: list[str], failed: list[OSError]
) -> None:
    if not _is_ours(folder):
        return
    for name in _folders_in(folder):
        try:
            with _opened(name, folder) as session:
                made_for = _marked_for(session)
            if made_for is None and name.startswith(_NEW):
                os.rmdir(name, dir_fd=folder)  # ended before it was marked, so it is empty
            elif made_for is not None and made_for not in living:
                _remove_tree(folder, _set_aside(folder, name))
                if not name.startswith(_NEW):
                    removed.append(made_for)
        except OSError as error:
            failed.append(error)


def _remove_marked(root: int, user: str, session: str, session_id: str) -> None:
    """Remove a session's folder, and what is left of one that was being made."""
    try:
        folder = os.open(user, _FOLDER, dir_fd=root)
    except FileNotFoundError:
        return
    try:
        for name in (_NEW + session, session):
            try:
                with _opened(name, folder) as found:
                    made_for = _marked_for(found)
            except FileNotFoundError:
                continue
            if made_for == session_id or name != session:  # a marker may be half written there
                _remove_tree(folder, _set_aside(folder, name))
            else:
                msg = f"{user}/{session} carries no marker of this session, and stays"
                raise WorkspaceError(msg)
    finally:
        os.close(folder)


def _drop_if_empty(root: int, user: str) -> None:
    """Remove a user's folder that we made and that holds no session any more.

    Who is ended between the last two steps leaves an empty folder, which stays.
    """
    try:
        with _opened(user, root) as folder:
            if user.startswith(_NEW) and not os.listdir(folder):  # noqa: PTH208 -- as below
                os.rmdir(user, dir_fd=root)  # ended before it was marked
                return
            if os.listdir(folder) != [MARKER] or _marked_for(folder) is None:  # noqa: PTH208 -- of a descriptor
                return
            os.unlink(MARKER, dir_fd=folder)
            try:
                os.rmdir(user, dir_fd=root)
            except OSError:  # a session has just come: it is still ours
                with suppress(FileExistsError):
                    _mark(folder, user)
    except FileNotFoundError:  # others have done it
        return


# -- removing all that is in a folder --------------------------------------


def _set_aside(parent: int, name: str) -> str:
    """Give a folder of a session the name that says it is nobody's any more; return that."""
    if name.startswith(_NEW):
        return name
    aside = _NEW + name
    os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
    return aside


def _remove_tree(parent: int, name: str) -> None:
    """Remove a folder and all that is in it; follow no link, and go away from no descriptor.

    What lies deeper is moved up first, so that neither the depth of a tree nor the
    length of its paths matters. The marker goes last.
    """
    with _opened(name, parent) as top:
        os.fchmod(top, FOLDER_MODE)
        number = 0
        while folders := _clear(top, keeps=MARKER):
            for each in folders:
                with _entered(each, top) as folder:
                    for below in _clear(folder):
                        number = _move_up(below, folder, top, number)
                os.rmdir(each, dir_fd=top)
        with suppress(FileNotFoundError):
            os.unlink(MARKER, dir_fd=top)
    os.rmdir(name, dir_fd=parent)


def _clear(folder: int, *, keeps: str | None = None) -> list[str]:
    """Remove all but folders, and one file; return the names of the folders."""
    with os.scandir(folder) as entries:
        found = [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]
    for name, is_folder in found:
        if not is_folder and name != keeps:
            os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in found if is_folder]


def _move_up(name: str, folder: int, top: int, number: int) -> int:
    """Move a folder to the top, under a new name; return the number of that."""
    with _entered(name, folder):  # it must be writable for that
        while True:
            number += 1
            try:
                os.rename(name, f"{_MOVED}{number}", src_dir_fd=folder, dst_dir_fd=top)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
            else:
                return number


@contextmanager
def _entered(name: str, parent: int) -> Generator[int]:
    """Open a folder whatever its mode, and make it writable."""
    try:
        folder = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        _let_in(name, parent)
        folder = os.open(name, _FOLDER, dir_fd=parent)
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
