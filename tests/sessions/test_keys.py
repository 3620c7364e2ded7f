"""What a repeated operation gets: the effect once, the first reply again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from callboard.actors import (
    STANDARD,
    AppendMessage,
    CreateSession,
    IdempotencyConflict,
    Keeping,
    PassivateSession,
    RecordActivity,
    Role,
    Session,
    SessionCrashed,
    SessionState,
    SessionSystem,
    Shutdown,
    TerminateSession,
    UpdateSession,
)
from callboard.actors.secrets import Vault
from callboard.actors.sessions.data import SessionPatch
from callboard.actors.sessions.keys import Creates, Key, content_of
from callboard.actors.sessions.log import KEYS_MAX, KEYS_PER_GENERATION
from callboard.actors.sessions.spawn import Step
from callboard.supervision.testing import Simulation
from tests.laws import broken_laws
from tests.sessions.stage import Stage, later, part_of, services_of, texts

CREATE = CreateSession(user_id="ada", metadata={"a": 1}, idempotency_key="k")


def key(name: str) -> Key:
    return ("acme", "ada", name)


class TestARepeatedCreate:
    def test_gets_the_first_reply_whatever_has_changed_since(self, opened: SessionSystem) -> None:
        first = opened.ask(CREATE)
        opened.ask(RecordActivity(first.id))
        opened.ask(UpdateSession(first.id, patch=SessionPatch(metadata={"a": 2})))

        assert opened.ask(CREATE) == first
        assert opened.get(first.id).version > first.version
        assert opened.health().sessions == 1

    @pytest.mark.parametrize("key", [None, "another"])
    def test_is_told_of_its_own_session_when_another_has_the_id_by_then(
        self, opened: SessionSystem, key: str | None
    ) -> None:
        with_id = msgspec.structs.replace(CREATE, session_id="s")
        first = opened.ask(with_id)
        opened.ask(TerminateSession("s"))

        second = opened.ask(CreateSession(session_id="s", user_id="bob", idempotency_key=key))

        assert (second.user_id, opened.get("s").user_id) == ("bob", "bob")
        assert opened.ask(with_id) == first

    def test_gets_it_when_the_session_sleeps_or_has_ended(self, opened: SessionSystem) -> None:
        first = opened.ask(CREATE)
        opened.ask(PassivateSession(first.id))
        asleep = opened.ask(CREATE)
        opened.ask(TerminateSession(first.id))

        assert asleep == first
        assert opened.ask(CREATE) == first
        assert opened.health().sessions == 0

    def test_gets_it_though_the_manager_has_died(self, stage: Stage, opened: SessionSystem) -> None:
        first = opened.ask(CREATE)
        opened.ask(RecordActivity(first.id))
        part_of(opened, "front/manager").kill()
        stage.settle()

        assert opened.ask(CREATE) == first

    def test_gets_it_while_no_new_session_is_taken(self, opened: SessionSystem) -> None:
        first = opened.ask(CREATE)
        opened.ask(Shutdown(grace_s=0.0))

        assert opened.ask(CREATE) == first

    def test_of_one_that_is_not_started_gets_it_too(self, opened: SessionSystem) -> None:
        create = CreateSession(user_id="ada", activate=False, idempotency_key="k")
        first = opened.ask(create)
        opened.ask(AppendMessage(first.id, Role.USER, "it runs by now"))

        assert opened.ask(create) == first

    def test_gets_what_its_first_creator_got_whichever_incarnation_told_him(
        self, stage: Stage
    ) -> None:
        sessions = stage.open()
        services = services_of(sessions)

        async def light(session: Session, vault: Vault) -> None:
            del vault  # an earlier incarnation was lost when it had noted its reply, and told none
            active = msgspec.structs.replace(session, state=SessionState.ACTIVE)
            services.book.creates.replied(session.id, active)

        services.planners.append(lambda _: (Step(name="lamp", do=light, is_redone=True),))
        first = sessions.ask(CREATE)

        assert sessions.ask(CREATE) == first
        assert sessions.get(first.id).version > first.version

    def test_while_the_first_is_at_work_gets_the_same_reply(self, stage: Stage) -> None:
        sessions = stage.open()
        create = CreateSession(session_id="ada", idempotency_key="k")
        stage.play.starts_at_the_gate.add("ada")
        asked = [later(sessions, create) for _ in range(3)]
        stage.settle()
        stage.play.gate.open()
        stage.settle()

        replies: list[Session] = [each.get() for each in asked]
        assert replies[0] == replies[1] == replies[2]
        assert sessions.health().sessions == 1

    @pytest.mark.parametrize(
        "other",
        [
            {"agent_role": "guide"},
            {"metadata": {"a": 2}},
            {"metadata": {"a": True}},
            {"metadata": {"a": 1.0}},
            {"activate": False},
        ],
        ids=str,
    )
    def test_with_other_content_is_a_conflict(
        self, opened: SessionSystem, other: dict[str, Any]
    ) -> None:
        opened.ask(CREATE)

        with pytest.raises(IdempotencyConflict, match="idempotency_key"):
            opened.ask(msgspec.structs.replace(CREATE, **other))

    @pytest.mark.parametrize("other", [{"user_id": "bob"}, {"org_id": "evil"}], ids=str)
    def test_of_another_tenant_with_the_same_key_is_his_own(
        self, opened: SessionSystem, other: dict[str, Any]
    ) -> None:
        theirs = msgspec.structs.replace(CREATE, **other)
        first, second = opened.ask(CREATE), opened.ask(theirs)

        assert first.id != second.id
        assert (opened.ask(CREATE), opened.ask(theirs)) == (first, second)
        with pytest.raises(IdempotencyConflict):  # the key itself, and nothing of its owner
            opened.ask(msgspec.structs.replace(theirs, metadata={"a": 2}))

    def test_is_known_by_what_was_said_and_not_by_what_became_of_the_mapping(
        self, opened: SessionSystem
    ) -> None:
        notes: dict[str, object] = {"a": 1, "b": 2}
        first = opened.ask(CreateSession(metadata=notes, idempotency_key="k"))
        notes["a"] = 3

        again = CreateSession(metadata={"b": 2, "a": 1}, idempotency_key="k")
        assert opened.ask(again) == first
        with pytest.raises(IdempotencyConflict):
            opened.ask(CreateSession(metadata=notes, idempotency_key="k"))

    def test_after_a_day_is_a_new_one(self, stage: Stage) -> None:
        sessions = stage.open(cleanup_interval_s=0)
        first = sessions.ask(CREATE)
        stage.advance(STANDARD.keys_keep_s)
        within = sessions.ask(CREATE)
        stage.advance(0.001)

        assert within == first
        assert sessions.ask(CREATE).id != first.id

    def test_is_a_new_one_when_so_many_others_came_as_the_host_bears(self, stage: Stage) -> None:
        sessions = stage.open(keeping=Keeping(keys_max=2, keys_keep_s=math.inf))
        first = sessions.ask(CREATE)
        sessions.ask(CreateSession(idempotency_key="another"))
        within = sessions.ask(CREATE)
        sessions.ask(CreateSession(idempotency_key="one too many"))

        assert within == first
        assert sessions.ask(CREATE).id != first.id

    @pytest.mark.parametrize("key", ["k2", None])
    def test_of_an_id_that_was_used_before_breaks_no_law(
        self, stage: Stage, key: str | None
    ) -> None:
        sessions = stage.open()
        sessions.ask(CreateSession(session_id="s", idempotency_key="k1"))
        sessions.ask(TerminateSession("s"))
        sessions.ask(CreateSession(session_id="s", idempotency_key=key))
        stage.settle()

        assert broken_laws(sessions) == []

    def test_that_is_too_old_is_forgotten_though_nobody_creates_any_more(
        self, stage: Stage
    ) -> None:
        sessions = stage.open(keeping=Keeping(keys_keep_s=60.0, cleanup_interval_s=10.0))
        sessions.ask(CREATE)
        stage.advance(60.0)
        creates = services_of(sessions).book.creates
        within = len(creates)
        stage.advance(10.0)

        assert (within, len(creates)) == (1, 0)


class TestKeys:
    def test_beyond_the_bound_the_oldest_is_forgotten(self) -> None:
        creates = Creates(keys_max=3, keep_s=60.0)
        for number in range(5):
            creates.remember(key(f"k{number}"), b"", f"s{number}", now_s=float(number))

        assert [bool(creates.find(key(f"k{n}"), now_s=5.0)) for n in range(5)] == [False] * 2 + [
            True
        ] * 3
        assert len(creates) == 3

    def test_have_one_reply_whatever_a_later_manager_comes_with(self) -> None:
        """One that follows on a manager killed before it answered knows only what is there now."""
        creates = Creates(keys_max=3, keep_s=60.0)
        creates.remember(key("k"), b"content", "s", now_s=0.0)
        first, later_on = Session(id="s", version=3), Session(id="s", version=6)

        assert creates.replied("s", first) is first
        assert creates.replied("s", later_on) is first
        assert creates.replied("another", later_on) is later_on

    def test_of_what_never_came_to_be_is_free_again(self) -> None:
        creates = Creates(keys_max=3, keep_s=60.0)
        creates.remember(key("k"), b"", "s", now_s=0.0)
        creates.forget("s")
        creates.forget("s")

        assert creates.find(key("k"), now_s=0.0) is None
        assert len(creates) == 0

    def test_of_one_session_id_that_was_used_again_are_two(self) -> None:
        creates = Creates(keys_max=2, keep_s=60.0)
        for number in (1, 2):
            creates.remember(key(f"k{number}"), b"", "s", now_s=0.0)
        creates.remember(key("k3"), b"", "another", now_s=0.0)
        reply = Session(id="s")
        creates.replied("s", reply)

        known = creates.find(key("k2"), now_s=0.0)
        assert known is not None
        assert known.reply is reply

    def test_is_as_good_for_a_mapping_that_is_no_dict(self) -> None:
        proxy = CreateSession(metadata=MappingProxyType({"a": 1}))

        assert content_of(proxy) == content_of(CreateSession(metadata={"a": 1}))


def test_a_repeated_append_is_known_for_the_last_1024_keys(opened: SessionSystem, ada: str) -> None:
    for number in range(KEYS_MAX + KEYS_PER_GENERATION + 1):
        opened.ask(AppendMessage(ada, Role.USER, "x", f"key {number}"))
    last = opened.get(ada).last_seq

    kept = opened.ask(AppendMessage(ada, Role.USER, "x", f"key {last - KEYS_MAX}"))
    assert kept == last - KEYS_MAX + 1
    with pytest.raises(IdempotencyConflict, match="client_msg_id"):
        opened.ask(AppendMessage(ada, Role.USER, "y", f"key {last - KEYS_MAX}"))
    assert opened.ask(AppendMessage(ada, Role.USER, "x", "key 0")) == last + 1


@pytest.mark.parametrize("seed", range(40))
def test_an_append_repeated_after_a_crash_anywhere_in_it_is_there_once(seed: int) -> None:
    once = AppendMessage("ada", Role.USER, "hello", client_msg_id="1")
    with (
        Simulation(seed) as simulation,
        SessionSystem(runtime=simulation.runtime, partitions=1) as sessions,
    ):
        sessions.ask(CreateSession(session_id="ada"))

        def append() -> int:
            while True:
                with suppress(SessionCrashed):
                    return sessions.ask(once, timeout=60.0)

        def strike() -> None:
            for _ in range(2):
                cell = sessions.address("ada").ref
                if cell is not None:
                    cell.kill()
                simulation.sleep(0.0)

        appending = [simulation.spawn(f"client-{number}", append) for number in range(2)]
        simulation.spawn("strike", strike).result()

        assert [each.result() for each in appending] == [1, 1]
        assert texts(sessions, "ada") == ["hello"]


class Composer:
    """Composes a prompt, and counts how often."""

    def __init__(self) -> None:
        self.composed = 0

    def compose(
        self, user_id: str | None, org_id: str | None, variables: Mapping[str, object]
    ) -> str:
        del user_id, org_id, variables
        self.composed += 1
        return f"prompt {self.composed}"


def test_a_repeated_create_of_one_that_is_spawned_gets_the_first_reply(stage: Stage) -> None:
    composer = Composer()
    sessions = stage.open(prompts=composer)
    asked = [later(sessions, CREATE) for _ in range(3)]
    stage.settle()
    first, *others = [each.get() for each in asked]
    sessions.ask(RecordActivity(first.id))
    again = sessions.ask(CREATE)
    sessions.ask(TerminateSession(first.id))

    assert others == [first, first]
    assert again == sessions.ask(CREATE) == first
    assert (first.system_prompt, composer.composed) == ("prompt 1", 1)
