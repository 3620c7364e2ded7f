"""What a history must not tell, contradiction by contradiction, and how that is said."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    DuplicateSession,
    GetMessages,
    GetSession,
    IdempotencyConflict,
    Message,
    MessagePage,
    RecordActivity,
    ReviveSession,
    Role,
    Session,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionState,
    SessionTerminating,
    SpawnError,
    StoreError,
    StoreOutcomeUnknown,
    TerminateSession,
    UpdateSession,
    VersionConflict,
)
from callboard.actors.sessions.log import KEYS_MAX
from callboard.actors.testing.history import Finding, check
from callboard.actors.testing.operations import Operation, answered, failed
from callboard.supervision import Request, Timeout

USER = Role.USER
CREATE = CreateSession(user_id="ada")
MEND = ReviveSession("s", SessionPatch(metadata={"n": 1}))
CREATED = (CREATE, Session(id="s", state=SessionState.ACTIVE, version=1))


class Own(SessionMessage[None], frozen=True):
    """A message of a behaviour's own."""


def append(text: str, key: str | None = None) -> AppendMessage:
    return AppendMessage("s", USER, text, key)


def update(expected: int | None = None, **metadata: int) -> UpdateSession:
    return UpdateSession("s", patch=SessionPatch(metadata=metadata), expected_version=expected)


def at(version: int, seq: int = 0, **metadata: int) -> Session:
    return Session(
        id="s",
        state=SessionState.ACTIVE,
        version=version,
        last_seq=seq,
        message_count=seq,
        metadata=metadata,
    )


def ended(version: int, seq: int = 0) -> Session:
    return Session(
        id="s", state=SessionState.CLEANED, version=version, last_seq=seq, message_count=seq
    )


def page(*texts: str, key: str | None = None) -> MessagePage:
    log = [Message(seq, USER, text, 0.0, client_msg_id=key) for seq, text in enumerate(texts, 1)]
    return MessagePage(messages=tuple(log), last_seq=len(log))


def operations(*told: tuple[Any, ...]) -> list[Operation]:
    """Return operations that follow each other; one with a number after it lasts so many more."""
    made: list[Operation] = []
    for place, (message, outcome, *longer) in enumerate(told):
        began, over = 10 * place, 10 * place + 5 + 10 * sum(longer)
        asked = Operation(by=f"client {place}", message=message, began=began)
        if isinstance(outcome, BaseException):
            made.append(failed(asked, outcome, over))
        else:
            made.append(answered(asked, outcome, over))
    return made


def checked(*told: tuple[Any, ...], commits_alone: bool = False) -> Finding:
    """Check a session that was created and then told this."""
    return check("s", operations(CREATED, *told), commits_alone=commits_alone)


RIGHT: dict[str, list[tuple[Request[Any], Any] | tuple[Request[Any], Any, int]]] = {
    "appends and reads": [(append("a"), 1), (append("b"), 2), (GetMessages("s"), page("a", "b"))],
    "a read that goes on beside an append sees it": [
        (GetSession("s"), at(2, 1), 1),
        (append("a"), 1),
    ],
    "or does not": [(GetSession("s"), at(1), 1), (append("a"), 1)],
    "what nobody knows has happened": [(append("a"), Timeout()), (GetSession("s"), at(2, 1))],
    "or has not": [(append("a"), Timeout()), (GetSession("s"), at(1))],
    "or happens later": [
        (append("a"), Timeout()),
        (GetSession("s"), at(1)),
        (GetSession("s"), at(2, 1)),
    ],
    "a retry is the same": [(append("a", "k"), Timeout()), (append("a", "k"), 1), (append("b"), 2)],
    "a conflict shows what nobody knew": [
        (append("a", "k"), Timeout()),
        (append("b", "k"), IdempotencyConflict("client_msg_id", "k")),
        (GetMessages("s"), page("a", key="k")),
    ],
    "two updates alike have both happened, the one that needs its version first": [
        (update(n=1), Timeout()),
        (update(1, n=1), Timeout()),
        (GetSession("s"), at(3, n=1)),
    ],
    "an update of the version that there is": [(update(1, n=1), at(2, n=1)), (update(2), at(3))],
    "one of another": [(update(7), VersionConflict("s", expected_version=7, version=1))],
    "an activity is a version": [(RecordActivity("s"), 1.0), (GetSession("s"), at(2))],
    "an end": [
        (append("a"), 1),
        (TerminateSession("s"), ended(4, 1), 1),
        (append("b"), SessionTerminating("s")),
        (GetSession("s"), SessionNotFound("s")),
        (TerminateSession("s"), SessionNotFound("s")),
    ],
    "an end that the store refused and had begun": [
        (TerminateSession("s"), StoreError("no")),
        (append("a"), SessionTerminating("s")),
        (append("a"), SessionNotFound("s")),
    ],
    "one that it refused": [(TerminateSession("s"), StoreError("no")), (append("a"), 1)],
    "a revive that ends a quarantine is a version, in a durable store": [
        (ReviveSession("s"), at(2)),
        (update(2, n=1), at(3, n=1)),
    ],
    "or none": [(ReviveSession("s"), at(1)), (append("a"), 1), (GetSession("s"), at(2, 1))],
    "one that mends is one anywhere": [(MEND, at(2, n=1)), (append("a"), 1)],
    "and it may have mended, though the start failed": [
        (MEND, SpawnError("it fell")),
        (GetSession("s"), at(2, n=1)),
    ],
    "a message of one's own may do anything": [
        (Own("s"), None),
        (GetSession("s"), at(4, 2, n=7)),
        (append("a"), 3),
    ],
}
"""What may be told."""

BROKEN: dict[str, tuple[str, list[tuple[Request[Any], Any] | tuple[Request[Any], Any, int]]]] = {
    "a revive makes two versions": (
        "version 2 had 0 messages; for what was told next some commits are missing",
        [(ReviveSession("s"), at(3))],
    ),
    "one makes a version when it is over": (
        "version 1 had 0 messages; for what was told next some commits are missing",
        [(ReviveSession("s"), at(1)), (GetSession("s"), at(2))],
    ),
    "one that mends has not mended": (
        "client 1's ReviveSession(patch={'metadata': {'n': 1}}) -> active version 1",
        [(MEND, at(1)), (append("a"), 1), (GetSession("s"), at(3, 1, n=1))],
    ),
    "an update is refused for a version that took none": (
        "version 2 should be terminating with 0 messages",
        [
            (TerminateSession("s"), ended(3), 3),
            (update(7), VersionConflict("s", expected_version=7, version=2)),
        ],
    ),
    "a message is lost": (
        (
            "client 2's GetSession -> active version 1 with 0 messages began when client 1's"
            " AppendMessage(content='a') -> 1 was over, and yet it saw nothing of it"
        ),
        [(append("a"), 1), (GetSession("s"), at(1))],
    ),
    "a message is there twice": (
        "message 2 is 'a', which nobody can have appended there",
        [(append("a"), 1), (GetMessages("s"), page("a", "a"))],
    ),
    "messages change places": (
        "message 1 was read as 'b', not 'a'",
        [(append("a"), 1), (append("b"), 2), (GetMessages("s"), page("b", "a"))],
    ),
    "numbers are not in the order of the appends": (
        (
            "client 2's AppendMessage(content='a') -> 1 began when client 1's"
            " AppendMessage(content='b') -> 2 was over, and yet it came first"
        ),
        [(append("b"), 2), (append("a"), 1)],
    ),
    "a read goes back": (
        (
            "client 3's GetSession -> active version 1 with 0 messages began when client 2's"
            " GetSession -> active version 2 with 1 messages was over, and yet it saw what was"
        ),
        [(append("a"), 1, 9), (GetSession("s"), at(2, 1)), (GetSession("s"), at(1))],
    ),
    "a read sees what comes": (
        (
            "client 1's GetSession -> active version 2 with 1 messages was over before client 2's"
            " AppendMessage(content='a') -> 1 began, and yet it saw what that did"
        ),
        [(GetSession("s"), at(2, 1)), (append("a"), 1)],
    ),
    "two appends have one number": (
        "two appends were answered 1",
        [(append("a"), 1), (append("b"), 1)],
    ),
    "two updates make one version": (
        "two updates made version 2",
        [(update(n=1), at(2, n=1)), (update(n=2), at(2, n=2))],
    ),
    "a version is two": (
        "there are two different versions 2",
        [(update(n=1), at(2, n=1)), (GetSession("s"), at(2, n=2))],
    ),
    "an update is not kept": (
        "version 3 should be active with 1 messages and {'n': 1}",
        [(update(n=1), at(2, n=1)), (append("a"), 1), (GetSession("s"), at(3, 1, n=0))],
    ),
    "an update of a version that is not": (
        "an update of version 7 made version 2",
        [(update(7), at(2))],
    ),
    "a version is missing": (
        "version 1 had 0 messages; for what was told next some commits are missing",
        [(GetSession("s"), at(3))],
    ),
    "a conflict of versions that is none": (
        "an update of version 1 was refused since it is not 1",
        [(update(1), VersionConflict("s", expected_version=1, version=1))],
    ),
    "a retry is answered otherwise": (
        "one append was answered 1 and 2",
        [(append("a", "k"), 1), (append("a", "k"), 2)],
    ),
    "a key is used twice": (
        "a key was used twice, with different content",
        [(append("a", "k"), 1), (append("b", "k"), 2)],
    ),
    "a conflict with nobody": (
        "'k' was refused as used with other content, and nobody has used it",
        [(append("b", "k"), IdempotencyConflict("client_msg_id", "k"))],
    ),
    "a conflict with oneself": (
        "'k' was refused as used with other content, and was not",
        [(append("a", "k"), 1), (append("a", "k"), IdempotencyConflict("client_msg_id", "k"))],
    ),
    "what was refused is kept": (
        "message 1 is 'a', which nobody can have appended there",
        [(append("a"), StoreError("no")), (GetMessages("s"), page("a"))],
    ),
    "an append after the end": (
        (
            "client 2's AppendMessage(content='a') -> 1 has no place before client 1's"
            " TerminateSession -> cleaned version 3 with 0 messages, nor after it"
        ),
        [(TerminateSession("s"), ended(3)), (append("a"), 1)],
    ),
    "a retry after the end": (
        "client 3's AppendMessage(content='a', client_msg_id='k') -> 1 began when client 2's",
        [(append("a", "k"), 1), (TerminateSession("s"), ended(4, 1)), (append("a", "k"), 1)],
    ),
    "an end that nobody asked for": (
        "client 1's GetSession (refused: SessionNotFound)",
        [(GetSession("s"), SessionNotFound("s")), (append("a"), 1)],
    ),
    "an end of what lives": (
        "an end was answered, of a session that is active",
        [(TerminateSession("s"), at(1))],
    ),
    "a second session of one id": (
        "two creates made the same session",
        [(CreateSession(user_id="bob"), at(1))],
    ),
    "a page with holes": (
        "of 2 messages 0 were read, not 2",
        [(append("a"), 1), (append("b"), 2), (GetMessages("s"), MessagePage(last_seq=2))],
    ),
}
"""What must not be told, and how it is said."""


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    finding = checked(*RIGHT[name])

    assert (finding.told, finding.unclear) == (None, None)
    assert str(finding) == "s: right"


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    told, history = BROKEN[name]

    finding = checked(*history)

    assert finding.told is not None
    assert told in finding.told
    assert all(any(line.startswith(">") for line in finding.story) for _ in finding.operations)


class TestWhatIsUnclear:
    def test_is_a_session_whose_create_is_not_there(self) -> None:
        assert check("s", operations((append("a"), 5))).unclear == (
            "its create is not in the history"
        )

    def test_is_one_with_more_keys_than_a_session_remembers(self) -> None:
        appends = [(append("a", f"{each}"), each + 1) for each in range(KEYS_MAX + 1)]

        assert "keys" in (checked(*appends).unclear or "")

    def test_is_one_whose_id_may_have_been_used_twice(self) -> None:
        create = CreateSession(session_id="s")
        history = operations(
            (create, StoreOutcomeUnknown("lost")),
            (append("a"), 1),
            (create, at(1)),
            (GetSession("s"), at(1)),
        )

        assert check("s", history).unclear == "its id may have been used twice"

    def test_is_one_with_too_many_orders(self) -> None:
        doubtful = [(update(n=each), Timeout()) for each in range(24)]

        finding = checked(*doubtful, (GetSession("s"), at(13, n=12)))

        assert "orders" in (finding.unclear or "")


class TestACreate:
    def test_that_failed_may_have_been_seen(self) -> None:
        create = CreateSession(session_id="s")
        history = operations(
            (create, StoreError("no"), 2),
            (CreateSession(session_id="s", idempotency_key="k"), DuplicateSession("s")),
            (GetSession("s"), Session(id="s")),
            (GetSession("s"), SessionNotFound("s")),
            (create, at(1)),
            (append("a"), 1),
        )

        assert check("s", history).told is None

    def test_that_is_repeated_is_answered_as_it_was_first(self) -> None:
        create = CreateSession(idempotency_key="k")

        again = operations((create, at(1)), (append("a"), 1), (create, at(1)))
        otherwise = operations((create, at(1)), (append("a"), 1), (create, at(2, 1)))

        assert check("s", again).told is None
        assert check("s", otherwise).told == "one create was answered in two ways"


class TestASessionThatCommitsAlone:
    def test_may_have_any_version(self) -> None:
        seen = (GetSession("s"), at(9))

        assert checked(seen, commits_alone=True).told is None
        assert checked(seen).told is not None

    def test_may_end_alone(self) -> None:
        gone = (GetSession("s"), SessionNotFound("s"))

        assert checked((append("a"), 1), gone, commits_alone=True).told is None
        assert checked((append("a"), 1), gone).told is not None

    def test_loses_nothing_either(self) -> None:
        finding = checked((append("a"), 1), (GetSession("s"), at(9)), commits_alone=True)

        assert "saw nothing of it" in (finding.told or "")


class TestAMessageOfABehavioursOwn:
    def test_may_append_before_somebody_of_whom_nobody_knows_begins(self) -> None:
        """Who may have appended later is not who must have appended then."""
        finding = checked(
            (Own("s"), None), (GetSession("s"), at(2, 1)), (append("late"), Timeout())
        )

        assert finding.told is None
        assert finding.unclear is None

    def test_may_not_append_before_it_begins(self) -> None:
        finding = checked(
            (GetSession("s"), at(2, 1)), (Own("s"), None), (append("late"), Timeout())
        )

        assert "yet it saw what that did" in (finding.told or "")

    def test_may_append_two_at_once_beside_somebody_of_whom_nobody_knows(self) -> None:
        finding = checked(
            (Own("s"), None),
            (append("never"), Timeout()),
            (update(1, a=1), at(2, 1, a=1)),
        )

        assert finding.told is None
        assert finding.unclear is None
