"""Which daemon a command means: what it says itself comes before what the environment says."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.actors.daemon.errors import WrongUsage
from callboard.actors.daemon.folders import default_socket, default_token_file
from callboard.actors.daemon.where import listening, meant, token_file_of

SOCKET = Path("/run/mine.sock")
OTHER = Path("/run/other.sock")
URL = "http://127.0.0.1:8420"
AROUND = {"CALLBOARD_SOCKET": str(OTHER), "CALLBOARD_URL": URL}


class TestACommand:
    @pytest.mark.parametrize(
        ("socket", "url", "environ", "place"),
        [
            pytest.param(None, None, {}, default_socket(), id="nothing said"),
            pytest.param(SOCKET, None, {}, SOCKET, id="socket"),
            pytest.param(None, URL, {}, URL, id="url"),
            pytest.param(None, None, {"CALLBOARD_SOCKET": str(OTHER)}, OTHER, id="socket around"),
            pytest.param(None, None, {"CALLBOARD_URL": URL}, URL, id="url around"),
            pytest.param(None, None, {"CALLBOARD_URL": ""}, default_socket(), id="empty around"),
            pytest.param(SOCKET, None, AROUND, SOCKET, id="socket before both around"),
            pytest.param(None, "http://[::1]:1", AROUND, "http://[::1]:1", id="url before both"),
        ],
    )
    def test_goes_where_it_says_or_where_the_environment_says(
        self, socket: Path | None, url: str | None, environ: dict[str, str], place: Path | str
    ) -> None:
        assert meant(socket, url, environ) == place

    def test_that_says_two_places_is_refused(self) -> None:
        with pytest.raises(WrongUsage, match="--socket and --url"):
            meant(SOCKET, URL, {})

    def test_is_refused_when_only_the_environment_speaks_and_says_two(self) -> None:
        with pytest.raises(WrongUsage, match="CALLBOARD_SOCKET and CALLBOARD_URL"):
            meant(None, None, AROUND)


class TestADaemon:
    @pytest.mark.parametrize(
        ("socket", "port", "environ", "place"),
        [
            pytest.param(None, None, {}, default_socket(), id="nothing said"),
            pytest.param(SOCKET, None, AROUND, SOCKET, id="socket before the one around"),
            pytest.param(None, None, AROUND, OTHER, id="socket around"),
            pytest.param(None, 0, AROUND, 0, id="port before the socket around"),
        ],
    )
    def test_listens_where_it_is_told(
        self, socket: Path | None, port: int | None, environ: dict[str, str], place: Path | int
    ) -> None:
        assert listening(socket, port, environ) == place

    def test_has_one_door(self) -> None:
        with pytest.raises(WrongUsage, match="--socket and --port"):
            listening(SOCKET, 8420, {})


class TestATokenFile:
    def test_is_the_one_given_or_the_one_around_or_the_users_own(self) -> None:
        around = {"CALLBOARD_TOKEN_FILE": "/around"}

        assert token_file_of(Path("/given"), around) == Path("/given")
        assert token_file_of(None, around) == Path("/around")
        assert token_file_of(None, {}) == default_token_file()
