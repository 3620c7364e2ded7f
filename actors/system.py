"""The whole tree of sessions, to embed in a daemon: put together, started, stopped."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Self, TypeVar, cast

import msgspec

from callboard.actors.audit import AuditSink
from callboard.actors.checks import check, check_timeout
from callboard.actors.connections.ports import Connectors
from callboard.actors.connections.reads import LINK_READS, answer_about_links
from callboard.actors.connections.switchboard import Switchboard
from callboard.actors.errors import InvalidField, WorkspaceError
from callboard.actors.health import report
from callboard.actors.heart import Watchdog
from callboard.actors.keeping import STANDARD, Keeping
from callboard.actors.leaving import clear_all, not_undone, undo_all
from callboard.actors.limits import DEFAULT_LIMITS, SessionLimits
from callboard.actors.manager import SessionManager
from callboard.actors.memory import Memory, ProcessMemory, measured
from callboard.actors.messages import (
    PAGE_MESSAGES,
    READS,
    GetMessages,
    GetSessionRef,
    Health,
    HealthReport,
    SessionMessage,
    Subscribe,
)
from callboard.actors.metrics import MetricsSink
from callboard.actors.opening import STORE_START_S, Opening
from callboard.actors.options import PARTITIONS_MAX, check_options
from callboard.actors.patience import lasts, patience_s
from callboard.actors.prompts import PromptComposer
from callboard.actors.secrets import EnvironmentSecrets, Secrets
from callboard.actors.sessions.actor import SessionActor
from callboard.actors.sessions.address import ManagerAddress
from callboard.actors.sessions.attending import PART_HUNG_AFTER_S
from callboard.actors.sessions.cleaning import Cleaner
from callboard.actors.sessions.data import DEFAULT_KIND, Message, Session, SessionId
from callboard.actors.sessions.draft import SessionStore
from callboard.actors.sessions.hung import HUNG_AFTER_S
from callboard.actors.sessions.ids import CheckedIds
from callboard.actors.sessions.internal import EndAll
from callboard.actors.sessions.log import joined
from callboard.actors.sessions.naming import MANAGER
from callboard.actors.sessions.operating import StoreOperator
from callboard.actors.sessions.outlets import LogSink
from callboard.actors.sessions.reads import answer, elsewhere, is_cut
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.spawn import Planner, cleaners, workspaces
from callboard.actors.sessions.spawn import prompts as _prompts
from callboard.actors.sessions.storing import CLOSE_LEAST_S
from callboard.actors.sessions.subscriptions import Subscription
from callboard.actors.storage.records import Store
from callboard.actors.tree import BUDGET_OF_ROOT, tree
from callboard.actors.workspace import FolderWorkspaces, WorkspaceProvider
from callboard.supervision import (
    ActorSystem,
    Address,
    CallboardError,
    Clock,
    EventLog,
    ExitReason,
    Future,
    IdGenerator,
    Request,
    Settings,
    StopReport,
    SystemStopped,
    Timeout,
)
from callboard.supervision.observe.tree import CHILDREN_MAX, NODES_MAX, TreeNode, snapshot
from callboard.supervision.runtime.ports import Runtime
from callboard.supervision.tree.supervisor import Supervisor

R = TypeVar("R")


class NotStarted(CallboardError, RuntimeError):
    """The session system has not been started yet."""

    code = "not_started"
    remedy = "Use it as a context manager, or call start() once."


class StartedAlready(CallboardError, RuntimeError):
    """The session system runs already: one is started once."""

    code = "started_already"
    remedy = "Use the one that runs, or make another SessionSystem."


class SessionSystem:
    """Supervised sessions, embedded in a host.

        with SessionSystem(session=Guide) as sessions:
            ada = sessions.ask(CreateSession(user_id="ada"))
            sessions.ask(Question(ada.id, text="hello"))

    Making one only stores the arguments; `with`, `async with` or `start` start
    it. It takes no signal handler, root logger or event loop of the host.

    Args:
        session: the behaviour of sessions whose creator names no kind.
        kinds: further behaviours, by name; `session` is the name of the first.
        name: begins the names of its threads.
        limits: the bounds of messages and places.
        settings: the bounds of the runtime.
        partitions: over how many supervisors the sessions are spread, at most `PARTITIONS_MAX`;
            None: 2 per processor.
        tenants: whether every session needs a user and an organisation.
        unique_role: whether a user's living sessions must play different roles.
        faults: whether crashes may be injected (`InjectCrash`).
        connectors: what opens MCP clients and starts agents; None: there is nothing that does.
        keeping: how long what nobody uses is kept: `keeping.STANDARD`, `keeping.AGENT_API`, or
            a `Keeping` of your own.
        max_idle_s: in place of the bound of this name in `keeping`; None: as there.
        cleanup_interval_s: the same.
        grace_s: the same.
        memory: knows how much memory the process takes, for `keeping.memory_max_bytes`; None: the
            kernel does (`ProcessMemory`). Without that bound it is not asked.
        watchdog: is told every so often that the tree is healthy, as long as it is; None: nobody.
        workspace: where sessions have their folders: a path (`FolderWorkspaces`), or a provider.
            None: they have none.
        prompts: composes their system prompts; None: they have none to begin with.
        strict_prompt: whether a session whose prompt cannot be composed is not created. Else
            it gets `default_prompt`, and an event tells of it.
        default_prompt: what that is.
        cleaner: does what else is to be done when a session ends; None: nothing.
        secrets: knows what the names in specs stand for; None: the environment.
        audit: where records of what is done to sessions go; None: nowhere.
        audit_required: whether an operation is refused with AuditError, before it has an
            effect, when the sink fails, is full or takes too long (2 s). Operations are all that is
            sent to the manager and to sessions, by `ask` and `tell` here or by an address: create,
            terminate, revive, passivate, append, update, prompt, tools, connections, and the
            messages of your own behaviours; and what the janitor has ended, of the idle and of the
            quarantined. A `tell` that is refused is a dead letter. Not among them: reads, the sign
            of life (`RecordActivity`), the stop of the system, and what happens of itself: what an
            agent says, that a session falls asleep or crashes and comes back, what it tells itself.
            That is recorded when it has happened.
        metrics: where numbers go; None: nowhere.
        log: a logger that gets one line for each event of a session; None: none.
        store: where sessions are kept for longer than the process: the path of an SQLite file, or
            a `Store`, as `PostgresStore(...)`; text with `scheme://`, `file:` or `:memory:` at its
            beginning is no path, and `~` is home, as in each path. What a reply has confirmed
            survives kill -9 and power cut then, and the next system with the same store goes on
            with all sessions. Or a `SessionStore` of the host's, which gets every commit and gives
            nothing back; one that hangs holds up more than its session. None: in memory alone.
        store_start_s: seconds that a durable store has, in `start`, to open and to give back its
            sessions; `math.inf` waits for ever.
        hung_after_s: so long at work on one message, a session is named in `health`.
        part_hung_after_s: so long at one message, the manager, the janitor or a partition is: then
            `health` is not healthy, and the watchdog hears nothing. What hangs there is a call of
            the host's code: `store`, `ids`.
        on_event: gets every event; see `ActorSystem`. None: an `EventLog`, which tells crashes
            and what is given up to the logger `callboard.events`, many of a kind summed up.
            Where the host has not configured logging, Python prints those lines to stderr.
        runtime: real threads unless a simulation is given.
        clock: what time it is; None: the operating system's, or the runtime's, which has its own.
        ids: makes the ids of sessions whose creator gives none; None: UUIDv7. One that fails, or
            makes what is no id, fails the create.

    Raises:
        InvalidSpec: an argument that cannot be; a behaviour among them that no session could be
            run by: what it handles, what its handlers return, the type of its `data`.
    """

    def __init__(
        self,
        session: type[SessionActor[Any]] = SessionActor,
        *,
        kinds: Mapping[str, type[SessionActor[Any]]] | None = None,
        name: str = "callboard",
        limits: SessionLimits = DEFAULT_LIMITS,
        settings: Settings | None = None,
        partitions: int | None = None,
        tenants: bool = False,
        unique_role: bool = False,
        faults: bool = False,
        connectors: Connectors | None = None,
        keeping: Keeping = STANDARD,
        max_idle_s: float | None = None,
        cleanup_interval_s: float | None = None,
        grace_s: float | None = None,
        memory: Memory | None = None,
        watchdog: Watchdog | None = None,
        workspace: WorkspaceProvider | str | os.PathLike[str] | None = None,
        prompts: PromptComposer | None = None,
        strict_prompt: bool = False,
        default_prompt: str | None = None,
        cleaner: Cleaner | None = None,
        secrets: Secrets | None = None,
        audit: AuditSink | None = None,
        audit_required: bool = False,
        metrics: MetricsSink | None = None,
        log: LogSink | None = None,
        store: str | os.PathLike[str] | Store | SessionStore | None = None,
        store_start_s: float = STORE_START_S,
        hung_after_s: float = HUNG_AFTER_S,
        part_hung_after_s: float = PART_HUNG_AFTER_S,
        on_event: Callable[[object], None] | None = None,
        runtime: Runtime | None = None,
        clock: Clock | None = None,
        ids: IdGenerator | None = None,
    ) -> None:
        check_options(locals())  # first of all: they are the arguments, and nothing else
        self._kinds = {DEFAULT_KIND: session, **(kinds or {})}
        by_default = min(2 * (os.cpu_count() or 1), PARTITIONS_MAX)
        self._partitions = by_default if partitions is None else partitions
        own = {
            "max_idle_s": max_idle_s,
            "cleanup_interval_s": cleanup_interval_s,
            "grace_s": grace_s,
        }
        given = {field: bound for field, bound in own.items() if bound is not None}
        self._name = name
        self._limits = limits
        self._settings = settings
        self._options: dict[str, Any] = {
            "tenants": tenants,
            "unique_role": unique_role,
            "faults": faults,
            "keeping": msgspec.structs.replace(keeping, **given),
            "memory": ProcessMemory() if memory is None else memory,
            "audit": audit,
            "audit_required": audit_required,
            "metrics": metrics,
            "log": log,
            "hung_after_s": hung_after_s,
            "part_hung_after_s": part_hung_after_s,
        }
        if workspace is None or isinstance(workspace, (str, os.PathLike)):
            workspace = None if workspace is None else FolderWorkspaces(workspace)
        self._workspace = workspace
        self._prompts = None
        if prompts is not None:
            self._prompts = _prompts(
                prompts, default=default_prompt, is_strict=strict_prompt, limits=limits
            )
        self._cleaner = cleaner
        self._store = store
        self._store_start_s = store_start_s
        self._options["secrets"] = EnvironmentSecrets() if secrets is None else secrets
        self._connectors = connectors
        self._watchdog = watchdog
        self._on_event = on_event
        self._ports: dict[str, Any] = {
            "runtime": runtime,
            "clock": clock,
            "ids": None if ids is None else CheckedIds(ids, limits),
        }
        self._system: ActorSystem | None = None
        self._services: Services | None = None
        self._end: Future[ExitReason] | None = None
        self._log: EventLog | None = None
        self._is_over = False
        self._left: tuple[str, ...] = ()

    # -- life --------------------------------------------------------------

    def start(self) -> SessionSystem:
        """Start the tree; return when all of it runs.

        Raises:
            StartedAlready: it runs.
            SystemStopped: it has ended; make another one.
            MemoryUnknown: it has a `memory_max_bytes`, and nobody can tell what it takes.
            StartFailed: a part of the tree did not start.
            StoreRefused: the store cannot be used as it is; StoreLocked: somebody else has it. Of
                a file: it may be started when that is mended.
            StoreError: it cannot be read, or has not answered within `store_start_s`.
        """
        if self._is_over:
            msg = f"{self._name} has ended and does not start again: make another SessionSystem"
            raise SystemStopped(msg, address=self._name)
        if self._system is not None:
            msg = f"{self._name} runs already"
            raise StartedAlready(msg)
        if self._options["keeping"].memory_max_bytes is not None:
            measured(self._options["memory"])  # who cannot tell says so to the host, not to nobody
        system = ActorSystem(
            self._name, settings=self._settings, on_event=self._on_event, **self._ports
        )
        opening = Opening(system, self._store, within_s=self._store_start_s)
        try:
            durable, committer = opening.store()
        except BaseException:  # one that refuses leaves nothing begun
            system.stop(0.0)
            raise
        self._system = system
        if system.on_event is None:
            # A crash under `tell` has no asker: without a line in the log nobody would know.
            system.on_event = self._log = EventLog(now_s=system.clock.now_s)
        manager = system.reserve(MANAGER, keeps_mailbox=True, kind=ManagerAddress)
        services = self._services = Services(
            system,
            kinds=self._kinds,
            limits=self._limits,
            partitions=self._partitions,
            manager=manager,
            workspace=self._workspace,
            store=committer,
            durable=durable,
            **self._options,
        )
        services.connections = Switchboard(
            system,
            services.table,
            services.addresses,
            self._connectors,
            services.secrets,
            partitions=self._partitions,
            limits=self._limits,
        )
        services.planners += self._planners(services)
        try:
            if services.storing is not None:
                system.emit(opening.recovered(services))
            self._sweep(services)
        except BaseException:  # whatever it is: nothing is left begun
            self.stop()
            raise
        specs = tree(services, services.connections, self._watchdog)
        root = services.root = system.spawn_named("root", Supervisor, specs, **BUDGET_OF_ROOT)
        self._end = Future(blocker=system.dispatcher)
        end = self._end
        if not root.when_dead(end, self._root_ended):
            self._root_ended(root.reason)
        try:
            root.wait_started(timeout=system.settings.stop_timeout_s)
        except CallboardError:
            self.stop()
            raise
        return self

    def _planners(self, services: Services) -> Iterator[Planner]:
        """Yield who plans what each session needs, in order."""
        undo_s = services.keeping.undo_s
        clearing = services.clearing
        if clearing is not None:
            yield workspaces(clearing.provider, removed=clearing.announce, undo_s=undo_s)
        if self._prompts is not None:
            yield self._prompts
        if self._cleaner is not None:
            yield cleaners(self._cleaner, undo_s=undo_s)

    def _sweep(self, services: Services) -> None:
        """Remove what sessions have left that are no more. On the host's thread: it may block."""
        if self._workspace is None:
            return
        try:
            self._workspace.sweep([row.id for row in services.table.rows()])
        except WorkspaceError as error:  # the others have been removed, and no session needs it
            services.system.emit(SweepFailed(str(error)))

    def _root_ended(self, reason: ExitReason | None) -> None:
        self._is_over = True
        if self._system is not None:
            self._system.give_up()
        if self._services is not None:
            self._services.feed.close()
            self._services.book.close()
        if self._end is not None:
            self._end.offer(reason)

    def stop(self, timeout_s: float | None = None) -> StopReport:
        """End everything in order; say what did not end. Idempotent, from any thread.

        Args:
            timeout_s: seconds for all of it; None is the system's `stop_timeout_s` (30 s). A
                durable store has 1 s (`CLOSE_LEAST_S`) of its own to close when that is used up;
                one that takes longer than is left is in the report's `abandoned`, as a thread.

        Raises:
            InvalidField: `timeout_s` is no number of seconds.
        """
        check_timeout("timeout_s", timeout_s)
        if self._system is None:
            return StopReport()
        self._system.refuse_inside()
        if timeout_s is None:
            timeout_s = self._system.settings.stop_timeout_s
        until_s = self._system.dispatcher.now_s() + timeout_s
        try:
            self._leave(self._system, timeout_s)
            self._is_over = True
            stopped = self._system.stop(max(0.0, until_s - self._system.dispatcher.now_s()))
            if self._services is not None:
                self._services.observing.close()
            if self._workspace is not None:
                self._workspace.close()
            if self._services is not None and self._services.storing is not None:
                left_s = max(CLOSE_LEAST_S, until_s - self._system.dispatcher.now_s())
                abandoned = self._services.storing.close(within_s=left_s)
                stopped = stopped.with_also(StopReport(abandoned=abandoned))
            return stopped.with_also(StopReport(left=self._left))
        finally:
            self._is_over = True
            if self._log is not None:
                self._log.flush()

    def _leave(self, system: ActorSystem, within_s: float) -> None:
        """End the sessions that have something to undo; note what they leave all the same.

        Their state lives in memory and is gone with the system: nobody would come back
        to their folders. What is not done in time is swept at the next start. With a durable
        store they sleep, and keep what they have.
        """
        services, now_s = self._services, system.dispatcher.now_s
        if services is None or services.root is None or not system.is_open:
            return  # nothing has been started, or it is stopped; or another process does it
        if services.storing is not None:
            return
        until_s = now_s() + within_s
        failed: tuple[str, ...] = ()
        if services.planners and not services.root.is_dead:
            with suppress(CallboardError):
                services.manager.ask(EndAll(), timeout=within_s / 2)
        elif services.planners:  # no manager would answer
            failed = undo_all(services, now_s() + within_s / 2)
        left = (*failed, *not_undone(services))
        if services.clearing is not None:
            left += clear_all(system, services.clearing, now_s() + (until_s - now_s()) / 2)
        self._left = left

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await _elsewhere(self.start)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await _elsewhere(self.stop)

    def wait(self, timeout_s: float | None = None) -> ExitReason | None:
        """Block until the tree has ended, by `stop` or by itself; return the root's reason.

        Returns:
            None when `timeout_s` seconds passed before.

        Raises:
            NotStarted: it has not been started.
            InvalidField: `timeout_s` is no number of seconds.
        """
        check_timeout("timeout_s", timeout_s)
        end = self._started_end()
        return end.get(timeout=timeout_s) if timeout_s is None else _within(end, timeout_s)

    async def ended(self) -> ExitReason:
        """Wait until the tree has ended, by `stop` or by itself; return the root's reason."""
        return await self._started_end()

    # -- asking ------------------------------------------------------------

    @property
    def system(self) -> ActorSystem:
        """The actor system below.

        Raises:
            NotStarted: it has not been started.
        """
        return self._running().system

    @property
    def manager(self) -> Address[SessionManager]:
        """The manager's address."""
        return self._running().manager

    def ask(self, message: Request[R], *, timeout: float | None = None) -> R:
        """Send a message to whom it is for, and wait for the answer: on a loop use `ask_async`.

        Reads are answered on this thread, from the table; a message to a session
        goes to its actor; all others to the manager.

        Args:
            message: one of ours, or a `SessionMessage` of your own.
            timeout: seconds; None is `patience_s` of the message: the system's `ask_timeout_s`
                (5 s), or longer where its work may take longer; `math.inf` waits for ever.

        Raises:
            SessionError: a declared answer: not found, not valid, not now.
                InvalidField: among them that this is no message.
            Refusal: another one, which the handler of a message of your own gave.
            DeliveryError: no answer came.
                AskCycle: among them a handler that asks for the end of its own session.
            BlockingOnLoop: it was called in an `async` handler.
            Exception: what the handler raised; the session has crashed and comes back.
        """
        check_timeout("timeout", timeout)
        wanted = self._elsewhere(message, timeout)
        done, result = self._read(message, () if wanted is None else wanted.get())
        if done:
            if is_cut(message, result):
                return self.ask(message, timeout=_left_s(wanted, timeout))
            return cast("R", result)
        if timeout is None and lasts(type(message)):
            timeout = self.patience_s(message)
        return self._recipient(message).ask(message, timeout=timeout)

    async def ask_async(self, message: Request[R], *, timeout: float | None = None) -> R:
        """Send and await the answer, like `ask`. Cancelling abandons the reply, not the effect."""
        check_timeout("timeout", timeout)
        wanted = self._elsewhere(message, timeout)
        older = () if wanted is None else await wanted
        done, result = self._read(message, older)
        if done:
            if is_cut(message, result):
                return await self.ask_async(message, timeout=_left_s(wanted, timeout))
            return cast("R", result)
        if timeout is None and lasts(type(message)):
            timeout = self.patience_s(message)
        return await self._recipient(message).ask_async(message, timeout=timeout)

    def patience_s(self, message: Request[Any]) -> float:
        """Return how long `ask` waits for the answer to a message when it is not told, in seconds.

        The system's `ask_timeout_s` (5 s). Longer for what may last: a message to a connection, a
        create with all the steps of its spawn, an end with its grace; then it is the bounds of
        all that is done, one after the other, and 5 s (`MARGIN_S`), so that the answer arrives.

        Raises:
            SessionError: a field that says how long is wrong.
        """
        return patience_s(self._running(), message)

    def tell(self, message: Request[Any]) -> None:
        """Send without waiting for an answer.

        What is taken and not handled after all, since the session is quarantined or ended
        meanwhile, becomes a dead letter.

        Raises:
            SessionNotFound, SessionTerminating, InvalidField: as in `ask`.
            DeliveryError: it cannot be delivered: the session is quarantined
                (SessionQuarantined), its mailbox is full, the system has ended.
        """
        self._recipient(message).tell(message)

    def get(self, session_id: SessionId) -> Session:
        """Return a session's snapshot: no message, no lock.

        Raises:
            SessionNotFound: there is none.
            InvalidField: this is no id.
        """
        services = self._services
        if services is None or self._is_over:  # written out: most of what a read costs are frames
            services = self._running()
        try:
            row = services.table.get(session_id) or services.table.row(session_id)
        except TypeError:  # what has no hash is no id
            row = services.table.row(session_id)
        return row.session()

    def messages(
        self, session_id: SessionId, *, after_seq: int = 0, limit: int = PAGE_MESSAGES
    ) -> tuple[Message, ...]:
        """Return a part of a session's log: no message, no lock.

        What a durable store alone has of it is read from there, which blocks: on a loop await
        `ask_async(GetMessages(...))`.

        Args:
            session_id: which session.
            after_seq: what follows this number; 0: from the first on.
            limit: how many at most; up to `SessionLimits.page_messages_max`.

        Raises:
            SessionNotFound: there is none.
            InvalidField: this is no id, no number or no limit.
            StoreError: the store has it, and cannot be read.
        """
        services = self._running()
        row = services.table.row(session_id)
        check(GetMessages(session_id, after_seq, limit), services.limits)
        while True:
            wanted = row.older(after_seq, limit)
            older = () if wanted is None else wanted.get()
            log = row.latest().log
            found = joined(log, older, after_seq=after_seq, limit=limit)
            if found or limit < 1 or max(after_seq, 0) >= log.last_seq:
                return found
            # What was here when it was looked for has left the memory since: the store has it.

    def address(self, session_id: SessionId) -> Address[Any]:
        """Return the address of a session's actor: it stays the same over restarts.

        Raises:
            SessionNotFound: there is none.
            InvalidField: this is no id.
        """
        services = self._running()
        return services.addresses.of(services.table.row(session_id))

    def behaviour(self, kind: str) -> type[SessionActor[Any]]:
        """Return the class that runs the sessions of a kind (`Session.kind`).

        Raises:
            KeyError: there is no such kind.
        """
        return self._kinds[kind]

    @property
    def operator(self) -> StoreOperator:
        """What looks after the store: check, export, import, compact.

        Raises:
            StoreNotOperable: the sessions live in memory, or in a store of the host's own making.
        """
        return StoreOperator(self._running())

    def health(self) -> HealthReport:
        """Say how the sessions are, without a message; after the end too."""
        return report(self._started(), is_over=self._is_over)

    def tree(self, *, nodes_max: int = NODES_MAX, children_max: int = CHILDREN_MAX) -> TreeNode:
        """Return a picture of the living tree, taken without a message.

        Args:
            nodes_max: how many actors it shows at most.
            children_max: how many sessions of one partition it shows at most.
        """
        root = self._running().root
        return snapshot(root, nodes_max=nodes_max, children_max=children_max)

    # -- inside ------------------------------------------------------------

    def _started(self) -> Services:
        if self._services is None:
            msg = f"{self._name} has not been started"
            raise NotStarted(msg)
        return self._services

    def _running(self) -> Services:
        services = self._services
        if services is None:
            return self._started()
        if self._is_over:
            msg = f"{self._name} has ended"
            raise SystemStopped(msg, address=self._name)
        return services

    def _started_end(self) -> Future[ExitReason]:
        if self._end is None:
            msg = f"{self._name} has not been started"
            raise NotStarted(msg)
        return self._end

    def _elsewhere(
        self, message: Request[Any], timeout: float | None
    ) -> Future[tuple[Message, ...]] | None:
        """Return what waits, so long, for messages that are not here, but in a durable store."""
        services = self._running()
        if services.storing is None or not isinstance(message, READS):
            return None
        check(message, services.limits)
        wanted = elsewhere(services.table, message)
        if wanted is not None and timeout is not None:  # else it has the bound of every ask
            until_s = wanted.blocker.now_s() + timeout
            wanted.deadline_s = None if until_s == math.inf else until_s
        return wanted

    def _read(self, message: Request[Any], older: tuple[Message, ...] = ()) -> tuple[bool, object]:
        services = self._running()
        if isinstance(message, READS):
            check(message, services.limits)
            now_s = services.system.clock.now_s()
            return True, answer(services.table, message, now_s=now_s, older=older)
        if isinstance(message, LINK_READS):
            check(message, services.limits)
            return True, answer_about_links(services.table, message)
        if isinstance(message, GetSessionRef):
            check(message, services.limits)
            return True, self.address(message.session_id)
        if isinstance(message, Health):
            return True, self.health()
        if isinstance(message, Subscribe):
            check(message, services.limits)
            return True, self._subscribe(services, message)
        return False, None

    @staticmethod
    def _subscribe(services: Services, message: Subscribe) -> Subscription:
        session_id = message.session_id
        if session_id is not None:
            services.table.row(session_id)
        feed = services.feed
        opened = feed.subscribe(session_id, message.kinds, events_max=message.events_max)
        if session_id is not None and session_id not in services.table:
            opened.close()  # it went meanwhile, and perhaps nobody was told
        return opened

    def _recipient(self, message: Request[Any]) -> Address[Any]:
        if isinstance(message, SessionMessage):
            return self.address(message.session_id)
        if not isinstance(message, Request):
            raise _no_message(message)
        return self._running().manager


def _no_message(given: object) -> InvalidField:
    """Return what somebody is told who sends what is no message."""
    if isinstance(given, type):
        return InvalidField("message", given, f"Send an instance of it: {given.__name__}(...).")
    name = f"{type(given).__module__}.{type(given).__qualname__}".removeprefix("builtins.")
    remedy = (
        f"{name} is no message: give one of callboard.actors, as CreateSession(...), or a"
        " SessionMessage of your own."
    )
    return InvalidField("message", given, remedy)


class SweepFailed(msgspec.Struct, frozen=True):
    """Folders of sessions that are no more could not be removed when the system was started.

    Args:
        error: why.
    """

    log_level: ClassVar[int] = logging.WARNING
    log_event: ClassVar[str] = "workspace.sweep_failed"

    error: str


async def _elsewhere(act: Callable[[], object]) -> None:
    """Do something that blocks without blocking the host's loop."""
    await asyncio.get_running_loop().run_in_executor(None, act)


def _left_s(wanted: Future[Any] | None, timeout: float | None) -> float | None:
    """Return what is left of a timeout after a wait, in seconds."""
    if wanted is None or wanted.deadline_s is None:
        return timeout  # nothing has been waited for, or it may take for ever
    return max(0.0, wanted.deadline_s - wanted.blocker.now_s())


def _within(end: Future[ExitReason], timeout_s: float) -> ExitReason | None:
    try:
        return end.get(timeout=timeout_s)
    except Timeout:
        return None
