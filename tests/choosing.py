"""Which of the tests that were collected run?"""

from __future__ import annotations

from collections.abc import Callable

import pytest


def keep_only(
    items: list[pytest.Item], is_kept: Callable[[pytest.Item], bool], config: pytest.Config
) -> None:
    """Leave out the other tests, and count them as such."""
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (kept if is_kept(item) else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
