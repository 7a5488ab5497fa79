"""Takes the last answer back: its trial is on the screen again, on the same sides."""

from __future__ import annotations

from random import Random, SystemRandom
from typing import Any

from sqlalchemy import Connection, select, update

from user_study.core import study_state
from user_study.core.settings import StudySettings
from user_study.core.study_state import StudyFacts
from user_study.database.schema import assignment, pair, response
from user_study.trial import assignment as assigning
from user_study.trial import game, screening
from user_study.trial.answering import PAY_NOT, Refused
from user_study.trial.person import Person, lock
from user_study.trial.trials import TrialState, by_token, open_trials


def undo(
    c: Connection, settings: StudySettings, participant_id: int, token: str, now: int, rng: Random | None = None
) -> TrialState:
    """Take the last answer back: its trial is on the screen again, on the same sides.

    Raises:
        Refused: not the last answer, or one of the training, or after a break or the end.
    """
    person = lock(c, participant_id)
    return undo_of(c, study_state.facts(c), person, token, now, rng or SystemRandom())


def undo_of(c: Connection, facts: StudyFacts, person: Person, token: str, now: int, rng: Random) -> TrialState:
    """`undo`, for a person who is locked already; saves the person."""
    refused = Refused(409, "no_undo", "Only the last answer can be taken back, before the next one and before a break.")
    trial = by_token(c, person.id, token)
    trials = open_trials(c, person.id)
    if (
        trial is None
        or trial.kind == "training"
        or trial.state != "answered"
        or person.step != "main"
        or not person.included
    ):
        raise refused
    if any(one.kind == "training" for one in trials) or assigning.undoable(c, person.id) != trial.id:
        raise refused
    if facts.state != "live" and not person.tester:
        raise Refused(403, "paused", "The study is paused; your answer is stored.")
    answered = person.position - len(trials)
    every = facts.settings.break_every
    if every and answered % every == 0:
        raise refused
    row = c.execute(
        select(response.c.id, response.c.counted, response.c.why_not, response.c.answer, response.c.late).where(
            response.c.assignment_id == trial.id
        )
    ).one()
    if row.late:
        raise refused
    lease_ms = facts.settings.lease_s * 1000
    if trial.kind == "main" and not person.tester:
        changes: dict[str, Any] = {"open": pair.c.open + 1}
        room = []
        if row.counted:
            changes |= {"done": pair.c.done - 1, row.answer: pair.c[row.answer] - 1}
        else:
            room = [pair.c.done + pair.c.open < pair.c.quota]
        if not c.execute(update(pair).where(pair.c.id == trial.pair_id, *room).values(changes)).rowcount:
            raise refused  # somebody else has the place of an answer that did not count
    c.execute(update(response).where(response.c.id == row.id).values(counted=0, why_not="undone"))
    c.execute(update(assignment).where(assignment.c.id == trial.id).values(state="undone"))
    if row.why_not not in PAY_NOT:
        person.valid -= 1
        game.take_back(c, facts.settings, person, trial.id, now)
    ahead = [one for one in trials if one.slot == 1]
    if ahead:
        assigning.give_up(c, person, ahead, "released", now)
    for one in (one for one in trials if one.slot == 0):
        c.execute(
            update(assignment).where(assignment.c.id == one.id).values(slot=1, shown_at=None, expires_at=now + lease_ms)
        )
        one.slot, one.shown_at, one.expires_at = 1, None, now + lease_ms
    again = assigning.open_row(
        c, person, trial, trial.kind, trial.repeat_no, trial.reference_left, trial.position, 0, now, lease_ms
    )
    if trial.kind == "trap":
        screening.refresh_person(c, facts.settings, person, now)
    state = assigning.bring_up_to_date(
        c, facts, person, [again, *(one for one in trials if one.slot == 1 and one not in ahead)], now, rng
    )
    person.last_seen_at = now
    person.save(c)
    return state
