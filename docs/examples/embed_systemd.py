"""A daemon of plain threads that systemd watches."""

import signal
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue

from callboard.actors import CreateSession, SessionSystem, SystemdWatchdog, notify_systemd


# begin main
def main() -> int:
    over: SimpleQueue[str] = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda _number, _frame: over.put("told to stop"))

    sessions = SessionSystem(watchdog=SystemdWatchdog.from_environment())
    sessions.start()
    threading.Thread(target=watch, args=(sessions, over)).start()
    serve(sessions)
    notify_systemd("READY=1")  # only now: what depends on this service may start

    why = None
    while why is None:
        with suppress(Empty):
            why = over.get(timeout=1.0)
    notify_systemd("STOPPING=1")
    report = sessions.stop(timeout_s=20.0)
    print(f"{why}; {report}")
    return 0 if why == "told to stop" and report.is_clean else 70


def watch(sessions: SessionSystem, over: SimpleQueue[str]) -> None:
    sessions.wait()
    over.put("gave up")


# end main


def serve(sessions: SessionSystem) -> None:
    print(sessions.ask(CreateSession(user_id="ada")).state)
    threading.Timer(0.5, signal.raise_signal, [signal.SIGTERM]).start()  # nothing else to do


if __name__ == "__main__":
    raise SystemExit(main())
