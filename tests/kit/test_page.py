"""The page of the test kit names what there is, with its true defaults."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

import callboard.actors.testing as session_kit
import callboard.supervision.testing as actor_kit
from callboard.actors import CreateSession, SessionSystem, TerminateSession
from callboard.actors.testing import StoreInMemory, simulate
from tests.house import ROOT

PAGE = (ROOT / "docs" / "reference" / "test-kit.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)


@pytest.mark.parametrize("name", sorted({*session_kit.__all__, *actor_kit.__all__}))
def test_every_public_name_stands_on_it(name: str) -> None:
    assert re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", PAGE)


def test_the_arguments_of_simulate_have_their_true_defaults() -> None:
    table = PAGE.partition("\n## simulate\n")[2].partition("\n## ")[0]
    rows = {name: default.strip().replace(",", "") for name, default in ROW.findall(table)}
    told = {name: None if text == "none" else ast.literal_eval(text) for name, text in rows.items()}

    defaults = inspect.signature(simulate).parameters

    assert told == {name: each.default for name, each in defaults.items()}


def test_a_store_in_memory_outlives_the_system_that_used_it() -> None:
    store = StoreInMemory()
    with SessionSystem(store=store) as before:
        before.ask(CreateSession(session_id="ada", metadata={"tea": 1}))

    with SessionSystem(store=store.copy()) as after:
        assert after.get("ada").metadata == {"tea": 1}
        after.ask(TerminateSession("ada"))
    assert list(store.kept) == ["ada"]
    assert store.kept["ada"].ended_at is None
