"""How is a session changed that has no actor? By an incarnation of its row that nobody runs."""

from __future__ import annotations

import msgspec

from callboard.actors.limits import SessionLimits
from callboard.actors.sessions.address import SessionAddress
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.states import Presence


def take_care(address: SessionAddress, limits: SessionLimits) -> Draft:
    """Begin an incarnation without an actor, and return its working state. The manager alone.

    Whatever an actor of the session still hands in is refused from then on, also of one whose
    start is under way: for sessions that are to end. One that rests is seen resting all the
    time, also if nothing comes of it.
    """
    while True:
        draft = _begin(address, _next_number(address), limits)
        if draft is not None:  # else a start that nobody knew of has just begun one
            return draft


def take_care_of_resting(address: SessionAddress, limits: SessionLimits) -> Draft | None:
    """Do the same, but never in the way of an actor: None when one lives there, or begins first.

    One that comes later begins from what this incarnation has committed by then, and refuses the
    rest of it.
    """
    with address.system.rare:  # nobody enters meanwhile: who does so later has a higher number
        if address.ref is not None:
            return None
        number = _next_number(address)
    return _begin(address, number, limits)


def _next_number(address: SessionAddress) -> int:
    address.incarnations = max(address.incarnations, address.row.incarnation) + 1
    return address.incarnations


def _begin(address: SessionAddress, number: int, limits: SessionLimits) -> Draft | None:
    row = address.row
    if row.standing is not None and row.presence is not Presence.AWAKE:
        row.note(msgspec.structs.replace(row.standing, incarnation=number))
    start = row.begin(number)
    return None if start is None else Draft(row, start, limits)
