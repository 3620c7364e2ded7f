"""Which partition has a key: the same one every time, in every run."""

from __future__ import annotations

import zlib
from typing import cast

import msgspec

from callboard.supervision.model.errors import InvalidSpec

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def partition_of(key: object, partitions: int) -> int:
    """Say which of `partitions` places has this key.

    Whole numbers route by remainder, like the sign-free number itself; other
    keys by a checksum of their contents. Python's own `hash` would differ from
    one process to the next, and a seed could not replay a run.

    Differs from Elixir in the checksum, so the same key may have another number
    there; and bool, which Python counts among whole numbers, is no such key here.

    Args:
        key: a whole number, text, bytes, None, or any value msgspec can encode:
            tuples, UUIDs, enums, frozen structs.
        partitions: how many there are, 1 or more.

    Returns:
        A number from 0 to `partitions` - 1.

    Raises:
        InvalidSpec: the key has no contents to route by, or that is no number of partitions.

    Source: Elixir, `PartitionSupervisor`, via `{name, key}`.
    """
    if type(partitions) is not int or partitions < 1:
        raise InvalidSpec("partitions", partitions, "Give a whole number, 1 or more.")
    if type(key) is int:
        return abs(key) % partitions
    try:
        contents = _contents_of(key)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        remedy = "Route by a whole number, text, bytes, or a value msgspec can encode."
        raise InvalidSpec("key", key, remedy) from error
    return zlib.crc32(contents) % partitions


def _contents_of(key: object) -> bytes:
    if isinstance(key, str):
        # Names from the file system may hold lone surrogates, which strict UTF-8 refuses.
        return key.encode("utf-8", "surrogatepass")
    if isinstance(key, int):
        return str(key).encode()  # msgpack ends at 64 bits, Python does not
    if isinstance(key, tuple):
        return b"\0".join(map(_contents_of, cast("tuple[object, ...]", key)))
    return _ENCODER.encode(key)
