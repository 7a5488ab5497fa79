"""Settings in the database: every save is a new version, and answers say under which they were given."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from user_study.core import audit, study_state
from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings, from_json, locked_changes
from user_study.database.schema import pair, settings_version


def current(c: Connection) -> tuple[StudySettings, int]:
    """The settings in force and the number of their version."""
    found = study_state.facts(c)
    return found.settings, found.settings_id


def version(c: Connection, number: int) -> StudySettings:
    """An older version."""
    return from_json(
        str(c.execute(select(settings_version.c.body).where(settings_version.c.id == number)).scalar_one())
    )


def save(c: Connection, settings: StudySettings, actor: str, now: int) -> int:
    """Put new settings in force; returns the number of their version. Equal settings make no new version.

    Raises:
        StudyError: the study is (or was) live and a locked field differs.
    """
    before = study_state.get(c, "settings")
    old = study_state.facts(c).settings if before is not None else None
    if old is not None and old.hash == settings.hash:
        return int(str(before).partition(" ")[0])
    if old is not None and study_state.live_since(c) is not None:
        locked = locked_changes(old, settings)
        if locked:
            raise StudyError(
                f"{', '.join(locked)} cannot change once answers come in (the quota may grow): answers before and after "
                "would not be of one kind; begin a new study"
            )
    key = c.execute(
        insert(settings_version).values(created_at=now, actor=actor, hash=settings.hash, body=settings.to_json())
    ).inserted_primary_key
    number = int(key[0]) if key is not None else 0
    study_state.put(c, "settings", f"{number} {settings.hash}")
    if old is None or old.quota != settings.quota:
        c.execute(
            update(pair).where(pair.c.kind == "main", pair.c.quota != settings.quota).values(quota=settings.quota)
        )
    if old is not None:
        changed = sorted(name for name, value in settings.to_dict().items() if value != old.to_dict()[name])
        audit.note(c, actor, "settings", str(number), {"changed": changed, "hash": settings.hash}, now)
    return number
