"""Where things are in this checkout, for the tests that look at the project itself."""

from __future__ import annotations

import ast
import configparser
from functools import cache, lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"callboard.supervision": ROOT / "supervision", "callboard.actors": ROOT / "actors"}
"""Import name -> folder, as setup.cfg maps them."""

DOORS = tuple(FOLDERS)
"""The packages that promise something to users; their test kits are the others."""

TEST_KITS = tuple(f"{door}.testing" for door in DOORS)


def setup_cfg() -> configparser.ConfigParser:
    """Return setup.cfg, read."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


@cache
def sources() -> dict[str, Path]:
    """Return import name -> file of every module of the library, sorted by name."""
    found: dict[str, Path] = {}
    for name, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((name, *parts)).removesuffix(".__init__")] = path
    return dict(sorted(found.items()))


@lru_cache(maxsize=8)  # who asks next asks about the same file, or about all
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
