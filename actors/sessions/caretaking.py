"""How is a session changed that has no actor? By an incarnation of its row that nobody runs."""

from __future__ import annotations

import msgspec

from callboard.actors.limits import SessionLimits
from callboard.actors.sessions.address import SessionAddress
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.states import Presence


def take_care(address: SessionAddress, limits: SessionLimits) -> Draft:
    """Begin an incarnation without an actor, and return its working state. The manager alone.

    Whatever an actor of the session still hands in is refused from then on. A session
    that rests is seen resting all the time, also if nothing comes of it.
    """
    row = address.row
    while True:
        address.incarnations += 1
        number = max(address.incarnations, row.incarnation + 1)
        if row.standing is not None and row.presence is not Presence.AWAKE:
            row.note(msgspec.structs.replace(row.standing, incarnation=number))
        start = row.begin(number)
        if start is not None:  # else a start that nobody knew of has just begun one
            return Draft(row, start, limits)
