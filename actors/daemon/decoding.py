"""Is what a client sent what its type says? Strict, and an error names the field and its value."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from callboard.actors.daemon.errors import MalformedJson
from callboard.actors.errors import InvalidField
from callboard.actors.wording import invalid

T = TypeVar("T", bound=msgspec.Struct)

FIELDS_MAX = 32
"""Fields that may stand after the question mark."""


@lru_cache(maxsize=64)
def _decoder(shape: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(shape)


def decode_body(raw: bytes, shape: type[T], *, is_optional: bool) -> T:
    """Return the body as a value.

    Args:
        raw: what was sent.
        shape: what it should be.
        is_optional: whether nothing at all stands for all defaults.

    Raises:
        MalformedJson: it is no JSON.
        InvalidField: a field is missing, unknown or of a wrong type; it is named.
    """
    if not raw and is_optional:
        return shape()
    decoder: msgspec.json.Decoder[T] = _decoder(shape)
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as wrong:
        raise invalid(wrong, _parsed(raw), shape) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise _malformed(broken) from None


def _parsed(raw: bytes) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise _malformed(broken) from None


def _malformed(broken: Exception) -> MalformedJson:
    why = "it nests too deep" if isinstance(broken, RecursionError) else str(broken)
    return MalformedJson(f"the body is not JSON: {why}")


def decode_query(raw: bytes, shape: type[T]) -> T:
    """Return what stands after the question mark as a value.

    Raises:
        InvalidField: a field is unknown, given twice, or of a wrong type; it is named.
    """
    if not raw:
        return shape()
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except (UnicodeDecodeError, ValueError):
        remedy = f"Give at most {FIELDS_MAX} pairs name=value, percent-encoded UTF-8."
        raise InvalidField("query", raw.decode("latin-1"), remedy) from None
    values = dict(pairs)
    if "" in values:
        raise InvalidField("query", raw.decode("ascii"), "Give a name before every `=`.")
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidField(twice, values[twice], "Give it once.")
    try:
        return msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as wrong:
        raise invalid(wrong, values, shape) from None
