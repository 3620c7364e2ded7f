"""The commands that look after a store: of a daemon that runs, a file or a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from errno import EEXIST
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TypeVar

import msgspec
from cyclopts import App, Parameter

from callboard.actors.daemon.errors import CannotWrite, StoreMissing, WrongUsage
from callboard.actors.daemon.options import load_behaviour, read_bounds
from callboard.actors.daemon.program import HERE, Where, print_answer
from callboard.actors.daemon.showing import Answer
from callboard.actors.daemon.stores import server_of
from callboard.actors.errors import InvalidField, StoreLocked
from callboard.actors.home import at_home
from callboard.actors.keeping import STANDARD
from callboard.actors.sessions.coding import SessionCoder
from callboard.actors.sessions.data import DEFAULT_KIND
from callboard.actors.sessions.inspecting import Inspector
from callboard.actors.sessions.stepping import next_step
from callboard.actors.statuses import EX_DATAERR, EX_OK
from callboard.actors.storage.checking import checking
from callboard.actors.storage.exporting import exported
from callboard.actors.storage.importing import importing, lines_in
from callboard.actors.storage.lines import SkippedLine, loss_in
from callboard.actors.storage.operable import Operable, archive_of, arrivals_of, compaction_of
from callboard.actors.storage.reading import SqliteReader
from callboard.actors.storage.records import Archive
from callboard.actors.storage.resting import resting
from callboard.actors.storage.salvaging import SqliteSalvage, salvaged
from callboard.actors.storage.sqlite import SqliteStore
from callboard.supervision.model.showing import shown, shown_path
from callboard.supervision.observe.text import escaped
from callboard.supervision.runtime.clock import SystemClock

R = TypeVar("R")
K = TypeVar("K", bound=SqliteReader)

WAIT_S: Final = 3_600.0
"""How long a command waits for a daemon's work at its store, in seconds: the daemon's `work_s`
ends it before."""

PART_BYTES: Final = 65_536
"""Bytes of a file that are sent at once."""

STDIO: Final = Path("-")

FileOrStdio = Annotated[Path, Parameter(allow_leading_hyphen=True)]
File = Annotated[str | None, Parameter(name="--store")]
Bound = Annotated[tuple[str, ...], Parameter(name="--set", negative="")]

store = App(
    name="store",
    help="Look after what sessions are kept in: a daemon's, while it runs, a file or a server.",
)


# -- the commands ----------------------------------------------------------


@store.command(name="check")
def check(
    *,
    file: File = None,
    session: str | None = None,
    app_dir: Path | None = None,
    set_: Bound = (),
    where: Where = HERE,
) -> int:
    """Look whether all that is kept is whole; the exit code is 65 when something is not.

    Parameters
    ----------
    file
        A file that no daemon uses, or postgresql://HOST/DATABASE. The default is the store of the
        daemon that runs.
    session
        With --store: MODULE:CLASS of the behaviour whose sessions are in it. Without it the data
        of a behaviour may be anything.
    app_dir
        The folder with the module of --session. The default is the current directory.
    set_
        With --store: a bound of SessionLimits by its name, NAME=VALUE. May be given often.
    """
    if file is None:
        with where.client() as client:
            answer = client.request("GET", "/v1/store/check", wait_s=WAIT_S)
    else:
        inspector = _inspector(session, app_dir, set_)
        with _shown(file) as reader:
            answer = msgspec.to_builtins(_done(checking(reader, inspector)))
    print_answer(answer, where, _check_lines(answer))
    return EX_DATAERR if answer["findings"] else EX_OK


@store.command(name="export")
def export(
    to: FileOrStdio = STDIO,
    /,
    *,
    skip_damaged: Annotated[bool, Parameter(negative="")] = False,
    file: File = None,
    where: Where = HERE,
) -> int:
    """Write down all that is kept, as JSON Lines: as it is at one moment.

    Parameters
    ----------
    to
        Into which file, which must not be there yet; it is for you alone. - is stdout.
    skip_damaged
        Leave out sessions that cannot be read whole, and name them on stderr; the exit code is 65
        when there are any.
    file
        A file that no daemon uses, or postgresql://HOST/DATABASE. The default is the store of the
        daemon that runs.
    """
    skipped = 0
    with _written(to) as out:
        for line in _export_lines(file, where, skips_damaged=skip_damaged):
            out.write(line)
            lost = loss_in(line)
            if lost is not None:
                skipped += 1
                sys.stderr.write(f"{_said_of_loss(lost)}\n")
    if skipped:
        sys.stderr.write(f"{skipped} left out; all that can be read whole is there\n")
    return EX_DATAERR if skipped else EX_OK


def _export_lines(file: str | None, where: Where, *, skips_damaged: bool) -> Iterator[bytes]:
    if file is None:
        query = {"skip_damaged": skips_damaged or None}
        with where.client() as client:
            yield from client.download("/v1/store/export", query=query)
    elif skips_damaged:
        with _resting(file, SqliteSalvage) as ruin:
            yield from salvaged(ruin, Inspector(SessionCoder({}, others=Any), None))
    else:
        with _shown(file) as reader:
            yield from exported(reader)


def _said_of_loss(lost: SkippedLine) -> str:
    """Return what is told of a session that is left out."""
    which = "some sessions"
    if lost.id is not None:
        which = f"session {escaped(lost.id)}"
    elif lost.number is not None:
        which = f"the session of number {lost.number}"
    return f"{which}: left out: {escaped(lost.why)}"


@store.command(name="import")
def import_(
    source: FileOrStdio = STDIO,
    /,
    *,
    file: File = None,
    session: str | None = None,
    app_dir: Path | None = None,
    set_: Bound = (),
    where: Where = HERE,
) -> int:
    """Take in what an export has written: all of it, or nothing if a line is not right.

    A session that is there already is such a line.

    Parameters
    ----------
    source
        The file that was written. - is stdin.
    file
        A file that no daemon uses, or postgresql://HOST/DATABASE that none does; it is made if it
        is not there. The default is the store of the daemon that runs.
    session
        With --store: as for check.
    app_dir
        With --store: as for check.
    set_
        With --store: as for check.
    """
    with _read(source) as lines:
        if file is None:
            parts = iter(lambda: lines.read(PART_BYTES), b"")
            with where.client() as client:
                answer = client.upload("/v1/store/import", parts, wait_s=WAIT_S)
        else:
            inspector = _inspector(session, app_dir, set_)
            with _changed(file, is_made=True) as kept:
                steps = importing(arrivals_of(kept), lines_in(lines), inspector)
                answer = msgspec.to_builtins(_done(steps))
    said = f"{answer['sessions']} sessions with {answer['messages']} messages are there"
    return print_answer(answer, where, [said])


@store.command(name="compact")
def compact(
    *, ended_longer_than_s: float | None = None, file: File = None, where: Where = HERE
) -> int:
    """Delete what ended long ago, and give free room back to the disk; say why if there is none.

    PostgreSQL uses the room again by itself; VACUUM FULL gives it back to the disk.

    Parameters
    ----------
    ended_longer_than_s
        How long ago. The default is as long as the daemon keeps it (ended_keep_s), 7 days.
    file
        A file that no daemon uses, or postgresql://HOST/DATABASE that none does. The default is the
        store of the daemon that runs.
    """
    if file is None:
        body = {"ended_longer_than_s": ended_longer_than_s}
        with where.client() as client:
            answer = client.request("POST", "/v1/store/compact", body=body, wait_s=WAIT_S)
    else:
        ended_s = STANDARD.ended_keep_s if ended_longer_than_s is None else ended_longer_than_s
        if not ended_s >= 0:
            raise InvalidField("ended_longer_than_s", ended_s, "Give seconds, 0 or more.")
        with _changed(file) as kept:
            answer = msgspec.to_builtins(
                _done(compaction_of(kept, ended_before=SystemClock().wall_s() - ended_s))
            )
    said = (
        f"{answer['purged']} ended sessions are deleted;"
        f" {answer['bytes_before']:,} bytes were {answer['bytes_after']:,} afterwards"
    )
    why = answer["why"]
    return print_answer(answer, where, [said] if why is None else [said, why])


# -- a server --------------------------------------------------------------


@contextmanager
def _shown(place: str) -> Generator[Archive]:
    """Have what sees all that is in a file that nobody uses, or on a server, whoever uses it."""
    server = server_of(place)
    if server is None:
        with _resting(place, SqliteReader) as reader:
            yield reader
        return
    with closing(archive_of(server)) as archive:
        yield archive


@contextmanager
def _changed(place: str, *, is_made: bool = False) -> Generator[Operable]:
    """Have a file that nobody uses, or sessions on a server that no daemon uses, to change them."""
    server = server_of(place)
    if server is None:
        with _opened(place, is_made=is_made) as kept:
            yield kept
        return
    with closing(server):
        with _whoever_has_it_is_asked():
            server.open()
        yield server


# -- a file ----------------------------------------------------------------


@contextmanager
def _opened(file: str, *, is_made: bool = False) -> Generator[SqliteStore]:
    """Have a file that nobody uses, to change it.

    Raises:
        StoreMissing: there is none.
        WrongUsage: it is no file, but the address of a server.
        StoreRefused: as of `SqliteStore`; a daemon that uses it is asked without --store.
    """
    path = _file(file, is_made=is_made)
    with _whoever_has_it_is_asked():
        kept = SqliteStore(path)
    try:
        yield kept
    finally:
        kept.leave()


@contextmanager
def _resting(file: str, kind: type[K]) -> Generator[K]:
    """Have a reader of a file that nobody uses, and change nothing of it; raises as `_opened`."""
    path = _file(file, is_made=False)
    with ExitStack() as stack:
        with _whoever_has_it_is_asked():
            reader = stack.enter_context(resting(path, kind))
        yield reader


def _file(file: str, *, is_made: bool) -> Path:
    if server_of(file) is not None:
        msg = "--skip-damaged is of a file, and --store names a server"
        raise WrongUsage(msg, "What is damaged there is for its own tools: give no --skip-damaged.")
    path = Path(at_home(file))
    if not is_made and not path.exists():
        raise StoreMissing(path)
    return path


@contextmanager
def _whoever_has_it_is_asked() -> Generator[None]:
    try:
        yield
    except StoreLocked as error:
        error.remedy = "Leave out --store: then the daemon that uses it is asked."
        raise


def _inspector(session: str | None, app_dir: Path | None, bounds: Iterable[str]) -> Inspector:
    limits = read_bounds(bounds).limits
    if session is None:
        return Inspector(SessionCoder({}, others=Any), limits)
    kinds = {DEFAULT_KIND: load_behaviour(session, Path(at_home(app_dir or "")))}
    return Inspector(SessionCoder(kinds, others=Any), limits)


def _done(steps: Generator[None, None, R]) -> R:
    while True:
        is_over, done = next_step(steps)
        if is_over:
            found: R = done
            return found


# -- what is written, and read ---------------------------------------------


@contextmanager
def _written(path: Path) -> Generator[BinaryIO]:
    """Have a new file for its owner alone, which has its name when all of it is on the disk.

    Until then it is PATH.part: what a command leaves that was killed does not look whole.
    """
    if path == STDIO:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    _refuse_option(path)
    path = Path(at_home(path))
    if os.path.lexists(path):
        raise CannotWrite(path, os.strerror(EEXIST))
    part = Path(f"{path}.part")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotWrite(path, str(error.strerror)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _named(part, path)
    except OSError as error:
        raise CannotWrite(path, str(error.strerror)) from error
    finally:
        part.unlink(missing_ok=True)


def _named(part: Path, path: Path) -> None:
    """Give a file its name, which another must not have got meanwhile."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # no file system with hard links
        part.rename(path)


def _refuse_option(path: Path) -> None:
    """Refuse what was to be an option: since - is a file, so is all that begins with it."""
    if str(path).startswith("-"):
        msg = f"there is no option {shown(str(path))}"
        raise WrongUsage(msg, f"See --help; a file of that name is ./{shown_path(str(path))}.")


@contextmanager
def _read(path: Path) -> Generator[BinaryIO]:
    if path == STDIO:
        yield sys.stdin.buffer
        return
    _refuse_option(path)
    path = Path(at_home(path))
    try:
        file = path.open("rb")
    except OSError as error:
        raise StoreMissing(path, str(error.strerror)) from error
    with file:
        yield file


def _check_lines(answer: Answer) -> Iterator[str]:
    for each in answer["findings"]:
        place = "" if each["session_id"] is None else f"session {escaped(each['session_id'])}"
        if each["seq"] is not None:
            place += f", message {each['seq']}"
        yield f"{place or 'the store'}: {escaped(each['what'])}"
    seen = f"{answer['sessions']} sessions with {answer['messages']} messages"
    if not answer["is_complete"]:
        yield f"and more: {seen} were looked at until there were too many findings"
    elif answer["findings"]:
        yield f"{seen} were looked at; {len(answer['findings'])} findings"
        yield "of a damaged file, callboard store export --skip-damaged takes out what is whole"
    else:
        yield f"{seen}: all is whole"
