"""What a configuration file says of a daemon."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path

import pytest

from callboard.actors.daemon.commands import serve
from callboard.actors.daemon.config import CONFIG_BYTES_MAX, Config, as_given, read_config, replaced
from callboard.actors.daemon.errors import WrongConfig
from callboard.actors.daemon.options import BOUNDS, read_bounds
from tests.daemon.daemons import Process
from tests.daemon.test_service import over

WHOLE = """
port = 0
host = "::1"
token_file = "t"
faults = true
session = "guide:Guide"
app_dir = "apps"
partitions = 3
tenants = true
unique_role = true
workspace = "work"
store = "sessions.db"
audit = "audit.jsonl"
audit_required = true
log_level = "error"

[set]
max_idle_s = inf
awake_max = 10
memory_max_bytes = 2_000_000_000
passivate_after_s = 0.5
"""


@pytest.fixture
def path(private: Path) -> Path:
    return private / "callboard.toml"


class TestAFile:
    def test_says_all_that_the_options_say(self, path: Path) -> None:
        path.write_text(WHOLE)

        config = read_config(path)
        bounds = read_bounds(as_given(config.set))

        assert (config.port, config.partitions, config.audit_required) == (0, 3, True)
        assert (config.host, config.log_level) == ("::1", "error")
        kept = bounds.keeping
        assert (kept.max_idle_s, kept.awake_max, kept.passivate_after_s) == (math.inf, 10, 0.5)
        assert kept.memory_max_bytes == 2_000_000_000

    def test_has_a_name_for_every_option_and_no_other(self) -> None:
        options = {
            "set" if name == "set_" else name for name in inspect.signature(serve).parameters
        }

        assert options - {"config"} == set(Config.__struct_fields__)

    @pytest.mark.parametrize("name", Config.__struct_fields__)
    def test_explains_every_name(self, name: str) -> None:
        assert f"    {name}: " in (Config.__doc__ or "")

    @pytest.mark.parametrize(
        ("text", "said", "remedy"),
        [
            ("prot = 1", "there is no prot", "The names are app_dir, audit, "),
            ("[set]\ntea = 1", "there is no set.tea", f"The names are {min(BOUNDS)}, "),
            ("port = '1'", "port='1' is not valid", "Give a whole number or null, not text."),
            ("log_level = 'loud'", "log_level='loud' is", "Give one of debug, info, warning, "),
            ("faults = 1", "faults=1 is not valid", "Give true or false, not a whole number."),
            ("set = 1", "set=1 is not valid", "Give an object, not a whole number."),
            ("set.max_idle_s = [1]", "set.max_idle_s=[1] is", "Give "),
            ("port = ", "is no TOML: ", "Write NAME = VALUE"),
            ("x" * (CONFIG_BYTES_MAX + 1), "has more than", "Give a smaller one."),
        ],
        ids=["name", "bound", "type", "word", "truth", "table", "list", "syntax", "size"],
    )
    def test_that_is_wrong_is_told_what_would_be_right(
        self, path: Path, text: str, said: str, remedy: str
    ) -> None:
        path.write_text(text)

        with pytest.raises(WrongConfig) as wrong:
            read_config(path)

        assert str(wrong.value).startswith(str(path))
        assert said in str(wrong.value)
        assert wrong.value.remedy.startswith(remedy)

    def test_that_is_not_there_is_named(self, path: Path) -> None:
        with pytest.raises(WrongConfig, match=r"callboard\.toml cannot be read: No such file"):
            read_config(path)


class TestTheCommand:
    def test_comes_before_the_file(self) -> None:
        config = Config(host="::1", partitions=3, faults=True)

        meant = replaced(config, {"partitions": 4, "faults": None})

        assert meant == Config(host="::1", partitions=4, faults=True)

    @pytest.mark.parametrize(
        ("said", "socket", "port"),
        [({"socket": "s"}, "s", None), ({"port": 2}, None, 2), ({}, "file", None)],
        ids=["socket", "port", "neither"],
    )
    def test_names_the_one_door_there_is(
        self, said: dict[str, object], socket: str | None, port: int | None
    ) -> None:
        meant = replaced(Config(socket="file"), said)

        assert (meant.socket, meant.port) == (socket, port)


@pytest.mark.slow
class TestADaemon:
    def test_is_what_its_file_and_its_command_say(self, private: Path, path: Path) -> None:
        audit = private / "audit.jsonl"
        path.write_text(
            f"socket = '{private}/s'\nworkspace = '{private}/work'\naudit = '{audit}'\n"
            "audit_required = true\nlog_level = 'error'\n"
            "[set]\nsessions_per_user_max = 1\nstop_s = 9\n"
        )
        arguments = ["--config", str(path), "--set", "sessions_per_user_max=2"]
        with Process(arguments) as daemon:
            with over(daemon.ready()) as http:
                made = [http.post("/v1/sessions", json={"user_id": "ada"}) for _ in range(3)]
                folder = Path(made[0].json()["workspace"])
                was_there = folder.is_dir()
                metrics = http.get("/v1/metrics")
                http.delete(f"/v1/sessions/{made[0].json()['id']}")
            code, _, err = daemon.end()

        assert (code, err) == (0, "")
        assert [each.status_code for each in made] == [201, 201, 429]
        assert was_there
        assert folder.is_relative_to(private / "work")
        assert not folder.exists()
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "callboard_" in metrics.text
        records = [json.loads(line)["event_type"] for line in audit.read_text().splitlines()]
        assert records.count("CreateSession") == 3
        assert "TerminateSession" in records
        assert audit.stat().st_mode & 0o777 == 0o600
