"""How is a session said in bytes, and read again? JSON by msgspec: no pickle, no eval.

What changes with every commit is columns of the store's own (`Head`); the rest of the snapshot is
one JSON object, written when it has changed. What is known of the incarnations (presence,
restarts, last error) is not a part of it: see `Standing`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final, TypeVar, cast, get_args, get_origin

import msgspec

from callboard.actors.errors import SessionUnreadable
from callboard.actors.sessions.data import Message, Role, Session
from callboard.actors.sessions.frozen import EMPTY, FrozenDict
from callboard.actors.sessions.log import Log
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.table import Standing
from callboard.actors.storage.records import Head, MessageRecord, Stored
from callboard.actors.wording import invalid
from callboard.supervision import InvalidSpec
from callboard.supervision.model.showing import shown_path

_HEAD: Final = frozenset({"state", "version", "last_seq", "message_count", "last_active_at"})
_DERIVED: Final = frozenset({"id", "presence", "restarts", "last_error", "failed_on", "messages"})
_BODY: Final = tuple(field for field in Session.__struct_fields__ if field not in _HEAD | _DERIVED)
_body_of = attrgetter(*_BODY)
_COUNTED: Final = tuple(sorted(_HEAD - {"state"}))
_STRUCTURED: Final = ("variables", "metadata", "client_capabilities", "mcp_servers", "agent")
"""Fields that may hold what JSON reads as lists and objects."""
_STATES: Final = {each.value: each for each in SessionState}


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a message stands in its JSON."""

    role: Role
    content: str
    timestamp: float
    metadata: Mapping[str, object] = EMPTY


class _Rested(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a standing is kept: times of the monotonic clock mean nothing to the next process."""

    is_quarantined: bool = False
    since: float = 0.0
    """Since when it is, UTC."""
    restarts: int = 0
    last_error: str | None = None
    failed_on: str | None = None


class Unreadable(Exception):
    """A stored session or message does not say what it should.

    Args:
        why: what is wrong with it.
        field: of its `data` the field, with the path into it; None: something else is wrong.
        value: what stands there.
        remedy: what to do about it; None: that depends on where it stands.
    """

    def __init__(
        self,
        why: str,
        *,
        field: str | None = None,
        value: object = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(why)
        self.field = field
        self.value = value
        self.remedy = remedy


TO_BE_KEPT: Final = (
    "A store keeps JSON: use text, numbers, booleans, times, tuples, mappings with keys of text,"
    " and frozen structs of them."
)
"""What a behaviour's `data` can be made of."""

_OTHER_DATA: Final = SessionUnreadable.remedy
_TOO_DEEP: Final = "it nests too deep"


def _sayable(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    msg = f"no JSON is like {type(value).__qualname__}"
    raise NotImplementedError(msg)


_encode = msgspec.json.Encoder(enc_hook=_sayable).encode
_message = msgspec.json.Decoder(Said)
_session = msgspec.json.Decoder(Session)
_standing = msgspec.json.Decoder(_Rested)


def data_type_of(behaviour: type[Any]) -> Any:
    """Return of which type a behaviour's `data` is, as `SessionActor[...]` says; None: none."""
    for each in behaviour.__mro__:
        for base in getattr(each, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and hasattr(origin, "_callboard_handlers"):
                (said,) = get_args(base)
                if not isinstance(said, TypeVar):
                    return said
    return None


class SessionCoder:
    """Says sessions in bytes. Any thread.

    Args:
        kinds: name -> behaviour class: they say of which type the `data` is.
        others: of which type it is in sessions of another kind; None: they cannot be read.
    """

    def __init__(self, kinds: Mapping[str, type[Any]], *, others: Any = None) -> None:
        self._others = others
        self._types: dict[str, Any] = {name: data_type_of(each) for name, each in kinds.items()}

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """Of which kinds there may be sessions; None: of any."""
        return tuple(sorted(self._types)) if self._others is None else None

    # -- to the store ------------------------------------------------------

    @staticmethod
    def messages(log: Log, after_seq: int) -> tuple[MessageRecord, ...]:
        """Return what follows a number in a log."""
        count = log.last_seq - after_seq
        if count <= 0:
            return ()
        if count == 1:  # as most have
            return (_recorded(log.newest),)
        return tuple(map(_recorded, log.slice(after_seq=after_seq, limit=count)))

    def body(self, session: Session, before: Session | None) -> bytes | None:
        """Return what of a snapshot seldom changes; None when it is as it was before.

        Raises:
            InvalidSpec: its `data` is not of the type that the behaviour declares, or holds
                something that JSON cannot say: the behaviour's own slip.
        """
        values = _body_of(session)
        if before is not None and values == _body_of(before):
            return None
        said = dict(zip(_BODY, values, strict=True))
        if session.data is None:
            del said["data"]
        else:
            self._check_type(session)
        try:
            body = _encode(said)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise _not_kept(session.data, str(error)) from None
        if session.data is not None and (before is None or before.data is not session.data):
            self._check_way_back(session)
        return body

    def _check_way_back(self, session: Session) -> None:
        """See that the next process can read what is kept: a session that it cannot is lost.

        A number that is not finite is `null` in JSON; so is what nobody declares what it was: of
        `Any`, bytes come back as text.
        """
        data = session.data
        try:
            read = self._data_of(session.kind, msgspec.json.decode(_encode(data)))
        except (msgspec.MsgspecError, ValueError) as error:
            said = str(error)
        else:
            if _is_same(read, data):
                return
            said = "it does not come back as it was"
        raise _not_kept(data, said)

    def _data_of(self, kind: str, said: Any) -> Any:
        declared = self._types.get(kind, self._others)
        if declared is None:
            msg = f"it has data, and no behaviour of kind {kind!r} declares of which type"
            raise Unreadable(msg, field="data", value=said, remedy=_OTHER_DATA)
        return frozen(msgspec.convert(said, declared))

    def _read_data(self, kind: str, said: Any) -> Any:
        """Return the data of a stored session.

        Raises:
            Unreadable: it is not what the behaviour declares.
        """
        try:
            return self._data_of(kind, said)
        except msgspec.ValidationError as wrong:
            declared = self._types.get(kind, self._others)
            odd = invalid(wrong, said, declared, whole="")
            field = f"data.{odd.field}" if odd.field else "data"
            wanted = odd.remedy.removeprefix("Give it: ").removeprefix("Give ").rstrip(".")
            msg = (
                f"its data is no {_name_of(declared)}, which the behaviour of kind {kind!r}"
                f" declares ({shown_path(field)}: {wanted})"
            )
            raise Unreadable(msg, field=field, value=odd.value, remedy=_OTHER_DATA) from None

    def _check_type(self, session: Session) -> None:
        declared, data = self._types.get(session.kind), session.data
        if declared is None or (isinstance(declared, type) and type(data) is not declared):
            name = type(data).__name__
            remedy = f"A store must know it: class Behaviour(SessionActor[{name}])."
            raise InvalidSpec("data", name, remedy)

    @staticmethod
    def head(session: Session, incarnation: int) -> Head:
        """Return what of a snapshot changes with every commit."""
        return Head(
            session.state.value,
            incarnation,
            session.version,
            session.last_seq,
            session.message_count,
            session.last_active_at,
        )

    @staticmethod
    def has_come_to_be(session: Session) -> bool:
        """Say whether this snapshot confirms its create: by it, it has come to be."""
        return session.state in {SessionState.CREATED, SessionState.ACTIVE}

    @staticmethod
    def ended_at(session: Session) -> float | None:
        """Return since when a session is CLEANED; None when it is not."""
        return session.state_since if session.state is SessionState.CLEANED else None

    # -- from the store ----------------------------------------------------

    def session(self, stored: Stored) -> Session:
        """Return a stored snapshot.

        Raises:
            Unreadable: it does not say one.
        """
        head, put = stored.head, msgspec.structs.force_setattr
        state = _STATES.get(head.state)
        if state is None:
            msg = f"there is no state {head.state!r}"
            raise Unreadable(msg)
        try:
            session = _session.decode(_with_id(stored))
            # Nobody has seen it yet: filled in here, not made anew, which would take twice as long.
            put(session, "state", state)
            for field in _COUNTED:
                put(session, field, getattr(head, field))
            for field in _STRUCTURED:
                put(session, field, frozen(getattr(session, field)))
            if session.data is not None:
                put(session, "data", self._read_data(session.kind, session.data))
        except RecursionError:
            raise Unreadable(_TOO_DEEP) from None
        except (msgspec.MsgspecError, ValueError) as error:
            raise Unreadable(str(error)) from error
        return session


def _not_kept(data: object, why: str) -> InvalidSpec:
    """Return what a behaviour is told that gives data which no store can keep."""
    for field, number in _not_finite("data", data):
        return InvalidSpec(field, number, "Give a finite number, or None: JSON has no other.")
    return InvalidSpec("data", type(data).__name__, f"{TO_BE_KEPT} Not so here: {why}.")


def _not_finite(field: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield the numbers in a value that are not finite, each with where it stands."""
    parts: Iterable[tuple[str, object]] = ()
    if isinstance(value, float) and not math.isfinite(value):
        yield field, value
    elif isinstance(value, msgspec.Struct):
        parts = ((f".{name}", getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, Mapping):
        parts = ((f".{key}", each) for key, each in cast("Mapping[Any, object]", value).items())
    elif isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        parts = ((f"[{index}]", each) for index, each in enumerate(items))
    for step, each in parts:
        yield from _not_finite(field + step, each)


def _name_of(declared: Any) -> str:
    """Return what a type is called where it is imported from."""
    if isinstance(declared, type):
        return f"{declared.__module__}.{declared.__qualname__}"
    return str(declared)


def _recorded(each: Message) -> MessageRecord:
    said = Said(each.role, each.content, each.timestamp, each.metadata)
    return MessageRecord(each.seq, each.client_msg_id, _encode(said))


def message(record: MessageRecord) -> Message:
    """Return a stored message.

    Raises:
        Unreadable: it does not say one.
    """
    try:
        said = _message.decode(record.body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        why = _TOO_DEEP if isinstance(error, RecursionError) else error
        msg = f"message {record.seq}: {why}"
        raise Unreadable(msg) from error
    metadata = frozen(said.metadata) if said.metadata else EMPTY
    return Message(record.seq, said.role, said.content, said.timestamp, metadata, record.key)


def _with_id(stored: Stored) -> bytes:
    """Return the JSON of a whole session: the body with the id in front.

    Raises:
        Unreadable: there is no body, as in a damaged file.
    """
    body: Any = stored.body
    if body is None:
        msg = "it has no snapshot"
        raise Unreadable(msg)
    said = msgspec.json.encode(stored.id)
    return b'{"id":' + said + (b"," if stored.body != b"{}" else b"") + stored.body[1:]


_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


def frozen(value: Any) -> Any:
    """Return what was read from JSON as it was: tuples for lists, `FrozenDict` for objects."""
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]  # of anything
    if kind in _PLAIN:  # as most are
        return value
    if kind is dict:
        return FrozenDict({key: frozen(each) for key, each in value.items()}) if value else EMPTY
    if kind in {list, tuple}:
        return tuple(map(frozen, value))
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        made = {name: new for name, old in fields.items() if (new := frozen(old)) is not old}
        return msgspec.structs.replace(value, **made) if made else value
    return value


def _mapping(value: Any) -> Mapping[Any, Any]:
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]  # of anything
    return value if issubclass(kind, Mapping) else {None: None}


def _items(value: Any) -> tuple[Any, ...]:
    kind: type[Any] = type(value)  # pyright: ignore[reportUnknownVariableType]  # of anything
    return value if issubclass(kind, tuple) else (None,)


def _is_same(read: Any, said: Any) -> bool:
    """Say whether two values are equal, structs by their fields whatever they compare by."""
    if isinstance(said, msgspec.Struct):
        fields = said.__struct_fields__
        return type(read) is type(said) and all(
            _is_same(getattr(read, name), getattr(said, name)) for name in fields
        )
    if isinstance(said, Mapping):
        there, values = _mapping(read), _mapping(said)
        return there.keys() == values.keys() and all(
            _is_same(there[key], each) for key, each in values.items()
        )
    if isinstance(said, tuple):
        items, found = _items(said), _items(read)
        return len(found) == len(items) and all(map(_is_same, found, items))
    return bool(read == said)


# -- what is known of the incarnations -------------------------------------


def standing_to_keep(standing: Standing, *, wall_s: float, now_s: float) -> bytes:
    """Return what the next process is to know of a session's incarnations."""
    is_quarantined = standing.presence is Presence.QUARANTINED
    since = wall_s - (now_s - standing.since_s) if is_quarantined else 0.0
    rested = _Rested(
        is_quarantined, since, standing.restarts, standing.last_error, standing.failed_on
    )
    return _encode(rested)


def standing_of(stored: Stored, *, wall_s: float, now_s: float) -> Standing:
    """Return what is known of a stored session's incarnations: it sleeps, or is quarantined.

    Raises:
        Unreadable: what is stored says nothing.
    """
    if stored.standing is None:
        return Standing(stored.head.incarnation, Presence.ASLEEP)
    try:
        rested = _standing.decode(stored.standing)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Unreadable(str(error)) from None
    return Standing(
        stored.head.incarnation,
        Presence.QUARANTINED if rested.is_quarantined else Presence.ASLEEP,
        now_s - max(0.0, wall_s - rested.since) if rested.is_quarantined else 0.0,
        rested.restarts,
        rested.last_error,
        rested.failed_on,
    )
