"""A pytest plugin for pykka's own suite: PooledActor as one more runtime, and nothing left out.

pykka's `tests/conftest.py` parametrizes its `runtime` fixture with the values
of `RUNTIMES`, read when the module is imported. Their files stay as they are:
this plugin adds to `RUNTIMES` and hands the whole of it to every test that
uses the fixture. Run it by `scripts/pykka-suite`.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections import Counter
from typing import Any

import pytest

from callboard.supervision import PooledActor
from callboard.supervision.runtime.futures import Future

ADDED = "pooled"
_STASH = pytest.StashKey[Counter[str]]()


def _runtimes() -> dict[str, Any]:
    """Return pykka's table of runtimes, ours included."""
    runtimes: dict[str, Any] = importlib.import_module("tests.conftest").RUNTIMES
    if ADDED not in runtimes:
        runtime_class = importlib.import_module("tests.types").Runtime
        ours = runtime_class(
            name=ADDED,
            actor_class=PooledActor,
            event_class=threading.Event,
            future_class=Future,
            sleep_func=time.sleep,
        )
        runtimes[ADDED] = pytest.param(ours, id=ADDED)
    return runtimes


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let each test that uses a runtime have all of them; a mark goes before a fixture's params."""
    if "runtime" in metafunc.fixturenames:
        mark = pytest.mark.parametrize(
            "runtime", list(_runtimes().values()), indirect=True, scope="session"
        )
        metafunc.definition.add_marker(mark)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count what a filter took away."""
    if items:
        items[0].config.stash.setdefault(_STASH, Counter())["deselected"] += len(items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a test was skipped, or in which a runtime had fewer tests than another.

    A run narrowed by `-k` proves as little, and fails too; name files to look at a part.
    """
    if session.config.option.collectonly:
        return
    counts: Counter[str] = Counter()
    for item in session.items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "runtime" in callspec.params:
            counts[callspec.params["runtime"].name] += 1
    print("\n" + ", ".join(f"{name}: {count} tests" for name, count in sorted(counts.items())))
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    left_out = sum(
        len(reporter.stats.get(kind, ())) for kind in ("deselected", "skipped", "xfailed")
    )
    is_uneven = ADDED not in counts or len(set(counts.values())) != 1
    if session.exitstatus == pytest.ExitCode.OK and (left_out or is_uneven):
        print(f"not the whole suite: {left_out} left out, {dict(counts)} tests by runtime")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
