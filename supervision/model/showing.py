"""How is a value that somebody gave shown in an error? Bounded, escaped, and never raising."""

from __future__ import annotations

import re
import reprlib
from typing import Final

SHOWN_CHARS_MAX = 80
"""How many characters of a wrong value an error's text shows."""

FIELD_CHARS_MAX = 200
"""How many characters of a field's name, with the path into it, an error's text shows."""

_LONG_BITS = 256

_ADDRESS: Final = re.compile(r"( instance| object)? at 0x[0-9a-fA-F]+")
"""It says nothing to a reader, and differs in every run."""


class _Short(reprlib.Repr):
    """Shows whatever it is given: in bounded time, without an address, and never raising."""

    def repr_int(self, x: int, level: int) -> str:
        # Python takes quadratic time to write a long number, and refuses one of 4,301 digits.
        if x.bit_length() > _LONG_BITS:
            return f"<int of {x.bit_length()} bits>"
        return super().repr_int(x, level)

    def repr_bytes(self, x: bytes | bytearray, _: int) -> str:
        written = repr(x[: self.maxother])
        return written if len(written) <= self.maxother else f"{written[: self.maxother - 3]}..."

    repr_bytearray = repr_bytes

    def repr_instance(self, x: object, level: int) -> str:
        return _ADDRESS.sub("", super().repr_instance(x, level))


_short = _Short()
_short.maxstring = _short.maxother = _short.maxlong = SHOWN_CHARS_MAX


def shown(value: object) -> str:
    """Return a value as text for people: escaped, and bounded whatever its size.

    >>> len(shown("y" * 1_000_000))
    80
    """
    return _short.repr(value)


def shown_path(field: str) -> str:
    """Return a field's name for people: a step of the path may be a key of the caller's.

    >>> shown_path("metadata.tags[0]")
    'metadata.tags[0]'
    """
    if len(field) <= FIELD_CHARS_MAX and field.isprintable():
        return field
    escaped = field[:FIELD_CHARS_MAX].encode("unicode_escape").decode("ascii")
    if len(field) <= FIELD_CHARS_MAX and len(escaped) <= FIELD_CHARS_MAX:
        return escaped
    return f"{escaped[: FIELD_CHARS_MAX - 1]}…"
