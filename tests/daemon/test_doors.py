"""Where the daemon listens, and who is let in."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callboard.actors.daemon.doors import UNIX_PATH_BYTES_MAX, loopback, open_port, open_unix
from callboard.actors.daemon.errors import (
    DoorInUse,
    FolderNotPrivate,
    NotAPort,
    NotASocket,
    NotLoopback,
    PortRefused,
    TokenMissing,
    TokenRefused,
)
from callboard.actors.daemon.folders import default_folder, private_folder
from callboard.actors.daemon.tokens import provide_token, read_token
from tests.daemon.daemons import Running, running


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestAUnixSocket:
    def test_is_its_users_alone_from_the_first_moment(self, private: Path) -> None:
        path = private / "made" / "callboard.sock"

        with open_unix(path, backlog=1):
            assert stat.S_ISSOCK(path.lstat().st_mode)
            assert mode_of(path) == 0o600
            assert mode_of(path.parent) == 0o700

    def test_stays_so_while_the_server_uses_it(self, private: Path) -> None:
        with running(private) as daemon, daemon.client() as http:
            assert http.get("/v1/health").status_code == 200
            assert daemon.path is not None
            assert mode_of(daemon.path) == 0o600

    def test_leaves_the_umask_as_it_was(self, private: Path) -> None:
        before = os.umask(0o022)
        try:
            with open_unix(private / "s", backlog=1):
                assert os.umask(0o022) == 0o022
        finally:
            os.umask(before)

    def test_is_taken_away_when_the_daemon_ends(self, private: Path) -> None:
        with running(private) as daemon:
            assert daemon.stop() == 0

        assert list(private.iterdir()) == []

    def test_of_a_living_daemon_is_never_taken(self, private: Path) -> None:
        with running(private) as daemon:
            assert daemon.path is not None
            with pytest.raises(DoorInUse):
                open_unix(daemon.path, backlog=1)
            with daemon.client() as http:
                assert http.get("/v1/health").status_code == 200

    def test_of_one_whose_queue_is_full_is_not_taken_either(self, private: Path) -> None:
        path = private / "s"
        with socket.socket(socket.AF_UNIX) as busy, open_unix(path, backlog=1):
            busy.setblocking(False)
            waiting = [socket.socket(socket.AF_UNIX) for _ in range(4)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(str(path))

            with pytest.raises(DoorInUse):
                open_unix(path, backlog=1)

            for each in waiting:
                each.close()

    def test_of_a_dead_daemon_is_replaced(self, private: Path) -> None:
        path = private / "s"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))

        with open_unix(path, backlog=1), socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(str(path))

    def test_that_a_later_daemon_made_is_not_taken_away(self, private: Path) -> None:
        path = private / "s"
        first = open_unix(path, backlog=1)
        path.unlink()

        with open_unix(path, backlog=1):
            first.close()
            assert path.exists()

    @pytest.mark.parametrize("kind", ["file", "folder", "link"])
    def test_is_not_made_in_the_place_of_something_else(self, private: Path, kind: str) -> None:
        path = private / "s"
        match kind:
            case "file":
                path.write_text("precious")
            case "folder":
                path.mkdir()
            case _:
                path.symlink_to(private / "elsewhere")

        with pytest.raises(NotASocket):
            open_unix(path, backlog=1)

        assert path.is_symlink() or path.exists()

    def test_with_too_long_a_path_is_refused(self, private: Path) -> None:
        with pytest.raises(NotASocket, match=str(UNIX_PATH_BYTES_MAX)):
            open_unix(private / ("x" * UNIX_PATH_BYTES_MAX), backlog=1)


class TestAFolder:
    @pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777], ids=["group", "others", "sticky"])
    def test_that_others_may_write_to_is_refused(self, private: Path, mode: int) -> None:
        folder = private / "open"
        folder.mkdir()
        folder.chmod(mode)

        with pytest.raises(FolderNotPrivate):
            private_folder(folder)

    def test_below_one_that_others_may_write_to_is_refused(self, private: Path) -> None:
        folder = private / "open" / "mine"
        folder.mkdir(parents=True, mode=0o700)
        folder.parent.chmod(0o777)

        with pytest.raises(FolderNotPrivate, match="above"):
            private_folder(folder)

    def test_of_somebody_else_is_refused(
        self, private: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

        with pytest.raises(FolderNotPrivate, match="somebody else"):
            private_folder(private)

    def test_that_is_a_file_is_refused(self, private: Path) -> None:
        (private / "file").touch()

        with pytest.raises(FolderNotPrivate):
            private_folder(private / "file")

    def test_is_the_users_runtime_folder_or_the_state_folder(self, private: Path) -> None:
        runtime = {"XDG_RUNTIME_DIR": str(private), "XDG_STATE_HOME": "/elsewhere"}
        state = {"XDG_RUNTIME_DIR": str(private / "gone"), "XDG_STATE_HOME": str(private)}

        assert default_folder(runtime) == private / "callboard"
        assert default_folder(state) == private / "callboard"
        assert default_folder({}) == Path.home() / ".local/state/callboard"


class TestATokenFile:
    def test_is_made_for_its_user_alone_and_used_again(self, private: Path) -> None:
        path = private / "token"

        first = provide_token(path)

        assert mode_of(path) == 0o600
        assert len(first) >= 43
        assert provide_token(path) == first == read_token(path)

    def test_is_not_written_through_a_link(self, private: Path) -> None:
        (private / "token").symlink_to(private / "elsewhere")

        with pytest.raises(TokenRefused):
            provide_token(private / "token")

        assert not (private / "elsewhere").exists()

    @pytest.mark.parametrize("content", ["", "short", "x" * 40 + " y"], ids=repr)
    def test_without_a_token_is_refused(self, private: Path, content: str) -> None:
        path = private / "token"
        path.touch(mode=0o600)
        path.write_text(content)

        with pytest.raises(TokenRefused):
            provide_token(path)

    def test_that_others_may_read_is_refused(self, private: Path) -> None:
        provide_token(private / "token")
        (private / "token").chmod(0o640)

        with pytest.raises(TokenRefused, match="others"):
            read_token(private / "token")

    def test_that_is_not_there_is_refused(self, private: Path) -> None:
        with pytest.raises(TokenMissing, match="no token file") as missing:
            read_token(private / "token")

        assert "--token-file" in missing.value.remedy


class TestAPort:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
    def test_is_on_this_machine(self, host: str) -> None:
        assert loopback(host).is_loopback

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])  # noqa: S104 -- refused
    def test_is_refused_anywhere_else(self, private: Path, host: str) -> None:
        with pytest.raises(NotLoopback):
            open_port(host, 0, token_file=private / "token", backlog=1)

        assert list(private.iterdir()) == []

    def test_that_is_taken_is_refused(self, private: Path) -> None:
        with open_port("127.0.0.1", 0, token_file=private / "token", backlog=1) as first:
            port = first.listener.getsockname()[1]

            with pytest.raises(DoorInUse):
                open_port("127.0.0.1", port, token_file=private / "token", backlog=1)

    def test_that_cannot_be_is_refused(self, private: Path) -> None:
        with pytest.raises(NotAPort, match="70000") as refused:
            open_port("127.0.0.1", 70_000, token_file=private / "token", backlog=1)

        assert "65535" in refused.value.remedy
        assert list(private.iterdir()) == []

    def test_that_the_system_does_not_give_is_refused(
        self, private: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def bind(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(socket.socket, "bind", bind)

        with pytest.raises(PortRefused, match="Permission denied"):
            open_port("127.0.0.1", 80, token_file=private / "token", backlog=1)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon on a port."""
    folder = tmp_path_factory.mktemp("port")
    folder.chmod(0o700)
    with running(folder, port=0) as it:
        yield it


class TestWhoIsLetInOverAPort:
    def test_whoever_has_the_token(self, daemon: Running) -> None:
        with daemon.client() as http:
            assert http.get("/v1/health").status_code == 200

    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
    def test_by_every_name_of_this_machine(self, daemon: Running, name: str) -> None:
        port = httpx.URL(daemon.url).port

        with daemon.client(headers={"host": f"{name}:{port}"}) as http:
            assert http.get("/v1/health").status_code == 200

    @pytest.mark.parametrize(
        "given",
        ["", "Bearer", "Bearer wrong", "Basic {token}", "Bearer {token}x", "{token}", "Bearer é"],
    )
    def test_nobody_with_another_token(self, daemon: Running, given: str) -> None:
        said = given.format(token=daemon.token).encode()

        with daemon.client(headers={"authorization": said}) as http:
            answer = http.get("/v1/health")

        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert daemon.token not in answer.text

    @pytest.mark.parametrize("path", ["/v1/openapi.json", "/v1/health", "/v1/nothing"])
    def test_nobody_without_a_token_whatever_the_path(self, daemon: Running, path: str) -> None:
        assert httpx.get(f"{daemon.url}{path}", trust_env=False).status_code == 401

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost"])
    def test_nobody_who_names_another_host(self, daemon: Running, host: str) -> None:
        with daemon.client(headers={"host": host}) as http:
            answer = http.get("/v1/health")

        assert answer.status_code == 421
        assert answer.json()["code"] == "unknown_host"

    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "null", "https://localhost:{port}", "http://localhost"]
    )
    def test_no_web_page_of_another_origin(self, daemon: Running, origin: str) -> None:
        port = httpx.URL(daemon.url).port

        with daemon.client(headers={"origin": origin.format(port=port)}) as http:
            answer = http.get("/v1/health")

        assert answer.status_code == 403
        assert answer.json()["code"] == "unknown_origin"

    def test_a_page_of_the_daemons_own_origin(self, daemon: Running) -> None:
        port = httpx.URL(daemon.url).port

        with daemon.client(headers={"origin": f"http://localhost:{port}"}) as http:
            assert http.get("/v1/health").status_code == 200
