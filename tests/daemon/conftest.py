"""What the daemon's tests get."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder of one's own, with a path short enough for a socket."""
    tmp_path.chmod(0o700)
    return tmp_path
