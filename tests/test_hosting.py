"""What the pages on hosting promise beyond what their examples print."""

from __future__ import annotations

import asyncio
import configparser
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from litestar import Litestar

from callboard.actors.daemon.settings import DaemonSettings
from callboard.actors.statuses import EX_CONFIG, EX_USAGE
from callboard.supervision import Killed
from tests.house import ROOT
from tests.sessions.stage import services_of

UNIT = ROOT / "docs/examples/callboard.service"
WAIT_S = 20.0


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/examples/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestAnAsgiApplication:
    def test_is_stopped_and_fails_when_the_tree_ends_by_itself(self) -> None:
        lifespan = example("embed_asgi").lifespan

        async def live() -> None:
            app, is_stopped = Litestar(logging_config=None), asyncio.Event()
            app.state.stop = is_stopped.set
            async with lifespan(app):
                root = services_of(app.state.sessions).root
                root.kill()
                await asyncio.wait_for(is_stopped.wait(), WAIT_S)
                assert await app.state.sessions.ended() == Killed()
            assert app.state.exit_code == 70

        asyncio.run(live())

    def test_stops_the_sessions_when_it_ends_in_order(self) -> None:
        lifespan = example("embed_asgi").lifespan

        async def live() -> None:
            app = Litestar(logging_config=None)
            app.state.stop = lambda: None
            async with lifespan(app):
                sessions = app.state.sessions
                assert sessions.health().is_healthy
            assert app.state.exit_code == 0
            assert not sessions.health().is_healthy

        asyncio.run(live())


class TestUnderSystemd:
    def test_the_example_says_ready_then_beats_then_stops(self, tmp_path: Path) -> None:
        told: list[bytes] = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(tmp_path / "notify"))
            manager.settimeout(WAIT_S)
            environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "90000"}
            path = ROOT / "docs/examples/embed_systemd.py"
            with subprocess.Popen(
                [sys.executable, str(path)],
                env={**os.environ, **environment},
                stdout=subprocess.DEVNULL,
            ) as process:
                while b"STOPPING=1" not in told:
                    told.append(manager.recv(100))
                assert process.wait(WAIT_S) == 0

        assert told.count(b"READY=1") == 1
        assert told.count(b"WATCHDOG=1") > 1
        assert told[-1] == b"STOPPING=1"


class TestTheUnit:
    @pytest.fixture
    def service(self) -> configparser.SectionProxy:
        unit = configparser.ConfigParser(interpolation=None)
        unit.read(UNIT)
        return unit["Service"]

    def test_gives_the_daemon_longer_to_stop_than_it_takes_itself(
        self, service: configparser.SectionProxy
    ) -> None:
        assert int(service["TimeoutStopSec"]) > DaemonSettings().stop_s

    def test_restarts_nothing_that_a_restart_does_not_mend(
        self, service: configparser.SectionProxy
    ) -> None:
        assert service["RestartPreventExitStatus"].split() == [str(EX_USAGE), "73", str(EX_CONFIG)]

    def test_is_one_that_systemd_takes(self, tmp_path: Path) -> None:
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            pytest.skip("systemd-analyze is missing: install systemd to have the unit checked")
        unit = tmp_path / UNIT.name
        text = UNIT.read_text(encoding="utf-8")
        unit.write_text(text.replace("/opt/callboard/bin/callboard", sys.executable))

        checked = subprocess.run(
            [analyze, "verify", str(unit)], capture_output=True, text=True, check=False
        )

        assert not checked.stderr
        assert checked.returncode == 0
