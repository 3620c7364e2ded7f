"""Scenario files: what was done to OTP, and what it did. `docs/reference/otp-parity.md` says more.

A scenario is what the file says without its `expect`: whoever runs it never sees what should come.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from scripts.tracing.vocabulary import is_list, is_object

FORMAT = 1
"""The version of the files that is understood."""


class Part(enum.Enum):
    """Which half of the recordings a file belongs to, told by its shape."""

    SUPERVISORS = "supervisors"
    """It has a tree of supervisors."""

    PROCESSES = "processes"
    """It begins with nothing: registries, monitors, links, dynamic and partition supervisors."""


class Scenario(msgspec.Struct, frozen=True):
    """One scenario.

    Args:
        name: the file's, without its ending.
        part: what it is about.
        given: the file without its `expect`.
        expected: its `expect`.
    """

    name: str
    part: Part
    given: Mapping[str, Any]
    expected: Mapping[str, Any]


class Unreadable(Exception):
    """A file that is no scenario, or none that is understood. It is skipped, and said so."""


def files_in(folder: Path) -> list[Path]:
    """Return the scenario files of a folder, by name."""
    return sorted(folder.glob("*.json")) if folder.is_dir() else []


def read(path: Path) -> Scenario:
    """Read one file.

    Raises:
        Unreadable: it is no scenario of a format that is understood.
    """
    try:
        given: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"cannot be read: {error}"
        raise Unreadable(msg) from error
    if not is_object(given):
        raise Unreadable("is no scenario: not an object")
    expected = given.pop("expect", None)
    if given.get("format", FORMAT) != FORMAT:
        msg = f"has format {given['format']!r}, and only {FORMAT} is understood"
        raise Unreadable(msg)
    if not is_object(expected) or not is_list(given.get("actions")):
        raise Unreadable("is no scenario: it has no actions, or expects nothing")
    if not is_list(expected.get("steps")):
        raise Unreadable("is no scenario: its recording has no steps")
    part = Part.SUPERVISORS if "supervisor" in given else Part.PROCESSES
    return Scenario(path.stem, part, given, expected)
