"""Takes an answer: what it counts for, points, traps, and the next trial, in one transaction."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, insert, select, update

from user_study.core.version import version
from user_study.database.prepared import Prepared
from user_study.database.schema import assignment, pair, response
from user_study.trial import assignment as assigning
from user_study.trial import game, leases, screening
from user_study.trial.answers import Feedback, Refused, Stored, Submitted
from user_study.trial.trials import IS_TAKEN, Trial, by_token, open_trials
from user_study.trial.turn import Turn

SLACK_MS = 500  # of the server's times: an answer may be under way for longer than the one before it
PAY_NOT = ("fast", "held", "unseen", "excluded")
RECHECK_EVERY = 10  # answers between two looks at the rules that are not about traps
NOTICES = {
    "fast": "That was faster than anyone can see both images, so it does not count. Take your time.",
    "held": "A key was held down, so that answer does not count. Press once for each pair.",
    "unseen": "The answer came before the images can have been seen, so it does not count.",
}


class Verdict(NamedTuple):
    """What an answer counts for, as columns of `response`."""

    correct: int | None
    counted: int
    why_not: str | None
    late: int


_ANSWERED = Prepared(
    update(assignment).where(assignment.c.id == bindparam("of")).values(state="answered", closed_at=bindparam("at"))
)
_RESPONSE = Prepared(insert(response), keys=[column.name for column in response.c if column.name != "id"])
_STORED = select(response.c.counted, response.c.why_not, response.c.late, response.c.kind, response.c.correct).where(
    response.c.assignment_id == bindparam("of")
)
_COUNTERS = {
    answer: Prepared(
        update(pair)
        .where(pair.c.id == bindparam("pair"))
        .values({"open": pair.c.open - 1, "done": pair.c.done + 1, answer: pair.c[answer] + 1})
    )
    for answer in ("yes", "no", "unsure")
}
_FREE = Prepared(update(pair).where(pair.c.id == bindparam("pair")).values(open=pair.c.open - 1))
_FIRST_ANSWER = (
    select(response.c.answer)
    .where(
        response.c.participant_id == bindparam("person"),
        response.c.pair_id == bindparam("pair"),
        response.c.kind == "main",
        response.c.why_not.is_distinct_from("undone"),
    )
    .order_by(response.c.id.desc())
    .limit(1)
)
_BLOCKING = select(assignment.c.id).where(
    assignment.c.participant_id == bindparam("person"),
    assignment.c.pair_id == bindparam("pair"),
    assignment.c.repeat_no == bindparam("repeat_no"),
    IS_TAKEN,
)
_RIGHT = (
    select(response.c.correct)
    .join(assignment, assignment.c.id == response.c.assignment_id)
    .where(
        assignment.c.participant_id == bindparam("person"),
        assignment.c.kind == "training",
        assignment.c.repeat_no == bindparam("attempt"),
        assignment.c.state == "answered",
    )
)


def answer(turn: Turn, submitted: Submitted, trust_client: bool = False) -> Stored:
    """Store an answer, assign what comes next, and save the person. A second answer to a trial changes nothing: the first
    comes back.

    Args:
        trust_client: do not compare the client's times with the server's (simulated people do not wait).

    Raises:
        Refused: not an answer of this study, not this person's trial, or one that is over and cannot be kept.
    """
    c, person = turn.c, turn.person
    trials = open_trials(c, person.id)
    trial = _find(turn, submitted, trials)
    if trial.state in ("answered", "undone"):
        return _again(turn, trial, trials)
    late = trial.state != "open" or trial.expires_at <= turn.now
    why_not = _why_not(turn, trial, submitted, trust_client)
    if trial.state != "open":
        _refuse_unless_kept(turn, trial)
    correct = _correct(turn, trial, submitted.answer)
    counted = _close(turn, trial, submitted.answer, why_not)
    if why_not is None and not counted:
        why_not = "surplus"
    _store(turn, trial, submitted, Verdict(correct, int(counted), why_not, int(late)))
    trials = [one for one in trials if one is not trial]
    notice, feedback = NOTICES.get(why_not or ""), None
    if trial.kind == "training":
        feedback = _feedback(trial, bool(correct))
        _train(turn, trial)
    else:
        notice = _credit(turn, trial, why_not) or notice
    if not person.included:
        trials = open_trials(c, person.id)
    state = assigning.bring_up_to_date(turn, trials)
    may_undo = trial.kind != "training" and trial.state == "open"
    state.can_undo = may_undo and state.phase == "main" and not state.break_due
    turn.save()
    return Stored(False, late, counted, notice, feedback, state)


def _find(turn: Turn, submitted: Submitted, trials: list[Trial]) -> Trial:
    """The trial that is answered, in whatever state."""
    choices = turn.settings.choices
    if submitted.answer not in choices:
        raise Refused(400, "bad_request", f"Answers of this study are {', '.join(choices)}.")
    trial = next((one for one in trials if one.token == submitted.trial), None)
    if trial is not None and trial.slot != 0:
        raise Refused(409, "not_yet", "That pair is not on the screen yet; reload the page.")
    trial = trial or by_token(turn.c, turn.person.id, submitted.trial)
    if trial is None:
        raise Refused(404, "unknown_trial", "That pair is not yours; reload the page.")
    return trial


def _again(turn: Turn, trial: Trial, trials: list[Trial]) -> Stored:
    row = turn.c.execute(_STORED, {"of": trial.id}).one()
    state = assigning.bring_up_to_date(turn, trials)
    state.can_undo = state.phase == "main" and not state.break_due and assigning.undoable(turn) is not None
    turn.person.save(turn.c)
    feedback = _feedback(trial, bool(row.correct)) if row.kind == "training" else None
    return Stored(True, bool(row.late), bool(row.counted), NOTICES.get(row.why_not or ""), feedback, state)


def _why_not(turn: Turn, trial: Trial, submitted: Submitted, trust_client: bool) -> str | None:
    """Why the answer is not one of the study's; the worst reason first."""
    floor = turn.settings.rules.floor_ms
    if trial.kind == "training":
        return "kind"
    if not turn.person.included:
        return "excluded"
    if submitted.held:
        return "held"
    if submitted.rt_ms is None:
        return "unseen"
    if submitted.rt_ms < floor:
        return "fast"
    # a trial that was loaded ahead came with the answer before the last: two trials' time must have passed
    ahead = floor if trial.shown_at != trial.assigned_at else 0
    if not trust_client and turn.now - trial.assigned_at < submitted.rt_ms + ahead - SLACK_MS:
        return "unseen"
    if turn.person.tester:
        return "tester"
    return None if trial.kind == "main" else "kind"


def _refuse_unless_kept(turn: Turn, trial: Trial) -> None:
    """An answer to a trial whose place was given back is kept unless the person has the pair again."""
    again = {"person": turn.person.id, "pair": trial.pair_id, "repeat_no": trial.repeat_no}
    given_back = trial.kind != "training" and trial.state in ("expired", "released")
    if not given_back or turn.c.execute(_BLOCKING, again).first():
        said = "This pair waited too long and went to somebody else. Nothing else is lost: here is the next one."
        raise Refused(409, "expired", said)


def _correct(turn: Turn, trial: Trial, given: str) -> int | None:
    if trial.kind == "main":
        return None
    if trial.kind == "repeat":
        before = turn.c.execute(_FIRST_ANSWER, {"person": turn.person.id, "pair": trial.pair_id}).scalar_one_or_none()
        return None if before is None else int(before == given)
    return int(given == trial.truth)


def _close(turn: Turn, trial: Trial, given: str, why_not: str | None) -> bool:
    """Close the assignment and move its place in the counters; returns whether the answer counts."""
    _ANSWERED.change(turn.c, {"of": trial.id, "at": turn.now})
    if not leases.holds(trial.kind, turn.person.tester):
        return False
    if trial.state == "open":
        (_COUNTERS[given] if why_not is None else _FREE).change(turn.c, {"pair": trial.pair_id})
        return why_not is None
    if why_not is not None:
        return False
    left = trial.reference_left
    taken = turn.c.execute(
        update(pair)
        .where(pair.c.id == trial.pair_id, pair.c.done + pair.c.open < pair.c.quota)
        .values(
            {
                "done": pair.c.done + 1,
                given: pair.c[given] + 1,
                "reference_left": pair.c.reference_left + left,
                "reference_right": pair.c.reference_right + 1 - left,
            }
        )
    )
    return bool(taken.rowcount)


def _store(turn: Turn, trial: Trial, submitted: Submitted, verdict: Verdict) -> None:
    of_trial = {name: getattr(trial, name) for name in ("pair_id", "kind", "reference_left", "position", "assigned_at")}
    _RESPONSE.change(
        turn.c,
        {
            "assignment_id": trial.id,
            "participant_id": turn.person.id,
            **of_trial,
            **submitted.columns(turn.settings),
            **verdict._asdict(),
            "answered_at": turn.now,
            "server_ms": max(0, turn.now - (trial.shown_at or trial.assigned_at)),
            "settings_id": turn.facts.settings_id,
            "version": version(),
        },
    )


def _credit(turn: Turn, trial: Trial, why_not: str | None) -> str | None:
    """Points and rules after an answer of the main part; returns a notice to show."""
    person, pays = turn.person, why_not not in PAY_NOT
    if trial.state != "open" and pays:
        # a late answer: its position was given to another trial
        person.position += 1
    if pays:
        person.valid += 1
        game.pay(turn, trial.id)
    if trial.kind == "trap" or (person.valid + trial.position) % RECHECK_EVERY == 0:
        screening.refresh_locked(turn.c, turn.settings, person, turn.now)
        if trial.kind == "trap" and person.included:
            return screening.warn(turn.settings, person, turn.now)
    return None


def _train(turn: Turn, trial: Trial) -> None:
    """After the last item of a block: pass, try again, or end."""
    person, training = turn.person, turn.settings.training
    if person.step != "training" or trial.repeat_no != person.training_attempts + 1:
        return
    right = list(turn.c.execute(_RIGHT, {"person": person.id, "attempt": trial.repeat_no}).scalars())
    items = len(assigning.training_order(turn, trial.repeat_no))
    if len(right) < items:
        return
    person.training_attempts = trial.repeat_no
    if sum(right) >= assigning.needed_right(turn.settings, items):
        person.training_passed_at, person.step = turn.now, "main"
    elif person.training_attempts >= training.attempts:
        person.step = "finished"


def _feedback(trial: Trial, correct: bool) -> Feedback:
    meaning = "the meaning changed" if trial.truth == "yes" else "the meaning is the same"
    said = f"{'Right' if correct else 'Not quite'}: {meaning}."
    return Feedback(correct, f"{said} {trial.explanation}" if trial.explanation else said)
