"""What stands in for the ports in a test? Fakes: they remember, and fail when they are told to.

They touch neither disk nor network, so they work in a simulation. Each notes its calls
in `calls`, raises what `failures` says for a method, and calls `on_call(method, id)`
first, where a test may wait, raise or crash something.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from callboard.actors.errors import StoreError, StoreOutcomeUnknown, WorkspaceError
from callboard.actors.secrets import SecretError, SecretRef
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.draft import SessionEntry
from callboard.actors.sessions.naming import session_name
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.memory import MemoryStore
from callboard.actors.testing.store_faults import (
    StoreDies,
    StoreForgets,
    StoreIsSlow,
    StoreRefuses,
)
from callboard.actors.workspace import Remains
from callboard.supervision.testing.simulation import Simulation


class Fake:
    """Base of the fakes.

    Attributes:
        calls: (method, id) of every call, in order.
        failures: method -> what it raises from now on.
        on_call: called first, with method and id.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.failures: dict[str, Exception] = {}
        self.on_call: Callable[[str, str], object] | None = None

    def _called(self, method: str, about: str) -> None:
        self.calls.append((method, about))
        if self.on_call is not None:
            self.on_call(method, about)
        failure = self.failures.get(method)
        if failure is not None:
            raise failure


class FakeWorkspaces(Fake):
    """A `WorkspaceProvider` whose folders are entries of `folders`.

    Args:
        orphans: ids of sessions that an earlier system has left behind.
    """

    def __init__(self, orphans: Collection[str] = ()) -> None:
        super().__init__()
        self.folders: dict[str, str] = {each: f"/fake/{each}" for each in orphans}
        """Session id -> path."""
        self.is_open = False
        self.removed: list[str] = []
        """Ids of sessions whose folders were removed and wait for `clear`."""
        self.leaves_to_clear = False
        """Whether a folder that is removed does; else nothing is left of it."""

    def sweep(self, session_ids: Collection[str]) -> tuple[str, ...]:
        """Be open, and forget all folders but those of these sessions."""
        self._called("sweep", "")
        self.is_open = True
        lost = tuple(sorted(each for each in self.folders if each not in session_ids))
        for each in lost:
            self._take_out(each)
        return lost

    def make(self, user_id: str | None, session_id: str) -> str:
        """Enter a folder."""
        self._called("make", session_id)
        if not self.is_open:
            msg = "the fake workspaces are not open"
            raise WorkspaceError(msg)
        path = self.folders[session_id] = f"/fake/{user_id or '_nobody'}/{session_id}"
        return path

    def remove(self, user_id: str | None, session_id: str) -> None:
        """Take a folder out, if it is there."""
        del user_id
        self._called("remove", session_id)
        self._take_out(session_id)

    def _take_out(self, session_id: str) -> None:
        if self.folders.pop(session_id, None) is not None and self.leaves_to_clear:
            self.removed.append(session_id)

    def clear(self, entries_max: int) -> Remains:
        """Forget so many of the folders that were removed, if any were left to be cleared."""
        if self.removed:
            self._called("clear", "")
            del self.removed[:entries_max]
        return Remains(len(self.removed))

    def close(self) -> None:
        """Be closed."""
        self.is_open = False


class FakePrompts(Fake):
    """A `PromptComposer` that says for whom it composed."""

    def compose(
        self, user_id: str | None, org_id: str | None, variables: Mapping[str, object]
    ) -> str:
        """Return a prompt that names all it was given."""
        self._called("compose", user_id or "")
        return f"for {user_id} of {org_id} with {dict(variables)}"


class FakeCleaner(Fake):
    """A `Cleaner` that remembers whom it cleaned up after.

    Attributes:
        cleaned: the snapshots it was given.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cleaned: list[Session] = []

    def clean(self, session: Session) -> None:
        """Remember it."""
        self._called("clean", session.id)
        self.cleaned.append(session)


class FakeSecrets(Fake):
    """`Secrets` of a mapping.

    Args:
        known: name -> value.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        super().__init__()
        self.known = dict(known)
        """What there is; a test may add to it."""

    def resolve(self, ref: SecretRef) -> str:
        """Return what the mapping holds.

        Raises:
            SecretError: nothing.
        """
        self._called("resolve", ref.name)
        try:
            return self.known[ref.name]
        except KeyError:
            raise SecretError(ref.name) from None


class FakeMemory(Fake):
    """A `Memory` that says what it is told to.

    Args:
        taken_bytes: what the process takes: a number, or what says one.
    """

    def __init__(self, taken_bytes: int | Callable[[], int] = 0) -> None:
        super().__init__()
        self.taken_bytes = taken_bytes
        """A test may change it."""
        self.kept_bytes = 0
        """What it takes besides and does not use; a test may say so."""

    def resident_bytes(self) -> int:
        """Return both."""
        self._called("resident_bytes", "")
        taken_bytes = self.taken_bytes
        in_use = taken_bytes if isinstance(taken_bytes, int) else taken_bytes()
        return in_use + self.kept_bytes

    def give_back(self) -> None:
        """Let go of what is kept."""
        self._called("give_back", "")
        self.kept_bytes = 0


class _Rule:
    """Which commits a store has been told not to take, and what becomes of them."""

    def __init__(
        self,
        error: Callable[[], Exception],
        times: int | None,
        session_id: str | None,
        when: Callable[[Session], bool] | None,
        *,
        is_kept: bool,
    ) -> None:
        self.error = error
        self.is_kept = is_kept
        # One is taken out for each commit: a step that two threads cannot do at once.
        self._left = None if times is None else [None] * times
        self._session_id = session_id
        self._when = when

    def is_for(self, session: Session) -> bool:
        """Say whether a commit that makes this snapshot is one of them; then it is counted."""
        if self._session_id not in {None, session.id}:
            return False
        if self._when is not None and not self._when(session):
            return False
        if self._left is not None:
            try:
                self._left.pop()
            except IndexError:
                return False
        return True


class FakeStore(Fake):
    """A `SessionStore` that keeps commits in memory, and refuses or loses some when told to.

    `calls` has ("commit", session id) for each that was handed in. It is as slow as `on_call`,
    where sessions, or the manager, then wait too.

        plan = FaultPlan((StoreRefuses(rate=0.1), StoreDies(nth=3)))
        sim = Simulation(seed, faults=plan)
        SessionSystem(store=FakeStore(sim), runtime=sim.runtime)

    Args:
        simulation: the faults of its plan that are a store's strike this one; None: none does.

    Attributes:
        entries: the commits that it has kept, in order. One that was lost is followed by another
            of the same version.
    """

    def __init__(self, simulation: Simulation | None = None) -> None:
        super().__init__()
        self.entries: list[SessionEntry] = []
        self._simulation = simulation
        self._memory = MemoryStore()
        self._rules: list[_Rule] = []

    def refuse(
        self,
        error: Exception | None = None,
        *,
        times: int | None = None,
        session_id: str | None = None,
        when: Callable[[Session], bool] | None = None,
    ) -> None:
        """Refuse commits from now on, until `accept`: nothing of them is kept.

        Args:
            error: what to raise; None: a `StoreError`.
            times: how many; None: as many as come.
            session_id: of this session alone; None: of any.
            when: only those for whose new snapshot this says so.
        """

        def refused() -> Exception:
            return StoreError("the fake store refuses") if error is None else error

        self._rules.append(_Rule(refused, times, session_id, when, is_kept=False))

    def lose(
        self,
        *,
        times: int | None = None,
        session_id: str | None = None,
        when: Callable[[Session], bool] | None = None,
    ) -> None:
        """Keep commits from now on, until `accept`, but be lost before that can be said.

        Args:
            times: how many; None: as many as come.
            session_id: of this session alone; None: of any.
            when: only those for whose new snapshot this says so.
        """

        def lost() -> Exception:
            return StoreOutcomeUnknown("the fake store is lost")

        self._rules.append(_Rule(lost, times, session_id, when, is_kept=True))

    def accept(self) -> None:
        """Refuse and lose nothing more."""
        self._rules.clear()

    def commit(self, entry: SessionEntry) -> CommitOutcome:
        """Keep one commit in memory, unless it is to be refused."""
        self._called("commit", entry.session_id)
        for rule in tuple(self._rules):
            if rule.is_for(entry.version.session):
                if rule.is_kept:
                    self.entries.append(entry)
                raise rule.error()
        self._be_struck(entry)
        outcome = self._memory.commit(entry)
        if outcome is CommitOutcome.COMMITTED:
            self.entries.append(entry)
        return outcome

    def _be_struck(self, entry: SessionEntry) -> None:
        """Do with a commit what the faults of the simulation's plan say.

        Raises:
            StoreError: it refuses.
            StoreOutcomeUnknown: it is lost, before it has kept the commit or after that.
        """
        simulation, session = self._simulation, entry.version.session
        if simulation is None:
            return
        of, on = session_name(session.id), session.state.value
        slow = simulation.strikes(StoreIsSlow, of=of, on=on)
        if slow is not None:
            simulation.stall(slow.seconds)
            if entry.base.successor:  # something else has come first: it is not kept any more
                return
        if simulation.strikes(StoreRefuses, of=of, on=on) is not None:
            msg = "a fault: the store refuses"
            raise StoreError(msg)
        is_lost = simulation.strikes(StoreForgets, of=of, on=on) is not None
        if not is_lost and simulation.strikes(StoreDies, of=of, on=on) is not None:
            is_lost = True
            self.entries.append(entry)
        if is_lost:
            msg = "a fault: the store is lost"
            raise StoreOutcomeUnknown(msg)
