"""The log: persistent, in order, as quick at a million messages as at one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from callboard.actors.sessions import log as logs
from callboard.actors.sessions.data import Message, Role
from callboard.actors.sessions.log import (
    CHUNK_MESSAGES,
    EMPTY_LOG,
    HERE_CHUNKS_MAX,
    KEYS_MAX,
    KEYS_PER_GENERATION,
    Log,
    elsewhere,
    here_from,
    joined,
)
from tests import examples


def said(seq: int, key: str | None = None) -> Message:
    return Message(seq, Role.USER, f"message {seq}", float(seq), client_msg_id=key)


def log_of(count: int, *, keyed: bool = False) -> Log:
    log = EMPTY_LOG
    for seq in range(1, count + 1):
        log = log.append(said(seq, f"key {seq}" if keyed else None))
    return log


LENGTHS = [0, 1, 31, 32, 33, 64, 65, 1023, 1024, 1025, 1056, 1057, 32_768, 32_801, 33_824]


@pytest.mark.seed("0.13")
@pytest.mark.parametrize("length", LENGTHS)
def test_a_log_gives_back_what_was_appended(length: int) -> None:
    log = log_of(length)

    assert len(log) == log.last_seq == length
    assert [each.seq for each in log] == list(range(1, length + 1))
    assert log.slice(limit=length + 1) == tuple(log)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_log_of_any_length_is_cut_anywhere(length: int) -> None:
    log, everything = log_of(length), list(range(1, length + 1))

    for after_seq in (0, 1, 30, 31, 32, 33, length - 33, length - 1, length, length + 1):
        for limit in (0, 1, 2, 32, 100):
            found = [each.seq for each in log.slice(after_seq=after_seq, limit=limit)]
            assert found == everything[max(after_seq, 0) :][:limit]


def test_the_last_messages_come_in_order() -> None:
    log = log_of(40)

    assert [each.seq for each in log.last(3)] == [38, 39, 40]
    assert len(log.last(100)) == 40
    assert log.last(0) == ()


@pytest.mark.seed("0.13")
def test_a_log_has_no_holes() -> None:
    with pytest.raises(AssertionError, match="no holes"):
        EMPTY_LOG.append(said(2))


@pytest.mark.parametrize("length", [0, 1, CHUNK_MESSAGES, 1024, 1056])
def test_two_continuations_of_one_log_do_not_meet(length: int) -> None:
    log = log_of(length, keyed=True)
    left, right = log, log

    for step in range(1, 100):
        left = left.append(said(length + step, f"left {step}"))
        right = right.append(said(length + step, f"right {step}"))

    assert len(log) == length
    assert left.find("right 5") is right.find("left 5") is log.find("left 1") is None
    assert tuple(left)[:length] == tuple(right)[:length] == tuple(log)


def test_the_chunks_of_two_versions_are_shared() -> None:
    log = log_of(1000)

    longer = log.append(said(1001))

    assert all(one is other for one, other in zip(log, longer, strict=False))


class TestKeys:
    def test_find_what_was_appended_under_them(self) -> None:
        log = log_of(3, keyed=True)

        found = log.find("key 2")

        assert found is not None
        assert found.seq == 2
        assert log.find("other") is None

    def test_are_remembered_as_long_as_promised(self) -> None:
        log = log_of(10 * KEYS_MAX, keyed=True)
        newest = log.last_seq

        assert all(log.find(f"key {newest - age}") for age in range(KEYS_MAX))

    def test_are_forgotten_at_last(self) -> None:
        log = log_of(10 * KEYS_MAX, keyed=True)
        oldest = log.last_seq - KEYS_MAX - KEYS_PER_GENERATION

        assert all(log.find(f"key {seq}") is None for seq in range(1, oldest + 1))

    def test_are_not_used_up_by_messages_that_have_none(self) -> None:
        log = EMPTY_LOG.append(said(1, "the key"))
        for seq in range(2, 5 * KEYS_MAX):
            log = log.append(said(seq))

        assert log.find("the key")


@settings(max_examples=examples.of(50))
@given(st.lists(st.booleans(), max_size=300), st.integers(0, 320), st.integers(0, 320))
def test_a_log_is_a_list_that_cannot_change(keyed: list[bool], after_seq: int, limit: int) -> None:
    log, model = EMPTY_LOG, list[Message]()
    for seq, has_key in enumerate(keyed, start=1):
        message = said(seq, f"k{seq}" if has_key else None)
        log, model = log.append(message), [*model, message]

    assert list(log) == model
    assert list(log.slice(after_seq=after_seq, limit=limit)) == model[after_seq:][:limit]
    assert all((log.find(f"k{each.seq}") is each) == bool(each.client_msg_id) for each in model)


class Branches(RuleBasedStateMachine):
    """Any version may be continued at any time: none ever changes."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[tuple[Log, list[Message]]] = [(EMPTY_LOG, [])]
        self.made = 0

    @rule(which=st.integers(0, 1000), count=st.integers(1, 70))
    def append(self, which: int, count: int) -> None:
        log, model = self.versions[which % len(self.versions)]
        for _ in range(count):
            self.made += 1
            message = said(log.last_seq + 1, f"{self.made}")
            log, model = log.append(message), [*model, message]
        self.versions.append((log, model))

    @invariant()
    def every_version_is_what_it_was(self) -> None:
        for log, model in self.versions:
            assert list(log) == model
            assert all(one.seq + 1 == other.seq for one, other in pairwise(log))


Branches.TestCase.settings = settings(max_examples=examples.of(30), stateful_step_count=15)
TestBranches = Branches.TestCase


class TestALogOfWhichNotAllIsHere:
    @staticmethod
    def said(seq: int) -> Message:
        key = f"k{seq}" if seq % 3 == 0 else None
        return Message(seq, Role.USER, f"{seq}", 0.0, client_msg_id=key)

    def trimmed(self, length: int, *, not_kept: int = 0) -> Log:
        log = EMPTY_LOG
        for seq in range(1, length + 1):
            log = log.append(self.said(seq)).trimmed(up_to_seq=max(0, seq - not_kept))
        return log

    @pytest.mark.parametrize("length", [1, 31, 200, 384, 385, 1_000, 3_001])
    def test_has_its_last_messages_and_keys(self, length: int) -> None:
        log = self.trimmed(length)

        here = [each.seq for each in log]
        assert here == list(range(log.first_seq, length + 1))
        assert min(length, 200) <= len(here) < HERE_CHUNKS_MAX * CHUNK_MESSAGES
        assert [each.seq for each in log.last(50)] == here[-50:]
        assert (
            log.slice(after_seq=length - 40, limit=7)
            == log.slice(after_seq=length - 40, limit=40)[:7]
        )
        if length >= 3:
            assert log.find(f"k{length // 3 * 3}") is not None

    def test_keeps_what_may_have_to_be_written_still(self) -> None:
        log = self.trimmed(1_000, not_kept=600)

        assert log.first_seq <= 401

    @pytest.mark.parametrize("length", [1, 200, 385, 3_001])
    def test_is_made_again_of_what_a_store_has(self, length: int) -> None:
        whole = [self.said(seq) for seq in range(1, length + 1)]
        first_seq = here_from(length)
        keyed = [each for each in whole[: first_seq - 1] if each.client_msg_id][-KEYS_MAX:]

        log = logs.log_of(whole[first_seq - 1 :], first_seq=first_seq, keyed=keyed)

        assert (log.last_seq, list(log)) == (length, whole[first_seq - 1 :])
        assert len(list(log)) >= min(length, 200)
        known = [each for each in whole if each.client_msg_id][-KEYS_MAX:]
        assert all(log.find(str(each.client_msg_id)) == each for each in known)
        assert log.append(self.said(length + 1)).last_seq == length + 1

    def test_of_which_nothing_is_here_takes_nothing(self) -> None:
        log = elsewhere(7)

        assert (list(log), log.last_seq, log.slice(after_seq=0, limit=9)) == ([], 7, ())
        with pytest.raises(AssertionError):
            log.append(self.said(8))

    def test_is_joined_with_what_a_store_has(self) -> None:
        log = self.trimmed(1_000)
        older = tuple(self.said(seq) for seq in range(log.first_seq - 2, log.first_seq))

        both = joined(log, older, after_seq=log.first_seq - 3, limit=5)

        assert [each.seq for each in both] == list(range(log.first_seq - 2, log.first_seq + 3))
        # What has left the memory since the store was asked is on the next page.
        assert joined(log, older[:1], after_seq=log.first_seq - 3, limit=5) == older[:1]
        assert joined(log, (), after_seq=log.first_seq - 3, limit=5) == ()
