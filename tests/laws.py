"""The laws of DESIGN.md that can be looked at from outside, as checkers of a whole session system.

`broken_laws(sessions)` looks at a system in which nothing is under way and returns what is
wrong with it, as sentences: rows, addresses, incarnations, places and the manager's book must
tell the same story. `Ledger` keeps what clients were promised and compares it with what is
there. `Watch` monitors incarnations and counts what it hears.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from callboard.actors import Message, Presence, Role, Session, SessionState, SessionSystem
from callboard.actors.sessions.address import SessionAddress
from callboard.actors.sessions.draft import Draft, SessionEntry
from callboard.actors.sessions.holds import HoldKind
from callboard.actors.sessions.linking import links_of
from callboard.actors.sessions.naming import partition_name, session_name
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.table import Row
from callboard.supervision import (
    ActorRef,
    ActorSystem,
    Down,
    DynamicSupervisor,
    Request,
    SupervisedActor,
    Supervisor,
    handles,
    partition_of,
)
from callboard.supervision.observe.tree import TreeNode

EVERYTHING = 1_000_000
"""More than there is in any test."""


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
    """Return what is wrong with a running system in which nothing is under way."""
    return [
        *_tree(sessions),
        *_picture(sessions),
        *_rows(sessions),
        *_strangers(sessions),
        *_counts(sessions),
        *_book(sessions),
        *_holds(sessions),
    ]


def _tree(sessions: SessionSystem) -> Iterator[str]:
    for path, ref in lines_of(sessions).items():
        if ref is None or ref.is_dead or not ref.is_started:
            yield f"{path} does not run"
    failing = sessions.health().failing
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
        if address is None and row.presence is Presence.ASLEEP:
            continue  # nobody has anything to do with it
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
        steps = path.split("/")
        if len(steps) == 3 and steps[0] == "sessions":
            row = services.table.get(steps[2])
            if row is None:
                yield f"{path} runs without a row"
            elif partition_of(row.id, services.partitions) != int(steps[1]):
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
    if sorted(creates._keys.values()) != sorted(creates._created):
        yield "the keys of creates and the way back to them do not agree"
    for key, created in list(creates._created.items()):
        if created.reply is None and created.session_id not in services.table:
            yield f"the key {key} is kept for {created.session_id}, which never was"
    for what, some in (
        ("opening", services.connections._opening),
        ("client that nobody claims", services.connections._sinks),
    ):
        for session_id, key in list(some):
            if session_id not in services.table:
                yield f"a {what} is left of {session_id}: {key}"


def _holds(sessions: SessionSystem) -> Iterator[str]:
    """What kept a session awake is over with it."""
    for row in services_of(sessions).table.rows():
        draft = row.holder
        if isinstance(draft, Draft) and draft.holds_back(HoldKind.WORK):
            yield f"{row.id} is held, and nothing goes on in it"


# -- what a store was given ------------------------------------------------

OF_THE_MANAGER = ("presence", "restarts", "last_error", "failed_on")
"""Fields of a snapshot that are no part of a commit: the next one carries them along."""


def broken_by_a_store(sessions: SessionSystem, entries: Iterable[SessionEntry]) -> Iterator[str]:
    """Yield where what a store has kept is not what is there, when nothing is under way.

    Args:
        sessions: the system.
        entries: what its store has kept and published, in order.
    """
    held: dict[str, SessionEntry] = {}
    for entry in entries:
        before, now = held.get(entry.session_id), entry.version.session
        is_first = before is None or _is_over(before)
        expected = entry.base.session.version + 1
        if is_first and now.state is SessionState.CREATED:
            expected = entry.base.session.version
        if now.version != expected:
            yield f"{entry.session_id} was kept as {now.version}, not as {expected}"
        held[entry.session_id] = entry
    table = services_of(sessions).table
    for session_id, entry in held.items():
        if table.get(session_id) is None and not _is_over(entry):
            yield f"{session_id} is gone, and the store has it as {entry.version.session.state}"
    for row in table.rows():
        kept, there = held.get(row.id), row.latest()
        if kept is None or _is_over(kept):
            yield f"{row.id} is there, and the store does not know it"
        elif _content(kept.version.session) != _content(there.session):
            yield f"{row.id} is {there.session}, and the store has {kept.version.session}"
        elif kept.version.log is not there.log:
            yield f"{row.id} has a log that the store does not have"


def _is_over(entry: SessionEntry) -> bool:
    return entry.version.session.state is SessionState.CLEANED


def _content(session: Session) -> dict[str, object]:
    return {
        name: getattr(session, name)
        for name in session.__struct_fields__
        if name not in OF_THE_MANAGER
    }


# -- what was promised -----------------------------------------------------


class Ledger:
    """What clients were told about their sessions, to be held against what is there.

    Every text names its client and its number, and is to be kept once: sent again, it has the
    same `client_msg_id`. What an agent says is left out.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[str, list[tuple[int, str]]] = {}
        self.uncertain: dict[str, set[str]] = {}
        self.forbidden: set[str] = set()

    def keep(self, session_id: str, seq: int, text: str) -> None:
        """Note that an append was confirmed."""
        self.acknowledged.setdefault(session_id, []).append((seq, text))

    def doubt(self, session_id: str, text: str) -> None:
        """Note that an append may have been kept or not: its asker was told so."""
        self.uncertain.setdefault(session_id, set()).add(text)

    def deny(self, text: str) -> None:
        """Note that an append failed, or that its handler raised: nothing of it is kept."""
        self.forbidden.add(text)

    def forget(self, session_id: str) -> None:
        """Note that a session was terminated."""
        self.acknowledged.pop(session_id, None)
        self.uncertain.pop(session_id, None)

    def broken(self, sessions: SessionSystem) -> Iterator[str]:
        """Yield what law 7 forbids: something lost, doubled, out of order or half kept."""
        for session_id, promised in self.acknowledged.items():
            row = services_of(sessions).table.get(session_id)
            if row is None:
                yield f"{session_id} is gone, and {len(promised)} messages with it"
            else:
                yield from self._broken_in(sessions, session_id, promised)

    def _broken_in(
        self, sessions: SessionSystem, session_id: str, promised: list[tuple[int, str]]
    ) -> Iterator[str]:
        log: list[Message] = []
        while part := sessions.messages(session_id, after_seq=len(log)):
            log += part
        texts = [each.content for each in log]
        said = [each.content for each in log if each.role is not Role.ASSISTANT]
        if [each.seq for each in log] != list(range(1, len(log) + 1)):
            yield f"{session_id} has holes: {[each.seq for each in log]}"
        for seq, text in promised:
            if seq > len(texts) or texts[seq - 1] != text:
                yield f"{session_id} lost {text!r}, confirmed as {seq}"
        doubled = [text for text, times in Counter(said).items() if times > 1]
        if doubled:
            yield f"{session_id} has {doubled} twice"
        known = {text for _, text in promised} | self.uncertain.get(session_id, set())
        for text in said:
            if text in self.forbidden:
                yield f"{session_id} kept {text!r}, of which nothing may be kept"
            elif text not in known:
                yield f"{session_id} has {text!r}, which nobody was told"
        for client in sorted({text.partition(" ")[0] for text in said}):
            numbers = [_number(text) for text in said if text.partition(" ")[0] == client]
            if numbers != sorted(numbers):
                yield f"{session_id} has what {client} sent out of order: {numbers}"


def _number(text: str) -> int:
    return int(text.rpartition(" ")[2])


# -- monitors --------------------------------------------------------------


class Look(Request[int], frozen=True):
    """Have the watch monitor somebody; the reply is the monitor's number."""

    ref: Any


class Watcher(SupervisedActor):
    """Monitors, and counts what it hears."""

    def __init__(self, downs: list[Down]) -> None:
        self.downs = downs

    @handles(Look)
    def look(self, message: Look) -> int:
        return self.monitor(message.ref)

    @handles(Down)
    def down(self, message: Down) -> None:
        self.downs.append(message)


class Watch:
    """Monitors incarnations on behalf of a test, and says whether law 4 held.

    Args:
        system: where it stands, as a root of its own.
    """

    def __init__(self, system: ActorSystem) -> None:
        self.downs: list[Down] = []
        self._watched: dict[int, ActorRef[Any]] = {}
        self._ref = system.spawn(Watcher, self.downs).wait_started()

    def look_at(self, refs: Iterable[ActorRef[Any]]) -> None:
        """Monitor each of them once more."""
        for ref in refs:
            self._watched[self._ref.ask(Look(ref))] = ref

    def forget_the_dead(self) -> None:
        """Forget those that have ended: what was to be heard of them has been looked at."""
        self._watched = {each: ref for each, ref in self._watched.items() if not ref.is_dead}
        self.downs[:] = [each for each in self.downs if each.monitor in self._watched]

    def broken(self) -> Iterator[str]:
        """Yield every monitor that did not hear exactly once of an end, or heard of none."""
        heard = Counter(each.monitor for each in self.downs)
        for number, ref in self._watched.items():
            expected = 1 if ref.is_dead else 0
            if heard[number] != expected:
                yield f"monitor {number} of {ref} heard {heard[number]} times, not {expected}"
        for each in self.downs:
            if each.monitor in self._watched and each.who is not self._watched[each.monitor]:
                yield f"monitor {each.monitor} heard of {each.who}"


# -- after the end ---------------------------------------------------------


def left_behind(system: ActorSystem) -> list[str]:
    """Return what a system that was stopped has left: nothing, says law 10."""
    left = [f"the name {name}" for name in system.names]
    left += [f"the actor {ref}" for ref in system.roots]
    return left
