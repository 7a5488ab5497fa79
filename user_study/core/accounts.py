"""Researchers' accounts: made by command, never by the web; passwords are kept as argon2id hashes."""

from __future__ import annotations

import threading
import unicodedata
from dataclasses import dataclass
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, insert, select, update

from user_study.core import audit
from user_study.core.errors import StudyError
from user_study.database.schema import admin, session

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 500
# 19 MiB, two passes, one lane (OWASP's set for servers); two at a time, so that a storm of logins cannot take the machine
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_AT_ONCE = threading.BoundedSemaphore(2)


@dataclass(frozen=True)
class Account:
    """An account; `disabled_at` is epoch ms or None."""

    id: int
    name: str
    created_at: int
    disabled_at: int | None


def clean_name(name: str) -> str:
    """A name as it is stored.

    Raises:
        StudyError: empty, longer than 80 characters, or with characters that cannot be seen.
    """
    cleaned = unicodedata.normalize("NFKC", name).strip()
    if not 1 <= len(cleaned) <= 80 or any(unicodedata.category(char).startswith("C") for char in cleaned):
        raise StudyError(f"{name[:100]!r} cannot be the name of an account; use 1 to 80 letters, digits and signs")
    return cleaned


def hashed(password: str) -> str:
    """argon2id hash with its salt.

    Raises:
        StudyError: shorter than 10 or longer than 500 characters.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise StudyError(
            f"the password has {len(password)} characters; use {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}, "
            "such as four words that you draw at random"
        )
    with _AT_ONCE:
        return _HASHER.hash(password)


def add(c: Connection, name: str, password_hash: str, actor: str, now: int) -> int:
    """A new account; returns its id.

    Raises:
        StudyError: the name is taken or impossible.
    """
    cleaned = clean_name(name)
    if c.execute(select(admin.c.id).where(admin.c.name == cleaned)).first():
        raise StudyError(f"there is an account {cleaned!r}; change its password with `semfid study admin password`")
    key = c.execute(
        insert(admin).values(name=cleaned, password_hash=password_hash, created_at=now)
    ).inserted_primary_key
    audit.note(c, actor, "account added", cleaned, now=now)
    return int(key[0]) if key is not None else 0


def everyone(c: Connection) -> list[Account]:
    """All accounts by name."""
    rows = c.execute(select(admin.c.id, admin.c.name, admin.c.created_at, admin.c.disabled_at).order_by(admin.c.name))
    return [Account(*row) for row in rows]


def disable(c: Connection, name: str, actor: str, now: int) -> None:
    """Close an account and end its sessions.

    Raises:
        StudyError: no such account.
    """
    key = _find(c, name)
    c.execute(update(admin).where(admin.c.id == key).values(disabled_at=now))
    c.execute(delete(session).where(session.c.admin_id == key))
    audit.note(c, actor, "account disabled", clean_name(name), now=now)


def set_password(c: Connection, name: str, password_hash: str, actor: str, now: int) -> None:
    """Give an account another password, end its sessions, and open it again where it was disabled.

    Raises:
        StudyError: no such account.
    """
    key = _find(c, name)
    c.execute(update(admin).where(admin.c.id == key).values(password_hash=password_hash, disabled_at=None))
    c.execute(delete(session).where(session.c.admin_id == key))
    audit.note(c, actor, "password changed", clean_name(name), now=now)


def _find(c: Connection, name: str) -> int:
    key = c.execute(select(admin.c.id).where(admin.c.name == clean_name(name))).scalar_one_or_none()
    if key is None:
        raise StudyError(f"there is no account {name!r}; `semfid study admin list` names them")
    return int(key)


@cache
def _nobody() -> str:
    """A hash that no password opens, to compare with where the name is unknown: the answer takes as long."""
    return _HASHER.hash("\0 nobody")


@dataclass(frozen=True)
class Known:
    """What the database says about a name; `account` None: nobody who may come in. Made by `look_up`."""

    account: Account | None
    password_hash: str


def look_up(c: Connection, name: str) -> Known:
    """What `right_password` compares with; an unknown name and a disabled account look like any other."""
    row = c.execute(
        select(admin).where(admin.c.name == unicodedata.normalize("NFKC", name[:200]).strip())
    ).one_or_none()
    if row is None or row.disabled_at is not None:
        return Known(None, _nobody())
    return Known(Account(row.id, row.name, row.created_at, row.disabled_at), row.password_hash)


def right_password(known: Known, password: str) -> bool:
    """Whether the password opens the account; takes as long where there is none. Not to be called in a transaction: at most
    two checks run at once, others wait.
    """
    fits = True
    with _AT_ONCE:
        try:
            _HASHER.verify(known.password_hash, password[: LONGEST_PASSWORD + 1])
        except (VerificationError, InvalidHashError):
            fits = False
    return fits and known.account is not None
