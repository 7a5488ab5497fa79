"""What the lists of the admin pages share: one page of a table, and counts of rows that fit a condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection, Row, Table, case, func, select

R = TypeVar("R")
S = TypeVar("S")


@dataclass(frozen=True)
class Listing(Generic[R]):
    """Page `page` (from 1) of `pages`, and how many rows there are on all of them."""

    rows: list[R]
    total: int
    page: int
    pages: int

    def map(self, change: Callable[[R], S]) -> Listing[S]:
        """The same page with other rows."""
        return Listing([change(row) for row in self.rows], self.total, self.page, self.pages)


@dataclass(frozen=True, kw_only=True)
class ListFilter:
    """What every list of the admin pages can be asked for. An unknown word means the default, so an old bookmark still opens.

    Attributes:
        choices: of a field, the words it takes with their labels; the first is the default.
        search: text that a row must contain; empty: any.
        order: name of the order; empty: the default.
        down: whether the order is descending.
        page: from 1.
    """

    choices: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    search: str = ""
    order: str = ""
    down: bool = False
    page: int = 1

    def __post_init__(self) -> None:
        for name, words in self.choices.items():
            asked = getattr(self, name)
            object.__setattr__(self, name, asked if asked in words else next(iter(words)))


def page_of(
    c: Connection, table: Table, conditions: Sequence[Any], order: Any, page: int, size: int
) -> Listing[Row[Any]]:
    """A page of the rows that fit, ties by id; a page past the end is the last one."""
    total = int(c.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())
    pages = max(1, -(-total // size))
    page = min(max(page, 1), pages)
    query = select(table).where(*conditions).order_by(order, table.c.id).limit(size).offset((page - 1) * size)
    return Listing(list(c.execute(query).all()), total, page, pages)


def count_if(condition: Any) -> Any:
    """How many rows fit; 0 of none."""
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def filled(kind: type[R], row: Row[Any], **derived: Any) -> R:
    """A dataclass from the columns of a row that are called as its fields, and from what is derived."""
    names = {field.name for field in fields(kind)} - set(derived)  # type: ignore[arg-type]
    return kind(**{name: getattr(row, name) for name in names}, **derived)
