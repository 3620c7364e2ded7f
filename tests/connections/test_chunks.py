"""Which parts of what an agent says make one message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.actors import AgentUpdate, Role
from callboard.actors.connections.chunks import INTERRUPTED, Chunks, cut
from callboard.actors.sessions.internal import Said


def said(updates: list[AgentUpdate], bytes_max: int = 1_000) -> list[Said]:
    chunks = Chunks(bytes_max)
    return [*(each for update in updates for each in chunks.add(update)), *chunks.finish()]


def part(text: str, role: Role = Role.ASSISTANT) -> AgentUpdate:
    return AgentUpdate(role=role, text=text)


def test_parts_of_one_role_in_a_row_are_one_message() -> None:
    heard = said([part("a"), part("b"), part("c", Role.THOUGHT), part("d")])

    assert heard == [
        Said(Role.ASSISTANT, "ab"),
        Said(Role.THOUGHT, "c"),
        Said(Role.ASSISTANT, "d"),
    ]


def test_a_part_with_data_is_a_message_of_its_own() -> None:
    tool = AgentUpdate(role=Role.TOOL, text="ls", data={"kind": "execute"})

    assert said([part("a", Role.TOOL), tool, part("b", Role.TOOL)]) == [
        Said(Role.TOOL, "a"),
        Said(Role.TOOL, "ls", {"kind": "execute"}),
        Said(Role.TOOL, "b"),
    ]


def test_a_message_is_no_larger_than_it_may_be() -> None:
    assert said([part("aaa"), part("bbb"), part("ccc")], bytes_max=6) == [
        Said(Role.ASSISTANT, "aaabbb"),
        Said(Role.ASSISTANT, "ccc"),
    ]


def test_what_an_agent_did_not_come_to_finish_says_so() -> None:
    chunks = Chunks(100)
    assert list(chunks.add(part("half"))) == []

    assert list(chunks.finish(INTERRUPTED)) == [Said(Role.ASSISTANT, "half", INTERRUPTED)]
    assert list(chunks.finish()) == []


@given(
    st.lists(st.tuples(st.sampled_from([Role.ASSISTANT, Role.THOUGHT]), st.text(max_size=20))),
    st.integers(min_value=4, max_value=30),
)
def test_nothing_is_lost_added_or_too_large(parts: list[tuple[Role, str]], bytes_max: int) -> None:
    heard = said([part(text, role) for role, text in parts], bytes_max)

    for role in (Role.ASSISTANT, Role.THOUGHT):
        told = "".join(text for each, text in parts if each is role)
        assert "".join(each.content for each in heard if each.role is role) == told
    assert all(0 < len(each.content.encode()) <= bytes_max for each in heard)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [("", ()), ("abc", ("abc",)), ("abcd", ("abc", "d")), ("aéé", ("aé", "é"))],
)
def test_a_text_is_cut_between_characters(text: str, pieces: tuple[str, ...]) -> None:
    assert cut(text, 3) == pieces
