"""Takes an answer: what it counts for, points, traps, and the next trial, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random, SystemRandom

from sqlalchemy import Connection, bindparam, insert, select, update

from user_study.core import study_state
from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings
from user_study.core.study_state import StudyFacts
from user_study.core.version import version
from user_study.database.prepared import Prepared
from user_study.database.schema import assignment, pair, response
from user_study.trial import assignment as assigning
from user_study.trial import game, leases, screening
from user_study.trial.person import Person, lock
from user_study.trial.trials import IS_TAKEN, Trial, TrialState, by_token, open_trials

SLACK_MS = 500  # of the server's times: an answer may be under way for longer than the one before it
PAY_NOT = ("fast", "held", "unseen", "excluded")
RECHECK_EVERY = 10  # answers between two looks at the rules that are not about traps
NOTICES = {
    "fast": "That was faster than anyone can see both images, so it does not count. Take your time.",
    "held": "A key was held down, so that answer does not count. Press once for each pair.",
    "unseen": "The answer came before the images can have been seen, so it does not count.",
}


class Refused(StudyError):
    """An answer that cannot be stored; `code` is for scripts, `status` the HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Submitted:
    """What the browser sends with an answer. Times in ms, lengths in CSS pixels, `where` as shares of the candidate."""

    trial: str
    answer: str
    rt_ms: float | None = None
    load_ms: float | None = None
    input: str | None = None
    held: bool = False
    view: str | None = None
    toggles: int | None = None
    zoom_max: float | None = None
    blurs: int | None = None
    blur_ms: float | None = None
    viewport: tuple[int, int] | None = None
    pixel_ratio: float | None = None
    shown_width: float | None = None
    category: str | None = None
    where: tuple[float, float] | None = None
    browser: str | None = None


@dataclass(frozen=True)
class Feedback:
    """Of a training item."""

    correct: bool
    text: str


@dataclass(frozen=True)
class Stored:
    """What became of an answer."""

    duplicate: bool
    late: bool
    counted: bool
    notice: str | None
    feedback: Feedback | None
    state: TrialState


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


def answer(
    c: Connection,
    settings: StudySettings,
    participant_id: int,
    submitted: Submitted,
    now: int,
    rng: Random | None = None,
    trust_client: bool = False,
) -> Stored:
    """Store an answer and assign what comes next. A second answer to a trial changes nothing: the first comes back.

    Args:
        trust_client: do not compare the client's times with the server's (simulated people do not wait).

    Raises:
        Refused: not an answer of this study, not this person's trial, or one that is over and cannot be kept.
    """
    person = lock(c, participant_id)
    return answer_of(c, study_state.facts(c), person, submitted, now, rng or SystemRandom(), trust_client)


def answer_of(
    c: Connection,
    facts: StudyFacts,
    person: Person,
    submitted: Submitted,
    now: int,
    rng: Random,
    trust_client: bool = False,
) -> Stored:
    """`answer`, for a person who is locked already; saves the person."""
    if submitted.answer not in facts.settings.choices:
        raise Refused(400, "bad_request", f"Answers of this study are {', '.join(facts.settings.choices)}.")
    trials = open_trials(c, person.id)
    trial = next((one for one in trials if one.token == submitted.trial), None)
    if trial is not None and trial.slot != 0:
        raise Refused(409, "not_yet", "That pair is not on the screen yet; reload the page.")
    if trial is None:
        trial = by_token(c, person.id, submitted.trial)
        if trial is None:
            raise Refused(404, "unknown_trial", "That pair is not yours; reload the page.")
        if trial.state in ("answered", "undone"):
            return _again(c, facts, person, trial, trials, now, rng)
    late = trial.state != "open" or trial.expires_at <= now
    why_not = _why_not(facts, person, trial, submitted, now, trust_client)
    if late and trial.state != "open":
        why_not = _late(c, person, trial, why_not)
    correct = _correct(c, person, trial, submitted.answer)
    counted = _close(c, person, trial, submitted.answer, why_not, late, now)
    if why_not is None and not counted:
        why_not = "surplus"
    _store(c, facts, person, trial, submitted, correct, counted, why_not, late, now)
    trials = [one for one in trials if one is not trial]
    notice = NOTICES.get(why_not or "")
    feedback = None
    if trial.kind == "training":
        feedback = _feedback(trial, bool(correct))
        _train(c, facts, person, trial, now)
    else:
        notice = _credit(c, facts, person, trial, why_not, now) or notice
    if not person.included:
        trials = open_trials(c, person.id)
    state = assigning.bring_up_to_date(c, facts, person, trials, now, rng)
    state.can_undo = (
        trial.kind != "training" and trial.state == "open" and state.phase == "main" and not state.break_due
    )
    person.last_seen_at = now
    person.save(c)
    return Stored(False, late, counted, notice, feedback, state)


def _again(
    c: Connection, facts: StudyFacts, person: Person, trial: Trial, trials: list[Trial], now: int, rng: Random
) -> Stored:
    row = c.execute(_STORED, {"of": trial.id}).one()
    state = assigning.bring_up_to_date(c, facts, person, trials, now, rng)
    state.can_undo = state.phase == "main" and not state.break_due and assigning.undoable(c, person.id) is not None
    person.save(c)
    feedback = _feedback(trial, bool(row.correct)) if row.kind == "training" else None
    return Stored(True, bool(row.late), bool(row.counted), NOTICES.get(row.why_not or ""), feedback, state)


def _why_not(
    facts: StudyFacts, person: Person, trial: Trial, submitted: Submitted, now: int, trust_client: bool
) -> str | None:
    """Why the answer is not one of the study's; the worst reason first."""
    floor = facts.settings.rules.floor_ms
    if trial.kind == "training":
        return "kind"
    if not person.included:
        return "excluded"
    if submitted.held:
        return "held"
    if submitted.rt_ms is None:
        return "unseen"
    if submitted.rt_ms < floor:
        return "fast"
    # a trial that was loaded ahead came with the answer before the last: two trials' time must have passed
    ahead = floor if trial.shown_at != trial.assigned_at else 0
    if not trust_client and now - trial.assigned_at < submitted.rt_ms + ahead - SLACK_MS:
        return "unseen"
    if person.tester:
        return "tester"
    return None if trial.kind == "main" else "kind"


def _late(c: Connection, person: Person, trial: Trial, why_not: str | None) -> str | None:
    """A trial whose place was given back: kept unless the person has the pair again."""
    over = Refused(
        409,
        "expired",
        "This pair waited too long and went to somebody else. Nothing else is lost: here is the next one.",
    )
    if trial.kind == "training" or trial.state not in ("expired", "released"):
        raise over
    if c.execute(_BLOCKING, {"person": person.id, "pair": trial.pair_id, "repeat_no": trial.repeat_no}).first():
        raise over
    return why_not


def _correct(c: Connection, person: Person, trial: Trial, given: str) -> int | None:
    if trial.kind == "main":
        return None
    if trial.kind == "repeat":
        before = c.execute(_FIRST_ANSWER, {"person": person.id, "pair": trial.pair_id}).scalar_one_or_none()
        return None if before is None else int(before == given)
    return int(given == trial.truth)


def _close(c: Connection, person: Person, trial: Trial, given: str, why_not: str | None, late: bool, now: int) -> bool:
    """Close the assignment and move its place in the counters; returns whether the answer counts."""
    _ANSWERED.change(c, {"of": trial.id, "at": now})
    if not leases.holds(trial.kind, person.tester):
        return False
    if trial.state == "open":
        (_COUNTERS[given] if why_not is None else _FREE).change(c, {"pair": trial.pair_id})
        return why_not is None
    if why_not is not None:
        return False
    left = trial.reference_left
    taken = c.execute(
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


def _store(
    c: Connection,
    facts: StudyFacts,
    person: Person,
    trial: Trial,
    submitted: Submitted,
    correct: int | None,
    counted: bool,
    why_not: str | None,
    late: bool,
    now: int,
) -> None:
    width, height = submitted.viewport or (None, None)
    x, y = submitted.where or (None, None)
    _RESPONSE.change(
        c,
        {
            "assignment_id": trial.id,
            "participant_id": person.id,
            "pair_id": trial.pair_id,
            "kind": trial.kind,
            "answer": submitted.answer,
            "correct": correct,
            "counted": int(counted),
            "why_not": why_not,
            "reference_left": trial.reference_left,
            "position": trial.position,
            "assigned_at": trial.assigned_at,
            "answered_at": now,
            "rt_ms": submitted.rt_ms,
            "load_ms": submitted.load_ms,
            "server_ms": max(0, now - (trial.shown_at or trial.assigned_at)),
            "input": submitted.input,
            "view": submitted.view,
            "toggles": submitted.toggles,
            "zoom_max": submitted.zoom_max,
            "blurs": submitted.blurs,
            "blur_ms": submitted.blur_ms,
            "viewport_width": width,
            "viewport_height": height,
            "pixel_ratio": submitted.pixel_ratio,
            "shown_width": submitted.shown_width,
            "browser": submitted.browser,
            "category": submitted.category if facts.settings.follow_up_category and submitted.answer == "yes" else None,
            "where_x": x if facts.settings.follow_up_where and submitted.answer == "yes" else None,
            "where_y": y if facts.settings.follow_up_where and submitted.answer == "yes" else None,
            "late": int(late),
            "settings_id": facts.settings_id,
            "version": version(),
        },
    )


def _credit(
    c: Connection, facts: StudyFacts, person: Person, trial: Trial, why_not: str | None, now: int
) -> str | None:
    """Points and rules after an answer of the main part; returns a notice to show."""
    pays = why_not not in PAY_NOT
    if trial.state != "open" and pays:
        # a late answer: its position was given to another trial
        person.position += 1
    if pays:
        person.valid += 1
        game.pay(c, facts.settings, person, trial.id, now)
    if trial.kind == "trap" or (person.valid + trial.position) % RECHECK_EVERY == 0:
        screening.refresh_person(c, facts.settings, person, now)
        if trial.kind == "trap" and person.included:
            return screening.warn(facts.settings, person, now)
    return None


def _train(c: Connection, facts: StudyFacts, person: Person, trial: Trial, now: int) -> None:
    """After the last item of a block: pass, try again, or end."""
    if person.step != "training" or trial.repeat_no != person.training_attempts + 1:
        return
    right = list(
        c.execute(
            select(response.c.correct)
            .join(assignment, assignment.c.id == response.c.assignment_id)
            .where(
                assignment.c.participant_id == person.id,
                assignment.c.kind == "training",
                assignment.c.repeat_no == trial.repeat_no,
                assignment.c.state == "answered",
            )
        ).scalars()
    )
    items = len(assigning.training_order(c, facts, person, trial.repeat_no))
    if len(right) < items:
        return
    person.training_attempts = trial.repeat_no
    if sum(right) >= assigning.needed_right(facts.settings, items):
        person.training_passed_at, person.step = now, "main"
    elif person.training_attempts >= facts.settings.training.attempts:
        person.step = "finished"


def _feedback(trial: Trial, correct: bool) -> Feedback:
    meaning = "the meaning changed" if trial.truth == "yes" else "the meaning is the same"
    said = f"{'Right' if correct else 'Not quite'}: {meaning}."
    return Feedback(correct, f"{said} {trial.explanation}" if trial.explanation else said)
