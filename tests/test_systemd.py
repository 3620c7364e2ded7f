"""What is told to systemd, and when there is anybody to tell."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from callboard.actors import SystemdWatchdog, notify_systemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


class TestASign:
    def test_reaches_the_manager(self, manager: socket.socket) -> None:
        assert notify_systemd("READY=1\nSTATUS=all is well")

        assert manager.recv(100) == b"READY=1\nSTATUS=all is well"

    def test_finds_nobody_where_nobody_asked_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

        assert not notify_systemd("READY=1")

    @pytest.mark.usefixtures("manager")
    def test_never_waits_for_a_manager_that_does_not_read(self) -> None:
        told = [notify_systemd("WATCHDOG=1") for _ in range(10_000)]

        assert told[0]
        assert not told[-1]

    def test_is_not_told_to_one_that_is_gone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nowhere"))

        assert not notify_systemd("READY=1")


class TestTheWatchdog:
    def test_beats_three_times_in_its_period(
        self, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))

        watchdog = SystemdWatchdog.from_environment()

        assert watchdog is not None
        assert watchdog.interval_s == pytest.approx(10.0)
        watchdog.beat()
        assert manager.recv(100) == b"WATCHDOG=1"

    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "often"},
            {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        ],
        ids=["not set", "off", "no number", "another process"],
    )
    def test_is_none_unless_it_is_set_for_this_process(
        self, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
    ) -> None:
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)

        assert SystemdWatchdog.from_environment() is None
