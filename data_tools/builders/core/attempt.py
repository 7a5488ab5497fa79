"""One try at a batch of units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from data_tools.builders.core.errors import UNIT_FAULTS, UnitError
from data_tools.builders.core.work_items import Unit


@dataclass(frozen=True)
class Made:
    """What a unit gave.

    Attributes:
        files: path under the build's folder -> content. A path belongs to one slot alone.
        facts: what is known of it, in values that JSON can spell; the tables are made from them.
        rejected: why it is not good enough for the pair table; empty: it is.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    rejected: str = ""


Maker = Callable[[Sequence[Unit]], Sequence[Made | UnitError]]
"""Makes a batch: one result per unit, in order. May raise one of UNIT_FAULTS; a batch of several is then tried one by one."""


def attempt(make: Maker, batch: Sequence[Unit]) -> Sequence[Made | BaseException]:
    """One result per unit, or what went wrong with it.

    Raises:
        TypeError: a maker that gives another number of results; what it raises beside UNIT_FAULTS.
    """
    try:
        results = make(batch)
    except UNIT_FAULTS as error:
        if len(batch) == 1:
            return [error]
        return [result for unit in batch for result in attempt(make, [unit])]
    if len(results) != len(batch):
        raise TypeError(f"a batch of {len(batch)} units gave {len(results)} results")
    return results
