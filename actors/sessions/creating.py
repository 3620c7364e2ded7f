"""How does a session come to be? A place, an id and a role are reserved; then it is started."""

from __future__ import annotations

from typing import Any

from callboard.actors.checks import check_tenant
from callboard.actors.errors import (
    IdempotencyConflict,
    InvalidField,
    ShuttingDown,
    StoreError,
)
from callboard.actors.messages import CreateSession
from callboard.actors.sessions.address import SessionAddress, is_waited_for
from callboard.actors.sessions.book import Waiting
from callboard.actors.sessions.data import DEFAULT_KIND, Session
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.frozen import freeze
from callboard.actors.sessions.internal import CreateRefused
from callboard.actors.sessions.keys import Created, Key, content_of, key_of
from callboard.actors.sessions.linking import linked
from callboard.actors.sessions.naming import MANAGER
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.spawn import is_half_spawned
from callboard.actors.sessions.starts import Cause, Start
from callboard.actors.sessions.states import Presence, takes_messages
from callboard.actors.sessions.table import DurableRow, Row, asleep
from callboard.actors.sessions.waking import Promise, Waker
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.kept import NO_INCARNATION
from callboard.actors.storage.records import CreateRecord
from callboard.supervision import LATER, Future, Later


class Creator:
    """Takes in new sessions.

    Args:
        services: what the system lends.
        waker: starts them.
    """

    def __init__(self, services: Services, waker: Waker) -> None:
        self._services = services
        self._system = services.system
        self._waker = waker
        self._table = services.table
        self._book = services.book

    def create(self, message: CreateSession, promise: Promise) -> Session | Start | Later:
        """Reserve a session and have it started; return its start unless there is none.

        `LATER` when it is to be created and no more, and a store has not kept it yet; or when the
        session that has its id is going, for whose end it waits: then the future that `promise`
        makes is answered.

        A manager may be killed between any two steps: what has no start yet, and
        no standing, is taken back by the next one (`came_to_be`).

        Raises:
            SessionError: a field is wrong, or there is no place.
            ShuttingDown: no new session is taken any more.
            StoreError: it is to be created and no more, and that was not kept.
        """
        services = self._services
        if services.tenants:
            check_tenant(message.user_id, message.org_id)
        key, content, now_s = key_of(message), b"", self._system.clock.now_s()
        if key is not None:
            content = content_of(message)
            known = self._book.creates.find(key, now_s=now_s)
            if known is not None:
                return self._repeated(key, content, known, promise)
        if self._book.is_draining:  # what was created before is told all the same
            msg = "the sessions are being shut down"
            raise ShuttingDown(msg, address=MANAGER)
        first = self._first_snapshot(message)
        if self._waits_for_id(message, promise):
            return LATER
        row = self._table.reserve(
            first,
            active_s=now_s,
            limits=services.limits,
            unique_role=services.unique_role,
            made=services.new_row,
        )
        self._book.creates.begin(row.id)
        first = row.latest().session
        services.tell(first, EventKind.CREATED, kind=first.kind, agent_role=first.agent_role)
        if key is not None:
            self._book.creates.remember(key, content, row.id, now_s=now_s)
            if isinstance(row, DurableRow):
                row.created = CreateRecord(*key, content, first.created_at)
        if first.client is not None:
            services.connections.attach(row.id, first.client.number, message.client, 0)
        if message.activate:
            return self._waker.start(row, Cause.CREATE)
        return self._keep(row, promise)

    def _waits_for_id(self, message: CreateSession, promise: Promise) -> bool:
        """Have a create wait if the session that has its id is going; say whether it does."""
        session_id = message.session_id
        row = None if session_id is None else self._table.get(session_id)
        if session_id is None or row is None or not self._is_going(row):
            return False
        waiting = self._book.waiting.setdefault(session_id, [])
        waiting[:] = [each for each in waiting if not each.reply.is_done]
        waiting.append(Waiting(message, promise()))
        return True

    def _is_going(self, row: Row) -> bool:
        """Say whether a session ends, or is undone, and there is no way back."""
        ending, session = self._book.endings.get(row.id), row.latest().session
        if ending is not None and ending.is_bound:
            return True
        if is_half_spawned(session):  # else its first spawn goes on
            return ending is not None or row.presence is not Presence.AWAKE
        return not takes_messages(session.state)

    def _keep(self, row: Row, promise: Promise) -> Session | Later:
        """Commit a session that is created and no more, or give its place back.

        The first incarnation of the others does that.

        Raises:
            StoreError: it was not kept.
        """
        draft = Draft(row, row.latest(), self._services.limits)
        try:
            outcome = self._services.keep(draft)
        except StoreError as error:
            self._waker.never_was(row, error)
            raise
        draft.let_go()
        row.note(asleep(NO_INCARNATION))
        told: Session | Later
        if outcome is CommitOutcome.WAITING:
            told = self._told_when_kept(row, promise())
        else:
            told = self._book.creates.replied(row.id, row.session())
        if is_waited_for(row):  # what came before the note told nobody: nobody knew that it sleeps
            self._waker.wake(row)
        return told

    def _told_when_kept(self, row: Row, reply: Future[Any]) -> Later:
        """Answer with the snapshot of a session that was created and no more when it is kept."""

        def tell(error: StoreError | None) -> None:
            if error is None and row.is_kept:
                reply.offer(self._book.creates.replied(row.id, row.session()))
            else:
                error = error or StoreError("the session's first commit was not kept")
                if not self._services.announce(CreateRefused(row, error, reply)):
                    reply.offer_exception(error)  # there is no manager any more

        if not row.when_settled(tell):
            tell(None)
        return LATER

    def refused(self, message: CreateRefused) -> None:
        """Take a session back that was to be created and no more: the store has not kept it."""
        row: Row = message.row
        if self._table.get(row.id) is row:
            self._waker.never_was(row, message.error)
        message.reply.offer_exception(message.error)

    def _repeated(
        self, key: Key, content: bytes, known: Created, promise: Promise
    ) -> Session | Start | Later:
        """Return the first reply, or what it is waiting for."""
        if content != known.content:
            raise IdempotencyConflict("idempotency_key", key[-1])
        if known.refusal is not None:
            raise known.refusal.with_traceback(None)  # again and again the same one
        if known.reply is not None:
            return known.reply
        start = self._book.starts.get(known.session_id)
        if start is not None:
            self._waker.wake_more(start.partition)  # nobody may have asked for it
            return start
        row = self._table.row(known.session_id)
        return row.session() if row.is_kept else self._told_when_kept(row, promise())

    def _first_snapshot(self, message: CreateSession) -> Session:
        services = self._services
        limits = services.limits
        kind = DEFAULT_KIND if message.kind is None else message.kind
        if kind not in services.kinds:
            raise InvalidField("kind", kind, f"Give one of {', '.join(sorted(services.kinds))}.")
        wall_s = self._system.clock.wall_s()
        capabilities = message.client_capabilities
        session = Session(
            id=self._system.ids.new_id() if message.session_id is None else message.session_id,
            kind=kind,
            user_id=message.user_id,
            org_id=message.org_id,
            agent_role=message.agent_role,
            state_since=wall_s,
            created_at=wall_s,
            last_active_at=wall_s,
            variables=freeze("variables", message.variables, limits),
            metadata=freeze("metadata", message.metadata, limits),
            client_capabilities=None
            if capabilities is None
            else freeze("client_capabilities", capabilities, limits),
        )
        if message.agent is None and message.mcp is None and message.client is None:
            return session
        return self._linked(session, message)

    def _linked(self, session: Session, message: CreateSession) -> Session:
        """Return the first snapshot with the connections that it is created with.

        Raises:
            NoConnector: one of them cannot be opened here.
        """
        connectors = self._services.connections.connectors
        if message.mcp:
            connectors.for_mcp()
        if message.agent is not None:
            connectors.for_agent(message.agent.kind)
        return linked(
            session,
            mcp=message.mcp or (),
            agent=message.agent,
            has_client=message.client is not None,
            wall_s=session.created_at,
        )

    def came_to_be(self, row: Row) -> bool:
        """Say whether a row's create came far enough to be gone on with; else take it back."""
        if row.incarnation > 0 or row.standing is not None or row.id in self._book.starts:
            return True
        self._book.creates.forget(row.id)
        last = self._table.remove(row.id)
        if last is not None:
            self._services.tell(last, EventKind.TERMINATED, reason="it never started")
        return False

    def release_strays(self) -> None:
        """Give back the names of rows that are no more: somebody was killed in between."""
        system = self._system
        for address in list(system.names.values()):
            if isinstance(address, SessionAddress) and not address.has_row(self._table):
                system.release(address)
