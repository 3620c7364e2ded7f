"""Which rows of the earlier systems are covered? The page is made of the last run's tests.

A test says by `@pytest.mark.seed("2.5")` which rows it covers. A row is covered when a test of
it has passed; one that was skipped covers nothing. `scripts/docs` writes the page. Every run of
the whole suite makes it anew and fails when it is not what is there: so no row loses its test
unseen.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests/seeds/rows.toml"
PAGE = ROOT / "docs/reference/seed-parity.md"

WRITE = "--write-seed-parity"
MARK = "seed"

_HEAD = """\
# Seed parity

Five earlier session managers, in Go, Rust and Elixir, are what callboard's sessions had to
be able to do at least. Row by row, the tests that cover it here; a row without a test is
not covered.

This page is written by `scripts/docs` from the last run of the tests that name a row; a
run of the whole suite fails when it is out of date, so that no row loses its test.

"""


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The source.

    Args:
        rows: id of a row -> what it is about.
        later: id of a row -> what of it is not there yet.
    """

    rows: dict[str, str]
    later: dict[str, str]


@cache
def source() -> Rows:
    """Return the rows."""
    return msgspec.convert(tomllib.loads(SOURCE.read_text(encoding="utf-8")), Rows)


def page(covered: Mapping[str, set[str]]) -> str:
    """Return the page's text.

    Args:
        covered: id of a row -> names of the tests of it that passed.
    """
    known = source()
    count = sum(1 for row in known.rows if covered.get(row))
    lines = [f"{count} of {len(known.rows)} rows are covered.\n"]
    lines += ["| row | covered by | what it is about |", "| --- | --- | --- |"]
    for row, says in known.rows.items():
        tests = "<br>".join(f"`{name}`" for name in sorted(covered.get(row, ())))
        left = f" ({known.later[row]})" if row in known.later else ""
        lines.append(f"| {row} | {tests or 'not covered'} | {says}{left} |")
    return _HEAD + "\n".join(lines) + "\n"


class Covering:
    """The plugin: gathers what has passed, on the process that leads the run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.covered: dict[str, set[str]] = {}
        """Id of a row -> names of the tests of it that passed."""
        self._fault = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the rows of a test that has passed."""
        if report.when != "call" or report.outcome != "passed":
            return
        for what, row in report.user_properties:
            if what == MARK:
                name = report.nodeid.partition("[")[0].removeprefix("tests/").replace(".py", "")
                self.covered.setdefault(str(row), set()).add(name)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the page, or say that it is not true any more."""
        if exitstatus or self._config.option.collectonly:
            return
        text = page(self.covered)
        if self._config.getoption(WRITE):
            PAGE.write_text(text, encoding="utf-8")
        elif _is_whole(self._config) and PAGE.read_text(encoding="utf-8") != text:
            self._fault = _difference(PAGE.read_text(encoding="utf-8"), text)
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is not true any more."""
        if self._fault:
            where = PAGE.relative_to(ROOT)
            terminalreporter.section("seed parity", red=True)
            terminalreporter.line(f"{where} is out of date: run scripts/docs. First difference:")
            terminalreporter.line(self._fault)


def note_rows(items: list[pytest.Item]) -> None:
    """Write down the rows of each test, so that its report carries them.

    Raises:
        UsageError: a test names a row that there is not.
    """
    for item in items:
        for mark in item.iter_markers(MARK):
            for row in mark.args:
                if row not in source().rows:
                    msg = f"{item.nodeid}: there is no row {row!r} in {SOURCE.relative_to(ROOT)}"
                    raise pytest.UsageError(msg)
                item.user_properties.append((MARK, row))


def _is_whole(config: pytest.Config) -> bool:
    return (
        config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not config.option.keyword
        and not config.option.markexpr
        and not config.option.lf
        and not config.option.maxfail
    )


def _difference(there: str, made: str) -> str:
    pairs = zip(there.splitlines(), made.splitlines(), strict=False)
    before, after = next((pair for pair in pairs if pair[0] != pair[1]), ("", "more lines"))
    return f"- {before}\n+ {after}"
