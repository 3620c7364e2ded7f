"""What a handler offers, holds and ends is kept or undone with what it changes."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from callboard.actors import (
    AppendMessage,
    CountSessions,
    CreateSession,
    EventKind,
    PassivateSession,
    Presence,
    Role,
    SessionActor,
    SessionCrashed,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionState,
    SessionSystem,
    StoreError,
    Subscribe,
    TerminateSession,
)
from callboard.actors.testing import FakeStore
from callboard.supervision import LATER, Address, AskCycle, Future, Later, Refusal, handles
from tests.sessions.stage import Stage, cell_of, later, until


class Full(Refusal):
    code = "full"


class Ask(SessionMessage[int], frozen=True):
    """To be answered by another message."""


class Answer(SessionMessage[bool], frozen=True, kw_only=True):
    """Change something, answer whoever asked, then do something else; reply if it was taken."""

    then: str = "return"


class AnswerAtOnce(SessionMessage[int], frozen=True, kw_only=True):
    """Append, offer the number, then do something else."""

    then: str = "later"


class Leave(SessionMessage[str], frozen=True, kw_only=True):
    """End the session, then do something else."""

    then: str = "return"
    changes: bool = False


class AskToLeave(SessionMessage[str], frozen=True, kw_only=True):
    """Ask for the end of a session; reply the code of what that is refused with, and its remedy."""

    whose: str


class AskToLeaveLater(AskToLeave, frozen=True, kw_only=True):
    """The same in a coroutine."""


class Keep(SessionMessage[None], frozen=True, kw_only=True):
    """Hold the session, then do something else."""

    then: str = "return"


class Host(SessionActor[None]):
    """Its behaviour; `asked` is whom it owes an answer."""

    asked: Future[Any]
    sessions: ClassVar[list[SessionSystem | Address[Any]]] = []

    @handles(Ask)
    def on_ask(self, message: Ask) -> Later:
        del message
        self.asked = self.reply_later(outlives=True)
        return LATER

    def _then(self, what: str) -> None:
        if what == "refuse":
            raise Full("no")
        if what == "crash":
            raise RuntimeError("boom")

    @handles(Answer)
    def on_answer(self, message: Answer) -> bool:
        is_taken = self.asked.offer(self.append(Role.USER, "the answer").seq)
        assert not self.asked.offer("again"), "it is given once"
        self._then(message.then)
        return is_taken

    @handles(AnswerAtOnce)
    def on_answer_at_once(self, message: AnswerAtOnce) -> Later:
        reply = self.reply_later()
        reply.offer(self.append(Role.USER, "at once").seq)
        self._then(message.then)
        return LATER

    @handles(Leave)
    def on_leave(self, message: Leave) -> str:
        if message.changes:
            self.update(patch=SessionPatch(metadata={"left": True}))
        self.end("it has had enough")
        self._then(message.then)
        return "bye"

    @handles(AskToLeave)
    def on_ask_to_leave(self, message: AskToLeave) -> str:
        try:
            self.sessions[-1].ask(TerminateSession(message.whose))
        except AskCycle as error:
            return f"{error.code}: {error.remedy}"
        return "ended"

    @handles(AskToLeaveLater)
    async def on_ask_to_leave_later(self, message: AskToLeaveLater) -> str:
        try:
            await self.sessions[-1].ask_async(TerminateSession(message.whose))
        except AskCycle as error:
            return f"{error.code}: {error.remedy}"
        return "ended"

    @handles(Keep)
    def on_keep(self, message: Keep) -> None:
        self.hold()
        self._then(message.then)


class HostLater(Host):
    """The same in coroutines."""

    @handles(Answer)
    async def on_answer(self, message: Answer) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # awaited
        return super().on_answer(message)

    @handles(Keep)
    async def on_keep(self, message: Keep) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # awaited
        super().on_keep(message)


class Short(Host):
    """The same on the thread of who asks."""

    hand_off = True


@pytest.fixture(params=[Host, HostLater, Short])
def host(request: pytest.FixtureRequest, stage: Stage) -> tuple[SessionSystem, str, FakeStore]:
    """Return a system, the id of a session in it, and its store."""
    store = FakeStore()
    sessions = stage.open(session=request.param, store=store)
    return sessions, sessions.ask(CreateSession()).id, store


Hosted = tuple[SessionSystem, str, FakeStore]


class TestAnOffer:
    def test_reaches_the_asker_when_what_it_confirms_is_kept(self, host: Hosted) -> None:
        sessions, ada, _ = host

        assert sessions.ask(AnswerAtOnce(ada)) == 1
        assert len(sessions.messages(ada)) == 1

    def test_of_a_handler_that_crashes_is_the_crash(self, host: Hosted) -> None:
        sessions, ada, _ = host

        with pytest.raises(RuntimeError, match="boom"):
            sessions.ask(AnswerAtOnce(ada, then="crash"))
        assert sessions.messages(ada) == ()

    def test_of_a_handler_that_refuses_is_the_refusal(self, host: Hosted) -> None:
        sessions, ada, _ = host

        with pytest.raises(Full):
            sessions.ask(AnswerAtOnce(ada, then="refuse"))
        assert sessions.messages(ada) == ()

    def test_that_the_store_does_not_keep_is_its_refusal(self, host: Hosted) -> None:
        sessions, ada, store = host
        store.refuse(times=1)

        with pytest.raises(StoreError):
            sessions.ask(AnswerAtOnce(ada))
        assert sessions.messages(ada) == ()

    def test_to_another_asker_is_kept_or_undone_with_the_handler_that_makes_it(
        self, stage: Stage, host: Hosted
    ) -> None:
        sessions, ada, store = host

        def asked_and(then: str) -> Future[int]:
            waiting = later(sessions, Ask(ada))
            stage.settle()
            done = later(sessions, Answer(ada, then=then))
            until(stage, lambda: done.is_done)
            until(stage, lambda: waiting.is_done)
            return waiting

        assert asked_and("return").get() == 1
        with pytest.raises(Full):
            asked_and("refuse").get()
        store.refuse(times=1)
        with pytest.raises(StoreError):
            asked_and("return").get()
        with pytest.raises(SessionCrashed):
            asked_and("crash").get()
        assert len(sessions.messages(ada)) == 1

    def test_to_an_asker_who_has_given_up_is_not_taken(self, stage: Stage, host: Hosted) -> None:
        sessions, ada, _ = host
        waiting = sessions._recipient(Ask(ada)).ask(Ask(ada), block=False, timeout=5.0)
        stage.settle()
        waiting.give_up()

        assert sessions.ask(Answer(ada)) is False
        assert len(sessions.messages(ada)) == 1


class TestAHold:
    def test_of_a_handler_that_refuses_is_no_hold(self, host: Hosted) -> None:
        sessions, ada, _ = host

        with pytest.raises(Full):
            sessions.ask(Keep(ada, then="refuse"))

        assert sessions.ask(PassivateSession(ada)).presence is Presence.ASLEEP

    def test_of_one_that_returns_is_one_whatever_is_refused_later(self, host: Hosted) -> None:
        sessions, ada, _ = host
        sessions.ask(Keep(ada))

        with pytest.raises(Full):
            sessions.ask(AnswerAtOnce(ada, then="refuse"))

        assert sessions.ask(PassivateSession(ada)).presence is Presence.AWAKE


class TestItsOwnEnd:
    @pytest.mark.parametrize("changes", [False, True])
    def test_comes_when_its_handler_has_answered(
        self,
        stage: Stage,
        host: Hosted,
        changes: bool,  # noqa: FBT001 -- a parameter of the test
    ) -> None:
        sessions, ada, _ = host
        with sessions.ask(Subscribe(ada)) as events:
            assert sessions.ask(Leave(ada, changes=changes)) == "bye"
            until(stage, lambda: not sessions.ask(CountSessions()))

            kinds = [each.kind for each in list(events)]
        assert kinds[-1] is EventKind.TERMINATED
        with pytest.raises(SessionNotFound):
            sessions.ask(AppendMessage(ada, Role.USER, "too late"))

    def test_comes_though_its_actor_is_killed_as_soon_as_it_has_answered(
        self, stage: Stage, host: Hosted
    ) -> None:
        sessions, ada, _ = host
        ref = cell_of(sessions, ada)

        assert sessions.ask(Leave(ada)) == "bye"
        ref.kill()

        until(stage, lambda: not sessions.ask(CountSessions()))

    @pytest.mark.parametrize("ask", [AskToLeave, AskToLeaveLater])
    @pytest.mark.parametrize("whom", ["system", "manager"])
    def test_that_it_asks_for_is_refused_at_once(
        self,
        host: Hosted,
        monkeypatch: pytest.MonkeyPatch,
        ask: type[AskToLeave],
        whom: str,
    ) -> None:
        sessions, ada, _ = host
        monkeypatch.setattr(Host, "sessions", [sessions if whom == "system" else sessions.manager])
        bob = sessions.ask(CreateSession()).id

        said = sessions.ask(ask(ada, whose=ada))

        assert said.startswith("ask_cycle: End it with self.end(reason)")
        assert sessions.get(ada).state is SessionState.ACTIVE
        assert sessions.ask(AskToLeaveLater(ada, whose=bob)) == "ended"

    @pytest.mark.parametrize("then", ["refuse", "crash"])
    def test_does_not_come_when_its_handler_is_undone(
        self, stage: Stage, host: Hosted, then: str
    ) -> None:
        sessions, ada, _ = host

        with pytest.raises((Full, RuntimeError)):
            sessions.ask(Leave(ada, then=then, changes=True))
        stage.settle()

        assert sessions.ask(AppendMessage(ada, Role.USER, "still there")) == 1
