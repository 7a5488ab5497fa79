"""Statements of the hot path: compiled once per kind of database, run by the driver itself.

SQLAlchemy's work around a statement takes ten times as long as SQLite takes to run it. What stores an answer and assigns the next
pair (some fifteen statements) goes through here; everything else is executed as usual. Only inside a transaction that SQLAlchemy
has begun; errors are the driver's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.elements import ClauseElement

Row = tuple[Any, ...]


class Prepared:
    """A statement without IN over parameters; its parameters are its `bindparam` names.

    Args:
        keys: of an INSERT without values: the columns that are given.
    """

    def __init__(self, statement: Executable, keys: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._keys = None if keys is None else list(keys)
        self._texts: dict[str, tuple[str, list[str] | None, dict[str, Any]]] = {}

    def rows(self, c: Connection, values: dict[str, Any]) -> list[Row]:
        """Run it and fetch everything."""
        cursor = self._run(c, values)
        try:
            return cursor.fetchall()
        finally:
            cursor.close()

    def first(self, c: Connection, values: dict[str, Any]) -> Row | None:
        """The first row, if any."""
        found = self.rows(c, values)
        return found[0] if found else None

    def change(self, c: Connection, values: dict[str, Any]) -> int:
        """Run it for its effect; the number of rows that it changed."""
        cursor = self._run(c, values)
        try:
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def _run(self, c: Connection, values: dict[str, Any]) -> Any:
        text, order, constants = self._texts.get(c.dialect.name) or self._compile(c)
        given = {**constants, **values}
        cursor = c.connection.cursor()
        cursor.execute(text, given if order is None else [given[name] for name in order])
        return cursor

    def _compile(self, c: Connection) -> tuple[str, list[str] | None, dict[str, Any]]:
        assert isinstance(self._statement, ClauseElement)
        compiled: Any = self._statement.compile(dialect=c.dialect, column_keys=self._keys)
        order = list(compiled.positiontup) if compiled.positional else None
        found = (str(compiled), order, dict(compiled.construct_params(_check=False)))
        self._texts[c.dialect.name] = found
        return found
