"""Which arguments can a session system have? Every slip is said when it is made, by name."""

from __future__ import annotations

import inspect
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import (
    AuditLogger,
    ComposedPrompts,
    EnvironmentSecrets,
    SessionActor,
    SessionSystem,
)
from callboard.actors.metrics import NoMetrics
from callboard.actors.options import OPTIONS
from callboard.actors.sessions.cleaning import NoCleaner
from callboard.supervision import ActorSystem, InvalidSpec

BY_THEMSELVES = {"max_idle_s", "cleanup_interval_s", "grace_s"}
"""Bounds in place of those in `keeping`: `Keeping` checks them."""

PORTS = {"runtime", "clock", "ids"}
"""What the actor system below takes, too, and refuses alike."""


class Guide(SessionActor[None]):
    """The behaviour of sessions whose creator names no kind."""


class Dog:
    """A watchdog that wants to hear something every so often."""

    def __init__(self, interval_s: Any) -> None:
        self.interval_s = interval_s

    def beat(self) -> None:
        """Take a sign of life."""


def arguments() -> list[str]:
    """Return the names of all arguments of a session system."""
    return list(inspect.signature(SessionSystem).parameters)


class TestAnArgument:
    @pytest.mark.parametrize("field", sorted({*arguments()} - PORTS - BY_THEMSELVES))
    def test_that_cannot_be_is_refused_by_name_with_what_can(self, field: str) -> None:
        wrong: dict[str, Any] = {field: -5}

        with pytest.raises(InvalidSpec) as refused:
            SessionSystem(**wrong)

        assert (refused.value.field, refused.value.value) == (field, -5)
        assert refused.value.remedy == OPTIONS[field].remedy

    @pytest.mark.parametrize("field", sorted(PORTS | BY_THEMSELVES))
    def test_that_somebody_else_checks_is_refused_alike(self, field: str) -> None:
        wrong: dict[str, Any] = {field: -5}

        with pytest.raises(InvalidSpec, match=f"{field}=-5 is not valid. Give "):
            SessionSystem(**wrong)

    @pytest.mark.parametrize(
        "field", ["tenants", "unique_role", "faults", "strict_prompt", "audit_required"]
    )
    @pytest.mark.parametrize("wrong", ["no", 0, None])
    def test_that_is_a_flag_is_true_or_false(self, field: str, wrong: Any) -> None:
        flag: dict[str, Any] = {field: wrong}

        with pytest.raises(InvalidSpec, match=f"{field}=.* Give True or False"):
            SessionSystem(**flag)

    @pytest.mark.parametrize(
        ("field", "wrong", "remedy"),
        [
            ("audit", AuditLogger, r"an object with log_session_event\(\), or None"),
            ("metrics", logging, r"counter\(\) and gauge\(\) and histogram\(\)"),
            ("workspace", 5, r"a folder, or an object with sweep\(\) and make\(\) and remove\(\)"),
            ("watchdog", Dog(0), r"beat\(\) and interval_s, seconds above zero"),
            ("watchdog", Dog(math.inf), "interval_s"),
            ("watchdog", Dog("1"), "interval_s"),
            ("partitions", True, "from 1 to 1024"),
            ("default_prompt", b"Help.", "text, or None"),
            ("name", "", "not empty"),
            ("session", SessionActor.__call__, "a subclass of SessionActor"),
            ("hung_after_s", math.nan, "math.inf"),
            ("part_hung_after_s", 0, "math.inf"),
        ],
    )
    def test_is_told_what_it_must_offer(self, field: str, wrong: Any, remedy: str) -> None:
        given: dict[str, Any] = {field: wrong}

        with pytest.raises(InvalidSpec, match=f"{field}=.*{remedy}"):
            SessionSystem(**given)

    @pytest.mark.parametrize(
        "address",
        [
            "postgresql://guide:hunter2@db.example/guide",
            "PostgreSQL+psycopg://guide:hunter2@db.example/guide",
            "sqlite:///hunter2",
            "file:hunter2.db?mode=memory",
            ":memory:hunter2",
        ],
    )
    def test_that_is_an_address_is_no_path_of_a_store_and_is_not_shown(self, address: str) -> None:
        with pytest.raises(InvalidSpec, match=r"PostgresStore\(dsn\)") as refused:
            SessionSystem(store=address)

        assert "hunter2" not in repr((refused.value, refused.value.value))

    def test_that_is_a_path_with_a_colon_in_it_is_taken(self, tmp_path: Path) -> None:
        for name in ("./file:a", "a:b", tmp_path / "file:a"):
            SessionSystem(store=name)

    @pytest.mark.parametrize(
        ("kinds", "said"),
        [
            ({"tea": int}, r"kinds\['tea'\]=.*a subclass of SessionActor"),
            ({5: SessionActor}, r"kinds\[5\]=.*Name a kind with text"),
            ([SessionActor], "kinds=.*a mapping of names"),
            ({"session": SessionActor}, r"kinds\['session'\]=.*session=, in place of Guide"),
        ],
    )
    def test_of_kinds_names_the_kind(self, kinds: Any, said: str) -> None:
        with pytest.raises(InvalidSpec, match=said):
            SessionSystem(Guide, kinds=kinds)

    def test_that_can_be_is_taken(self) -> None:
        SessionSystem(
            kinds={"guide": SessionActor},
            watchdog=Dog(1.0),
            prompts=ComposedPrompts("Help."),
            default_prompt="",
            cleaner=NoCleaner(),
            secrets=EnvironmentSecrets(),
            audit=AuditLogger(),
            audit_required=True,
            metrics=NoMetrics(),
            log=logging.getLogger("host"),
            hung_after_s=math.inf,
            part_hung_after_s=math.inf,
        )


class TestTheTable:
    def test_has_every_argument_or_somebody_else_checks_it(self) -> None:
        assert {*OPTIONS} | PORTS | BY_THEMSELVES == {*arguments()}


class TestARuntime:
    def test_that_is_none_is_refused_by_an_actor_system_too(self) -> None:
        wrong: Any = 5

        with pytest.raises(InvalidSpec, match=r"runtime=5 .*ports\(\)"):
            ActorSystem(runtime=wrong)
