"""People: joining by three channels, coming back by code, consent, and what they may do with their data."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from user_study.core import study_state
from user_study.core.codes import digest, pseudonym, resume_code, tidy
from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings
from user_study.database.prepared import Prepared
from user_study.database.schema import assignment, ledger, pair, participant, response
from user_study.participant import invitations
from user_study.trial import exclusion, leases
from user_study.trial.person import lock

SHORTEST, LONGEST = 2, 24
DAY_MS = 86_400_000
_CONSENT = Prepared(
    update(participant)
    .where(participant.c.id == bindparam("of"))
    .values(consent_hash=bindparam("text"), consented_at=bindparam("now"), step=bindparam("next"))
)
_NEW_KEYS = (
    "door", "role", "external_id", "external_study", "external_session", "created_at", "last_seen_at", "code",
    "nickname", "nickname_key", "resume_hash",
)  # fmt: skip
_NEW = {  # no row where a code or name is taken
    dialect.__name__.rpartition(".")[2]: Prepared(
        dialect.insert(participant).on_conflict_do_nothing().returning(participant.c.id), _NEW_KEYS
    )
    for dialect in (sqlite, postgresql)
}
_UNDERSTOOD = Prepared(
    update(participant)
    .where(participant.c.id == bindparam("of"), participant.c.step == "instructions")
    .values(step="training")
)
_FORMS = ("Brave", "Bright", "Calm", "Clever", "Gentle", "Keen", "Lively", "Quick", "Quiet", "Sharp", "Swift", "Wise")
_ANIMALS = ("Badger", "Crane", "Dolphin", "Falcon", "Fox", "Heron", "Lynx", "Marten", "Otter", "Owl", "Robin", "Stork")


class BadNickname(StudyError):
    """A nickname that cannot be used."""


class NicknameTaken(StudyError):
    """Somebody has it."""


class InvitationUsed(StudyError):
    """No such invitation, or all its uses are taken."""


class EntryClosed(StudyError):
    """The study takes nobody by this channel, or nobody at all now."""


@dataclass(frozen=True)
class External:
    """What Prolific says of a person."""

    participant: str
    study: str = ""
    session: str = ""


@dataclass(frozen=True)
class Joined:
    """A new participant; `resume_code` is shown once and stored only as a hash. It is empty for somebody who came back."""

    id: int
    code: str
    resume_code: str
    nickname: str
    returned: bool = False


def consent_hash(settings: StudySettings) -> str:
    """Names the text that somebody consents to."""
    return hashlib.sha256(f"{settings.consent_text}\0{settings.retention_text}".encode()).hexdigest()[:16]


def clean_nickname(nickname: str) -> str:
    """A nickname as it is stored.

    Raises:
        BadNickname: too short or long, or other signs than letters, digits, spaces and ``- _ .``.
    """
    if len(nickname) > 200:
        raise BadNickname(f"That nickname is too long; use {SHORTEST} to {LONGEST} characters.")
    name = " ".join(unicodedata.normalize("NFKC", nickname).split())
    if not SHORTEST <= len(name) <= LONGEST:
        raise BadNickname(f"Use {SHORTEST} to {LONGEST} characters for a nickname.")
    if not name[0].isalnum() or not all(unicodedata.category(char)[0] in "LMN" or char in " -_." for char in name):
        raise BadNickname("Use letters, digits, spaces and - _ . for a nickname, with a letter or digit first.")
    return name


def join(
    c: Connection,
    settings: StudySettings,
    nickname: str | None,
    entry_channel: str,
    now: int,
    external: External | None = None,
    invitation: str | None = None,
    role: str = "participant",
) -> Joined:
    """A new participant. Somebody from Prolific who was here before comes back to what was begun.

    Args:
        nickname: None: one is made up.
        entry_channel: nickname, invitation or prolific.
        role: participant, or tester (hidden everywhere, answers never count, may try a study that is not live).

    Raises:
        BadNickname, NicknameTaken, InvitationUsed, EntryClosed.
    """
    if entry_channel not in ("nickname", "invitation", "prolific"):
        raise StudyError(f"no entry channel {entry_channel!r}; use nickname, invitation or prolific")
    if entry_channel == "prolific":
        back = _returned(c, external)
        if back is not None:
            return back
    if role != "tester":
        _refuse_if_closed(c, settings, entry_channel)
    name = None if nickname is None else clean_nickname(nickname)
    if entry_channel == "invitation" and (invitation is None or not invitations.use(c, invitation)):
        raise InvitationUsed("This invitation has been used, or is not valid; ask for another one.")
    values = {
        "door": entry_channel,
        "role": role,
        "external_id": external and external.participant,
        "external_study": external and external.study,
        "external_session": external and external.session,
        "created_at": now,
        "last_seen_at": now,
    }
    return _insert_new(c, values, name)


def _returned(c: Connection, external: External | None) -> Joined | None:
    """Somebody from Prolific who was here before."""
    if external is None or not _fits(external):
        raise EntryClosed("The link from Prolific is broken; open the study from Prolific again.")
    columns = select(participant.c.id, participant.c.code, participant.c.nickname)
    row = c.execute(columns.where(participant.c.external_id == external.participant)).first()
    return None if row is None else Joined(row.id, row.code, "", row.nickname, returned=True)


def _insert_new(c: Connection, values: Mapping[str, Any], name: str | None) -> Joined:
    """Insert a participant under codes that nobody has; without a name, one is made up."""
    resume = resume_code()
    for _ in range(20):
        code = pseudonym()
        chosen = name or f"{secrets.choice(_FORMS)} {secrets.choice(_ANIMALS)} {secrets.randbelow(1000)}"
        names = {"code": code, "nickname": chosen, "nickname_key": chosen.casefold()}
        number = _insert(c, {**values, **names, "resume_hash": digest(resume)})
        if number is not None:
            return Joined(number, code, resume, chosen)
        taken = select(participant.c.id).where(participant.c.nickname_key == chosen.casefold())
        if name is not None and c.execute(taken).first():
            raise NicknameTaken("Somebody has that nickname; choose another, or come back with your resume code.")
    raise StudyError("no free code could be drawn; try again")


def resume(c: Connection, code: str) -> int | None:
    """Who has this resume code."""
    return c.execute(
        select(participant.c.id).where(participant.c.resume_hash == digest(tidy(code)))
    ).scalar_one_or_none()


def new_resume_code(c: Connection, participant_id: int) -> str:
    """Another resume code; the old one is good no more."""
    code = resume_code()
    c.execute(update(participant).where(participant.c.id == participant_id).values(resume_hash=digest(code)))
    return code


def consent(c: Connection, participant_id: int, text_hash: str, now: int) -> None:
    """Note which text was agreed to, and go on to the instructions."""
    person = lock(c, participant_id)
    step = "instructions" if person.step == "consent" else person.step
    _CONSENT.change(c, {"of": person.id, "text": text_hash, "now": now, "next": step})


def acknowledge_instructions(c: Connection, participant_id: int) -> None:
    """Go on to the training."""
    _UNDERSTOOD.change(c, {"of": participant_id})


def show_on_leaderboard(c: Connection, participant_id: int, shown: bool) -> None:
    """Whether others see the nickname and score."""
    c.execute(update(participant).where(participant.c.id == participant_id).values(on_leaderboard=int(shown)))


def finish(c: Connection, participant_id: int, now: int) -> None:
    """Stop for today of one's own will: places are free again at once."""
    person = lock(c, participant_id)
    leases.release_all(c, person, now)
    person.save(c)


def erase(c: Connection, participant_id: int, settings: StudySettings, now: int) -> None:
    """Delete a person. The answers go too and the quotas are open again; under `keep_answers_on_delete` those that count stay,
    without anything that leads back: no person, no browser, no screen, and only the day.
    """
    person = lock(c, participant_id)
    touched = leases.release_all(c, person, now)
    own = response.c.participant_id == person.id
    if settings.keep_answers_on_delete:
        c.execute(
            update(response)
            .where(own, response.c.counted == 1)
            .values(
                participant_id=None,
                assignment_id=None,
                position=0,
                assigned_at=_day(response, "assigned_at"),
                answered_at=_day(response, "answered_at"),
                browser=None,
                viewport_width=None,
                viewport_height=None,
                pixel_ratio=None,
                shown_width=None,
            )
        )
    elif person.included:
        touched += exclusion.subtract(c, person.id)
    c.execute(delete(response).where(own))
    c.execute(delete(assignment).where(assignment.c.participant_id == person.id))
    c.execute(delete(participant).where(participant.c.id == person.id))
    exclusion.fill_from_surplus(c, touched)


def my_data(c: Connection, participant_id: int) -> dict[str, Any]:
    """Everything stored about a person, for the person: plain JSON values, times in UTC epoch milliseconds.

    Traps are not marked while the study runs; what the images show is not repeated.
    """
    person = c.execute(select(participant).where(participant.c.id == participant_id)).mappings().first()
    if person is None:
        raise StudyError("this participant is not in the study any more")
    hidden = {
        "id", "resume_hash", "nickname_key", "standing", "standing_reason", "standing_by", "standing_at", "flags",
        "traps_seen", "traps_right", "warned_at",
    }  # fmt: skip
    left_out = {
        "id",
        "assignment_id",
        "participant_id",
        "pair_id",
        "kind",
        "correct",
        "counted",
        "why_not",
        "settings_id",
    }
    answers = c.execute(
        select(response, pair.c.pair_key)
        .join(pair, pair.c.id == response.c.pair_id)
        .where(response.c.participant_id == participant_id)
        .order_by(response.c.id)
    ).mappings()
    points = c.execute(
        select(ledger.c.kind, ledger.c.points, ledger.c.at)
        .where(ledger.c.participant_id == participant_id)
        .order_by(ledger.c.id)
    ).mappings()
    return {
        "participant": {key: value for key, value in person.items() if key not in hidden},
        "answers": [{key: value for key, value in row.items() if key not in left_out} for row in answers],
        "points": [dict(row) for row in points],
    }


def completion(c: Connection, settings: StudySettings, participant_id: int) -> tuple[str, str | None] | None:
    """(completion code, address at Prolific to go to or None); None: not finished."""
    row = c.execute(
        select(participant.c.completion_code, participant.c.door).where(
            participant.c.id == participant_id, participant.c.step == "finished"
        )
    ).first()
    if row is None or row.completion_code is None:
        return None
    known = (settings.prolific.completion_code, settings.prolific.screened_out_code)
    at_prolific = row.door == "prolific" and row.completion_code in known
    return row.completion_code, (
        f"https://app.prolific.com/submissions/complete?cc={row.completion_code}" if at_prolific else None
    )


def _refuse_if_closed(c: Connection, settings: StudySettings, entry_channel: str) -> None:
    state = study_state.state(c)
    if state != "live":
        said = {"draft": "has not begun yet", "paused": "is paused", "closed": "is over"}[state]
        raise EntryClosed(f"The study {said}; nobody can join now.")
    if entry_channel == "nickname" and not settings.open_registration:
        raise EntryClosed("This study is by invitation; open the link that you were sent.")


def _fits(external: External) -> bool:
    values = [value for value in (external.participant, external.study, external.session) if value]
    return bool(external.participant) and all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) for value in values)


def _insert(c: Connection, values: Mapping[str, Any]) -> int | None:
    row = _NEW[c.dialect.name].first(c, dict(values))
    return None if row is None else int(row[0])


def _day(table: Table, column: str) -> Any:
    return table.c[column] - table.c[column] % DAY_MS
