"""The state machine: every state against every event."""

from __future__ import annotations

import itertools

import pytest

from callboard.actors.errors import TransitionError
from callboard.actors.sessions.states import (
    SessionState,
    SessionStatus,
    Transition,
    next_state,
    status_of,
    takes_messages,
)

STEPS = {
    ("created", "spawn"): "spawning",
    ("created", "terminate"): "terminating",
    ("spawning", "activate"): "active",
    ("spawning", "terminate"): "terminating",
    ("active", "respawn"): "spawning",
    ("active", "terminate"): "terminating",
    ("terminating", "terminate"): "terminating",
    ("terminating", "clean"): "cleaned",
}
ALL = list(itertools.product(SessionState, Transition))


@pytest.mark.seed("3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9", "3.31")
@pytest.mark.parametrize(("state", "event"), ALL, ids=[f"{s}-{e}" for s, e in ALL])
def test_a_step_leads_where_the_table_says_or_nowhere(
    state: SessionState, event: Transition
) -> None:
    expected = STEPS.get((state.value, event.value))

    if expected is None:
        with pytest.raises(TransitionError) as refused:
            next_state(state, event)
        assert (refused.value.state, refused.value.event) == (state, event)
    else:
        assert next_state(state, event) == expected


@pytest.mark.seed("4.11")
@pytest.mark.parametrize(
    ("state", "status"),
    [
        (SessionState.CREATED, SessionStatus.INITIALIZING),
        (SessionState.SPAWNING, SessionStatus.INITIALIZING),
        (SessionState.ACTIVE, SessionStatus.ACTIVE),
        (SessionState.TERMINATING, SessionStatus.TERMINATING),
        (SessionState.CLEANED, SessionStatus.GONE),
    ],
)
def test_each_state_has_a_status_for_people(state: SessionState, status: SessionStatus) -> None:
    assert status_of(state) is status


def test_a_session_that_is_ending_takes_no_messages() -> None:
    deaf = [state.value for state in SessionState if not takes_messages(state)]

    assert deaf == ["terminating", "cleaned"]


def test_every_way_leads_to_the_end() -> None:
    for state in SessionState:
        if state is not SessionState.CLEANED:
            ending = next_state(state, Transition.TERMINATE)
            assert next_state(ending, Transition.CLEAN) is SessionState.CLEANED
