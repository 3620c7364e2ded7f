"""`~` in a path is the user's home wherever a path is given, also where no shell replaces it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from callboard.actors import AuditFile, FolderWorkspaces, SessionSystem
from callboard.actors.daemon.config import read_config
from callboard.actors.daemon.stores import store_of
from callboard.actors.daemon.where import listening, meant, token_file_of
from callboard.actors.home import at_home


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of the user, who is in another folder."""
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home, here):
        folder.mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    return home


class TestTilde:
    def test_of_a_store_a_workspace_and_an_audit_is_home(self, home: Path) -> None:
        with closing(AuditFile("~/audit")) as audit:
            workspace = FolderWorkspaces("~/folders")
            with SessionSystem(store="~/s/zz.db", workspace=workspace, audit=audit):
                pass

        assert {each.name for each in home.iterdir()} == {"audit", "folders", "s"}
        assert (home / "s" / "zz.db").is_file()
        assert list(Path().iterdir()) == []

    def test_of_a_daemon_is_home(self, home: Path) -> None:
        assert store_of("~/zz.db", {}) == home / "zz.db"
        assert store_of(None, {"CALLBOARD_STORE": "~/zz.db"}) == home / "zz.db"
        assert listening(Path("~/door"), None, {}) == home / "door"
        assert listening(None, None, {"CALLBOARD_SOCKET": "~/door"}) == home / "door"
        assert meant(Path("~/door"), None, {}) == home / "door"
        assert token_file_of(Path("~/token"), {}) == home / "token"
        assert token_file_of(None, {"CALLBOARD_TOKEN_FILE": "~/token"}) == home / "token"

    def test_of_a_configuration_is_home(self, home: Path) -> None:
        (home / "c.toml").write_text("port = 8420\n")

        assert read_config(Path("~/c.toml")).port == 8420

    @pytest.mark.parametrize("path", ["./~/zz.db", "a~b", "/a/~", "~nobody-of-this-name/zz.db"])
    def test_elsewhere_or_of_nobody_stays(self, path: str) -> None:
        assert at_home(path) == path
