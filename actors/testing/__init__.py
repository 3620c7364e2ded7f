"""The public test kit for sessions: a simulated stage, and fakes of the ports.

`pytest_plugins = ["callboard.actors.testing.plugin"]` brings the stage as the fixture `callboard`.
"""

from callboard.actors.testing.fakes import Fake as Fake
from callboard.actors.testing.fakes import FakeCleaner as FakeCleaner
from callboard.actors.testing.fakes import FakePrompts as FakePrompts
from callboard.actors.testing.fakes import FakeSecrets as FakeSecrets
from callboard.actors.testing.fakes import FakeWorkspaces as FakeWorkspaces
from callboard.actors.testing.kit import Callboard as Callboard
from callboard.actors.testing.kit import Unstopped as Unstopped

__all__ = [
    "Callboard",
    "Fake",
    "FakeCleaner",
    "FakePrompts",
    "FakeSecrets",
    "FakeWorkspaces",
    "Unstopped",
]
