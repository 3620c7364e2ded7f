"""How it is seen that all clients of a session are told one story."""

from contextlib import suppress
from functools import partial

import pytest

from callboard.actors import AppendMessage, CreateSession, Role
from callboard.actors.testing import Callboard, History, simulate
from callboard.supervision import DeliveryError


# begin history
@simulate(schedules=50, must_see=("crash",))
def test_all_clients_are_told_one_story(callboard: Callboard) -> None:
    sessions = callboard.start()
    history = History(sessions)
    shared = history.ask(CreateSession(), by="ada").id

    def write(name: str) -> None:
        for number in range(5):
            ref = sessions.address(shared).ref
            if ref is not None and callboard.happens("crash", 0.1):
                ref.kill()
            text = f"{name} {number}"
            with suppress(DeliveryError):
                history.ask(AppendMessage(shared, Role.USER, text, text), by=name)

    for name in ("bob", "eve"):
        callboard.spawn(name, partial(write, name))
    callboard.run()
    history.look()

    assert history.broken() == []


# end history

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
