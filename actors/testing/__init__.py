"""The public test kit for sessions: fakes of the ports. The pytest fixture is in `.plugin`."""

from callboard.actors.testing.fakes import Fake as Fake
from callboard.actors.testing.fakes import FakeCleaner as FakeCleaner
from callboard.actors.testing.fakes import FakePrompts as FakePrompts
from callboard.actors.testing.fakes import FakeSecrets as FakeSecrets
from callboard.actors.testing.fakes import FakeWorkspaces as FakeWorkspaces

__all__ = [
    "Fake",
    "FakeCleaner",
    "FakePrompts",
    "FakeSecrets",
    "FakeWorkspaces",
]
