"""What the documentation shows is true: its examples run, its links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from tests.house import ROOT, sources

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]+\]\(([^)\s#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", sources())
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(name)

    outcome = doctest.testmod(module, optionflags=doctest.ELLIPSIS)

    assert not outcome.failed, "see what doctest printed"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_to_a_file(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    here = [
        target for target in targets if "://" not in target and not target.startswith("mailto:")
    ]

    broken = [target for target in here if not (page.parent / target).exists()]

    assert not broken
