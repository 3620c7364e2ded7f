"""How is text shown that somebody else wrote? With all escaped that could steer a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

CHARS_MAX: Final = 200
"""Characters that are shown of a text in a log line, unless the caller says otherwise."""

_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories: controls, formats (bidi overrides, zero width), surrogates, separators."""

_NEEDED: Final = frozenset({"\u200c", "\u200d"})
"""Zero width joiners, which Persian, Hindi and many emoji cannot be written without."""


def escaped(text: str, *, chars_max: int | None = None, keeps_lines: bool = False) -> str:
    r"""Return the text with what could steer a terminal or forge a line written as an escape.

    >>> escaped("a\x1b[2Jb\u202ec")
    'a\\x1b[2Jb\\u202ec'

    Args:
        text: what somebody wrote.
        chars_max: how many of its characters to show; None: all.
        keeps_lines: whether line ends and tabs stay as they are.
    """
    if chars_max is not None and len(text) > chars_max:
        text = text[: chars_max - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char, keeps_lines=keeps_lines) for char in text)


def _escaped(char: str, *, keeps_lines: bool) -> str:
    if (keeps_lines and char in "\n\t") or char in _NEEDED:
        return char
    if unicodedata.category(char) in _STEERING:
        return char.encode("unicode_escape").decode("ascii")
    return char
