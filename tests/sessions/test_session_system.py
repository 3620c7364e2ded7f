"""What a host sees of the sessions: on real threads, and on the one-thread seeded dispatcher."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CleanupInactive,
    CountSessions,
    CreateSession,
    DuplicateRole,
    DuplicateSession,
    Fault,
    FindSession,
    GetMessages,
    GetSession,
    GetSessionRef,
    IdempotencyConflict,
    IncrementMessageCount,
    InjectCrash,
    InvalidField,
    InvalidUserId,
    ListSessions,
    MaxSessionsReached,
    NotStarted,
    PassivateSession,
    Presence,
    RecordActivity,
    ReviveSession,
    Role,
    Session,
    SessionActor,
    SessionAsleep,
    SessionCrashed,
    SessionHasLog,
    SessionLimits,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionQuarantined,
    SessionState,
    SessionSystem,
    Shutdown,
    ShuttingDown,
    StartedAlready,
    TerminateSession,
    UpdateFailed,
    UpdateSession,
    VersionConflict,
)
from callboard.supervision import InvalidSpec, Refusal, SystemStopped, handles
from callboard.supervision.testing import Simulation

WITHIN_S = 10.0
PARTS = ["front/manager", "front/janitor", "sessions/0", "sessions", "front"]


class Asked(msgspec.Struct, frozen=True):
    questions: int = 0


class Question(SessionMessage[str], frozen=True, kw_only=True):
    text: str


class Ponder(SessionMessage[str], frozen=True, kw_only=True):
    text: str


class NotNow(Refusal):
    code = "not_now"


class Guide(SessionActor[Asked]):
    def initial_data(self) -> Asked:
        return Asked()

    @handles(Question)
    def on_question(self, message: Question) -> str:
        self.append(Role.USER, message.text)
        self.update(data=Asked(self.data.questions + 1))
        if message.text == "crash":
            msg = "the guide is lost"
            raise LookupError(msg)
        if message.text == "refuse":
            msg = "ask me tomorrow"
            raise NotNow(msg)
        self.append(Role.ASSISTANT, f"about {message.text}")
        return f"answer {self.data.questions}"

    @handles(Ponder)
    async def on_ponder(self, message: Ponder) -> str:
        await asyncio.sleep(0)
        return self.on_question(Question(message.session_id, text=message.text))


@pytest.fixture(params=["threads", 0, 1])
def runtime(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "threads":
        yield None
        return
    with Simulation(seed=request.param) as simulation:
        yield simulation.runtime


@pytest.fixture
def sessions(runtime: Any) -> Iterator[SessionSystem]:
    with SessionSystem(session=Guide, faults=True, partitions=2, runtime=runtime) as made:
        yield made


def create(sessions: SessionSystem, **fields: Any) -> str:
    return sessions.ask(CreateSession(**fields), timeout=WITHIN_S).id


def ask(sessions: SessionSystem, session_id: str, text: str) -> str:
    return sessions.ask(Question(session_id, text=text), timeout=WITHIN_S)


def said(sessions: SessionSystem, session_id: str) -> list[str]:
    return [message.content for message in sessions.messages(session_id)]


class TestANewSession:
    @pytest.mark.seed("1.11", "4.5", "4.15")
    def test_is_active_and_has_its_data_when_the_reply_comes(self, sessions: SessionSystem) -> None:
        made = sessions.ask(CreateSession(user_id="ada", org_id="acme"))

        assert made.state is SessionState.ACTIVE
        assert made.presence is Presence.AWAKE
        assert made.created_at == made.state_since or made.state_since >= made.created_at
        assert made.data == Asked()
        assert sessions.get(made.id) == made

    def test_without_activation_waits_until_it_is_needed(self, sessions: SessionSystem) -> None:
        made = sessions.ask(CreateSession(activate=False))

        assert made.state is SessionState.CREATED
        assert ask(sessions, made.id, "rome") == "answer 1"
        assert sessions.get(made.id).state is SessionState.ACTIVE

    @pytest.mark.seed("0.12")
    def test_may_not_take_an_id_that_is_there(self, sessions: SessionSystem) -> None:
        create(sessions, session_id="mine")

        with pytest.raises(DuplicateSession):
            create(sessions, session_id="mine")

    def test_that_is_asked_for_twice_with_one_key_is_one(self, sessions: SessionSystem) -> None:
        first = create(sessions, user_id="ada", idempotency_key="k")

        assert create(sessions, user_id="ada", idempotency_key="k") == first
        with pytest.raises(IdempotencyConflict):
            create(sessions, user_id="ada", agent_role="guide", idempotency_key="k")
        assert sessions.ask(CountSessions()) == 1

    @pytest.mark.seed("4.5")
    def test_with_a_wrong_field_leaves_nothing_behind(self, sessions: SessionSystem) -> None:
        with pytest.raises(InvalidUserId) as refused:
            create(sessions, user_id="")

        assert refused.value.field == "user_id"
        assert refused.value.remedy
        assert sessions.ask(CountSessions()) == 0

    def test_of_an_unknown_kind_is_refused(self, sessions: SessionSystem) -> None:
        with pytest.raises(InvalidField, match="kind"):
            create(sessions, kind="poet")


class TestLimits:
    @pytest.mark.seed("2.16")
    def test_of_places_hold_and_a_place_is_given_back(self, runtime: Any) -> None:
        limits = SessionLimits(sessions_max=2, sessions_per_user_max=1)
        with SessionSystem(limits=limits, runtime=runtime) as sessions:
            ada = create(sessions, user_id="ada")
            with pytest.raises(MaxSessionsReached) as per_user:
                create(sessions, user_id="ada")
            create(sessions, user_id="bob")
            with pytest.raises(MaxSessionsReached) as in_all:
                create(sessions, user_id="cy")

            sessions.ask(TerminateSession(ada, "done"))

            assert (per_user.value.scope, in_all.value.scope) == ("user", "manager")
            assert create(sessions, user_id="cy")

    @pytest.mark.seed("3.11")
    def test_of_roles_hold_when_they_are_to_be_unique(self, runtime: Any) -> None:
        with SessionSystem(unique_role=True, runtime=runtime) as sessions:
            create(sessions, user_id="ada", agent_role="tutor")

            with pytest.raises(DuplicateRole):
                create(sessions, user_id="ada", agent_role="tutor")
            assert create(sessions, user_id="bob", agent_role="tutor")


class TestReading:
    @pytest.mark.seed("3.18", "3.19", "4.9")
    def test_finds_by_id_and_by_role_and_says_none_otherwise(self, sessions: SessionSystem) -> None:
        ada = create(sessions, user_id="ada", agent_role="tutor")

        by_role = sessions.ask(FindSession(agent_role="tutor"))

        assert by_role is not None
        assert by_role.id == ada
        assert sessions.ask(FindSession("nobody")) is None
        with pytest.raises(SessionNotFound):
            sessions.ask(GetSession("nobody"))

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"limit": 0}, "limit"),
            ({"limit": 10**9}, "limit"),
            ({"limit": True}, "limit"),
            ({"after_seq": -1}, "after_seq"),
        ],
        ids=str,
    )
    def test_refuses_a_part_of_a_log_as_the_message_does(
        self, sessions: SessionSystem, wrong: dict[str, int], field: str
    ) -> None:
        ada = create(sessions)

        with pytest.raises(InvalidField) as refused:
            sessions.messages(ada, **wrong)
        with pytest.raises(InvalidField) as told:
            sessions.ask(GetMessages(ada, **wrong))

        assert refused.value.field == field
        assert str(refused.value) == str(told.value)

    @pytest.mark.seed("0.7", "2.25", "3.20", "3.23", "4.7")
    def test_lists_in_pages_and_counts(self, sessions: SessionSystem) -> None:
        made = sorted(create(sessions, user_id="ada") for _ in range(5))
        create(sessions, user_id="bob")

        first = sessions.ask(ListSessions(user_id="ada", limit=3, fields="id"))
        rest = sessions.ask(ListSessions(user_id="ada", after_id=first.next_after_id, fields="id"))

        assert [*first.ids, *rest.ids] == made
        assert rest.next_after_id is None
        assert sessions.ask(CountSessions(user_id="ada")) == 5

    @pytest.mark.seed("1.12")
    def test_is_no_activity(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        before = sessions.get(ada)

        sessions.ask(GetSession(ada, messages=5))

        assert sessions.get(ada) is before or sessions.get(ada) == before


class TestTheLog:
    @pytest.mark.seed("0.13", "3.15")
    def test_numbers_messages_from_one_without_holes(self, sessions: SessionSystem) -> None:
        ada = create(sessions)

        numbers = [sessions.ask(AppendMessage(ada, Role.USER, text)) for text in "abc"]

        page = sessions.ask(GetMessages(ada, after_seq=1))
        assert numbers == [1, 2, 3]
        assert [message.content for message in page.messages] == ["b", "c"]
        assert page.last_seq == sessions.get(ada).message_count == 3

    def test_takes_a_repeated_append_once(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        once = AppendMessage(ada, Role.USER, "hello", client_msg_id="1")

        assert sessions.ask(once) == sessions.ask(once) == 1
        with pytest.raises(IdempotencyConflict):
            sessions.ask(AppendMessage(ada, Role.USER, "other", client_msg_id="1"))


class TestAnUpdate:
    @pytest.mark.seed("1.13")
    def test_changes_what_the_patch_names_and_counts_the_version(
        self, sessions: SessionSystem
    ) -> None:
        ada = create(sessions)
        version = sessions.get(ada).version

        patch = SessionPatch(metadata={"tags": ["a"]})
        updated = sessions.ask(UpdateSession(ada, patch=patch, expected_version=version))

        assert updated.metadata == {"tags": ("a",)}
        assert updated.version == version + 1
        with pytest.raises(VersionConflict):
            sessions.ask(UpdateSession(ada, patch=patch, expected_version=version))

    @pytest.mark.seed("1.13")
    def test_by_a_function_that_raises_is_refused_and_the_session_lives(
        self, sessions: SessionSystem
    ) -> None:
        ada = create(sessions)

        def fail(_session: Any) -> SessionPatch:
            raise ZeroDivisionError

        with pytest.raises(UpdateFailed):
            sessions.ask(UpdateSession(ada, fn=fail))
        assert sessions.get(ada).restarts == 0

    @pytest.mark.parametrize("returned", [None, {"metadata": {}}, 3], ids=str)
    def test_by_a_function_that_returns_no_patch_is_refused_and_the_session_lives(
        self, sessions: SessionSystem, returned: Any
    ) -> None:
        ada = create(sessions)

        with pytest.raises(UpdateFailed, match=type(returned).__name__):
            sessions.ask(UpdateSession(ada, fn=lambda _: returned))
        assert sessions.get(ada).restarts == 0

    def test_by_a_function_is_checked_like_one_by_a_patch(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        wrong: Any = SessionPatch(system_prompt=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # on purpose

        with pytest.raises(InvalidField, match="system_prompt"):
            sessions.ask(UpdateSession(ada, fn=lambda _: wrong))
        assert sessions.get(ada).system_prompt is None

    def test_upon_another_version_does_not_call_the_function(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        calls: list[Session] = []

        def fn(session: Session) -> SessionPatch:
            calls.append(session)
            return SessionPatch()

        with pytest.raises(VersionConflict):
            sessions.ask(UpdateSession(ada, fn=fn, expected_version=99))
        assert calls == []

    def test_by_both_a_patch_and_a_function_is_refused(self, sessions: SessionSystem) -> None:
        ada = create(sessions)

        with pytest.raises(InvalidField, match="either"):
            sessions.ask(UpdateSession(ada, patch=SessionPatch(), fn=lambda _: SessionPatch()))

    @pytest.mark.seed("3.15")
    def test_counts_messages_where_there_is_no_log_and_no_others(
        self, sessions: SessionSystem
    ) -> None:
        ada = create(sessions)
        counted = [sessions.ask(IncrementMessageCount(ada)) for _ in range(2)]
        seq = sessions.ask(AppendMessage(ada, Role.USER, "from now on there is a log"))

        with pytest.raises(SessionHasLog):
            sessions.ask(IncrementMessageCount(ada))
        assert (counted, seq) == ([1, 2], 1)
        assert (sessions.get(ada).message_count, sessions.get(ada).last_seq) == (3, 1)

    def test_and_a_sign_of_life_are_activity(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        before = sessions.get(ada).last_active_at

        assert sessions.ask(RecordActivity(ada)) >= before


class TestAUsersOwnBehaviour:
    @pytest.mark.parametrize("kind", [Question, Ponder])
    def test_keeps_messages_and_data_with_one_commit(
        self, sessions: SessionSystem, kind: type[Question | Ponder]
    ) -> None:
        ada = create(sessions)

        assert sessions.ask(kind(ada, text="rome"), timeout=WITHIN_S) == "answer 1"

        assert said(sessions, ada) == ["rome", "about rome"]
        assert sessions.get(ada).data == Asked(1)
        assert sessions.get(ada).version == 2

    @pytest.mark.parametrize("kind", [Question, Ponder])
    def test_that_refuses_leaves_everything_as_it_was(
        self, sessions: SessionSystem, kind: type[Question | Ponder]
    ) -> None:
        ada = create(sessions)
        before = sessions.get(ada)

        with pytest.raises(NotNow):
            sessions.ask(kind(ada, text="refuse"), timeout=WITHIN_S)

        assert sessions.get(ada) == before
        assert said(sessions, ada) == []
        assert ask(sessions, ada, "rome") == "answer 1"

    @pytest.mark.parametrize("kind", [Question, Ponder])
    def test_that_crashes_loses_that_message_alone(
        self, sessions: SessionSystem, kind: type[Question | Ponder]
    ) -> None:
        ada = create(sessions)
        ask(sessions, ada, "rome")

        with pytest.raises(LookupError, match="lost"):
            sessions.ask(kind(ada, text="crash"), timeout=WITHIN_S)

        assert ask(sessions, ada, "paris") == "answer 2"
        assert said(sessions, ada) == ["rome", "about rome", "paris", "about paris"]

    def test_gets_messages_of_the_right_types_only(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        wrong: Any = 7

        with pytest.raises(InvalidField) as refused:
            sessions.ask(Question(ada, text=wrong))

        assert refused.value.field == "text"
        assert sessions.get(ada).restarts == 0

    @pytest.mark.seed("4.8")
    def test_is_reached_by_an_address_that_stays(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        address = sessions.ask(GetSessionRef(ada))

        sessions.ask(InjectCrash(session_id=ada, how=Fault.KILL))

        assert address.ask(Question(ada, text="rome"), timeout=WITHIN_S) == "answer 1"


class TestACrash:
    @pytest.mark.parametrize("how", list(Fault))
    def test_of_a_session_keeps_what_was_committed(
        self, sessions: SessionSystem, how: Fault
    ) -> None:
        ada = create(sessions)
        ask(sessions, ada, "rome")

        sessions.ask(InjectCrash(session_id=ada, how=how))

        assert ask(sessions, ada, "paris") == "answer 2"
        assert said(sessions, ada) == ["rome", "about rome", "paris", "about paris"]

    @pytest.mark.seed("4.1")
    @pytest.mark.parametrize("part", PARTS)
    @pytest.mark.parametrize("how", [Fault.KILL, Fault.EXIT])
    def test_of_any_part_keeps_all_sessions(
        self, sessions: SessionSystem, part: str, how: Fault
    ) -> None:
        made = [create(sessions) for _ in range(6)]
        for each in made:
            ask(sessions, each, "rome")

        sessions.ask(InjectCrash(part=part, how=how), timeout=WITHIN_S)

        assert [ask(sessions, each, "paris") for each in made] == ["answer 2"] * 6
        assert create(sessions)
        assert sessions.ask(CountSessions()) == 7

    def test_again_and_again_ends_in_quarantine_with_what_did_it(
        self, sessions: SessionSystem
    ) -> None:
        ada = create(sessions)
        ask(sessions, ada, "rome")

        for _ in range(4):
            with pytest.raises(LookupError):
                ask(sessions, ada, "crash")
        with pytest.raises(SessionQuarantined):
            ask(sessions, ada, "paris")

        kept = sessions.get(ada)
        assert kept.presence is Presence.QUARANTINED
        assert kept.failed_on == "Question"
        assert kept.last_error is not None
        assert "the guide is lost" in kept.last_error
        assert said(sessions, ada) == ["rome", "about rome"]
        assert sessions.ask(ReviveSession(ada)).presence is Presence.AWAKE
        assert ask(sessions, ada, "paris") == "answer 2"

    @pytest.mark.seed("1.19")
    def test_of_the_root_tells_the_host_and_every_asker(self, runtime: Any) -> None:
        sessions = SessionSystem(session=Guide, faults=True, partitions=2, runtime=runtime)
        with sessions:
            ada = create(sessions)
            root = sessions.system.lookup("root")
            assert root is not None
            assert root.ref is not None
            root.ref.kill()

            assert sessions.wait(WITHIN_S) is not None
            with pytest.raises(SystemStopped):
                ask(sessions, ada, "rome")
            with pytest.raises(SystemStopped):
                sessions.get(ada)
            assert not sessions.health().is_healthy


class TestSleep:
    def test_keeps_the_state_and_ends_with_the_next_message(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        ask(sessions, ada, "rome")

        assert sessions.ask(PassivateSession(ada)).presence is Presence.ASLEEP
        assert sessions.get(ada).restarts == 0
        assert ask(sessions, ada, "paris") == "answer 2"
        assert sessions.get(ada).presence is Presence.AWAKE


class TestAnEnd:
    @pytest.mark.seed("0.10", "1.14", "3.17", "4.6")
    def test_gives_the_last_snapshot_and_takes_the_row_away(self, sessions: SessionSystem) -> None:
        ada = create(sessions, user_id="ada")
        ask(sessions, ada, "rome")

        last = sessions.ask(TerminateSession(ada, "done"), timeout=WITHIN_S)

        assert (last.state, last.state_reason) == (SessionState.CLEANED, "done")
        assert last.message_count == 2
        with pytest.raises(SessionNotFound):
            sessions.get(ada)
        with pytest.raises(SessionNotFound):
            sessions.ask(TerminateSession(ada))
        assert sessions.ask(CountSessions(user_id="ada")) == 0

    def test_comes_to_a_session_that_sleeps_or_is_quarantined_too(
        self, sessions: SessionSystem
    ) -> None:
        asleep, broken = create(sessions), create(sessions)
        sessions.ask(PassivateSession(asleep))
        for _ in range(4):
            with pytest.raises(LookupError):
                ask(sessions, broken, "crash")
        with pytest.raises(SessionQuarantined):
            ask(sessions, broken, "rome")

        for each in (asleep, broken):
            ended = sessions.ask(TerminateSession(each), timeout=WITHIN_S)
            assert ended.state is SessionState.CLEANED
        assert sessions.ask(CountSessions()) == 0

    def test_comes_to_all_that_were_idle_and_a_dry_run_says_to_whom(
        self, sessions: SessionSystem
    ) -> None:
        made = sorted(create(sessions) for _ in range(3))

        would = sessions.ask(CleanupInactive(idle_longer_than_s=0.0, dry_run=True))
        ended = sessions.ask(CleanupInactive(idle_longer_than_s=0.0), timeout=WITHIN_S)

        assert set(ended) <= set(made)
        assert set(ended) <= set(would) or not would
        assert sessions.ask(CountSessions()) == 3 - len(ended)

    def test_of_all_takes_no_new_session(self, sessions: SessionSystem) -> None:
        ada = create(sessions)

        assert sessions.ask(Shutdown(grace_s=0.0), timeout=WITHIN_S) == ()
        with pytest.raises(ShuttingDown):
            create(sessions)
        assert ask(sessions, ada, "rome") == "answer 1"


class TestTheSystem:
    def test_is_to_be_started_once(self, runtime: Any) -> None:
        sessions = SessionSystem(runtime=runtime)
        with pytest.raises(NotStarted):
            sessions.get("ada")

        with sessions, pytest.raises(StartedAlready):
            sessions.start()

        assert sessions.stop().is_clean
        with pytest.raises(SystemStopped):
            sessions.get("ada")

    def test_says_what_to_do_when_it_is_started_after_its_end(self, runtime: Any) -> None:
        sessions = SessionSystem(name="guides", runtime=runtime)
        with sessions:
            pass

        with pytest.raises(SystemStopped, match=r"guides has ended.*make another SessionSystem"):
            sessions.start()

    @pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), "5", True, (1,)])
    def test_refuses_a_timeout_that_is_no_time(self, sessions: SessionSystem, timeout: Any) -> None:
        ada = create(sessions)

        for wait in (
            lambda: sessions.ask(GetSession(ada), timeout=timeout),
            lambda: sessions.ask(Question(ada, text="rome"), timeout=timeout),
            lambda: asyncio.run(sessions.ask_async(Question(ada, text="rome"), timeout=timeout)),
            lambda: sessions.wait(timeout),
            lambda: sessions.stop(timeout),
        ):
            with pytest.raises(InvalidField, match=r"timeout.*is not valid\. Give seconds") as no:
                wait()
            assert no.value.field.startswith("timeout")
        assert ask(sessions, ada, "rome") == "answer 1"

    @pytest.mark.parametrize("field", ["max_idle_s", "cleanup_interval_s", "grace_s"])
    @pytest.mark.parametrize("seconds", [-1, float("nan"), "5", True])
    def test_refuses_seconds_that_are_none(self, field: str, seconds: Any) -> None:
        wrong: dict[str, Any] = {field: seconds}

        with pytest.raises(InvalidSpec, match=field):
            SessionSystem(**wrong)

    @pytest.mark.parametrize("session_id", ["", 7])
    def test_names_the_field_of_an_id_that_no_session_can_have(
        self, sessions: SessionSystem, session_id: Any
    ) -> None:
        for look in (
            lambda: sessions.get(session_id),
            lambda: sessions.messages(session_id),
            lambda: sessions.address(session_id),
            lambda: sessions.ask(Question(session_id, text="rome")),
            lambda: sessions.tell(Question(session_id, text="rome")),
            lambda: sessions.ask(GetSession(session_id)),
            lambda: sessions.ask(GetMessages(session_id)),
            lambda: sessions.ask(FindSession(session_id)),
            lambda: sessions.ask(GetSessionRef(session_id)),
            lambda: sessions.ask(CreateSession(session_id=session_id)),
            lambda: sessions.ask(TerminateSession(session_id)),
            lambda: sessions.ask(PassivateSession(session_id)),
            lambda: sessions.ask(ReviveSession(session_id)),
            lambda: sessions.ask(InjectCrash(session_id=session_id)),
        ):
            with pytest.raises(InvalidField, match="session_id") as wrong:
                look()
            assert wrong.value.field == "session_id"
            assert wrong.value.remedy

    def test_serves_a_host_with_an_event_loop(self) -> None:
        async def host() -> list[str]:
            async with SessionSystem(session=Guide) as sessions:
                made = await sessions.ask_async(CreateSession())
                answers = [sessions.ask_async(Ponder(made.id, text=text)) for text in "abc"]
                return list(await asyncio.gather(*answers))

        assert asyncio.run(host()) == ["answer 1", "answer 2", "answer 3"]

    @pytest.mark.seed("4.17")
    def test_never_meets_another_in_the_same_process(self, runtime: Any) -> None:
        with (
            SessionSystem(name="one", runtime=runtime) as one,
            SessionSystem(name="two", runtime=runtime) as two,
        ):
            made = create(one)

            with pytest.raises(SessionNotFound):
                two.get(made)
            assert two.ask(CountSessions()) == 0

    def test_answers_an_asker_whatever_dies_and_when(self, sessions: SessionSystem) -> None:
        ada = create(sessions)
        address = sessions.address(ada)
        endings: dict[str, int] = {}

        for _ in range(3):
            ref = address.ref
            waiting = address.ask(Question(ada, text="rome"), block=False, timeout=WITHIN_S)
            if ref is not None:
                ref.kill()
            with suppress(SessionCrashed):
                waiting.get()
            ending = "answered" if waiting.error is None else type(waiting.error).__name__
            endings[ending] = endings.get(ending, 0) + 1

        assert set(endings) <= {"answered", "SessionCrashed"}
        assert sum(endings.values()) == 3


def append(*args: Any, **fields: Any) -> Callable[[Any], object]:
    """Return what appends this, as a program without a type checker would."""

    def act(it: Any) -> object:
        return it.append(*args, **fields)

    return act


def update(**fields: Any) -> Callable[[Any], object]:
    """Return what updates the session so."""

    def act(it: Any) -> object:
        return it.update(**fields)

    return act


def careless(slip: Callable[[Any], object]) -> type[SessionActor[None]]:
    """Return a behaviour that makes this slip after it has kept something right."""

    class Careless(SessionActor[None]):
        @handles(Question)
        def on_question(self, message: Question) -> str:
            self.append(Role.USER, message.text)
            slip(self)
            return message.text

    return Careless


WRONG_PROMPT: Any = 5


class TestASlipOfABehaviour:
    @pytest.mark.parametrize(
        ("slip", "field", "remedy"),
        [
            (append(Role.USER, 5), "content", "Give text, not a whole number."),
            (append(Role.USER, None), "content", "Give text, not null."),
            (append("boss", "x"), "role", "Give one of user, assistant, .*"),
            (update(data={}), "data", "Use one msgspec.Struct with frozen=True."),
            (update(patch={}), "patch", r"Give SessionPatch\(...\)."),
            (
                update(patch=SessionPatch(system_prompt=WRONG_PROMPT)),
                "system_prompt",
                "Give text or null, .*",
            ),
        ],
        ids=["content", "nothing", "role", "data", "patch", "prompt"],
    )
    def test_is_a_crash_that_says_what_is_wrong_and_keeps_nothing(
        self, runtime: Any, slip: Callable[[Any], object], field: str, remedy: str
    ) -> None:
        with SessionSystem(session=careless(slip), runtime=runtime) as sessions:
            ada = create(sessions)

            with pytest.raises(InvalidSpec) as crash:
                ask(sessions, ada, "rome")

            assert crash.value.field == field
            assert re.fullmatch(remedy, crash.value.remedy)
            sessions.ask(RecordActivity(ada))
            assert sessions.address(ada).incarnations == 2
            assert said(sessions, ada) == []

    @pytest.mark.parametrize(
        "slip",
        [
            append(Role.USER, "x", client_msg_id="k" * 300),
            update(patch=SessionPatch(metadata={"a": {1, 2}})),
        ],
        ids=["key", "structure"],
    )
    def test_is_not_what_may_come_from_the_asker_and_is_out_of_bounds(
        self, runtime: Any, slip: Callable[[Any], object]
    ) -> None:
        with SessionSystem(session=careless(slip), runtime=runtime) as sessions:
            ada = create(sessions)

            with pytest.raises(InvalidField):
                ask(sessions, ada, "rome")

            assert sessions.address(ada).incarnations == 1
            assert said(sessions, ada) == []


class TestAnInjectedCrash:
    def test_of_a_session_that_does_not_run_is_refused_and_the_manager_lives(
        self, sessions: SessionSystem
    ) -> None:
        ada = create(sessions)
        sessions.ask(PassivateSession(ada))
        manager = sessions.manager.ref

        with pytest.raises(SessionAsleep):
            sessions.ask(InjectCrash(session_id=ada))

        assert sessions.manager.ref is manager
