"""Exit reasons: which are abnormal, what they say, that they survive the wire."""

from __future__ import annotations

import msgspec
import pytest

from callboard.supervision.model.reasons import (
    Crashed,
    ExitReason,
    FailedToStart,
    Frame,
    Killed,
    NoActor,
    Normal,
    Shutdown,
    is_abnormal,
)

NESTED = Shutdown(cause=FailedToStart("inner", Shutdown(cause=FailedToStart(3, Killed()))))
THREE = (Frame("a.py", 1, "f"), Frame("b.py", 2, "g"), Frame("c.py", 3, "h"))
CRASHED = Crashed("ValueError", "bad", (Frame("a.py", 1, "f"), Frame("b.py", 2, "C.g")))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        pytest.param(Normal(), False, id="normal is not"),
        pytest.param(Shutdown(), False, id="shutdown is not"),
        pytest.param(Shutdown(detail="bye"), False, id="shutdown with a detail is not"),
        pytest.param(NESTED, False, id="shutdown with a cause is not"),
        pytest.param(CRASHED, True, id="a crash is"),
        pytest.param(Killed(), True, id="killed is"),
        pytest.param(NoActor(), True, id="no actor is"),
    ],
)
def test_abnormal(reason: ExitReason, *, expected: bool) -> None:
    assert is_abnormal(reason) is expected


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Normal(), "normal"),
        (Shutdown(), "shutdown"),
        (Shutdown(detail="bye"), "shutdown: bye"),
        (
            NESTED,
            "shutdown: child 'inner' failed to start: shutdown: child 3 failed to start: killed",
        ),
        (Crashed("Boom"), "crashed: Boom"),
        (CRASHED, "crashed: ValueError: bad at b.py:2 in C.g"),
        (Crashed("Boom", "It broke."), "crashed: Boom: It broke"),
        (Crashed("Boom", "It broke.\n", CRASHED.walk), "crashed: Boom: It broke at b.py:2 in C.g"),
        (Crashed("Boom", "..."), "crashed: Boom"),
        (Crashed("Boom", "X. \n X"), "crashed: Boom: X. \n X"),
        (Crashed("Boom", "MAX"), "crashed: Boom: MAX"),
        (Crashed("Boom", "", THREE), "crashed: Boom at c.py:3 in h"),
        (Killed(), "killed"),
        (NoActor(), "no actor"),
    ],
)
def test_a_reason_says_itself_in_words(reason: ExitReason, text: str) -> None:
    assert str(reason) == text


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), NESTED, CRASHED, Killed(), NoActor()])
def test_a_reason_comes_back_from_json_as_it_was(reason: ExitReason) -> None:
    wire = msgspec.json.encode(reason)

    assert msgspec.json.decode(wire, type=ExitReason) == reason


def test_reasons_are_values() -> None:
    assert Shutdown() == Shutdown()
    assert Shutdown() != Shutdown(detail="bye")
    assert len({Normal(), Normal(), Killed(), CRASHED}) == 3
