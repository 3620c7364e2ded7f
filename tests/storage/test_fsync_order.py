"""No row is acknowledged before it was synced: seen in the system calls of a real process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house import ROOT
from tests.storage.acknowledging import WAYS
from tests.storage.preloading import FSYNC_ORDER, SLOW_FSYNC, WHY_NOT, build, compiler, preloaded

ROWS = 200
UNSAFE = {
    "sessions, synchronous=OFF",
    "store, acknowledged before",
    "store, synchronous=NORMAL",
    "store, synchronous=OFF",
    "store with a rollback journal, synchronous=FULL",
}

pytestmark = pytest.mark.skipif(compiler() is None, reason=WHY_NOT)


class Seen(NamedTuple):
    """What the order of calls says.

    Args:
        acknowledged: the rows, in the order in which they were.
        early: those that were not synced before, in words.
        syncs: how many there were.
    """

    acknowledged: list[int]
    early: list[str]
    syncs: int


def judge(lines: Iterable[str]) -> Seen:
    """Say which rows were acknowledged too early, of lines as `fsync_order.c` notes them.

    A row is durable when the sync of a file has returned that began after the row was written
    to it; if that is a rollback journal's database, when the folder was synced after the journal
    was deleted, too: else the journal comes back and undoes it.
    """
    written: dict[str, set[int]] = {}
    syncing: dict[str, list[set[int]]] = {}
    synced: set[int] = set()
    undone_by_journal: set[int] = set()
    seen = Seen([], [], 0)
    syncs = 0
    for line in lines:
        kind, *rest = line.split()
        if kind == "A":
            for row in map(int, rest):
                seen.acknowledged.append(row)
                if row not in synced or row in undone_by_journal:
                    seen.early.append(f"row-{row} before line: {line}")
            continue
        name = rest[0]
        if kind == "W" and name.endswith("-journal"):
            continue  # what was there before
        if kind == "W":
            written.setdefault(name, set()).update(map(int, rest[1:]))
        elif kind == "s":
            syncing.setdefault(name, []).append(set(written.get(name, ())))
        elif kind == "S":
            syncs += 1
            durable = syncing[name].pop(0)
            if rest[1] == "0":
                fresh = durable - synced
                synced |= durable
                if name == ".":
                    undone_by_journal.clear()
                elif not name.endswith("-wal"):
                    undone_by_journal |= fresh
    return seen._replace(syncs=syncs)


def run(way: str, library: Path, folder: Path) -> Seen:
    """Run the program in this way, and judge what it has done."""
    log, acknowledged = folder / "order", folder / "acknowledged"
    kept = folder / "kept"
    kept.mkdir(mode=0o700)
    with acknowledged.open("wb") as file:
        descriptor = file.fileno()
        environment = {
            **preloaded(library),
            "CALLBOARD_ORDER_LOG": str(log),
            "CALLBOARD_ORDER_OF": str(kept),
            "CALLBOARD_ORDER_ACK": str(descriptor),
        }
        program = [sys.executable, "-m", "tests.storage.acknowledging"]
        done = subprocess.run(
            [*program, way, str(kept / "sessions.db"), str(ROWS), str(descriptor)],
            env=environment,
            cwd=ROOT,
            pass_fds=[descriptor],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    seen = judge(log.read_text(encoding="utf-8").splitlines())
    assert len(acknowledged.read_text(encoding="utf-8").split()) == ROWS
    return seen


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(FSYNC_ORDER, tmp_path_factory.mktemp("fsync_order"))


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(WAYS.keys() - UNSAFE))
def test_every_row_is_synced_between_its_write_and_its_acknowledgement(
    way: str, library: Path, tmp_path: Path
) -> None:
    seen = run(way, library, tmp_path)

    assert sorted(seen.acknowledged) == list(range(1, ROWS + 1))
    assert seen.early == []
    assert seen.syncs > 1


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(UNSAFE))
def test_what_acknowledges_too_early_is_found_out(way: str, library: Path, tmp_path: Path) -> None:
    seen = run(way, library, tmp_path)

    assert len(seen.acknowledged) == ROWS
    assert len(seen.early) == ROWS


class TestTheJudge:
    """What it says of orders that no store of ours has."""

    @pytest.mark.parametrize(
        ("lines", "early"),
        [
            ("W a-wal 1, s a-wal, S a-wal 0, A 1", 0),
            ("W a-wal 1, A 1, s a-wal, S a-wal 0", 1),
            ("W a-wal 1, s a-wal, A 1, S a-wal 0", 1),
            ("s a-wal, W a-wal 1, S a-wal 0, A 1", 1),
            ("W a-wal 1, s a-wal, S a-wal -1, A 1", 1),
            ("W a-wal 1, s a, S a 0, A 1", 1),
            ("A 1", 1),
            ("W a 1, s a, S a 0, U a-journal, A 1", 1),
            ("W a 1, s a, S a 0, U a-journal, s ., S . 0, A 1", 0),
            ("W a-journal 1, s a-journal, S a-journal 0, s ., S . 0, A 1", 1),
        ],
    )
    def test_knows_what_is_early(self, lines: str, early: int) -> None:
        assert len(judge(lines.split(", ")).early) == early


def test_a_library_makes_every_sync_slow(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT);"
        "began = time.monotonic(); [os.fsync(file) for _ in range(10)];"
        "print(time.monotonic() - began)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "file")],
        env=preloaded(build(SLOW_FSYNC, tmp_path)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert float(said) >= 10 * 0.002
