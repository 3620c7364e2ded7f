"""The public test kit: a seeded simulation, a manual clock, probes, faults, checkable laws."""

from callboard.supervision.testing.clock import ManualClock as ManualClock
from callboard.supervision.testing.errors import BlockedInHandOff as BlockedInHandOff
from callboard.supervision.testing.errors import Deadlock as Deadlock
from callboard.supervision.testing.errors import EndlessStep as EndlessStep
from callboard.supervision.testing.errors import Livelock as Livelock
from callboard.supervision.testing.errors import MissingExtra as MissingExtra
from callboard.supervision.testing.errors import NotReplayable as NotReplayable
from callboard.supervision.testing.errors import OutsideOfSimulation as OutsideOfSimulation
from callboard.supervision.testing.errors import SimulationClosed as SimulationClosed
from callboard.supervision.testing.errors import SimulationError as SimulationError
from callboard.supervision.testing.explore import Exploration as Exploration
from callboard.supervision.testing.explore import Explorer as Explorer
from callboard.supervision.testing.explore import Ready as Ready
from callboard.supervision.testing.explore import Walk as Walk
from callboard.supervision.testing.probe import Probe as Probe
from callboard.supervision.testing.simulate import simulate as simulate
from callboard.supervision.testing.simulation import Client as Client
from callboard.supervision.testing.simulation import Simulation as Simulation
from callboard.supervision.testing.trace import Trace as Trace

__all__ = [
    "BlockedInHandOff",
    "Client",
    "Deadlock",
    "EndlessStep",
    "Exploration",
    "Explorer",
    "Livelock",
    "ManualClock",
    "MissingExtra",
    "NotReplayable",
    "OutsideOfSimulation",
    "Probe",
    "Ready",
    "Simulation",
    "SimulationClosed",
    "SimulationError",
    "Trace",
    "Walk",
    "simulate",
]
