"""The public test kit for sessions: a simulation, a decorator for it, fakes of the ports.

Where callboard is installed pytest has the simulation as the fixture `callboard`.
"""

from callboard.actors.testing.connections import Barrier as Barrier
from callboard.actors.testing.connections import Faults as Faults
from callboard.actors.testing.connections import MemoryAgent as MemoryAgent
from callboard.actors.testing.connections import MemoryAgents as MemoryAgents
from callboard.actors.testing.connections import MemoryClient as MemoryClient
from callboard.actors.testing.connections import MemoryMcp as MemoryMcp
from callboard.actors.testing.connections import MemoryMcpConnection as MemoryMcpConnection
from callboard.actors.testing.connections import Turn as Turn
from callboard.actors.testing.connections import echo as echo
from callboard.actors.testing.disk import MemoryDisk as MemoryDisk
from callboard.actors.testing.disk_faults import ByChance as ByChance
from callboard.actors.testing.disk_faults import DiskErrs as DiskErrs
from callboard.actors.testing.disk_faults import DiskIsFull as DiskIsFull
from callboard.actors.testing.disk_faults import SyncFails as SyncFails
from callboard.actors.testing.disk_faults import SyncLies as SyncLies
from callboard.actors.testing.drive import Loss as Loss
from callboard.actors.testing.fakes import Fake as Fake
from callboard.actors.testing.fakes import FakeCleaner as FakeCleaner
from callboard.actors.testing.fakes import FakeMemory as FakeMemory
from callboard.actors.testing.fakes import FakePrompts as FakePrompts
from callboard.actors.testing.fakes import FakeSecrets as FakeSecrets
from callboard.actors.testing.fakes import FakeStore as FakeStore
from callboard.actors.testing.fakes import FakeWorkspaces as FakeWorkspaces
from callboard.actors.testing.history import Finding as Finding
from callboard.actors.testing.history import History as History
from callboard.actors.testing.history import HistoryFull as HistoryFull
from callboard.actors.testing.kit import Callboard as Callboard
from callboard.actors.testing.kit import Unstopped as Unstopped
from callboard.actors.testing.kit import simulate as simulate
from callboard.actors.testing.laws import broken_laws as broken_laws
from callboard.actors.testing.observing import FakeAudit as FakeAudit
from callboard.actors.testing.observing import FakeLog as FakeLog
from callboard.actors.testing.observing import FakeMetrics as FakeMetrics
from callboard.actors.testing.store_faults import StoreDies as StoreDies
from callboard.actors.testing.store_faults import StoreForgets as StoreForgets
from callboard.actors.testing.store_faults import StoreIsSlow as StoreIsSlow
from callboard.actors.testing.store_faults import StoreRefuses as StoreRefuses
from callboard.actors.testing.stores import StoreInMemory as StoreInMemory

__all__ = [
    "Barrier",
    "ByChance",
    "Callboard",
    "DiskErrs",
    "DiskIsFull",
    "Fake",
    "FakeAudit",
    "FakeCleaner",
    "FakeLog",
    "FakeMemory",
    "FakeMetrics",
    "FakePrompts",
    "FakeSecrets",
    "FakeStore",
    "FakeWorkspaces",
    "Faults",
    "Finding",
    "History",
    "HistoryFull",
    "Loss",
    "MemoryAgent",
    "MemoryAgents",
    "MemoryClient",
    "MemoryDisk",
    "MemoryMcp",
    "MemoryMcpConnection",
    "StoreDies",
    "StoreForgets",
    "StoreInMemory",
    "StoreIsSlow",
    "StoreRefuses",
    "SyncFails",
    "SyncLies",
    "Turn",
    "Unstopped",
    "broken_laws",
    "echo",
    "simulate",
]
