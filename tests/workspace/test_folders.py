"""Workspaces on disk: where they lie, who gets in, and that nothing else is ever removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import FolderWorkspaces, Remains, WorkspaceError
from callboard.actors.proofs import OURS
from callboard.supervision import InvalidSpec

ALL = 1_000_000
"""More entries than any folder here has."""

WITHIN_S = 30.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def folders(root: Path) -> Iterator[FolderWorkspaces]:
    """Return workspaces that are open."""
    provider = FolderWorkspaces(root)
    provider.sweep(())
    yield provider
    provider.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def below(root: Path) -> list[str]:
    """Return all that is there, without what we keep ourselves."""
    found = [path.relative_to(root) for path in root.rglob("*")]
    return sorted(str(path) for path in found if path.parts[0] != OURS)


def ours(root: Path) -> list[str]:
    """Return the proofs, and what is to be deleted."""
    found = [path.relative_to(root / OURS) for path in (root / OURS).glob("*/*")]
    return sorted(str(path) for path in found)


def is_gone(provider: FolderWorkspaces, root: Path) -> bool:
    """Delete what was removed; say whether nothing is left at all."""
    assert provider.clear(ALL) == Remains()
    return below(root) == ours(root) == []


class TestMaking:
    @pytest.mark.seed("2.5")
    def test_it_lies_below_the_root_and_the_user(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        assert folders.make("ada", "s-1") == str(root.resolve() / "ada" / "s-1")

    @pytest.mark.seed("2.6")
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
    def test_nobody_else_gets_in_on_any_level(self, root: Path, umask: int) -> None:
        before = os.umask(umask & 0o077)
        provider = FolderWorkspaces(root)
        try:
            provider.sweep(())
            made = Path(provider.make("ada", "s-1"))
        finally:
            os.umask(before)
            provider.close()

        assert [mode_of(each) for each in (made, made.parent, root)] == [0o700] * 3

    def test_a_user_folder_that_was_too_open_is_closed(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        (root / "ada").mkdir(mode=0o755)

        folders.make("ada", "s-1")

        assert mode_of(root / "ada") == 0o700

    def test_a_user_folder_of_somebody_else_is_refused(
        self, folders: FolderWorkspaces, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (root / "ada").mkdir(mode=0o755)
        monkeypatch.setattr(os, "geteuid", lambda: 12_345_678)

        with pytest.raises(WorkspaceError, match="somebody else"):
            folders.make("ada", "s-1")

        assert mode_of(root / "ada") == 0o755
        assert below(root) == ["ada"]

    def test_sessions_without_a_user_have_a_folder_that_no_user_has(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        nobodys = folders.make(None, "s-1")

        assert nobodys == str(root.resolve() / "_nobody" / "s-1")
        assert not folders.make("_nobody", "s-2").startswith(str(root.resolve() / "_nobody/"))

    @pytest.mark.parametrize(
        "user_id",
        [
            "../../etc",
            "/etc",
            ".",
            "..",
            "",
            "a\0b",
            "x" * 300,
            "a\nb",
            ".hidden",
            "a/b",
            "-rf",
            "é",
        ],
    )
    def test_no_id_leads_out_of_the_root(
        self, folders: FolderWorkspaces, root: Path, user_id: str
    ) -> None:
        made = Path(folders.make(user_id, user_id))

        assert made.is_dir()
        assert made.parent.parent == root.resolve()
        assert made.resolve() == made
        folders.remove(user_id, user_id)
        assert is_gone(folders, root)

    def test_both_spellings_of_a_user_are_one_folder(self, folders: FolderWorkspaces) -> None:
        composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))

        first, second = Path(folders.make(composed, "1")), Path(folders.make(decomposed, "2"))

        assert first.parent == second.parent

    def test_both_spellings_of_a_session_are_two_folders(self, folders: FolderWorkspaces) -> None:
        composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))

        assert folders.make("ada", composed) != folders.make("ada", decomposed)

    def test_what_an_earlier_session_of_the_id_has_left_is_not_inherited(
        self, folders: FolderWorkspaces
    ) -> None:
        made = Path(folders.make("ada", "s-1"))
        (made / "secret").write_text("of the first")

        again = Path(folders.make("ada", "s-1"))

        assert again == made
        assert below(again) == []

    def test_a_folder_at_its_place_that_is_not_ours_is_refused_and_stays(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        (root / "ada" / "s-1").mkdir(parents=True)
        (root / "ada" / "s-1" / "thesis").write_text("years of work")

        with pytest.raises(WorkspaceError, match="not made for this session"):
            folders.make("ada", "s-1")

        assert below(root) == ["ada", "ada/s-1", "ada/s-1/thesis"]

    @pytest.mark.parametrize("level", ["ada", "ada/s-1"])
    def test_a_link_at_its_place_is_refused_and_not_followed(
        self, folders: FolderWorkspaces, root: Path, tmp_path: Path, level: str
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (root / level).parent.mkdir(exist_ok=True)
        (root / level).symlink_to(elsewhere)

        with pytest.raises(WorkspaceError):
            folders.make("ada", "s-1")

        assert list(elsewhere.iterdir()) == []

    def test_the_root_is_the_one_that_was_opened_whatever_takes_its_place(
        self, folders: FolderWorkspaces, root: Path, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        root.rename(tmp_path / "moved")
        root.symlink_to(elsewhere)

        folders.make("ada", "s-1")

        assert list(elsewhere.iterdir()) == []
        assert (tmp_path / "moved" / "ada" / "s-1").is_dir()

    def test_it_needs_to_be_opened(self, root: Path) -> None:
        with pytest.raises(WorkspaceError, match="not open"):
            FolderWorkspaces(root).make("ada", "s-1")


class TestRemoving:
    @pytest.mark.seed("2.8")
    def test_all_of_it_goes_and_the_empty_folder_of_its_user(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        made = Path(folders.make("ada", "s-1"))
        (made / "a" / "b").mkdir(parents=True)
        (made / "a" / "b" / "file").write_text("x")

        folders.remove("ada", "s-1")

        assert below(root) == []
        assert is_gone(folders, root)

    def test_nothing_is_left_when_it_is_closed(self, folders: FolderWorkspaces, root: Path) -> None:
        folders.make("ada", "s-1")
        folders.remove("ada", "s-1")
        folders.clear(ALL)

        folders.close()

        assert list(root.iterdir()) == []

    @pytest.mark.parametrize("what", ["git clean -fdx", "rm -rf .[!.]* *", "chmod 000"])
    def test_whatever_was_done_in_it_it_goes_and_its_place_is_free(
        self, folders: FolderWorkspaces, what: str
    ) -> None:
        made = Path(folders.make("ada", "s-1"))
        for each in made.iterdir():  # it is the session's alone: nothing of ours is there
            each.unlink()
        if what == "chmod 000":
            made.chmod(0o000)

        folders.remove("ada", "s-1")

        assert not made.exists()
        assert folders.make("ada", "s-1") == str(made)

    @pytest.mark.parametrize("what", ["link", "file", "nothing"])
    def test_what_stands_in_its_place_goes_and_nothing_else(
        self, folders: FolderWorkspaces, root: Path, tmp_path: Path, what: str
    ) -> None:
        made = Path(folders.make("ada", "s-1"))
        made.rename(tmp_path / "moved")
        if what == "link":
            made.symlink_to(tmp_path / "moved")
        elif what == "file":
            made.write_text("x")

        folders.remove("ada", "s-1")

        assert is_gone(folders, root)
        assert (tmp_path / "moved").is_dir()

    def test_its_neighbours_stay(self, folders: FolderWorkspaces, root: Path) -> None:
        folders.make("ada", "s-1")
        folders.make("ada", "s-2")

        folders.remove("ada", "s-1")

        assert below(root) == ["ada", "ada/s-2"]

    def test_it_may_be_removed_twice(self, folders: FolderWorkspaces) -> None:
        folders.make("ada", "s-1")

        folders.remove("ada", "s-1")
        folders.remove("ada", "s-1")
        folders.remove("nobody", "ever")

    def test_links_in_it_are_removed_and_not_followed(
        self, folders: FolderWorkspaces, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        (elsewhere / "deep").mkdir(parents=True)
        (elsewhere / "file").write_text("x")
        made = Path(folders.make("ada", "s-1"))
        (made / "folder").symlink_to(elsewhere)
        (made / "sub").mkdir()
        (made / "sub" / "file").symlink_to(elsewhere / "file")

        folders.remove("ada", "s-1")

        assert is_gone(folders, made.parent.parent)
        assert below(elsewhere) == ["deep", "file"]

    def test_a_user_folder_that_was_replaced_by_a_link_is_left_alone(
        self, folders: FolderWorkspaces, root: Path, tmp_path: Path
    ) -> None:
        folders.make("ada", "s-1")
        moved = tmp_path / "moved"
        (root / "ada").rename(moved)
        (root / "ada").symlink_to(moved)

        with pytest.raises(WorkspaceError):
            folders.remove("ada", "s-1")

        assert (moved / "s-1").is_dir()

    def test_a_folder_that_we_have_not_made_stays(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        (root / "ada" / "s-1").mkdir(parents=True)

        with pytest.raises(WorkspaceError, match="not made for this session"):
            folders.remove("ada", "s-1")

        assert below(root) == ["ada", "ada/s-1"]

    @pytest.mark.parametrize("what", ["a file", "of another session", "another word"])
    def test_a_proof_that_is_none_proves_nothing(
        self, folders: FolderWorkspaces, root: Path, what: str
    ) -> None:
        folders.make("ada", "s-1")
        proof = root / OURS / "proofs" / "ada:s-1"
        proof.unlink()
        if what == "a file":
            proof.write_text("callboard-workspace-1:s-1")
        else:
            said = "workspace:s-1" if what == "another word" else "callboard-workspace-1:s-2"
            proof.symlink_to(said)

        with pytest.raises(WorkspaceError, match="not made for this session"):
            folders.remove("ada", "s-1")
        swept = folders.sweep(())

        assert swept == ()
        assert below(root) == ["ada", "ada/s-1"]

    def test_neither_depth_nor_modes_keep_it_there(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        made = folders.make("ada", "s-1")
        before = Path.cwd()
        try:
            os.chdir(made)
            for _ in range(1_500):  # deeper than Python's stack, longer than any path may be
                Path("d").mkdir()
                os.chdir("d")
        finally:
            os.chdir(before)
        closed = Path(made, "closed")
        (closed / "below").mkdir(parents=True)
        (closed / "below").chmod(0o000)
        closed.chmod(0o500)

        folders.remove("ada", "s-1")

        assert is_gone(folders, root)

    def test_a_folder_of_a_user_that_we_did_not_make_stays(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        (root / "ada").mkdir()
        folders.make("ada", "s-1")

        folders.remove("ada", "s-1")

        assert below(root) == ["ada"]


class TestALargeFolder:
    def test_is_out_of_its_place_at_once_and_deleted_a_part_at_a_time(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        made = Path(folders.make("ada", "s-1"))
        for number in range(30):
            (made / f"{number}" / "deep").mkdir(parents=True)
            (made / f"{number}" / "deep" / "file").touch()

        folders.remove("ada", "s-1")
        before = len(list((root / OURS / "gone").rglob("*")))
        first = folders.clear(10)
        after = len(list((root / OURS / "gone").rglob("*")))

        assert not made.parent.exists()
        assert (first, before - after <= 10) == (Remains(1), True)
        steps = 1
        while folders.clear(10) == Remains(1):
            steps += 1
        assert steps >= 90 // 10
        assert is_gone(folders, root)

    def test_is_deleted_by_who_comes_next(self, folders: FolderWorkspaces, root: Path) -> None:
        made = Path(folders.make("ada", "s-1"))
        (made / "file").touch()
        folders.remove("ada", "s-1")
        folders.close()

        second = FolderWorkspaces(root)
        second.sweep(())
        second.make("ada", "s-1")

        assert second.clear(ALL) == Remains()
        assert below(root) == ["ada", "ada/s-1"]
        second.close()

    def test_may_be_deleted_by_two_at_once(self, folders: FolderWorkspaces, root: Path) -> None:
        for session in ("s-1", "s-2", "s-3"):
            made = Path(folders.make("ada", session))
            for number in range(200):
                (made / f"{number % 7}" / f"{number}").mkdir(parents=True)
            folders.remove("ada", session)

        with ThreadPoolExecutor(3) as threads:
            for each in [threads.submit(folders.clear, ALL) for _ in range(3)]:
                assert each.result(WITHIN_S).error is None

        assert is_gone(folders, root)

    def test_that_cannot_be_deleted_is_counted_and_keeps_nothing_else(
        self, folders: FolderWorkspaces, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = Path(folders.make("ada", "s-1"))
        for name in ("a", "held", "z"):
            (made / name).touch()
        folders.make("ada", "s-2")
        unlink = os.unlink

        def held(name: str, **where: int) -> None:
            if name == "held":
                raise PermissionError(1, "Operation not permitted")
            unlink(name, **where)

        for session in ("s-1", "s-2"):
            folders.remove("ada", session)
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", held)
            said = folders.clear(ALL)

        assert said == Remains(1, "Operation not permitted")
        assert [path.name for path in (root / OURS / "gone").rglob("*/*")] == ["held"]
        assert folders.make("ada", "s-1") == str(made)
        assert folders.clear(ALL) == Remains()


class TestManyOfOneUser:
    def test_come_and_go_at_once_and_none_is_refused(
        self, folders: FolderWorkspaces, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rmdir, rounds = os.rmdir, 40
        is_made = threading.Barrier(2)

        def dropped(name: str, **where: int) -> None:
            if name == "ada" and threading.current_thread().name == "dropper":
                is_made.wait(WITHIN_S)  # at the last moment: somebody is about to make one
            rmdir(name, **where)

        made: list[str] = []

        def make() -> None:
            is_made.wait(WITHIN_S)
            made.append(folders.make("ada", "new"))

        monkeypatch.setattr(os, "rmdir", dropped)
        for _ in range(rounds):
            folders.make("ada", "old")
            maker = threading.Thread(target=make)
            dropper = threading.Thread(target=folders.remove, args=("ada", "old"), name="dropper")
            for each in (maker, dropper):
                each.start()
            for each in (maker, dropper):
                each.join(WITHIN_S)
            assert below(root) == ["ada", "ada/new"]
            folders.remove("ada", "new")
            assert below(root) == []
        assert len(made) == rounds

    def test_whose_folder_is_dropped_each_time_before_one_is_made_in_it_is_none_the_worse(
        self, folders: FolderWorkspaces, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mkdir, drops = os.mkdir, 50

        def late(name: str, mode: int, *, dir_fd: int) -> None:
            nonlocal drops
            if name == "s-1" and drops:  # so many others had looked before
                drops -= 1
                (root / "ada").rmdir()
            mkdir(name, mode, dir_fd=dir_fd)

        monkeypatch.setattr(os, "mkdir", late)

        assert Path(folders.make("ada", "s-1")).is_dir()
        assert drops == 0

    def test_that_is_empty_stays_while_one_is_made_in_it(
        self, folders: FolderWorkspaces, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mkdir, looked = os.mkdir, list[list[str]]()

        def slow(name: str, mode: int, *, dir_fd: int) -> None:
            if name == "s-2":
                folders.remove("ada", "s-1")
                looked.append(below(root))
            mkdir(name, mode, dir_fd=dir_fd)

        folders.make("ada", "s-1")
        monkeypatch.setattr(os, "mkdir", slow)
        folders.make("ada", "s-2")

        assert looked == [["ada"]]
        folders.remove("ada", "s-2")
        assert is_gone(folders, root)


class TestSweeping:
    def test_proven_folders_without_a_session_go_and_nothing_else(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        folders.make("ada", "lost")
        folders.make("ada", "lives")
        folders.make("bob", "lost too")
        (root / "host").mkdir()
        (root / "host" / "file").write_text("x")
        (root / "file").write_text("x")

        assert folders.sweep(["lives"]) == ("lost", "lost too")

        assert below(root) == ["ada", "ada/lives", "file", "host", "host/file"]
        assert ours(root) == ["gone/0", "gone/1", "proofs/ada", "proofs/ada:lives"]

    @pytest.mark.parametrize("said", ["", "anything", "mine"])
    def test_a_file_of_our_name_in_a_folder_of_the_host_proves_nothing(
        self, folders: FolderWorkspaces, root: Path, said: str
    ) -> None:
        mine = root / "projects" / "mine"
        mine.mkdir(parents=True)
        (mine / OURS).write_text(said)
        (mine / "thesis").write_text("years of work")

        assert folders.sweep(()) == ()

        assert (mine / "thesis").read_text() == "years of work"

    def test_ids_are_told_as_they_were_given(self, folders: FolderWorkspaces) -> None:
        given = ["s", "a/b", "", "50%", "%00", "a\0b", "e\u0301", "\udc80", "x" * 300]
        for each in given:
            folders.make("ada", each)

        assert folders.sweep(given) == ()
        assert folders.sweep(()) == tuple(sorted(given))

    def test_one_that_cannot_be_moved_does_not_keep_the_others(
        self, folders: FolderWorkspaces, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folders.make("ada", "1")
        folders.make("ada", "2")
        rename = os.rename

        def busy(name: str, to: str, **where: int) -> None:
            if name == "1":
                raise OSError(16, "Device or resource busy")
            rename(name, to, **where)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", busy)
            with pytest.raises(WorkspaceError, match="busy"):
                folders.sweep(())

        assert below(root) == ["ada", "ada/1"]
        assert folders.sweep(()) == ("1",)


class TestTheRoot:
    @pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
    def test_one_that_others_may_write_is_refused(self, root: Path, mode: int) -> None:
        root.mkdir()
        root.chmod(mode)

        with pytest.raises(InvalidSpec, match="chmod go-w") as refused:
            FolderWorkspaces(root).sweep(())

        assert refused.value.field == "workspace"
        assert refused.value.value == str(root)

    @pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
    def test_one_below_a_folder_that_others_may_write_is_refused(
        self, tmp_path: Path, mode: int
    ) -> None:
        above = tmp_path / "open"
        (above / "between").mkdir(parents=True)
        above.chmod(mode)

        with pytest.raises(InvalidSpec, match=f"in its place: chmod go-w {above}\\.") as refused:
            FolderWorkspaces(above / "between" / "root").sweep(())

        assert refused.value.field == "workspace"

    def test_one_below_a_folder_where_everybody_moves_his_own_only_is_taken(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o1777)
        provider = FolderWorkspaces(tmp_path / "open" / "root")

        assert provider.sweep(()) == ()
        provider.close()

    def test_one_below_a_folder_of_somebody_else_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stat_of = Path.stat

        def theirs(path: Path, **how: bool) -> os.stat_result:
            found = stat_of(path, **how)
            if path == tmp_path:
                found = os.stat_result((*found[:4], 12_345_678, *found[5:]))
            return found

        monkeypatch.setattr(Path, "stat", theirs)

        with pytest.raises(InvalidSpec, match=f"{tmp_path} is somebody else's"):
            FolderWorkspaces(tmp_path / "root").sweep(())

    @pytest.mark.parametrize("what", ["a file", "a folder", "a link"])
    def test_one_with_something_else_of_our_name_is_refused_and_that_stays(
        self, root: Path, tmp_path: Path, what: str
    ) -> None:
        root.mkdir(mode=0o700)
        if what == "a file":
            (root / OURS).write_text("x")
        elif what == "a folder":
            (root / OURS / "settings").mkdir(parents=True)
        else:
            (root / OURS).symlink_to(tmp_path)

        with pytest.raises(InvalidSpec, match="workspace"):
            FolderWorkspaces(root).sweep(())

        assert os.path.lexists(root / OURS)

    def test_one_of_somebody_else_is_refused(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 12_345_678)

        with pytest.raises(InvalidSpec, match="somebody else"):
            FolderWorkspaces(root).sweep(())

    @pytest.mark.parametrize("given", ["no/such/parent", "a\0b", "file"])
    def test_one_that_cannot_be_used_is_refused(self, tmp_path: Path, given: str) -> None:
        (tmp_path / "file").write_text("x")

        with pytest.raises(InvalidSpec, match="workspace"):
            FolderWorkspaces(f"{tmp_path}/{given}").sweep(())

    def test_a_second_system_is_refused_until_the_first_has_closed_it(
        self, folders: FolderWorkspaces, root: Path
    ) -> None:
        second = FolderWorkspaces(root)
        with pytest.raises(InvalidSpec, match="another one uses this"):
            second.sweep(())

        folders.close()
        second.sweep(())
        second.close()
        second.close()

    @pytest.mark.parametrize(
        ("who_closes", "is_free"), [("the one", True), ("a forked one", False)]
    )
    def test_it_is_locked_until_the_process_that_locked_it_closes_it(
        self,
        root: Path,
        who_closes: str,
        is_free: bool,  # noqa: FBT001 -- pytest gives it by name
    ) -> None:
        done = subprocess.run(
            [sys.executable, "-c", _FORKING, str(root), who_closes],
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=True,
        )

        assert done.stdout.split() == [str(is_free), "True"]

    def test_a_link_to_it_is_followed_once(self, root: Path, tmp_path: Path) -> None:
        root.mkdir(mode=0o700)
        (tmp_path / "link").symlink_to(root)
        provider = FolderWorkspaces(tmp_path / "link")
        provider.sweep(())

        assert provider.make("ada", "s-1") == str(root.resolve() / "ada" / "s-1")
        provider.close()


_FORKING = """
import os, signal, sys
from callboard.actors import FolderWorkspaces
from callboard.supervision import InvalidSpec

def is_free():
    second = FolderWorkspaces(root)
    try:
        second.sweep(())
    except InvalidSpec:
        return False
    second.close()
    return True

root, who_closes = sys.argv[1:]
folders = FolderWorkspaces(root)
folders.sweep(())
child = os.fork()
if child == 0:
    if who_closes == "a forked one":
        folders.close()
    else:
        signal.pause()
    os._exit(0)
if who_closes == "a forked one":
    os.waitpid(child, 0)
    print(is_free(), os.path.isdir(folders.make("ada", "s-1")))
else:
    folders.close()
    print(is_free(), os.waitpid(child, os.WNOHANG) == (0, 0))
    os.kill(child, signal.SIGKILL)
"""
"""Say whether the root is free, and whether it goes on for the other one."""


class _Ended(BaseException):
    """What strikes between two calls of the system."""


_CALLS = (
    "mkdir",
    "open",
    "fchmod",
    "symlink",
    "readlink",
    "lstat",
    "close",
    "rename",
    "unlink",
    "rmdir",
)


class TestBeingEndedAnywhere:
    """Whatever strikes, at whichever call: the next removal, or sweep, leaves nothing."""

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("act", ["make", "remove", "clear"])
    @pytest.mark.parametrize("clean_up", ["remove", "sweep", "make"])
    def test_nothing_is_left(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, act: str, clean_up: str, when: str
    ) -> None:
        step = 0
        while True:
            step += 1
            provider = FolderWorkspaces(root)
            provider.sweep(())
            if act != "make":
                made = Path(provider.make("ada", "s-1"))
                (made / "a" / "b").mkdir(parents=True)
                (made / "a" / "file").write_text("x")
            if act == "clear":
                provider.remove("ada", "s-1")
            with monkeypatch.context() as patch:
                struck = _strike(patch, step, when)
                with suppress(_Ended):
                    getattr(provider, act)(*((ALL,) if act == "clear" else ("ada", "s-1")))
                is_struck = struck()
            if clean_up == "make":
                assert list(Path(provider.make("ada", "s-1")).iterdir()) == []
            if clean_up == "sweep":
                provider.close()
                provider.sweep(())
            else:
                provider.remove("ada", "s-1")
            assert provider.clear(ALL) == Remains(), f"struck {when} call {step}"

            # An empty folder of a user may stay, unproven: between its last two steps.
            assert ours(root) == [], f"struck {when} call {step}"
            assert below(root) in ([], ["ada"]), f"struck {when} call {step}"
            if below(root):
                (root / "ada").rmdir()
            provider.close()
            if not is_struck:
                break
        assert step > 5


def _strike(patch: pytest.MonkeyPatch, step: int, when: str) -> Callable[[], bool]:
    """Have the n-th call of the system raise, and none after it; descriptors are closed still."""
    calls = 0

    def counted(own: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            is_it = calls == step
            if is_it and when == "before":
                if own is closing:
                    own(*args)
                raise _Ended
            result = own(*args, **kwargs)
            if is_it:
                if own is opening:
                    closing(result)
                raise _Ended
            return result

        return call

    opening, closing = os.open, os.close
    for name in _CALLS:
        patch.setattr(os, name, counted(getattr(os, name)))
    return lambda: calls >= step
