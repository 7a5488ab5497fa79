"""Whether a person is still at the page: leases of the trials are renewed or given back."""

from __future__ import annotations

from user_study.trial import leases
from user_study.trial.trials import open_trials
from user_study.trial.turn import Turn


def heartbeat(turn: Turn, token: str) -> int | None:
    """Renew the lease of the trial on the screen (and the one behind it); milliseconds that are left, None: it is over."""
    now, lease_ms = turn.now, turn.until - turn.now
    for trial in open_trials(turn.c, turn.person.id):
        if trial.token == token and trial.slot == 0 and trial.expires_at > now:
            until = min(turn.until, (trial.shown_at or now) + leases.LONGEST * lease_ms)
            if until > trial.expires_at:
                leases.renew(turn.c, turn.person.id, until)
            return max(until, trial.expires_at) - now
    return None


def release(turn: Turn) -> None:
    """The person left the page: places are free again after a moment in which a reload finds its trial."""
    trials = open_trials(turn.c, turn.person.id)
    if trials:
        until = min(turn.now + leases.GRACE_MS, *(trial.expires_at for trial in trials))
        leases.renew(turn.c, turn.person.id, until)
