"""How is a store written down? JSON Lines, which say exactly what is kept.

    {"line":"store","version":1}
    {"line":"session","id":"ada","state":"active",...,"body":{...},"created":{...}}
    {"line":"message","seq":1,"body":{...}}          those of the session above, in order
    ...
    {"line":"end","sessions":2,"messages":7}         so that a part is not taken for the whole

What a damaged store has lost stands there as {"line":"skipped","id":"eve","why":"..."}, which an
import passes over. Where an export broke off, the last line says why: {"line":"broken",...}.

What is kept as JSON stands there as it is, to the byte. What is not, or would not stay on its line,
stands there in base64: it can be read, and an import refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias, cast

import msgspec
from msgspec.structs import asdict

from callboard.actors.errors import InvalidField
from callboard.actors.storage.records import CreateRecord, Head, MessageRecord, Stored
from callboard.actors.wording import invalid

FORMAT_VERSION: Final = 1
"""Of what is written here; a reader refuses a later one."""

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""How long a line may be, in bytes."""

_NOTHING: Final = msgspec.Raw()

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Line(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag_field="line",
    tag=lambda name: name.removesuffix("Line").lower(),
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """One line, told by its first field."""


class StoreLine(_Line, frozen=True):
    """The first line: in which version of this format the others are."""

    version: int


class SessionLine(_Line, frozen=True):
    """A session, without its messages. Fields as in `Stored` and `Head`."""

    id: str
    state: str
    incarnation: _Count
    version: _Count
    last_seq: _Count
    message_count: _Count
    last_active_at: float
    ended_at: float | None = None
    created: CreateRecord | None = None
    body: msgspec.Raw = _NOTHING
    body_base64: bytes | None = None
    standing: msgspec.Raw = _NOTHING
    standing_base64: bytes | None = None


class MessageLine(_Line, frozen=True):
    """A message of the session above. Fields as in `MessageRecord`."""

    seq: _Count
    key: str | None = None
    body: msgspec.Raw = _NOTHING
    body_base64: bytes | None = None


class EndLine(_Line, frozen=True):
    """The last line: how many there were, and how many were left out."""

    sessions: _Count
    messages: _Count
    skipped: _Count = 0


class SkippedLine(_Line, frozen=True):
    """A session that was left out of an export, since it cannot be read: which, and why."""

    why: str
    id: str | None = None
    number: int | None = None


class BrokenLine(_Line, frozen=True):
    """The last line of an export that broke off: what was in its way, as a problem document."""

    problem: msgspec.Raw


AnyLine: TypeAlias = StoreLine | SessionLine | MessageLine | SkippedLine | EndLine | BrokenLine

_KINDS: Final = (StoreLine, SessionLine, MessageLine, SkippedLine, EndLine, BrokenLine)

_encode = msgspec.json.Encoder().encode
_decode: Callable[[bytes], AnyLine] = msgspec.json.Decoder(AnyLine).decode
_parse = msgspec.json.Decoder().decode


def is_json(kept: bytes) -> bool:
    """Say whether these bytes are JSON."""
    try:
        _parse(kept)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def line_of_store() -> bytes:
    """Return the first line."""
    return _line(StoreLine(version=FORMAT_VERSION))


def line_of_session(stored: Stored) -> bytes:
    """Return the line of a session."""
    body, body_base64 = _written(stored.body)
    standing, standing_base64 = _written(stored.standing)
    line = SessionLine(
        id=stored.id,
        **asdict(stored.head),
        ended_at=stored.ended_at,
        created=stored.created,
        body=body,
        body_base64=body_base64,
        standing=standing,
        standing_base64=standing_base64,
    )
    return _line(line)


def line_of_message(message: MessageRecord) -> bytes:
    """Return the line of a message."""
    body, body_base64 = _written(message.body)
    return _line(MessageLine(seq=message.seq, key=message.key, body=body, body_base64=body_base64))


def line_of_loss(why: str, *, session_id: str | None, number: int | None) -> bytes:
    """Return the line of a session that is left out."""
    return _line(SkippedLine(why=why, id=session_id, number=number))


def loss_in(line: bytes) -> SkippedLine | None:
    """Return which session is left out, if this line says so."""
    if not line.startswith(b'{"line":"skipped"'):
        return None
    said = read_line(line)
    return said if isinstance(said, SkippedLine) else None


def line_of_end(*, sessions: int, messages: int, skipped: int = 0) -> bytes:
    """Return the last line."""
    return _line(EndLine(sessions=sessions, messages=messages, skipped=skipped))


def line_of_break(problem: msgspec.Struct) -> bytes:
    """Return the last line of an export that broke off."""
    return _line(BrokenLine(problem=msgspec.Raw(msgspec.json.encode(problem))))


def problem_in(line: bytes) -> msgspec.Raw | None:
    """Return what was in the way of an export, if this line says so."""
    if not line.startswith(b'{"line":"broken"'):
        return None
    said = read_line(line)
    return said.problem if isinstance(said, BrokenLine) else None


def _line(line: AnyLine) -> bytes:
    return _encode(line) + b"\n"


def _written(kept: bytes | None) -> tuple[msgspec.Raw, bytes | None]:
    """Return these bytes as what stands in a line, as JSON or else for base64."""
    if kept is None:
        return _NOTHING, None
    stays = kept.strip() == kept and b"\n" not in kept and b"\r" not in kept
    return (msgspec.Raw(kept), None) if stays and is_json(kept) else (_NOTHING, kept)


def read_line(raw: bytes) -> AnyLine:
    """Return what a line says.

    Raises:
        InvalidField: it is no JSON, or a field is missing, unknown or of a wrong type.
    """
    if len(raw) > LINE_BYTES_MAX:
        remedy = f"A line may have {LINE_BYTES_MAX} bytes."
        raise InvalidField("line", raw[:80], remedy)
    try:
        try:
            return _decode(raw)
        except msgspec.ValidationError as wrong:
            sent = _parse(raw)
            raise invalid(wrong, sent, _shape_of(sent), whole="line") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        why = "it nests too deep" if isinstance(broken, RecursionError) else str(broken)
        remedy = f"Give one JSON object on a line, as an export writes it ({why})."
        raise InvalidField("line", raw[:80], remedy) from None


def _shape_of(sent: object) -> type:
    """Return what a line is to be, by its first field."""
    kind = cast("dict[str, object]", sent).get("line") if isinstance(sent, dict) else None
    return next((each for each in _KINDS if each.__struct_config__.tag == kind), _Line)


def stored_of(line: SessionLine) -> Stored:
    """Return the session that a line says.

    Raises:
        InvalidField: what is kept of it is no JSON.
    """
    head = Head(
        line.state,
        line.incarnation,
        line.version,
        line.last_seq,
        line.message_count,
        line.last_active_at,
    )
    body = _kept("body", line.body, line.body_base64)
    if body is None:
        raise InvalidField("body", None, "Give it: it is required.")
    standing = _kept("standing", line.standing, line.standing_base64)
    return Stored(line.id, head, body, standing, line.created, line.ended_at)


def message_of(line: MessageLine) -> MessageRecord:
    """Return the message that a line says.

    Raises:
        InvalidField: what is kept of it is no JSON.
    """
    body = _kept("body", line.body, line.body_base64)
    if body is None:
        raise InvalidField("body", None, "Give it: it is required.")
    return MessageRecord(line.seq, line.key, body)


def _kept(field: str, raw: msgspec.Raw, base64: bytes | None) -> bytes | None:
    kept = bytes(raw)
    if base64 is not None:
        remedy = "It was damaged when it was exported: leave the session out, or mend it."
        raise InvalidField(field + "_base64", base64, remedy)
    if not kept:
        return None
    if not is_json(kept):
        raise InvalidField(field, kept, "Give JSON, in UTF-8.")
    return kept
