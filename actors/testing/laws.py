"""Which laws of sessions are broken in a system in which nothing is under way?

Rows, addresses, incarnations, places and the manager's book must tell the same story.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from callboard.actors.health import STORE
from callboard.actors.sessions.address import SessionAddress
from callboard.actors.sessions.linking import links_of
from callboard.actors.sessions.naming import partition_name, session_name
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.table import Row
from callboard.actors.system import SessionSystem
from callboard.supervision import ActorRef, DynamicSupervisor, Supervisor, partition_of
from callboard.supervision.observe.tree import TreeNode

EVERYTHING = 1_000_000
"""Nodes of a tree: more than there are in any test."""


def services_of(sessions: SessionSystem) -> Services:
    """Return what the parts of a running system share."""
    services = sessions._services
    assert services is not None, "start it first"
    return services


def parts_of(sessions: SessionSystem) -> dict[str, ActorRef[Any]]:
    """Return path -> ref of every part of the running tree, sessions included."""
    found: dict[str, ActorRef[Any]] = {}

    def walk(path: str, ref: ActorRef[Any]) -> None:
        actor: Any = ref.actor
        if actor is None:
            return
        for child in actor.linked_children():
            found[f"{path}{child.tag}"] = child
            walk(f"{path}{child.tag}/", child)

    walk("", services_of(sessions).root)
    return found


def lines_of(sessions: SessionSystem) -> dict[str, ActorRef[Any] | None]:
    """Return path -> ref of every part that always runs: lines, partitions and what serves them.

    It is what the specs in the living supervisors say, so a new line is found by itself.
    """
    found: dict[str, ActorRef[Any] | None] = {}

    def walk(path: str, ref: ActorRef[Any] | None) -> None:
        actor: Any = None if ref is None else ref.actor
        if not isinstance(actor, Supervisor) or isinstance(actor, DynamicSupervisor):
            return
        children: dict[Any, Any] = {} if actor._tree is None else actor._tree.children
        for key, child in list(children.items()):
            found[f"{path}{key}"] = child.ref
            walk(f"{path}{key}/", child.ref)

    walk("", services_of(sessions).root)
    return found


# -- one moment ------------------------------------------------------------


def broken_laws(sessions: SessionSystem) -> list[str]:
    """Return what is wrong with a running system in which nothing is under way, as sentences."""
    return [
        *_tree(sessions),
        *_picture(sessions),
        *_rows(sessions),
        *_strangers(sessions),
        *_counts(sessions),
        *_book(sessions),
    ]


def _tree(sessions: SessionSystem) -> Iterator[str]:
    for path, ref in lines_of(sessions).items():
        if ref is None or ref.is_dead or not ref.is_started:
            yield f"{path} does not run"
    # A store that refuses is no part of the tree: it is healthy again with the next commit.
    failing = [each for each in sessions.health().failing if each != STORE]
    if failing:
        yield f"{', '.join(failing)} do not run, says health"


def _picture(sessions: SessionSystem) -> Iterator[str]:
    """What the tree looks like from outside is what it is."""
    drawn: list[str] = []

    def walk(node: TreeNode) -> None:
        drawn.append(node.path)
        for child in node.children:
            walk(child)

    root = sessions.tree(nodes_max=EVERYTHING, children_max=EVERYTHING)
    for child in root.children:
        walk(child)
    there = [f"{root.path}/{path}" for path in parts_of(sessions)]
    if sorted(drawn) != sorted(there):
        yield f"the picture has {sorted(set(drawn) ^ set(there))} that the tree has not, or without"


def _rows(sessions: SessionSystem) -> Iterator[str]:
    """Law 8 and law 5: a row, its address and its incarnation belong together."""
    services = services_of(sessions)
    parts = parts_of(sessions)
    for row in services.table.rows():
        if row.session().state is SessionState.CLEANED:
            yield f"{row.id} is cleaned up and still there"
        address = row.address
        if address is None and row.presence in {Presence.ASLEEP, Presence.QUARANTINED}:
            continue  # nobody has anything to do with it; a quarantined one comes from a store
        if not isinstance(address, SessionAddress):
            yield f"{row.id} has no address"
            continue
        if services.system.lookup(session_name(row.id)) is not address:
            yield f"{row.id} is not reached under its name"
        number = partition_of(row.id, services.partitions)
        child = parts.get(f"{partition_name(number)}/{row.id}")
        yield from _presence(row, address.ref, child)
        if address.mailbox_size:
            yield f"{row.id} ({row.presence}) has {address.mailbox_size} messages that wait"


def _presence(row: Row, ref: ActorRef[Any] | None, child: ActorRef[Any] | None) -> Iterator[str]:
    is_living = ref is not None and not ref.is_dead
    if is_living != (row.presence is Presence.AWAKE):
        yield f"{row.id} is said to be {row.presence}, but its actor is {ref}"
    if row.presence is Presence.RESTARTING:
        yield f"{row.id} is restarting for ever"
    if is_living:
        assert ref is not None
        if ref is not child:
            yield f"{row.id} has an incarnation that its partition does not know: {ref}, {child}"
        if ref.incarnation != row.incarnation:
            yield f"{row.id} runs as {ref.incarnation} upon a row of {row.incarnation}"


def _strangers(sessions: SessionSystem) -> Iterator[str]:
    """Law 8: nothing of a session is left where there is no row."""
    services = services_of(sessions)
    prefix = session_name("")
    for name in list(services.system.names):
        if name.startswith(prefix) and services.table.get(name.removeprefix(prefix)) is None:
            yield f"the name {name} is left without a row"
    for path, ref in parts_of(sessions).items():
        line, _, below = path.partition("/")
        number, _, session_id = below.partition("/")
        if line == "sessions" and session_id and "/" not in session_id:
            row = services.table.get(session_id)
            if row is None:
                yield f"{path} runs without a row"
            elif partition_of(row.id, services.partitions) != int(number):
                yield f"{path} runs in the wrong partition"
            if ref.is_dead:
                yield f"{path} has ended and is still a child"
    for name in list(services.system.names):
        if name.startswith(("link/", "links/")):
            session_id = name.rpartition("/")[2]
            row = services.table.get(session_id)
            if row is None or not links_of(row.latest().session):
                yield f"the name {name} is left without a connection"


def _counts(sessions: SessionSystem) -> Iterator[str]:
    """Law 8: what is derived from the rows equals a recount."""
    table = services_of(sessions).table
    snapshots = [row.session() for row in table.rows()]
    for kind, kept, counted in (
        ("user", table.per_user, Counter(each.user_id for each in snapshots)),
        ("org", table.per_org, Counter(each.org_id for each in snapshots)),
    ):
        recount = {key: number for key, number in counted.items() if key is not None}
        if dict(kept) != recount:
            yield f"the counts per {kind} are {dict(kept)}, recounted {recount}"
    roles = Counter(each.agent_role for each in snapshots if each.agent_role is not None)
    for role, number in roles.items():
        if table.count_role(role) != number:
            yield f"{number} sessions play {role}, counted {table.count_role(role)}"


def _book(sessions: SessionSystem) -> Iterator[str]:
    """Law 1: nothing is begun that nobody will end."""
    services = services_of(sessions)
    book = services.book
    for what, left in (
        ("starts", [f"{each.session_id}: {each.cause}, {each.phase}" for each in book.starts]),
        ("endings", book.endings),
        ("spawns", list(book.spawns)),
        ("sleepers", book.sleepers),
    ):
        if left:
            yield f"{what} are left: {list(left)}"
    for number in range(services.partitions):
        if book.starts.has_waiting(number) or book.starts.asked(number):
            yield f"starts are counted in partition {number}"
    creates = book.creates
    leads_back = all(
        key in creates._created and creates._created[key].session_id == session_id
        for session_id, key in list(creates._keys.items())
    )
    if not leads_back:
        yield "the keys of creates and the way back to them do not agree"
    for key, created in list(creates._created.items()):
        if created.reply is None and creates._keys.get(created.session_id) != key:
            yield f"there is no way back to the key {key} of {created.session_id}"
        if created.reply is None and created.session_id not in services.table:
            yield f"the key {key} is kept for {created.session_id}, which never was"
    for what, some in (
        ("opening", services.connections._opening),
        ("client that nobody claims", services.connections._sinks),
    ):
        for session_id, key in list(some):
            if session_id not in services.table:
                yield f"a {what} is left of {session_id}: {key}"
