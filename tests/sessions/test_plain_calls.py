"""Who knows nothing of actors calls plain methods, and older code goes on beside the sessions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import pykka
import pytest

from callboard.actors import (
    CleanupInactive,
    CreateSession,
    ListSessions,
    RecordActivity,
    Role,
    Session,
    SessionActor,
    SessionMessage,
    SessionNotFound,
    SessionPatch,
    SessionSystem,
    TerminateSession,
    UpdateSession,
)
from callboard.supervision import handles
from tests.sessions.stage import Fall, Say, Stage, Which, texts


class SessionStore:
    """A session manager of plain calls, as there were before: one line of ours for each of them."""

    def __init__(self, sessions: SessionSystem) -> None:
        self._sessions = sessions

    def create_session(self) -> Session:
        return self._sessions.ask(CreateSession())

    def get_session(self, session_id: str) -> Session:
        return self._sessions.get(session_id)

    def get_all_sessions(self) -> list[Session]:
        return list(self._sessions.ask(ListSessions(limit=1_000)).sessions)

    def update_activity(self, session_id: str) -> None:
        self._sessions.ask(RecordActivity(session_id))

    def update_session(self, session_id: str, metadata: Mapping[str, object]) -> None:
        patch = SessionPatch(metadata=metadata)
        self._sessions.ask(UpdateSession(session_id, patch=patch))

    def end_session(self, session_id: str) -> None:
        self._sessions.ask(TerminateSession(session_id))

    def cleanup_inactive_sessions(self, timeout_s: float) -> None:
        self._sessions.ask(CleanupInactive(idle_longer_than_s=timeout_s))


@pytest.fixture
def store(opened: SessionSystem) -> SessionStore:
    return SessionStore(opened)


class TestPlainCalls:
    @pytest.mark.seed("2.34", "4.18")
    def test_are_answered_when_they_return(self, stage: Stage, store: SessionStore) -> None:
        assert store.get_all_sessions() == []
        ada, bob = store.create_session(), store.create_session()
        stage.advance(60.0)
        store.update_activity(ada.id)
        store.update_session(ada.id, {"name": "Ada"})

        assert {each.id for each in store.get_all_sessions()} == {ada.id, bob.id}
        assert store.get_session(ada.id).last_active_at == ada.last_active_at + 60.0
        assert store.get_session(ada.id).metadata == {"name": "Ada"}
        store.cleanup_inactive_sessions(50.0)
        assert [each.id for each in store.get_all_sessions()] == [ada.id]
        store.end_session(ada.id)
        assert store.get_all_sessions() == []

    @pytest.mark.seed("2.34", "0.9", "0.10")
    @pytest.mark.parametrize("call", ["get_session", "update_activity", "end_session"])
    def test_of_an_unknown_id_raise_what_names_it(self, store: SessionStore, call: str) -> None:
        with pytest.raises(SessionNotFound, match="nobody"):
            getattr(store, call)("nobody")

    @pytest.mark.seed("2.34", "0.2")
    def test_may_come_from_everywhere_at_once(self, stage: Stage, store: SessionStore) -> None:
        def work(client: int) -> None:
            for number in range(5):
                made = store.create_session()
                store.update_session(made.id, {"client": client, "number": number})
                assert store.get_session(made.id).metadata["client"] == client

        stage.at_once(*(partial(work, client) for client in range(6)))

        found = [dict(each.metadata) for each in store.get_all_sessions()]
        assert len(found) == 30
        for client in range(6):
            assert all({"client": client, "number": number} in found for number in range(5))

    @pytest.mark.seed("4.18")
    def test_and_messages_to_one_session_are_handled_in_the_order_they_were_sent(
        self, opened: SessionSystem, ada: str
    ) -> None:
        opened.tell(Say(ada, text="told"))

        assert opened.ask(Say(ada, text="asked")) == 2
        assert texts(opened, ada) == ["told", "asked"]


class OldSession(pykka.ThreadingActor):
    """The one session of an older program, on pykka as it is."""

    use_daemon_thread = True

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def on_receive(self, message: Any) -> Any:
        self.said.append(message)
        return len(self.said)


class TestOlderCode:
    @pytest.mark.seed("4.17")
    def test_with_one_session_of_its_own_goes_on_beside_ours(self) -> None:
        old = OldSession.start()
        try:
            with SessionSystem(partitions=1) as sessions:
                ada = sessions.ask(CreateSession(session_id="ada")).id
                assert old.ask("one") == 1
                assert pykka.ActorRegistry.get_all() == [old]
                sessions.ask(TerminateSession(ada))

            assert old.ask("two") == 2
        finally:
            old.stop()


class Context(msgspec.Struct, frozen=True):
    """What a model is shown of a conversation.

    Args:
        summary: of what came before.
        from_seq: the first message that is shown as it is.
    """

    summary: str = ""
    from_seq: int = 1


class Speak(SessionMessage[tuple[str, ...]], frozen=True, kw_only=True):
    """Add to the conversation; the reply is what the model would be shown."""

    text: str


class Forgetful(SessionActor[Context]):
    """Keeps a window of three messages, and a summary of what has left it."""

    window = 3

    def initial_data(self) -> Context:
        return Context()

    @handles(Speak)
    def on_speak(self, message: Speak) -> tuple[str, ...]:
        self.append(Role.USER, message.text)
        context, last = self.data, self.session.last_seq
        if last - context.from_seq >= self.window:
            summary = f"{context.summary}.{last - self.window}"
            context = Context(summary, last - self.window + 1)
            self.update(data=context)
        shown = self.messages(last=last - context.from_seq + 1)
        return (context.summary, *(each.content for each in shown))

    @handles(Fall)
    def on_fall(self, message: Fall) -> int:
        raise LookupError(message.text)

    @handles(Which)
    def on_which(self, message: Which) -> int:
        del message
        return self.incarnation


class TestAContext:
    @pytest.mark.seed("4.16")
    def test_is_managed_by_each_session_for_itself_and_outlives_a_crash(self, stage: Stage) -> None:
        sessions = stage.open(session=Forgetful)
        ada, bob = (sessions.ask(CreateSession()).id for _ in range(2))
        for text in "abcd":
            sessions.ask(Speak(ada, text=text))

        with pytest.raises(LookupError):
            sessions.ask(Fall(ada, text="down"))

        assert sessions.ask(Speak(ada, text="e")) == (".1.2", "c", "d", "e")
        assert sessions.ask(Which(ada)) == 2
        assert sessions.ask(Speak(bob, text="hello")) == ("", "hello")
        assert sessions.get(ada).data == Context(".1.2", 3)
