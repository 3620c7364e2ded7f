"""A daemon of plain threads with sessions inside."""

import logging
import os
import signal
import threading
from collections import Counter
from contextlib import suppress
from queue import Empty, SimpleQueue

from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem, Shutdown
from callboard.supervision import ActorCrashed, EventLog

log = logging.getLogger("theatre")


# begin hook
crashes: Counter[str] = Counter()
log_event = EventLog()


def on_event(event: object) -> None:
    log_event(event)  # what you get without a hook of your own
    if isinstance(event, ActorCrashed):
        crashes[event.name] += 1


# end hook


# begin main
def main() -> int:
    over: SimpleQueue[str] = SimpleQueue()  # its put may be called in a signal handler
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: over.put("told to stop"))

    sessions = SessionSystem(on_event=on_event, max_idle_s=600.0)
    sessions.start()
    threading.Thread(target=watch, args=(sessions, over)).start()
    serve(sessions)

    why = None
    while why is None:  # a signal that comes just before a wait begins does not end it
        with suppress(Empty):
            why = over.get(timeout=1.0)
    if why == "told to stop":
        busy = sessions.ask(Shutdown(grace_s=5.0))  # from here on no new session
        log.info("still busy: %s", busy)
    report = sessions.stop(timeout_s=20.0)
    print(f"{why}; {report}")
    return 0 if why == "told to stop" and report.is_clean else 70


def watch(sessions: SessionSystem, over: SimpleQueue[str]) -> None:
    sessions.wait()  # returns when the tree has ended, by stop or by itself
    over.put("gave up")


# end main


# begin serve
def serve(sessions: SessionSystem) -> None:
    threading.Thread(target=visit, args=(sessions, "ada")).start()


def visit(sessions: SessionSystem, user: str) -> None:
    session = sessions.ask(CreateSession(user_id=user))
    sessions.ask(AppendMessage(session.id, Role.USER, "hello"), timeout=2.0)
    print(sessions.get(session.id).message_count)  # a snapshot: no message, no lock
    os.kill(os.getpid(), signal.SIGTERM)  # this example has nothing else to do


# end serve

if __name__ == "__main__":
    raise SystemExit(main())
