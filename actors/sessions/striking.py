"""Faults on purpose: a part of the living tree is made to crash, to see that it heals."""

from __future__ import annotations

from typing import Any

from callboard.actors.errors import InvalidField
from callboard.actors.messages import Fault, InjectCrash
from callboard.actors.sessions.address import address_of
from callboard.actors.sessions.internal import FailNow
from callboard.actors.sessions.services import Services
from callboard.supervision import ActorRef, Crashed


def part_named_by(message: InjectCrash, services: Services) -> ActorRef[Any] | Exception:
    """Return what is to be struck; or, of a session that has no actor now, why it has none.

    Raises:
        SessionNotFound: there is no such session.
        InvalidField: the tree has no such part.
    """
    if message.session_id is not None:
        row = services.table.row(message.session_id)
        address = address_of(row)
        cell = None if address is None else address.ref
        if cell is None or cell.is_dead:
            return services.addresses.of(row).absent_error()
        return cell
    part: ActorRef[Any] | None = services.find_part(message.part or "")
    if part is None:
        raise InvalidField("part", message.part, "Give a path of the tree, as `tree` shows it.")
    return part


def strike(part: ActorRef[Any], how: Fault) -> None:
    """Have it crash; a part that the tree itself runs on gets an exit signal for an exception."""
    if how is Fault.KILL:
        part.kill()
    elif how is Fault.EXIT or part.is_system:
        part.exit(Crashed("InjectedFault", "an exit signal on purpose"))
    else:
        part.notify(FailNow())
