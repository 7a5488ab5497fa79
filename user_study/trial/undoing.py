"""Takes the last answer back: its trial is on the screen again, on the same sides."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from user_study.database.schema import assignment, pair, response
from user_study.trial import assignment as assigning
from user_study.trial import game, leases, screening
from user_study.trial.answering import PAY_NOT
from user_study.trial.answers import Refused
from user_study.trial.pair_selection import Choice
from user_study.trial.trials import Trial, TrialState, by_token, open_trials
from user_study.trial.turn import Turn


def undo(turn: Turn, token: str) -> TrialState:
    """Take the last answer back: its trial is on the screen again, on the same sides; saves the person.

    Raises:
        Refused: not the last answer, or one of the training, or after a break or the end.
    """
    c, person = turn.c, turn.person
    trials = open_trials(c, person.id)
    trial = _last_answered(turn, token, trials)
    row = c.execute(
        select(response.c.id, response.c.counted, response.c.why_not, response.c.answer, response.c.late).where(
            response.c.assignment_id == trial.id
        )
    ).one()
    if row.late:
        raise _refused()
    _take_place_again(turn, trial, row)
    c.execute(update(response).where(response.c.id == row.id).values(counted=0, why_not="undone"))
    c.execute(update(assignment).where(assignment.c.id == trial.id).values(state="undone"))
    if row.why_not not in PAY_NOT:
        person.valid -= 1
        game.take_back(turn, trial.id)
    behind = _move_back(turn, trials)
    same = Choice(trial, trial.kind, trial.repeat_no, trial.reference_left)
    again = assigning.open_row(turn, same, trial.position, 0)
    if trial.kind == "trap":
        screening.refresh_locked(c, turn.settings, person, turn.now)
    state = assigning.bring_up_to_date(turn, [again, *behind])
    turn.save()
    return state


def _refused() -> Refused:
    return Refused(409, "no_undo", "Only the last answer can be taken back, before the next one and before a break.")


def _last_answered(turn: Turn, token: str, trials: list[Trial]) -> Trial:
    """The trial of the last answer, where it may be taken back."""
    person, every = turn.person, turn.settings.break_every
    trial = by_token(turn.c, person.id, token)
    if trial is None or trial.kind == "training" or trial.state != "answered":
        raise _refused()
    if person.step != "main" or not person.included or any(one.kind == "training" for one in trials):
        raise _refused()
    if assigning.undoable(turn) != trial.id:
        raise _refused()
    if turn.facts.state != "live" and not person.tester:
        raise Refused(403, "paused", "The study is paused; your answer is stored.")
    if every and (person.position - len(trials)) % every == 0:
        raise _refused()
    return trial


def _take_place_again(turn: Turn, trial: Trial, row: Any) -> None:
    """Move the answer's place in the counters of its pair from done to open."""
    if not leases.holds(trial.kind, turn.person.tester):
        return
    changes: dict[str, Any] = {"open": pair.c.open + 1}
    room = []
    if row.counted:
        changes |= {"done": pair.c.done - 1, row.answer: pair.c[row.answer] - 1}
    else:
        room = [pair.c.done + pair.c.open < pair.c.quota]
    if not turn.c.execute(update(pair).where(pair.c.id == trial.pair_id, *room).values(changes)).rowcount:
        raise _refused()  # somebody else has the place of an answer that did not count


def _move_back(turn: Turn, trials: list[Trial]) -> list[Trial]:
    """Put the trial on the screen behind, and give up the one that was behind; returns what is left."""
    ahead = [one for one in trials if one.slot == 1]
    if ahead:
        leases.give_up(turn.c, turn.person, ahead, "released", turn.now)
    shown = [one for one in trials if one.slot == 0]
    for one in shown:
        one.slot, one.shown_at, one.expires_at = 1, None, turn.until
        moved = update(assignment).where(assignment.c.id == one.id)
        turn.c.execute(moved.values(slot=1, shown_at=None, expires_at=turn.until))
    return shown
