"""The patches of this folder fit the library as it is: scripts/mutants could run them all.

Whether they are noticed takes minutes, and is what that script finds out.
"""

from __future__ import annotations

import re
from functools import cache

import pytest

from scripts.mutants import (
    PATCHES,
    DoesNotApply,
    Fate,
    Hunk,
    Mutant,
    Run,
    judged,
    mutants,
    mutated,
    parsed,
)
from tests.house import ROOT

ALL = mutants()

_NAMED = re.compile(r"( {4})?(class|(?:async )?def) (\w+)")

PATCH = """\
It counts
one too few.
Tests: tests/a.py::test_one
Tests: tests/a.py::TestTwo

--- a/{path}
+++ b/{path}
@@ -1,3 +1,3 @@
 {before}
-{old}
+{new}
"""


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the classes and tests of a file, as pytest names them without parameters."""
    found: set[str] = set()
    scope = ""
    for line in (ROOT / path).read_text("utf-8").splitlines():
        if match := _NAMED.match(line):
            indent, kind, name = match.groups()
            if not indent:
                scope = f"{name}::" if kind == "class" else ""
            found.add(f"{scope}{name}" if indent else name)
    return frozenset(found)


def is_there(test: str) -> bool:
    """Say whether there is a test of this node id, parameters left aside; a whole file is one."""
    path, _, name = test.partition("[")[0].partition("::")
    return (ROOT / path).is_file() and (not name or name in names_in(path))


def test_there_are_enough_of_them() -> None:
    assert len(ALL) >= 40


def test_each_fits_the_library_as_it_is() -> None:
    unfit: list[str] = []
    for mutant in ALL:
        try:
            changes = mutated(mutant)
        except DoesNotApply as error:
            unfit.append(f"{mutant.name}: {error}")
        else:
            assert changes, mutant.name
            assert all(hunk.old != hunk.new for hunk in mutant.hunks), mutant.name

    assert unfit == []


def test_each_says_in_a_sentence_what_it_breaks() -> None:
    assert [mutant.name for mutant in ALL if not mutant.breaks.endswith(".")] == []


def test_each_names_tests_that_there_are() -> None:
    assert [mutant.name for mutant in ALL if not mutant.tests] == []
    assert [test for mutant in ALL for test in mutant.tests if not is_there(test)] == []


class TestAPatch:
    def test_says_what_it_breaks_which_tests_notice_and_what_it_changes(self) -> None:
        text = PATCH.format(path="supervision/x.py", before="before", old="old", new="new")

        assert parsed("few", text) == Mutant(
            "few",
            "It counts one too few.",
            ("tests/a.py::test_one", "tests/a.py::TestTwo"),
            (Hunk("supervision/x.py", ("before", "old"), ("before", "new")),),
        )

    @pytest.mark.parametrize(
        ("path", "old", "said"),
        [
            ("supervision/model/intensity.py", "what was never there", "is there 0 times"),
            ("supervision/nowhere.py", "", "is no file of the library"),
            ("tests/house.py", "ROOT", "is no file of the library"),
        ],
    )
    def test_that_does_not_fit_is_refused(self, path: str, old: str, said: str) -> None:
        text = PATCH.format(path=path, before="", old=old, new="new")

        with pytest.raises(DoesNotApply, match=said):
            mutated(parsed("unfit", text))

    def test_that_fits_in_two_places_is_refused(self) -> None:
        hunk = Hunk("supervision/model/intensity.py", ("",), ("pass",))

        with pytest.raises(DoesNotApply, match=r"is there \d\d times"):
            mutated(Mutant("twice", "", (), (hunk,)))


class TestAMutant:
    @pytest.mark.parametrize(
        ("run", "expected"),
        [
            (Run(0, "3 passed"), (Fate.SURVIVED, "")),
            (
                Run(1, "\nFAILED tests/a.py::test_b[c d] - x\n"),
                (Fate.KILLED, "tests/a.py::test_b[c d]"),
            ),
            (Run(1, "\nERROR tests/a.py::test_b\n"), (Fate.KILLED, "tests/a.py::test_b")),
            (Run(1, "\n++++ Timeout ++++\n"), (Fate.KILLED, "a test did not end in 30 s")),
            (Run(None, ""), (Fate.KILLED, "its tests did not end in 120 s")),
            (Run(-6, ""), (Fate.KILLED, "the interpreter died of signal 6")),
            (
                Run(1, "an error of pytest's"),
                (Fate.BROKEN, "pytest ended with 1: an error of pytest's"),
            ),
            (Run(2, "no module"), (Fate.BROKEN, "pytest ended with 2: no module")),
        ],
    )
    def test_is_killed_by_a_test_that_fails_and_by_nothing_else(
        self, run: Run, expected: tuple[Fate, str]
    ) -> None:
        assert judged(run) == expected


def test_what_lies_beside_the_patches_is_known() -> None:
    others = {each.name for each in PATCHES.iterdir() if each.suffix != ".patch"}

    assert others - {"__pycache__"} == {"survivors.md", "test_mutants.py"}
