"""The lines on what is kept on the disk: acknowledged appends, beside raw SQLite in the same run.

As a program it measures once and prints the figures: so it can run with a slower fsync preloaded.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from uuid6 import uuid7

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Role,
    Session,
    SessionState,
    SessionSystem,
)
from callboard.actors.sessions.coding import SessionCoder
from callboard.actors.storage.journal import BATCH_COMMITS_MAX
from callboard.actors.storage.records import MessageRecord, Write
from callboard.actors.storage.schema import STEPS
from callboard.actors.storage.sqlite import SqliteStore
from callboard.supervision import Future
from scripts.benchmarks.measure import WAIT_S, Figures, now_s
from tests.storage.preloading import SLOW_FSYNC, build, preloaded

_SESSIONS: Final = 512
_TEXT: Final = "x" * 500
_BODY: Final = json.dumps({"role": "user", "text": _TEXT}).encode()
_DEPTH: Final = 8
"""Asks that wait in each session, so that the writer never waits for a client."""

_AT_ONCE: Final = _SESSIONS * _DEPTH

_ROUND: Final = 4 * _AT_ONCE
"""Appends of one round, one more under way for each that is acknowledged."""

_STORED: Final = 100_000
"""Sessions of which a system is started."""

_QUICK: Final = "--quick"


def appends(*, is_quick: bool) -> Figures:
    """Append to many sessions, and commit as much by hand, by turns; then one by one."""
    rounds, singles = (2, 100) if is_quick else (7, 1_000)
    # Not in /tmp, which may be memory: the project's own folder is on a disk.
    Path("build").mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="build"))
        sessions = stack.enter_context(
            SessionSystem(store=f"{folder}/ours/sessions.db", name="bench", cleanup_interval_s=0)
        )
        ids = [sessions.ask(CreateSession(user_id="ada")).id for _ in range(_SESSIONS)]
        acts: dict[str, Callable[[], object]] = {"ours": partial(_append_to_all, sessions, ids)}
        for rows in (1, 64, 256):
            raw = stack.enter_context(closing(_opened(f"{folder}/raw-{rows}.db")))
            acts[f"raw_{rows}"] = _committer(raw, rows)
        found: dict[str, list[float]] = {"ours": [], "raw_64": [], "raw_256": []}
        for _ in range(rounds + 1):
            found["ours"].append(_per_s(acts["ours"], 1))
            for rows in (64, 256):
                found[f"raw_{rows}"].append(_per_s(acts[f"raw_{rows}"], _ROUND // rows))
        # The first round fills caches; of the others the middle one counts.
        figures = {f"{name}_per_s": statistics.median(each[1:]) for name, each in found.items()}
        one = partial(sessions.ask, AppendMessage(ids[0], Role.USER, _TEXT))
        figures |= _spread("one", one, singles) | _spread("raw_one", acts["raw_1"], singles)
        return figures | {"ratio": figures["ours_per_s"] / figures["raw_256_per_s"]}


def appends_slowly(*, is_quick: bool) -> Figures:
    """Do the same where each fsync takes 2 ms more."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 -- our own command
            [sys.executable, "-m", __name__, *[_QUICK] * is_quick],
            env=preloaded(build(SLOW_FSYNC, Path(folder))),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    found: Figures = json.loads(done.stdout)
    return found


def recovery(*, is_quick: bool) -> Figures:
    """Start a system on a store with many sessions of ten messages; beside it, read their rows."""
    count = _STORED // 10 if is_quick else _STORED
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="build") as folder:
        path = f"{folder}/sessions.db"
        _fill(path, count)
        began_s = now_s()
        with closing(sqlite3.connect(path)) as connection:
            read = connection.execute(
                "SELECT * FROM session JOIN snapshot ON snapshot.session = session.number"
            ).fetchall()
        raw_s = now_s() - began_s
        sessions = SessionSystem(store=path, name="bench", cleanup_interval_s=0)
        began_s = now_s()
        sessions.start()
        ours_s = now_s() - began_s
        assert sessions.health().sessions == len(read) == count
        sessions.stop()
    scale = _STORED / count
    return {"s": ours_s * scale, "raw_s": raw_s * scale}


def _fill(path: str, count: int) -> None:
    """Have a store of so many sessions of ten messages."""
    coder, store = SessionCoder({}), SqliteStore(path)
    body = _BODY.replace(_TEXT.encode(), b"ten of these")
    log = tuple(MessageRecord(seq, None, body) for seq in range(1, 11))
    for first in range(0, count, BATCH_COMMITS_MAX):
        writes: list[Write] = []
        for number in range(first, min(first + BATCH_COMMITS_MAX, count)):
            session = Session(
                id=str(uuid7()),
                user_id=f"user-{number % 50}",
                metadata={"title": "what it is about", "tags": ("one", "two")},
                state=SessionState.ACTIVE,
                version=11,
                last_seq=10,
                message_count=10,
                last_active_at=time.time(),
            )
            head, said = coder.head(session, 1), coder.body(session, None)
            writes.append(Write(id=session.id, is_new=True, head=head, body=said, messages=log))
        store.write(writes)
    store.close()


# -- raw SQLite -----------------------------------------------------------


def _opened(path: str) -> sqlite3.Connection:
    """Return an empty store's tables, with sessions that have no messages yet."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    for statement in (each for step in STEPS for each in step):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO session VALUES (?, ?, 'active', 1, 1, 0, 0, 0.0, NULL)",
        [(number, f"session-{number}") for number in range(_SESSIONS)],
    )
    return connection


def _committer(connection: sqlite3.Connection, rows: int) -> Callable[[], None]:
    """Return what commits a group: a message for each of so many sessions, and their heads."""
    seqs = [0] * _SESSIONS
    turns = _turns()

    def commit() -> None:
        sessions = [next(turns) for _ in range(rows)]
        for number in sessions:
            seqs[number] += 1
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO message VALUES (?, ?, NULL, ?)",
            [(number, seqs[number], _BODY) for number in sessions],
        )
        connection.executemany(
            "UPDATE session SET version = ?, last_seq = ?, message_count = ?, last_active_at = ?"
            " WHERE number = ?",
            [(seqs[number], seqs[number], seqs[number], 1.5, number) for number in sessions],
        )
        connection.execute("COMMIT")

    return commit


def _turns() -> Iterator[int]:
    while True:
        yield from range(_SESSIONS)


# -- ours -----------------------------------------------------------------


def _append_to_all(sessions: SessionSystem, ids: list[str]) -> None:
    """Append in turns, with as many under way as there may be; wait until all are acknowledged."""
    turns = cycle([(sessions.address(each), AppendMessage(each, Role.USER, _TEXT)) for each in ids])
    asked: deque[Future[int]] = deque()
    for address, message in islice(turns, _ROUND):
        if len(asked) >= _AT_ONCE:
            asked.popleft().get(timeout=WAIT_S)
        asked.append(address.ask(message, block=False))
    for each in asked:
        each.get(timeout=WAIT_S)


def _per_s(act: Callable[[], object], times: int) -> float:
    """Return how many appends there were in a second, when `times` acts make `_ROUND`."""
    began_s = now_s()
    for _ in range(times):
        act()
    return _ROUND / (now_s() - began_s)


def _spread(name: str, act: Callable[[], object], times: int) -> Figures:
    """Return the median and the 99th percentile of what `act` takes, in microseconds."""
    taken_us: list[float] = []
    for _ in range(times):
        began_s = now_s()
        act()
        taken_us.append((now_s() - began_s) * 1e6)
    cuts = statistics.quantiles(taken_us, n=100)
    return {f"{name}_p50_us": cuts[49], f"{name}_p99_us": cuts[98]}


if __name__ == "__main__":
    print(json.dumps(appends(is_quick=_QUICK in sys.argv)))
