"""What a person is to see: the trial on the screen, the one to load ahead, and how far the person is."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, text

from user_study.database.prepared import Prepared
from user_study.database.schema import assignment, image, pair

# literals and not parameters, or the databases could not use the partial indexes on them
IS_OPEN = text("assignment.state = 'open'")
IS_TAKEN = text("assignment.state IN ('open', 'answered') AND assignment.kind <> 'training'")

_reference, _candidate = image.alias("reference"), image.alias("candidate")
PICTURES = tuple(
    table.c[name].label(f"{role}_{name}")
    for role, table in (("reference", _reference), ("candidate", _candidate))
    for name in ("token", "width", "height")
)
PAIR_WITH_PICTURES = pair.join(_reference, _reference.c.id == pair.c.reference_image).join(
    _candidate, _candidate.c.id == pair.c.candidate_image
)
_OF_ASSIGNMENT = (
    "id", "token", "pair_id", "kind", "repeat_no", "position", "slot", "reference_left", "state", "assigned_at", "shown_at",
    "expires_at",
)  # fmt: skip
_TRIALS = select(
    *(assignment.c[name] for name in _OF_ASSIGNMENT), pair.c.truth, pair.c.explanation, *PICTURES
).select_from(assignment.join(PAIR_WITH_PICTURES, pair.c.id == assignment.c.pair_id))
_OPEN = Prepared(_TRIALS.where(assignment.c.participant_id == bindparam("person"), IS_OPEN).order_by(assignment.c.slot))
_BY_TOKEN = Prepared(
    _TRIALS.where(assignment.c.participant_id == bindparam("person"), assignment.c.token == bindparam("token"))
)


@dataclass
class Trial:
    """An assignment with its pair's pictures."""

    id: int
    token: str
    pair_id: int
    kind: str
    repeat_no: int
    position: int
    slot: int
    reference_left: int
    state: str
    assigned_at: int
    shown_at: int | None
    expires_at: int
    truth: str | None
    explanation: str | None
    reference_token: str
    reference_width: int
    reference_height: int
    candidate_token: str
    candidate_width: int
    candidate_height: int


@dataclass
class Training:
    """Item `item` of `of` in try `attempt`."""

    item: int
    of: int
    attempt: int


@dataclass
class TrialState:
    """What the page shows; see the STATE of the JSON interface.

    Attributes:
        phase: training, main, done, paused, closed, full.
        answered: trials of the main part that were answered; `valid`: those that earned points; `cap`: how many are wanted.
        spins: spins of the roulette that are available now.
    """

    phase: str
    trial: Trial | None
    upcoming: Trial | None
    break_due: bool
    can_undo: bool
    score: int
    valid: int
    cap: int
    answered: int
    spins: int
    training: Training | None


def open_trials(c: Connection, person: int) -> list[Trial]:
    """Trials that are out with a person, the one on the screen first."""
    return [Trial(*row) for row in _OPEN.rows(c, {"person": person})]


def by_token(c: Connection, person: int, token: str) -> Trial | None:
    """A trial of this person, in whatever state; None: no such."""
    row = _BY_TOKEN.first(c, {"person": person, "token": token})
    return None if row is None else Trial(*row)
