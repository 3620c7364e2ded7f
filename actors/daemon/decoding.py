"""Is what a client sent what its type says? Strict, and an error names the field and its value."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from callboard.actors.daemon.errors import MalformedJson
from callboard.actors.errors import InvalidField
from callboard.supervision.model.showing import shown_path

T = TypeVar("T", bound=msgspec.Struct)

FIELDS_MAX = 32
"""Fields that may stand after the question mark."""

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(
    r"^Object (?:contains unknown|missing required) field `(?P<name>.*)`$", re.DOTALL
)

_EXPECTED = re.compile(r"^Expected `(?P<wanted>[^`]+)`, got `(?P<given>[^`]+)`")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}
"""What JSON's types are called in a sentence; null is null."""


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


def invalid(wrong: msgspec.ValidationError, sent: object, shape: type) -> InvalidField:
    """Return what a decoder said as an error that names the field, its value and what to give.

    Args:
        wrong: what it said.
        sent: what it was given.
        shape: what that should have been.
    """
    place = _PLACE.match(str(wrong))
    assert place is not None, "the pattern matches everything"
    what, path = place["what"], place["path"] or ""
    named = _UNKNOWN.match(what)
    if named is not None:
        path = f"{path}.{named['name']}" if path else named["name"]
    choices = _choices(shape, path)
    if choices:
        remedy = f"Give one of {', '.join(choices)}."
    elif named is not None:
        is_missing = what.startswith("Object missing")
        remedy = "Give it: it is required." if is_missing else "Leave it out: it is not known here."
    else:
        remedy = in_words(what)
    return InvalidField(path or "body", _value_at(sent, path), remedy)


def in_words(what: str) -> str:
    """Return what a decoder says of a wrong type as a sentence that says what to give.

    >>> in_words("Expected `int | null`, got `str`")
    'Give a whole number or null, not text.'
    """
    found = _EXPECTED.match(what)
    if found is None:
        place = _PLACE.match(what)
        said = what if place is None else place["what"]
        return f"Give what the description says: {shown_path(said)}."  # it may quote a key
    wanted, given = (
        " or ".join(_WORDS.get(each, each) for each in found[name].split(" | "))
        for name in ("wanted", "given")
    )
    return f"Give {wanted}, not {given}."


def _choices(shape: type, path: str) -> list[str]:
    """Return the words that a field may hold, if it is one of words."""
    hint = get_type_hints(shape).get(path)
    for each in (hint, *get_args(hint)):
        if isinstance(each, type) and issubclass(each, StrEnum):
            return [choice.value for choice in each]
    return list(get_args(hint)) if get_origin(hint) is Literal else []


def _value_at(sent: object, path: str) -> object:
    """Return what was sent at a path such as `patch.metadata` or `tags[0]`, as far as it leads."""
    value: Any = sent
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(value, dict):
            value = cast("dict[str, object]", value).get(step)
        elif isinstance(value, list) and step.isdecimal():
            items = cast("list[object]", value)
            value = items[int(step)] if int(step) < len(items) else None
        else:
            break
    return cast("object", value)
