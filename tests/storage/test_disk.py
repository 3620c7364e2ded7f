"""Who gets at the file of a store: its owner alone, and one system at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from callboard.actors import StoreLocked, StoreRefused
from callboard.actors.storage.sqlite import SqliteStore
from tests.storage.conftest import Opens
from tests.storage.kit import more, new

WITHIN_S = 30.0

HOLD = """
import sys
from callboard.actors.storage.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
print("held", flush=True)
"""

WAIT = """
sys.stdin.read()
"""

START = """
import subprocess
waiting = "import sys; print('started', flush=True); sys.stdin.read()"
subprocess.run([sys.executable, "-c", waiting], close_fds=False)
"""

FORK = """
import os
if os.fork() == 0:
    print("started", flush=True)
sys.stdin.read()
"""

TRY = """
import sys
from callboard.actors import StoreLocked
from callboard.actors.storage.sqlite import SqliteStore
try:
    SqliteStore(sys.argv[1]).close()
except StoreLocked as error:
    print(error.pid)
else:
    print("open")
"""


def tried(path: Path) -> str:
    """What another process gets that opens the store."""
    done = subprocess.run(
        [sys.executable, "-c", TRY, path], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


class TestTheLock:
    def test_keeps_a_second_process_out_and_says_who_has_it(self, opens: Opens, path: Path) -> None:
        before = time.time() - 1.0
        store = opens()

        assert tried(path) == str(os.getpid())

        with pytest.raises(StoreLocked) as refused:
            SqliteStore(path)
        assert refused.value.pid == os.getpid()
        assert before < refused.value.since < time.time() + 1.0
        assert f"process {os.getpid()} uses it since 2" in str(refused.value)
        store.write([new("ada")])

    def test_ends_with_the_store(self, opens: Opens, path: Path) -> None:
        opens().close()

        assert tried(path) == "open"
        assert [each.name for each in path.parent.iterdir()] == ["sessions.db"]

    def test_ends_with_its_process_however_that_ends(self, opens: Opens, path: Path) -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD + WAIT, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with child:
            assert child.stdout
            assert child.stdout.readline() == b"held\n"
            with pytest.raises(StoreLocked) as refused:
                opens()
            child.kill()
            child.wait(WITHIN_S)

        assert refused.value.pid == child.pid
        opens().write([new("ada")])

    @pytest.mark.parametrize("start", [START, FORK], ids=["program", "bare fork"])
    def test_is_not_inherited_by_what_the_process_starts(
        self, opens: Opens, path: Path, start: str
    ) -> None:
        command = [sys.executable, "-c", HOLD + start, str(path)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with child:
            assert child.stdout
            assert child.stdout.readline() == b"held\n"
            assert child.stdout.readline() == b"started\n"
            child.kill()
            child.wait(WITHIN_S)

            opens().write([new("ada")])  # while that lives on

            assert child.stdin
            child.stdin.close()

    def test_is_not_let_go_by_a_process_that_was_forked_off(self, opens: Opens, path: Path) -> None:
        store = opens()
        lock = store._lock
        child = os.fork()
        if child == 0:
            lock.release()
            os._exit(0)
        os.waitpid(child, 0)

        assert tried(path) == str(os.getpid())

    def test_of_a_file_by_another_name_is_the_same(self, opens: Opens, path: Path) -> None:
        opens()
        link = path.parent.parent / "there"
        link.symlink_to(path.parent)

        with pytest.raises(StoreLocked):
            SqliteStore(link / path.name)

    def test_is_let_go_when_the_store_does_not_open(self, opens: Opens, path: Path) -> None:
        path.parent.mkdir(0o700)
        path.touch(0o600)
        path.write_bytes(b"no database")
        with pytest.raises(StoreRefused):
            opens()

        path.write_bytes(b"")

        opens().write([new("ada")])


class TestTheFiles:
    def test_are_for_their_owner_alone_whatever_the_umask(self, path: Path) -> None:
        before = os.umask(0)
        try:
            store = SqliteStore(path)
            store.write([new("ada", 1)])
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        finally:
            os.umask(before)
        store.close()

        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert modes == {
            "sessions.db": 0o600,
            "sessions.db-wal": 0o600,
            "sessions.db-shm": 0o600,
            "sessions.db.lock": 0o600,
        }

    def refused(self, path: Path, why: str) -> None:
        with pytest.raises(StoreRefused, match=why) as refused:
            SqliteStore(path)
        assert refused.value.remedy.endswith(".")

    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o640, 0o604])
    def test_are_refused_when_others_may_read_or_write_them(
        self, opens: Opens, path: Path, mode: int
    ) -> None:
        opens().close()
        path.chmod(mode)

        self.refused(path, f"mode {mode:04o}")

    @pytest.mark.parametrize("mode", [0o720, 0o702])
    def test_are_refused_in_a_folder_that_others_may_write(
        self, opens: Opens, path: Path, mode: int
    ) -> None:
        opens().close()
        path.parent.chmod(mode)

        self.refused(path, "others may write")

    def test_are_no_links(self, opens: Opens, path: Path) -> None:
        opens().close()
        link = path.with_name("link.db")
        link.symlink_to(path)

        self.refused(link, "link")

    def test_have_no_second_name(self, opens: Opens, path: Path) -> None:
        opens().close()
        path.with_name("second.db").hardlink_to(path)

        self.refused(path, "second name")

    def test_are_no_folders(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir(0o700)

        self.refused(folder, "it is a folder")

    def test_are_not_made_where_none_can_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        self.refused(tmp_path / "file" / "sessions.db", "cannot be used")
        self.refused(tmp_path / ("x" * 300), "too long")

    def test_are_all_in_one_when_the_store_is_closed(self, opens: Opens, path: Path) -> None:
        store = opens()
        reader = store.reader()
        store.write([new("ada", 1)])
        list(reader.sessions())

        store.close()

        reader.close()
        assert path.with_name("sessions.db-wal").stat().st_size == 0
        again = opens()
        again.write([more("ada", 1, 2)])


def test_a_file_that_is_gone_while_its_log_is_there_is_not_made_anew(path: Path) -> None:
    store = SqliteStore(path)
    store.close()
    path.unlink()
    log = path.with_name("sessions.db-wal")
    log.write_bytes(b"what was committed last")

    with pytest.raises(StoreRefused, match="its write-ahead log") as refused:
        SqliteStore(path)

    assert "Put the file back beside it" in refused.value.remedy
    assert log.read_bytes() == b"what was committed last"
    assert not path.exists()
