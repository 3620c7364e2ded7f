"""What goes on over HTTP: events as they happen, a log as it grows."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from callboard.actors.daemon.settings import DaemonSettings
from tests.daemon.daemons import Running, running
from tests.daemon.test_errors_over_http import problem

BOUNDS = DaemonSettings(stop_s=10.0, drain_s=0.5, beat_s=0.2, send_s=1.0, lasting_max=3)


class Told(NamedTuple):
    """One server-sent event."""

    name: str
    data: Any
    number: int | None = None


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("streams")
    folder.chmod(0o700)
    with running(folder, settings=BOUNDS) as it:
        yield it


@pytest.fixture
def http(daemon: Running) -> Iterator[httpx.Client]:
    with daemon.client() as client:
        yield client
    wait_until(lambda: daemon.daemon._app.lasting == 0)


@pytest.fixture
def ada(http: httpx.Client) -> str:
    """The path of a session."""
    return f"/v1/sessions/{http.post('/v1/sessions', json={}).json()['id']}"


def wait_until(is_so: Any) -> None:
    """Look again until it is so; the test's own time limit ends it."""
    while not is_so():
        pass


def say(http: httpx.Client, path: str, content: str = "hello") -> None:
    assert http.post(f"{path}/messages", json={"role": "user", "content": content}).is_success


@contextmanager
def stream(http: httpx.Client, path: str, **query: object) -> Generator[Iterator[Told]]:
    """Open a stream; it has begun."""
    given: dict[str, Any] = query
    with http.stream("GET", path, params=given) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
        lines = answer.iter_lines()
        assert next(lines) == ": here from now on"
        yield told(lines)


def told(lines: Iterator[str]) -> Iterator[Told]:
    """Yield the events of a stream, comments left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        elif "event" in fields:
            number = int(fields["id"]) if "id" in fields else None
            yield Told(fields["event"], json.loads(fields["data"]), number)
            fields = {}


class TestEvents:
    def test_of_a_session_come_in_their_order_and_end_with_it(
        self, http: httpx.Client, ada: str
    ) -> None:
        with stream(http, f"{ada}/events") as events:
            say(http, ada)
            http.patch(ada, json={"patch": {"metadata": {"a": 1}}})
            http.post("/v1/faults", json={"session_id": ada.rpartition("/")[2], "how": "kill"})
            say(http, ada)
            http.delete(ada)
            seen = list(events)

        kinds = [each.name for each in seen]
        assert [each.number for each in seen[:-1]] == list(range(1, len(seen)))
        assert kinds[0] == "message"
        assert kinds[-2:] == ["terminated", "end"]
        assert [kind for kind in kinds if kind in {"updated", "error", "restarted"}] == [
            "updated",
            "error",
            "restarted",
        ]
        assert seen[0].data["details"] == {"message_seq": 1, "role": "user"}
        assert "hello" not in json.dumps([each.data for each in seen])

    def test_of_all_sessions_are_of_the_kinds_that_are_wanted(self, http: httpx.Client) -> None:
        with stream(http, "/v1/events", kinds="created,terminated") as events:
            made = [http.post("/v1/sessions", json={}).json()["id"] for _ in range(2)]
            for each in made:
                say(http, f"/v1/sessions/{each}")
                http.delete(f"/v1/sessions/{each}")
            seen = [next(events) for _ in range(4)]

        assert [each.name for each in seen] == ["created", "created", "terminated", "terminated"]
        assert [each.data["session_id"] for each in seen] == made * 2

    def test_say_between_them_that_they_live(self, http: httpx.Client, ada: str) -> None:
        with http.stream("GET", f"{ada}/events") as answer:
            lines = answer.iter_lines()
            said = [next(lines) for _ in range(6)]

        assert said == [": here from now on", "", ": still here", "", ": still here", ""]

    @pytest.mark.parametrize(
        ("query", "field", "remedy"),
        [
            ({"kinds": "message,tea"}, "kinds", "Give some of created, state_changed,"),
            ({"events_max": 0}, "events_max", "Give "),
            ({"tea": 1}, "tea", "Leave it out"),
        ],
    )
    def test_are_refused_before_they_begin(
        self, http: httpx.Client, query: dict[str, Any], field: str, remedy: str
    ) -> None:
        said = problem(http.get("/v1/events", params=query), 422, "invalid_field")

        assert said["field"] == field
        assert said["remedy"].startswith(remedy)

    def test_of_nobody_are_not_found(self, http: httpx.Client) -> None:
        problem(http.get("/v1/sessions/nobody/events"), 404, "session_not_found")

    def test_are_for_no_more_readers_than_may_last(
        self, http: httpx.Client, daemon: Running, ada: str
    ) -> None:
        with (
            stream(http, f"{ada}/events"),
            stream(http, f"{ada}/events"),
            stream(http, "/v1/events"),
        ):
            assert http.get("/v1/health").json()["subscriptions"] == 3
            problem(http.get("/v1/events"), 503, "too_many_requests")
            wait_until(lambda: daemon.daemon._app.in_flight == 0)

        wait_until(lambda: http.get("/v1/health").json()["subscriptions"] == 0)

    @pytest.mark.slow
    def test_that_are_read_too_slowly_end_with_the_problem(self, private: Path) -> None:
        slow = DaemonSettings(stop_s=10.0, drain_s=0.5, send_s=60.0)
        with running(private, settings=slow) as daemon, daemon.client() as http:
            session_id = http.post("/v1/sessions", json={}).json()["id"]
            path = f"/v1/sessions/{session_id}"
            with stream(http, "/v1/events", kinds="message", events_max=5) as events:
                while not http.get("/v1/health").json()["slow_subscriptions"]:
                    say(http, path)
                seen = list(events)

        numbers = [each.number for each in seen[:-1]]
        assert numbers == list(range(1, len(numbers) + 1))
        assert (seen[-1].name, seen[-1].data["code"]) == ("problem", "slow_consumer")
        assert "5" in seen[-1].data["detail"]

    @pytest.mark.slow
    def test_whose_reader_takes_nothing_any_more_are_given_up(
        self, http: httpx.Client, daemon: Running, ada: str
    ) -> None:
        with stream(http, "/v1/events", kinds="message", events_max=10):
            guard = daemon.daemon._app
            while guard.lasting:  # send_s (1 s) after the socket is full its place is free
                say(http, ada)

        assert guard.lasting == 0

    def test_end_when_the_daemon_stops(self, private: Path) -> None:
        with running(private, settings=BOUNDS) as daemon, daemon.client() as http:
            with stream(http, "/v1/events") as events:
                daemon.stop()
                seen = list(events)

            assert daemon.code == 0
        assert seen[-1].name == "end"


class TestAFollower:
    def test_gets_the_log_then_what_comes(self, http: httpx.Client, ada: str) -> None:
        say(http, ada, "one")
        say(http, ada, "two")
        with stream(http, f"{ada}/client", after_seq=1, peer="bob") as events:
            say(http, ada, "three")
            seen = [next(events) for _ in range(2)]
            client = http.get(ada).json()["client"]

        assert [(each.name, each.number) for each in seen] == [("message", 2), ("message", 3)]
        assert [each.data["message"]["content"] for each in seen] == ["two", "three"]
        assert (client["kind"], client["peer"], client["status"]) == ("http", "bob", "up")

    def test_that_goes_is_missed(self, http: httpx.Client, ada: str) -> None:
        with stream(http, f"{ada}/client"):
            pass

        wait_until(lambda: http.get(ada).json()["client"]["status"] != "up")

    def test_is_let_go_for_the_next_one(self, http: httpx.Client, ada: str) -> None:
        with stream(http, f"{ada}/client") as first, stream(http, f"{ada}/client") as second:
            assert next(first).name == "end"
            say(http, ada)

            assert next(second).number == 1

    def test_is_let_go_on_demand_and_with_its_session(self, http: httpx.Client, ada: str) -> None:
        with stream(http, f"{ada}/client") as first:
            assert http.delete(f"{ada}/client").json() == {"removed": "client"}
            assert next(first).name == "end"
        with stream(http, f"{ada}/client") as second:
            http.delete(ada)

            assert next(second).name == "end"

    def test_who_is_ahead_of_the_log_is_refused(self, http: httpx.Client, ada: str) -> None:
        answer = http.get(f"{ada}/client", params={"after_seq": 7})

        problem(answer, 409, "replay_gap")
