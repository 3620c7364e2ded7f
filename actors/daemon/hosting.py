"""How does what was asked for become a running daemon? Each part made, then all of it run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from callboard.actors.audit import AuditFile
from callboard.actors.daemon.config import Config
from callboard.actors.daemon.doors import OpenDoor, open_port, open_unix
from callboard.actors.daemon.errors import WrongUsage
from callboard.actors.daemon.options import Bounds, load_behaviour
from callboard.actors.daemon.service import Daemon, run
from callboard.actors.daemon.stores import store_of
from callboard.actors.daemon.where import listening, token_file_of
from callboard.actors.home import at_home
from callboard.actors.metrics import MetricsSink
from callboard.actors.prometheus import PrometheusMetrics
from callboard.actors.sessions.actor import SessionActor
from callboard.actors.system import SessionSystem
from callboard.actors.systemd import SystemdWatchdog


def host_sessions(
    config: Config, bounds: Bounds, *, on_event: Callable[[object], None] | None = None
) -> int:
    """Run a daemon until it is ended; return its exit code. On the main thread.

    Args:
        config: what it is to be.
        bounds: its bounds.
        on_event: gets the events of the tree.

    Raises:
        CallboardError: it cannot be so, or did not start.
    """
    place = listening(_path(config.socket), config.port)
    store = store_of(config.store)  # before anything is made: it may be no store at all
    with ExitStack() as stack:
        audit = _audit(config)
        if audit is not None:
            stack.callback(audit.close)
        metrics, numbers = _metrics()
        sessions = SessionSystem(
            SessionActor
            if config.session is None
            else load_behaviour(config.session, Path(at_home(config.app_dir or ""))),
            limits=bounds.limits,
            keeping=bounds.keeping,
            settings=bounds.runtime,
            partitions=config.partitions,
            tenants=config.tenants,
            unique_role=config.unique_role,
            faults=config.faults,
            workspace=config.workspace,
            store=store,
            store_start_s=bounds.daemon.store_start_s,
            audit=audit,
            audit_required=config.audit_required,
            metrics=metrics,
            watchdog=SystemdWatchdog.from_environment(),
            on_event=on_event,
        )
        door = stack.enter_context(_door(config, place, backlog=bounds.daemon.backlog))
        return run(
            Daemon(sessions, door, settings=bounds.daemon, faults=config.faults, numbers=numbers)
        )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(at_home(text))


def _door(config: Config, place: Path | int, *, backlog: int) -> OpenDoor:
    if isinstance(place, Path):
        return open_unix(place, backlog=backlog)
    token_file = token_file_of(_path(config.token_file))
    return open_port(config.host, place, token_file=token_file, backlog=backlog)


def _audit(config: Config) -> AuditFile | None:
    if config.audit is None:
        if config.audit_required:
            msg = "--audit-required has no file to write to"
            raise WrongUsage(msg, "Give --audit FILE with it.")
        return None
    return AuditFile(config.audit, is_durable=config.audit_required)


def _metrics() -> tuple[MetricsSink | None, Callable[[], bytes] | None]:
    """Return where numbers go, and what renders them; nothing where the extra is missing."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 -- an extra
    except ImportError:
        return None, None
    registry = CollectorRegistry()
    return PrometheusMetrics(registry), lambda: generate_latest(registry)
