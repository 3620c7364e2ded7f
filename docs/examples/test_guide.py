"""How a behaviour is tested: simulated, with a clock that the test moves."""

import pytest

from callboard.actors import CreateSession, Presence, Role, SessionActor, SessionMessage
from callboard.actors.testing import Callboard, FakeWorkspaces
from callboard.supervision import handles

ROOMS = {"stage": "down the stairs", "cloakroom": "to your left"}


# begin behaviour
class Where(SessionMessage[str], frozen=True, kw_only=True):
    room: str


class Guide(SessionActor[None]):
    @handles(Where)
    def on_where(self, message: Where) -> str:
        answer = ROOMS[message.room]
        self.append(Role.USER, message.room)
        self.append(Role.ASSISTANT, answer)
        return answer


# end behaviour


# begin tests
def test_what_was_said_survives_a_crash(callboard: Callboard) -> None:
    sessions = callboard.start(Guide)
    ada = sessions.ask(CreateSession(user_id="ada"))
    assert sessions.ask(Where(ada.id, room="stage")) == "down the stairs"

    back = callboard.crash(sessions, ada.id)

    assert back.restarts == 1
    assert [each.content for each in sessions.messages(ada.id)] == ["stage", "down the stairs"]


def test_who_asks_for_the_moon_again_and_again_is_quarantined(callboard: Callboard) -> None:
    sessions = callboard.start(Guide)
    ada = sessions.ask(CreateSession(user_id="ada"))

    while sessions.get(ada.id).presence is not Presence.QUARANTINED:
        with pytest.raises(KeyError):
            sessions.ask(Where(ada.id, room="moon"))
        callboard.advance(1.0)

    assert sessions.get(ada.id).failed_on == "Where"


def test_a_session_that_nobody_uses_takes_its_folder_along(callboard: Callboard) -> None:
    folders = FakeWorkspaces()
    sessions = callboard.start(Guide, workspace=folders, max_idle_s=600.0)
    ada = sessions.ask(CreateSession(user_id="ada"))
    assert ada.id in folders.folders

    callboard.advance(1_000.0)

    assert folders.folders == {}


# end tests

if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
