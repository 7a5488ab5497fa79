"""Units made one after another, each journaled as it is finished."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from data_tools.builders.core.attempt import Made, Maker
from data_tools.builders.core.errors import UnitError, reason_of
from data_tools.builders.core.folder import BuildFolder
from data_tools.builders.core.journal import Entry, FileRecord, Journal
from data_tools.builders.core.processes import made, process_count
from data_tools.builders.core.work_items import Slot, Unit
from semfid.errors import UserError
from semfid.progress import Advance

Watch = Callable[[int, float, int, int], None]
"""Told after each batch: units made in this run, their seconds, their bytes, units left."""


def unwatched(made: int, seconds: float, size: int, left: int) -> None:
    """The watch that does not look."""


@dataclass
class Worker:
    """Makes the units of one shard.

    Attributes:
        entries: the latest journal line of every slot of the whole build; kept up to date.
        retry_failed: make units again whose latest line is an error.
        give_up_after: so many errors in a row stop the build: something is wrong with all of them. None: never.
    """

    folder: BuildFolder
    journal: Journal
    entries: dict[Slot, Entry]
    retry_failed: bool = False
    give_up_after: int | None = None

    def pending(self, units: Iterable[Unit]) -> list[Unit]:
        """The units that are yet to be made: new, changed, or with files that are gone."""
        return [unit for unit in units if self._is_pending(unit)]

    def run_each(self, units: Sequence[Unit], make: Maker, advance: Advance) -> list[tuple[Unit, Entry]]:
        """Make what is pending, where each unit fails by itself, however many do; what is done of all units."""
        limit, self.give_up_after = self.give_up_after, None
        self.run(units, make, advance)
        self.give_up_after = limit
        found = [(unit, self.entries[unit.slot]) for unit in units]
        return [(unit, entry) for unit, entry in found if entry.status == "done"]

    def run(
        self,
        units: Sequence[Unit],
        make: Maker,
        advance: Advance,
        batch_size: int = 1,
        watch: Watch = unwatched,
        workers: int | str = 0,
    ) -> None:
        """Make what is pending, in the order given; files and journal do not depend on the workers.

        Args:
            workers: processes that make batches, see `processes.process_count`; 0: this one.

        Raises:
            UserError: a full disk; too many errors in a row; what the maker raises beside UNIT_FAULTS. All that was finished
                before stays.
        """
        pending = self.pending(units)
        size, in_a_row = 0, 0
        if pending:
            advance(0, len(pending))
        batches = [pending[start : start + batch_size] for start in range(0, len(pending), batch_size)]
        done, before = 0, time.monotonic()
        with contextlib.closing(made(make, batches, process_count(workers, len(pending)))) as coming:
            for batch in coming:
                for unit, result in zip(batch.units, batch.results, strict=True):
                    entry = self._record(unit, result, batch.seconds / len(batch.units))
                    size += sum(one[2] for one in entry.files)
                    in_a_row = in_a_row + 1 if entry.status == "error" else 0
                    if self.give_up_after is not None and in_a_row >= self.give_up_after:
                        raise UserError(
                            f"{unit.stage}: {in_a_row} units in a row failed, the last ({unit.sample}, {unit.variant}) with: "
                            f"{entry.reason}; fix it and go on with --retry-failed"
                        )
                done += len(batch.units)
                advance(done, len(pending))
                watch(done, time.monotonic() - before, size, len(pending) - done)

    def _is_pending(self, unit: Unit) -> bool:
        entry = self.entries.get(unit.slot)
        if entry is None or entry.id != unit.id:
            return True
        return self.retry_failed if entry.status == "error" else not self.folder.has(entry.files)

    def _record(self, unit: Unit, result: Made | BaseException, seconds: float) -> Entry:
        before = self.entries.get(unit.slot)
        tries = before.tries + 1 if before is not None and before.id == unit.id and before.status == "error" else 1
        files: list[FileRecord] = []
        if isinstance(result, Made):
            try:
                files = [self.folder.put(name, content) for name, content in result.files.items()]
            except UnitError as error:
                result = error
        if isinstance(result, Made):
            entry = self.journal.append(
                unit,
                "rejected" if result.rejected else "done",
                reason=result.rejected,
                tries=tries,
                seconds=seconds,
                files=files,
                facts=result.facts,
            )
        else:
            entry = self.journal.append(unit, "error", reason=reason_of(result), tries=tries, seconds=seconds)
        for name, _, _ in before.files if before is not None else ():  # of a source or of weights that are no more
            if all(name != own for own, _, _ in entry.files):
                (self.folder.path / name).unlink(missing_ok=True)
        self.entries[unit.slot] = entry
        return entry
