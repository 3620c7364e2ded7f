"""What else of a session's life can be steered over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.daemon.daemons import Running, running
from tests.daemon.test_errors_over_http import problem


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("lives")
    folder.chmod(0o700)
    with running(folder, workspace=folder / "work") as it:
        yield it


@pytest.fixture
def http(daemon: Running) -> Iterator[httpx.Client]:
    with daemon.client() as client:
        yield client


def create(http: httpx.Client, **body: object) -> str:
    """Create a session and return its path."""
    answer = http.post("/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    return f"/v1/sessions/{answer.json()['id']}"


def of(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestASystemPrompt:
    def test_is_read_replaced_and_taken_away(self, http: httpx.Client) -> None:
        path = f"{create(http)}/system-prompt"

        assert of(http.get(path)) == {"prompt": None}
        assert of(http.put(path, json={"prompt": "Be brief."})) == {"prompt": "Be brief."}
        assert of(http.get(path)) == {"prompt": "Be brief."}
        assert of(http.put(path, json={"prompt": None})) == {"prompt": None}

    def test_must_be_given(self, http: httpx.Client) -> None:
        answer = http.put(f"{create(http)}/system-prompt", json={})

        assert problem(answer, 422, "invalid_field")["field"] == "prompt"


class TestASession:
    def test_has_a_folder_that_goes_with_it(self, http: httpx.Client) -> None:
        path = create(http, user_id="ada")
        folder = Path(of(http.get(path))["workspace"])
        was_there = folder.is_dir()
        of(http.delete(path))

        assert was_there
        assert not folder.exists()

    def test_that_was_only_created_is_spawned_on_demand(self, http: httpx.Client) -> None:
        path = create(http, activate=False)
        before = of(http.get(path))["state"]

        assert before == "created"
        assert of(http.post(f"{path}/begin"))["state"] == "active"
        again = http.post(f"{path}/begin")
        assert (again.status_code, of(again)["state"]) == (200, "active")

    def test_sleeps_and_comes_back(self, http: httpx.Client) -> None:
        path = create(http)

        assert of(http.post(f"{path}/passivate"))["presence"] == "asleep"
        assert of(http.post(f"{path}/resume"))["presence"] == "awake"

    def test_counts_messages_that_are_kept_elsewhere(self, http: httpx.Client) -> None:
        path = create(http)

        counts = [of(http.post(f"{path}/count"))["message_count"] for _ in range(2)]
        assert counts == [1, 2]

    def test_is_found_by_the_part_it_plays(self, http: httpx.Client) -> None:
        path = create(http, agent_role="guide", user_id="eve")

        found = of(http.get("/v1/find", params={"agent_role": "guide", "user_id": "eve"}))
        nobody = of(http.get("/v1/find", params={"agent_role": "guide", "user_id": "bob"}))

        assert found["session"]["id"] == path.rpartition("/")[2]
        assert nobody == {"session": None}


class TestACrashOnPurpose:
    def test_of_a_session_that_sleeps_says_that_it_sleeps(self, http: httpx.Client) -> None:
        path = create(http)
        of(http.post(f"{path}/passivate"))

        answer = http.post("/v1/faults", json={"session_id": path.rpartition("/")[2]})

        assert "wakes it" in problem(answer, 409, "session_asleep")["remedy"]

    def test_of_a_session_in_quarantine_says_that_it_is_there(self, http: httpx.Client) -> None:
        path = create(http)
        order = {"session_id": path.rpartition("/")[2], "how": "kill"}
        while of(http.get(path))["presence"] != "quarantined":
            http.post("/v1/faults", json=order)

        answer = http.post("/v1/faults", json=order)

        assert "revive it" in problem(answer, 503, "session_quarantined")["remedy"]
