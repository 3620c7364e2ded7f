"""What kinds of content are there that are no JSON?"""

from __future__ import annotations

from typing import Final

LINES: Final = "application/jsonl"
"""JSON Lines: an object on every line."""
