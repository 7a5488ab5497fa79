"""Who is asking: random cookies, whose hashes are in the table `session`. Nothing else is kept in the browser."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, bindparam, delete, insert, select
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from user_study.core.codes import digest
from user_study.database.prepared import Prepared
from user_study.database.schema import admin, participant, session

Kind = Literal["participant", "admin"]
NAMES: dict[Kind, str] = {"participant": "study", "admin": "study_admin"}
LIVES_MS: dict[Kind, int] = {"participant": 30 * 86_400_000, "admin": 12 * 3_600_000}

PARTICIPANT_OF = (
    select(participant)
    .join(session, session.c.participant_id == participant.c.id)
    .where(session.c.id_hash == bindparam("hash"), session.c.expires_at > bindparam("now"))
)
_ADMIN_OF = Prepared(
    select(admin.c.name, admin.c.id)
    .join(session, session.c.admin_id == admin.c.id)
    .where(
        session.c.id_hash == bindparam("hash"), session.c.expires_at > bindparam("now"), admin.c.disabled_at.is_(None)
    )
)
_PARTICIPANT_ID = Prepared(
    select(session.c.participant_id).where(
        session.c.id_hash == bindparam("hash"), session.c.expires_at > bindparam("now")
    )
)
_BEGIN = Prepared(insert(session), keys=("id_hash", "created_at", "expires_at", "participant_id", "admin_id"))
_END = Prepared(delete(session).where(session.c.id_hash == bindparam("hash")))


@dataclass(frozen=True)
class Who:
    """Both sessions of one browser."""

    participant_id: int | None = None
    admin: tuple[str, int] | None = None  # name, id


def cookie_hash(connection: HTTPConnection, kind: Kind) -> str | None:
    """Hash of the browser's cookie; None where it has none (of a possible length)."""
    value = connection.cookies.get(_cookie_name(connection, kind))
    return digest(value) if value is not None and 20 <= len(value) <= 100 else None


def who(c: Connection, connection: HTTPConnection, now: int) -> Who:
    """Look up both cookies."""
    of_person, of_admin = cookie_hash(connection, "participant"), cookie_hash(connection, "admin")
    person = None if of_person is None else _PARTICIPANT_ID.first(c, {"hash": of_person, "now": now})
    row = None if of_admin is None else _ADMIN_OF.first(c, {"hash": of_admin, "now": now})
    return Who(None if person is None else person[0], None if row is None else (str(row[0]), int(row[1])))


def begin(c: Connection, request: Request, kind: Kind, number: int, now: int) -> str:
    """Start a session of a participant or an admin; an older one of this browser ends. Returns the value for `set_cookie`."""
    end(c, request, kind)
    value = secrets.token_urlsafe(32)
    whose = {"participant_id": None, "admin_id": None, f"{kind}_id": number}
    _BEGIN.change(c, {"id_hash": digest(value), "created_at": now, "expires_at": now + LIVES_MS[kind], **whose})
    return value


def end(c: Connection, request: Request, kind: Kind) -> None:
    """Sign out, on the server; `drop_cookie` tidies the browser."""
    old = cookie_hash(request, kind)
    if old is not None:
        _END.change(c, {"hash": old})


def set_cookie(request: Request, response: Response, kind: Kind, value: str) -> None:
    """Put the session into the browser: HttpOnly, SameSite=Lax, and over HTTPS Secure under a __Host- name."""
    response.set_cookie(
        _cookie_name(request, kind),
        value,
        max_age=LIVES_MS[kind] // 1000,
        path="/",
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="lax",
    )


def drop_cookie(request: Request, response: Response, kind: Kind) -> None:
    """Take it out of the browser."""
    response.delete_cookie(
        _cookie_name(request, kind), path="/", secure=request.url.scheme == "https", httponly=True, samesite="lax"
    )


def delete_expired(c: Connection, now: int) -> None:
    """Forget sessions that are over."""
    c.execute(delete(session).where(session.c.expires_at <= now))


def _cookie_name(connection: HTTPConnection, kind: Kind) -> str:
    return f"__Host-{NAMES[kind]}" if connection.scope["scheme"] == "https" else NAMES[kind]
