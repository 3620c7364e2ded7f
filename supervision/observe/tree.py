"""What runs below this actor, just now? A picture of the living tree, taken without a message."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from callboard.supervision.model.specs import ChildKind
from callboard.supervision.observe.text import escaped
from callboard.supervision.tree.supervisor import Supervisor

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell

NODES_MAX: Final = 10_000
"""Actors in one picture, unless the caller says otherwise."""

CHILDREN_MAX: Final = 100
"""Workers that are shown of one supervisor, unless the caller says otherwise."""

_TRIES: Final = 8
"""How often a list of children is read that changes while it is read."""


class TreeNode(msgspec.Struct, frozen=True, kw_only=True):
    """One actor of the picture.

    Args:
        path: where it stands.
        name: its name, or the id that its supervisor knows it by.
        kind: supervisor or worker.
        state: starting, running, suspended, ending or dead.
        incarnation: which of its lives this is, from 1.
        restarts: how many came before.
        mailbox_size: messages that wait.
        children_count: how many it has, shown or not.
        children: those that are shown.
    """

    path: str
    name: str
    kind: ChildKind
    state: str
    incarnation: int
    restarts: int
    mailbox_size: int
    children_count: int = 0
    children: tuple[TreeNode, ...] = ()


def snapshot(
    root: Cell[Any], *, nodes_max: int = NODES_MAX, children_max: int = CHILDREN_MAX
) -> TreeNode:
    """Return a picture of an actor and what is below it.

    Any thread; it waits for nobody, so it is no picture of one moment. Broad
    before deep: when the bound is met, it is the lowest that are missing.
    Supervisors are always shown before `children_max` counts.

    Args:
        root: where to begin.
        nodes_max: how many actors at most.
        children_max: how many workers of one supervisor at most.
    """
    shown: list[tuple[Cell[Any], list[int], int]] = []
    waiting: deque[tuple[Cell[Any], int | None]] = deque([(root, None)])
    while waiting and len(shown) < nodes_max:
        cell, above = waiting.popleft()
        below = _children_of(cell)
        if above is not None:
            shown[above][1].append(len(shown))
        supervisors = [each for each in below if _is_supervisor(each)]
        workers = [each for each in below if not _is_supervisor(each)]
        place = len(shown)
        shown.append((cell, [], len(below)))
        taken = {id(each) for each in (*supervisors, *workers[:children_max])}
        waiting.extend((each, place) for each in below if id(each) in taken)
    # From the last to the first: children stand behind their parents.
    nodes: dict[int, TreeNode] = {}
    for place in range(len(shown) - 1, -1, -1):
        cell, places, children_count = shown[place]
        nodes[place] = _node(cell, tuple(nodes.pop(each) for each in places), children_count)
    return nodes[0]


def _children_of(cell: Cell[Any]) -> Sequence[Cell[Any]]:
    actor = cell.actor
    if actor is None:
        return ()
    linked: Callable[[], list[Cell[Any]]] | None = getattr(actor, "linked_children", None)
    if linked is None:  # a plain pykka actor
        return ()
    for _ in range(_TRIES):
        try:
            return linked()
        except RuntimeError:  # the dictionary was changed by its supervisor while we read it
            continue
    return ()


def _is_supervisor(cell: Cell[Any]) -> bool:
    made_by: object = cell.actor_class
    return isinstance(cell.actor, Supervisor) or (
        isinstance(made_by, type) and issubclass(made_by, Supervisor)
    )


def _node(cell: Cell[Any], children: tuple[TreeNode, ...], children_count: int) -> TreeNode:
    return TreeNode(
        path=cell.path,
        name=cell.name if cell.address is not None or cell.tag is None else str(cell.tag),
        kind=ChildKind.SUPERVISOR if _is_supervisor(cell) else ChildKind.WORKER,
        state=_state_of(cell),
        incarnation=cell.incarnation,
        restarts=max(0, cell.incarnation - 1),
        mailbox_size=cell.mailbox_size,
        children_count=children_count,
        children=children,
    )


def _state_of(cell: Cell[Any]) -> str:
    if cell.is_dead:
        return "dead"
    if cell.reason is not None:
        return "ending"
    if not cell.is_started:
        return "starting"
    return "suspended" if cell.is_suspended else "running"


def draw(node: TreeNode) -> str:
    """Return the picture as text, a line for each actor; what could harm a terminal is escaped.

    root  supervisor, running
    ├─ sessions  supervisor, running
    │  └─ sessions/0  supervisor, running, 2 restarts, 120 children
    └─ front  supervisor, running
    """
    return "\n".join([_line(node), *_lines_below(node)])


def _lines_below(node: TreeNode) -> Iterator[str]:
    hidden = node.children_count - len(node.children)
    for number, child in enumerate(node.children, start=1):
        is_last = number == len(node.children) and not hidden
        yield f"{'└─ ' if is_last else '├─ '}{_line(child)}"
        for line in _lines_below(child):
            yield f"{'   ' if is_last else '│  '}{line}"
    if hidden and node.children:
        yield f"└─ and {hidden} more"


def _line(node: TreeNode) -> str:
    said = [node.kind.value, node.state]
    if node.restarts:
        said.append(f"{node.restarts} {'restart' if node.restarts == 1 else 'restarts'}")
    if node.mailbox_size:
        said.append(f"{node.mailbox_size} waiting")
    if node.children_count and node.children_count != len(node.children):
        said.append(f"{node.children_count} children")
    return f"{escaped(node.name)}  {', '.join(said)}"
