"""Whether a person is still at the page: leases of the trials are renewed or given back."""

from __future__ import annotations

from sqlalchemy import Connection

from user_study.core.study_state import StudyFacts
from user_study.trial import leases
from user_study.trial.person import Person
from user_study.trial.trials import open_trials


def heartbeat(c: Connection, facts: StudyFacts, person: Person, token: str, now: int) -> int | None:
    """Renew the lease of the trial on the screen (and the one behind it); milliseconds that are left, None: it is over."""
    for trial in open_trials(c, person.id):
        if trial.token == token and trial.slot == 0 and trial.expires_at > now:
            lease_ms = facts.settings.lease_s * 1000
            until = min(now + lease_ms, (trial.shown_at or now) + leases.LONGEST * lease_ms)
            if until > trial.expires_at:
                leases.renew(c, person.id, until)
            return max(until, trial.expires_at) - now
    return None


def release(c: Connection, person: Person, now: int) -> None:
    """The person left the page: places are free again after a moment in which a reload finds its trial."""
    trials = open_trials(c, person.id)
    if trials:
        leases.renew(c, person.id, min(now + leases.GRACE_MS, *(trial.expires_at for trial in trials)))
