"""The public test kit: a seeded simulation, a manual clock, probes, faults, checkable laws."""

from callboard.supervision.testing import faults as faults
from callboard.supervision.testing.clock import ManualClock as ManualClock
from callboard.supervision.testing.errors import BlockedInHandOff as BlockedInHandOff
from callboard.supervision.testing.errors import Deadlock as Deadlock
from callboard.supervision.testing.errors import EndlessStep as EndlessStep
from callboard.supervision.testing.errors import LawBroken as LawBroken
from callboard.supervision.testing.errors import Leaked as Leaked
from callboard.supervision.testing.errors import Livelock as Livelock
from callboard.supervision.testing.errors import MissingExtra as MissingExtra
from callboard.supervision.testing.errors import NeverSeen as NeverSeen
from callboard.supervision.testing.errors import NotReplayable as NotReplayable
from callboard.supervision.testing.errors import OutsideOfSimulation as OutsideOfSimulation
from callboard.supervision.testing.errors import ProcessDied as ProcessDied
from callboard.supervision.testing.errors import SimulationClosed as SimulationClosed
from callboard.supervision.testing.errors import SimulationError as SimulationError
from callboard.supervision.testing.explore import Exploration as Exploration
from callboard.supervision.testing.explore import Explorer as Explorer
from callboard.supervision.testing.explore import Ready as Ready
from callboard.supervision.testing.faults import Fault as Fault
from callboard.supervision.testing.faults import FaultPlan as FaultPlan
from callboard.supervision.testing.lag import Lag as Lag
from callboard.supervision.testing.pct import Pct as Pct
from callboard.supervision.testing.portfolio import Portfolio as Portfolio
from callboard.supervision.testing.probe import Probe as Probe
from callboard.supervision.testing.schedule import Deviation as Deviation
from callboard.supervision.testing.schedule import Recording as Recording
from callboard.supervision.testing.schedule import Replay as Replay
from callboard.supervision.testing.schedule import Schedule as Schedule
from callboard.supervision.testing.simulate import Simulate as Simulate
from callboard.supervision.testing.simulate import simulate as simulate
from callboard.supervision.testing.simulation import Client as Client
from callboard.supervision.testing.simulation import Simulation as Simulation
from callboard.supervision.testing.trace import Trace as Trace
from callboard.supervision.testing.walk import Walk as Walk

__all__ = [
    "BlockedInHandOff",
    "Client",
    "Deadlock",
    "Deviation",
    "EndlessStep",
    "Exploration",
    "Explorer",
    "Fault",
    "FaultPlan",
    "Lag",
    "LawBroken",
    "Leaked",
    "Livelock",
    "ManualClock",
    "MissingExtra",
    "NeverSeen",
    "NotReplayable",
    "OutsideOfSimulation",
    "Pct",
    "Portfolio",
    "Probe",
    "ProcessDied",
    "Ready",
    "Recording",
    "Replay",
    "Schedule",
    "Simulate",
    "Simulation",
    "SimulationClosed",
    "SimulationError",
    "Trace",
    "Walk",
    "faults",
    "simulate",
]
