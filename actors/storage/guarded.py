"""What may a store of the host's do to the sessions? Keep a commit, or refuse it; nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from callboard.actors.errors import StoreError, StoreOutcomeUnknown
from callboard.actors.storage.commits import CommitOutcome, Committer, Entry
from callboard.actors.storage.memory import MemoryStore

S = TypeVar("S")
L = TypeVar("L")

REFUSED_COMMITS: Final = "refused_commits"
"""Under which name commits that were not kept are counted (`ActorSystem.counts`)."""


class GuardedStore(Generic[S, L]):
    """A store whose every answer the sessions can deal with.

    Whatever else it raises or says becomes `StoreOutcomeUnknown`: a manager must not
    crash since a store does, and no reply confirm what nobody can read.

    Args:
        store: the host's.
        count: counts what was refused.
        raised: tells the host of an exception of another kind; returns what its asker is told.
    """

    __slots__ = ("_count", "_memory", "_raised", "_store")

    def __init__(
        self,
        store: Committer[S, L],
        count: Callable[[str], object],
        raised: Callable[[Exception], str],
    ) -> None:
        self._store = store
        self._count = count
        self._raised = raised
        self._memory = MemoryStore()

    def commit(self, entry: Entry[S, L]) -> CommitOutcome:
        """Keep and publish one commit; see `Committer`.

        Raises:
            StoreError: it was not kept.
            StoreOutcomeUnknown: whether it was is not known.
        """
        if entry.base.successor:  # so that no store keeps what is not to be published
            return self._memory.commit(entry)
        try:
            outcome = self._store.commit(entry)
        except StoreError:
            self._count(REFUSED_COMMITS)
            raise
        except Exception as error:  # a host's store, translated
            self._count(REFUSED_COMMITS)
            raise StoreOutcomeUnknown(self._raised(error)) from error
        if outcome is CommitOutcome.FENCED:
            return outcome
        if outcome is CommitOutcome.COMMITTED and entry.base.successor.get(0) is entry.version:
            return outcome
        self._count(REFUSED_COMMITS)
        if outcome is CommitOutcome.COMMITTED:
            msg = "the store says that it has kept a commit that it has not published"
        else:
            msg = f"the store answered {outcome!r}, which sessions do not take"
        raise StoreOutcomeUnknown(msg)
