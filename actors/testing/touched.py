"""Which rows of a table were added, changed or removed since somebody looked?"""

from __future__ import annotations

from typing import Any

from callboard.actors.sessions.data import Session
from callboard.actors.sessions.table import Row, Table
from callboard.actors.storage.chain import DurableLedger

_SAYS_NOTHING = frozenset({"heard_s", "holder"})
"""Attributes of a row that every message sets, and in which nobody can see a change."""


class Touched:
    """The rows that were touched, in the order in which that was first done.

    The table and its rows get a class of their own each, which says what happens to them: so
    nothing of the library knows of it, and what nobody touches costs nothing.

    Args:
        table: of a system in a simulation.
    """

    def __init__(self, table: Table) -> None:
        self._touched: dict[Row, None] = {}
        self._twins: dict[type[Row], type[Any]] = {}
        for row in table.rows():
            self._watch(row)
        _turn_into(table, self._table_that_tells())

    def __bool__(self) -> bool:
        return bool(self._touched)

    def take(self) -> list[Row]:
        """Return them, and begin anew."""
        rows = list(self._touched)
        self._touched.clear()
        return rows

    def _watch(self, row: Row) -> None:
        kind = type(row)
        if kind not in self._twins:
            self._twins[kind] = self._twin(kind)
        _turn_into(row, self._twins[kind])
        self._touched[row] = None

    def _twin(self, kind: type[Row]) -> type[Any]:
        """Return a subclass of a row's class whose rows tell when they are changed."""
        touched = self._touched

        def assign(row: Row, name: str, value: object) -> None:
            if name not in _SAYS_NOTHING:
                touched[row] = None
            object.__setattr__(row, name, value)

        def claim(row: Any, base: Any, version: Any) -> Any:
            touched[row] = None
            ledger: Any = DurableLedger
            return ledger.claim(row, base, version)

        told: dict[str, Any] = {"__slots__": (), "__setattr__": assign}
        if issubclass(kind, DurableLedger):
            told["claim"] = claim  # it changes the chain alone, which no row's attribute shows
        return type(kind.__name__, (kind,), told)

    def _table_that_tells(self) -> type[Any]:
        def restore(table: Table, row: Row) -> Row:
            self._watch(row)
            return Table.restore(table, row)

        def remove(table: Table, session_id: str) -> Session | None:
            row = table.get(session_id)
            if row is not None:
                self._touched[row] = None
            return Table.remove(table, session_id)

        return type("Table", (Table,), {"__slots__": (), "restore": restore, "remove": remove})


def _turn_into(thing: object, kind: type[Any]) -> None:
    thing.__class__ = kind
