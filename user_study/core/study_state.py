"""Facts of the whole study: its state, its secret, and what is in force. One row each, read together."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from user_study.core import audit
from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings, from_json
from user_study.database.prepared import Prepared
from user_study.database.schema import settings_version, study

STATES = ("draft", "live", "paused", "closed")

_ALL = Prepared(select(study.c.key, study.c.value))
_ONE = Prepared(select(study.c.value).where(study.c.key == bindparam("of")))
_BODY = select(settings_version.c.body).where(settings_version.c.id == bindparam("id"))
_parsed: dict[str, StudySettings] = {}  # by the hash of their content, so that every study may share it


@dataclass(frozen=True)
class StudyFacts:
    """What nearly every request asks for.

    Attributes:
        strata: origin -> number of active main pairs.
        screened: how far everybody has been judged by which rules; see `expiry_job`.
    """

    state: str
    secret: str
    settings: StudySettings
    settings_id: int
    strata: dict[str, int]
    screened: str = ""


def facts(c: Connection) -> StudyFacts:
    """All of it, in one query.

    Raises:
        StudyError: the tables were never filled by `create`.
    """
    values: dict[str, str] = dict(_ALL.rows(c, {}))
    if "state" not in values or "settings" not in values:
        raise StudyError("the database holds no study; make one with `semfid study init`")
    number, _, digest = values["settings"].partition(" ")
    settings = _parsed.get(digest)
    if settings is None:
        settings = from_json(str(c.execute(_BODY, {"id": int(number)}).scalar_one()))
        if len(_parsed) > 64:
            _parsed.clear()
        _parsed[digest] = settings
    return StudyFacts(
        values["state"],
        values["secret"],
        settings,
        int(number),
        json.loads(values.get("strata", "{}")),
        values.get("screened", ""),
    )


def exists(c: Connection) -> bool:
    """Whether a study lives in these tables."""
    return get(c, "state") is not None


def create(c: Connection, secret: str) -> None:
    """Begin a study as a draft."""
    put(c, "state", "draft")
    put(c, "secret", secret)


def state(c: Connection) -> str:
    """Draft (being set up), live, paused, or closed."""
    found = get(c, "state")
    if found is None:
        raise StudyError("the database holds no study; make one with `semfid study init`")
    return found


def set_state(c: Connection, new: str, actor: str, now: int) -> None:
    """Change the state. Once live, a study never is a draft again: locked settings stay locked.

    Raises:
        StudyError: an unknown state, or one that cannot follow.
    """
    old = state(c)
    if new not in STATES:
        raise StudyError(f"no state {new!r}; use {', '.join(STATES)}")
    if new == old:
        return
    if new == "draft":
        raise StudyError("a study that was live cannot become a draft; pause or close it, or begin a new one")
    if new == "live" and get(c, "live_since") is None:
        put(c, "live_since", str(now))
    put(c, "state", new)
    audit.note(c, actor, "state", new, {"from": old}, now)


def live_since(c: Connection) -> int | None:
    """When it first went live, epoch milliseconds; None: never. From then on LOCKED_WHEN_LIVE holds."""
    found = get(c, "live_since")
    return None if found is None else int(found)


def get(c: Connection, key: str) -> str | None:
    """One fact."""
    row = _ONE.first(c, {"of": key})
    return None if row is None else str(row[0])


def put(c: Connection, key: str, value: str) -> None:
    """Set one fact."""
    if c.execute(update(study).where(study.c.key == key).values(value=value)).rowcount == 0:
        c.execute(insert(study).values(key=key, value=value))


def drop(c: Connection, key: str) -> None:
    """Forget one fact."""
    c.execute(delete(study).where(study.c.key == key))
