"""Proves a study: counters against rows, pictures against hashes, references, leases, settings; every fault says what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, select, update

from semfid.errors import UserError
from semfid.progress import Advance
from user_study.analysis.queries import count_if
from user_study.core import audit, study_state
from user_study.core.clock import now_ms
from user_study.core.errors import StudyError
from user_study.core.pictures import PictureError, pixel_hash, read_picture
from user_study.core.settings import from_json
from user_study.database.engine import Database
from user_study.database.schema import assignment, image, ledger, pair, participant, response, settings_version
from user_study.imports.import_pairs import STAGING, STALE_S
from user_study.trial import pairs

LONG_PAST = 10  # leases: an open assignment that ended so long ago was ended by nobody
COUNTERS = ("open", "done", "yes", "no", "unsure")


@dataclass(frozen=True)
class Fault:
    """Something that is not as it must be.

    Attributes:
        level: ``error``, or ``note`` for what does no harm.
        what: in one sentence, with the number of cases and the first one.
        remedy: what to do.
        repairable: `semfid study check --repair` repairs it.
    """

    level: str
    what: str
    remedy: str
    repairable: bool = False


def check(database: Database, images: Path, progress: Advance | None = None) -> list[Fault]:
    """Look at everything; changes nothing.

    Args:
        progress: called as ``progress(done, total)`` after each picture.
    """
    with database.read() as c:
        faults = [
            *_storage(c, database.dialect),
            *_settings(c),
            *_counters(c),
            *_standing(c),
            *_scores(c),
            *_leases(c),
            *_strata(c),
        ]
        rows = c.execute(select(image.c.sha256, image.c.file, image.c.width, image.c.height).order_by(image.c.id)).all()
    return [*faults, *_pictures(images, rows, progress)]


def repair(database: Database, actor: str = "command line") -> int:
    """Set counters of pairs, points of people and the strata to what the rows say; returns how many pairs changed.

    Raises:
        StudyError: a pair has more counted answers than its quota, which no counter can hold.
    """
    now = now_ms()
    with database.write() as c:
        wrong = list(_wrong_counters(c))
        for key, _, true, quota in wrong:
            if true["open"] + true["done"] > quota:
                raise StudyError(
                    f"pair {key!r} has {true['done']} answers and {true['open']} people on it, above its quota {quota}; "
                    "pause the study, wait until the leases have run out, and try again"
                )
        for key, _, true, _ in wrong:
            c.execute(update(pair).where(pair.c.pair_key == key).values(true))
        points = select(func.coalesce(func.sum(ledger.c.points), 0)).where(ledger.c.participant_id == participant.c.id)
        c.execute(update(participant).values(score=points.scalar_subquery()))
        pairs.refresh_strata(c)
        audit.note(c, actor, "repair", "", {"pairs": len(wrong)}, now)
    return len(wrong)


def _storage(c: Connection, dialect: str) -> Iterator[Fault]:
    if dialect != "sqlite":
        return  # PostgreSQL keeps its own references
    damaged = [row[0] for row in c.exec_driver_sql("PRAGMA integrity_check").all() if row[0] != "ok"]
    if damaged:
        yield Fault(
            "error", f"the database file is damaged: {damaged[0]}", "stop the server and restore the last backup"
        )
    loose = c.exec_driver_sql("PRAGMA foreign_key_check").all()
    if loose:
        table, number, parent = loose[0][0], loose[0][1], loose[0][2]
        yield Fault(
            "error",
            f"{len(loose)} rows refer to rows that are not there (row {number} of {table} to {parent})",
            "the database was changed by another program; restore the last backup",
        )


def _settings(c: Connection) -> Iterator[Fault]:
    versions = {row.id: row for row in c.execute(select(settings_version))}
    for number, row in versions.items():
        try:
            found = from_json(row.body)
        except (UserError, ValueError) as error:
            yield Fault("error", f"settings version {number} cannot be read: {error}", "restore the last backup")
            continue
        if found.hash != row.hash:
            yield Fault(
                "note",
                f"settings version {number} has the hash {row.hash}, its content {found.hash}",
                "an older program stored it, or somebody edited it; compare it with your settings file",
            )
    try:
        current = study_state.facts(c).settings_id
    except StudyError as error:
        yield Fault("error", str(error), "restore the last backup")
        return
    if current not in versions:
        yield Fault(
            "error",
            f"settings version {current} is in force and does not exist",
            "save the settings again under /admin",
        )


def _tallies() -> Select[Any]:
    """Of each pair: the stored counters, and the counts of the rows."""
    answers = (
        select(
            response.c.pair_id,
            *(count_if(response.c.answer == answer).label(answer) for answer in ("yes", "no", "unsure")),
        )
        .where(response.c.kind == "main", response.c.counted == 1)
        .group_by(response.c.pair_id)
        .subquery()
    )
    places = (
        select(assignment.c.pair_id, func.count().label("open"))
        .join(participant, participant.c.id == assignment.c.participant_id)
        .where(assignment.c.kind == "main", assignment.c.state == "open", participant.c.role != "tester")
        .group_by(assignment.c.pair_id)
        .subquery()
    )
    true = {name: func.coalesce(answers.c[name], 0) for name in ("yes", "no", "unsure")}
    return select(
        pair.c.pair_key,
        pair.c.quota,
        *(pair.c[name] for name in COUNTERS),
        func.coalesce(places.c.open, 0).label("true_open"),
        *(value.label(f"true_{name}") for name, value in true.items()),
    ).select_from(
        pair.outerjoin(answers, answers.c.pair_id == pair.c.id).outerjoin(places, places.c.pair_id == pair.c.id)
    )


def _wrong_counters(c: Connection) -> Iterator[tuple[str, dict[str, int], dict[str, int], int]]:
    for row in c.execute(_tallies().order_by(pair.c.id)).all():
        stored = {name: int(getattr(row, name)) for name in COUNTERS}
        true = {name: int(getattr(row, f"true_{name}")) for name in ("open", "yes", "no", "unsure")}
        true["done"] = true["yes"] + true["no"] + true["unsure"]
        if stored != true:
            yield row.pair_key, stored, true, row.quota


def _counters(c: Connection) -> Iterator[Fault]:
    wrong = list(_wrong_counters(c))
    if wrong:
        key, stored, true, _ = wrong[0]
        apart = ", ".join(
            f"{name} {stored[name]} instead of {true[name]}" for name in COUNTERS if stored[name] != true[name]
        )
        yield Fault(
            "error",
            f"{len(wrong)} pairs whose counters differ from their answers ({key!r}: {apart})",
            "`semfid study check FOLDER --repair` sets them to what the answers say",
            repairable=True,
        )


def _standing(c: Connection) -> Iterator[Fault]:
    odd = c.execute(
        select(func.count(), func.min(participant.c.code))
        .select_from(response.join(participant, participant.c.id == response.c.participant_id))
        .where(response.c.counted == 1, (participant.c.standing == "excluded") | (participant.c.role == "tester"))
    ).one()
    if odd[0]:
        yield Fault(
            "error",
            f"{odd[0]} answers of excluded people or testers count (first: {odd[1]})",
            "restore and exclude the person again under /admin/participants",
        )


def _scores(c: Connection) -> Iterator[Fault]:
    points = (
        select(ledger.c.participant_id, func.sum(ledger.c.points).label("points"))
        .group_by(ledger.c.participant_id)
        .subquery()
    )
    wrong = c.execute(
        select(func.count(), func.min(participant.c.code))
        .select_from(participant.outerjoin(points, points.c.participant_id == participant.c.id))
        .where(participant.c.score != func.coalesce(points.c.points, 0))
    ).one()
    if wrong[0]:
        yield Fault(
            "error",
            f"{wrong[0]} people whose score is not the sum of their points (first: {wrong[1]})",
            "`semfid study check FOLDER --repair` adds them up",
            repairable=True,
        )


def _leases(c: Connection) -> Iterator[Fault]:
    lease_ms = study_state.facts(c).settings.lease_s * 1000
    forgotten = c.execute(
        select(func.count()).where(
            assignment.c.state == "open", assignment.c.expires_at < now_ms() - LONG_PAST * lease_ms
        )
    ).scalar_one()
    if forgotten:
        yield Fault(
            "note",
            f"{forgotten} pairs are out with people who left long ago",
            "the server takes them back when it runs",
        )
    answered = c.execute(
        select(func.count())
        .select_from(assignment.outerjoin(response, response.c.assignment_id == assignment.c.id))
        .where(
            ((assignment.c.state == "answered") & response.c.id.is_(None))
            | ((assignment.c.state == "open") & response.c.id.is_not(None))
        )
    ).scalar_one()
    if answered:
        yield Fault(
            "error",
            f"{answered} assignments whose state does not fit their answer",
            "restore the last backup, and report it with the output of this command",
        )


def _strata(c: Connection) -> Iterator[Fault]:
    true = {
        origin: count
        for origin, count in c.execute(
            select(pair.c.origin, func.count()).where(pair.c.kind == "main", pair.c.active == 1).group_by(pair.c.origin)
        )
    }
    if study_state.facts(c).strata != true:
        yield Fault(
            "error",
            "the list of origins, by which pairs are dealt out, is out of date",
            "`semfid study check FOLDER --repair` writes it again",
            repairable=True,
        )


def _pictures(images: Path, rows: Any, progress: Advance | None) -> Iterator[Fault]:
    missing, broken = [], []
    for number, row in enumerate(rows, start=1):
        path = images / row.file
        if not path.is_file():
            missing.append(row.file)
        else:
            try:
                found = read_picture(path).image
                if found.size != (row.width, row.height) or pixel_hash(found) != row.sha256:
                    broken.append(row.file)
            except PictureError:
                broken.append(row.file)
        if progress is not None:
            progress(number, len(rows))
    again = "import the same pairs again into a copy of the study's folder, or restore the file from a backup"
    if missing:
        yield Fault("error", f"{len(missing)} pictures are missing from {images} (first: {missing[0]})", again)
    if broken:
        yield Fault("error", f"{len(broken)} pictures do not show what they should (first: {broken[0]})", again)
    known = {row.file for row in rows}
    on_disk = list(images.iterdir()) if images.is_dir() else []
    strange = sorted(
        path.name for path in on_disk if path.is_file() and path.name not in known and path.suffix != ".part"
    )
    if strange:
        yield Fault(
            "note",
            f"{len(strange)} files in {images} belong to no pair (first: {strange[0]})",
            "an import was broken off; import the same pairs again, or delete the files",
        )
    left = [path for path in on_disk if path.name.startswith(STAGING)]
    if any(time.time() - path.stat().st_mtime > STALE_S for path in left):
        yield Fault("note", f"{len(left)} imports were broken off", f"the next import removes {images / STAGING}*")
