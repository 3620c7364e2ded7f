"""Is there a service manager that wants to know how the daemon is? The protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket

_PINGS_PER_PERIOD = 3


def notify_systemd(state: str) -> bool:
    """Tell the service manager, if there is one, how the daemon is. Never waits; any thread.

    Args:
        state: `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=...`; several, a line each.

    Returns:
        Whether it was told: False where nothing asked for it (`NOTIFY_SOCKET`), or it is gone.

    Source: systemd, sd_notify(3).
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # Linux's abstract names begin with a zero byte
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        try:
            manager.connect(address)
            manager.send(state.encode())
        except OSError:  # a manager that went away, or does not read, must not end the daemon
            return False
    return True


class SystemdWatchdog:
    """systemd's watchdog: it kills and restarts a service that gives no sign of life in time.

    Give it as `SessionSystem(watchdog=SystemdWatchdog.from_environment())`.

    Args:
        period_s: how long the service manager waits for one, in seconds (`WatchdogSec=`).

    Source: systemd, sd_watchdog_enabled(3).
    """

    def __init__(self, period_s: float) -> None:
        self.interval_s = period_s / _PINGS_PER_PERIOD
        """How often to give a sign, in seconds: one that comes late does no harm."""

    @classmethod
    def from_environment(cls) -> SystemdWatchdog | None:
        """Return the watchdog that systemd has set for this process, or None."""
        usec = os.environ.get("WATCHDOG_USEC", "")
        is_ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if not (usec.isascii() and usec.isdigit() and int(usec) and is_ours):
            return None
        return cls(int(usec) / 1_000_000)

    def beat(self) -> None:
        """Give the sign of life. Never waits."""
        notify_systemd("WATCHDOG=1")
