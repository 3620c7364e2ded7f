"""What stands in for the ports in a test? Fakes: they remember, and fail when they are told to.

They touch neither disk nor network, so they work in a simulation. Each notes its calls
in `calls`, raises what `failures` says for a method, and calls `on_call(method, id)`
first, where a test may wait, raise or crash something.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from callboard.actors.errors import WorkspaceError
from callboard.actors.secrets import SecretError, SecretRef
from callboard.actors.sessions.data import Session


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

    def sweep(self, session_ids: Collection[str]) -> tuple[str, ...]:
        """Be open, and forget all folders but those of these sessions."""
        self._called("sweep", "")
        self.is_open = True
        lost = tuple(sorted(each for each in self.folders if each not in session_ids))
        for each in lost:
            del self.folders[each]
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
        self.folders.pop(session_id, None)

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
        self._known = known

    def resolve(self, ref: SecretRef) -> str:
        """Return what the mapping holds.

        Raises:
            SecretError: nothing.
        """
        self._called("resolve", ref.name)
        try:
            return self._known[ref.name]
        except KeyError:
            raise SecretError(ref.name) from None
