"""Brings a person's trials up to date: closes what ran out, moves what is next onto the screen, assigns what is missing."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from random import Random

from sqlalchemy import bindparam, func, insert, select, update

from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings
from user_study.core.study_state import StudyFacts
from user_study.database.engine import TryAgain
from user_study.database.prepared import Prepared
from user_study.database.schema import assignment, pair, response
from user_study.trial import leases, pair_selection, schedule
from user_study.trial.pair_selection import Choice
from user_study.trial.person import Person
from user_study.trial.trials import Training, Trial, TrialState, open_trials
from user_study.trial.turn import Turn

_INSERT = Prepared(
    insert(assignment).returning(assignment.c.id),
    keys=(
        "participant_id", "token", "pair_id", "kind", "repeat_no", "position", "slot", "reference_left", "state",
        "assigned_at", "shown_at", "expires_at",
    ),
)  # fmt: skip
_TO_SCREEN = Prepared(
    update(assignment)
    .where(assignment.c.id == bindparam("of"))
    .values(slot=0, shown_at=bindparam("at"), expires_at=bindparam("until"))
)
_LAST = (
    select(response.c.assignment_id, response.c.kind, response.c.why_not)
    .where(response.c.participant_id == bindparam("person"))
    .order_by(response.c.id.desc())
    .limit(1)
)
_TRAINING_PAIRS = (
    select(pair.c.id, pair.c.truth)
    .where(pair.c.kind == "training", pair.c.active == 1, pair.c.extra.not_like('%"example": true%'))
    .order_by(pair.c.id)
)
_TRAINED = select(func.count()).where(
    assignment.c.participant_id == bindparam("person"),
    assignment.c.kind == "training",
    assignment.c.repeat_no == bindparam("attempt"),
    assignment.c.state == "answered",
)
READY = ("training", "main", "finished")


class NotReady(StudyError):
    """Consent or instructions are still to come."""


def current(turn: Turn) -> TrialState:
    """The person's trials now; assigns what is missing and saves the person.

    Raises:
        NotReady: the person has not consented or not read the instructions.
    """
    trials, now, until = open_trials(turn.c, turn.person.id), turn.now, turn.until
    running = [trial for trial in trials if trial.expires_at > now]
    if any(trial.expires_at - now < (until - now) * 3 // 4 for trial in running):
        leases.renew(turn.c, turn.person.id, until)
        for trial in running:
            trial.expires_at = until
    state = bring_up_to_date(turn, trials)
    state.can_undo = not state.break_due and state.phase == "main" and undoable(turn) is not None
    turn.save()
    return state


def undoable(turn: Turn) -> int | None:
    """Assignment of the last answer, where it may be taken back; None otherwise."""
    last = turn.c.execute(_LAST, {"person": turn.person.id}).first()
    return None if last is None or last.kind == "training" or last.why_not == "undone" else last.assignment_id


def bring_up_to_date(turn: Turn, trials: list[Trial]) -> TrialState:
    """Close, move up, assign. Changes the person in memory; the caller saves it.

    Args:
        trials: what is open with the person.
    """
    person = turn.person
    if person.step not in READY:
        raise NotReady("accept the consent and read the instructions first")
    trials = _without_stale(turn, trials)
    if not person.included:
        return _end(turn)
    if turn.facts.state != "live" and not person.tester:
        # what is on the screen may still be answered; nothing new is given out
        return _state(turn, "closed" if turn.facts.state == "closed" else "paused")
    training = _training(turn, trials) if person.step == "training" else None
    if person.step == "training":
        return _state(turn, "training", trials, training)
    if person.training_passed_at is None:
        return _end(turn, screened_out=True)
    trials = _main(turn, trials)
    if not trials:
        nothing_yet = person.position == 0
        return _state(turn, "full") if nothing_yet else _end(turn)
    person.step = "main"
    return _state(turn, "main", trials)


def _without_stale(turn: Turn, trials: list[Trial]) -> list[Trial]:
    """Close trials that ran out (then the one behind goes too: the person was away) or belong to a step that is over."""
    person = turn.person
    ended = any(trial.expires_at <= turn.now for trial in trials)
    if ended or not person.included:
        stale = trials
    else:
        stale = [trial for trial in trials if (trial.kind == "training") != (person.step == "training")]
    if not stale:
        return trials
    leases.give_up(turn.c, person, stale, "expired" if ended else "released", turn.now)
    return [trial for trial in trials if trial not in stale]


def assign(turn: Turn, choice: Choice, position: int, slot: int) -> Trial:
    """Write one assignment and take its place."""
    leases.take(turn.c, choice.row.id, choice.kind, choice.reference_left, turn.person.tester)
    return open_row(turn, choice, position, slot)


def open_row(turn: Turn, choice: Choice, position: int, slot: int) -> Trial:
    """Insert an open assignment."""
    row = choice.row
    pictures = {name: getattr(row, name) for name in _PICTURE_NAMES}
    values = {
        "token": secrets.token_urlsafe(16),
        "pair_id": row.pair_id if isinstance(row, Trial) else row.id,
        "kind": choice.kind,
        "repeat_no": choice.repeat_no,
        "position": position,
        "slot": slot,
        "reference_left": choice.reference_left,
        "state": "open",
        "assigned_at": turn.now,
        "shown_at": turn.now if slot == 0 else None,
        "expires_at": turn.until,
    }
    [(number,)] = _INSERT.rows(turn.c, {"participant_id": turn.person.id, **values})
    return Trial(id=number, truth=row.truth, explanation=row.explanation, **values, **pictures)  # type: ignore[arg-type]


def completion_code(facts: StudyFacts, person: Person, screened_out: bool) -> str:
    """The study's code at Prolific, else one of the person's own that nobody can guess."""
    if person.door == "prolific":
        codes = facts.settings.prolific
        code = codes.screened_out_code if screened_out else codes.completion_code
        if code:
            return code
    kind = "screened" if screened_out else "done"
    return hmac.new(facts.secret.encode(), f"{kind} {person.code}".encode(), "sha256").hexdigest()[:12].upper()


_PICTURE_NAMES = (
    "reference_token", "reference_width", "reference_height", "candidate_token", "candidate_width", "candidate_height",
)  # fmt: skip


def _main(turn: Turn, trials: list[Trial]) -> list[Trial]:
    trials = _move_up(turn, trials)
    person, cap = turn.person, turn.settings.per_person_cap
    while len(trials) < 2:
        if person.valid + len(trials) >= cap or person.position >= 2 * cap:
            break
        position = person.position + 1
        try:
            choice = _choose(turn, position)
        except TryAgain:
            if not trials:
                raise
            break  # the one on the screen is enough for now
        if choice is None:
            break
        trials.append(assign(turn, choice, position, len(trials)))
        person.position = position
    return trials


def _choose(turn: Turn, position: int) -> Choice | None:
    c, settings, number, rng = turn.c, turn.settings, turn.person.id, turn.rng
    seed = f"{turn.facts.secret} {number}"
    truth = schedule.trap_at(settings, seed, position)
    due = truth is None and schedule.repeat_at(settings, seed, position)
    if truth is not None or due:
        if pair_selection.least_answered(c, number, settings.quota) is None:
            return None  # traps and repeats are placed among main trials, never alone at the end
        special = (
            pair_selection.trap_pair(c, number, truth, rng)
            if truth is not None
            else pair_selection.repeat_pair(c, number, position - settings.repeat_gap, rng)
        )
        if special is not None:
            return special
    return pair_selection.main_pair(c, number, settings.quota, turn.facts.strata, rng)


def _move_up(turn: Turn, trials: list[Trial]) -> list[Trial]:
    """The trial loaded ahead comes onto the screen where that is empty."""
    if trials and trials[0].slot == 1:
        first = trials[0]
        _TO_SCREEN.change(turn.c, {"of": first.id, "at": turn.now, "until": turn.until})
        first.slot, first.shown_at, first.expires_at = 0, turn.now, turn.until
    return trials


def training_order(turn: Turn, attempt: int) -> list[int]:
    """Pairs of a training block, both polarities alike, in the order of this person and attempt."""
    rows = turn.c.execute(_TRAINING_PAIRS).all()
    rng = Random(f"{turn.facts.secret} {turn.person.id} training {attempt}")
    by_truth = [[row.id for row in rows if (row.truth == "yes") == wanted] for wanted in (True, False)]
    for ids in by_truth:
        rng.shuffle(ids)
    longer, shorter = sorted(by_truth, key=len, reverse=True)
    taken = [number for both in zip(longer, shorter, strict=False) for number in both] + longer[len(shorter) :]
    taken = taken[: turn.settings.training.items]
    rng.shuffle(taken)
    return taken


def needed_right(settings: StudySettings, items: int) -> int:
    """Right answers that pass a block of `items`, where the study has fewer pairs than it wants."""
    wanted = settings.training
    return wanted.passing if items >= wanted.items else -(-wanted.passing * items // max(1, wanted.items))


def _training(turn: Turn, trials: list[Trial]) -> Training | None:
    """Fills `trials` in place; moves the person on where there is nothing to train."""
    person = turn.person
    attempt = person.training_attempts + 1
    order = training_order(turn, attempt)
    if not order:
        person.step, person.training_passed_at = "main", turn.now
        return None
    _move_up(turn, trials)
    answered = int(turn.c.execute(_TRAINED, {"person": person.id, "attempt": attempt}).scalar_one())
    while len(trials) < 2 and answered + len(trials) < len(order):
        item = answered + len(trials)
        choice = pair_selection.training_pair(turn.c, order[item], attempt, turn.rng)
        trials.append(assign(turn, choice, item + 1, len(trials)))
    return Training(min(answered + 1, len(order)), len(order), attempt)


def _end(turn: Turn, screened_out: bool = False) -> TrialState:
    person = turn.person
    if person.step != "finished" or person.completion_code is None:
        person.step, person.finished_at = "finished", person.finished_at or turn.now
        person.completion_code = completion_code(turn.facts, person, screened_out)
    return _state(turn, "done")


def _state(turn: Turn, phase: str, trials: Sequence[Trial] = (), training: Training | None = None) -> TrialState:
    settings, person = turn.settings, turn.person
    answered, every = person.position - sum(trial.kind != "training" for trial in trials), settings.break_every
    return TrialState(
        phase=phase,
        trial=trials[0] if trials else None,
        upcoming=trials[1] if len(trials) > 1 else None,
        break_due=phase == "main" and every > 0 and answered > 0 and answered % every == 0,
        can_undo=False,
        score=person.score,
        valid=person.valid,
        cap=settings.per_person_cap,
        answered=answered,
        spins=spins_left(settings, person),
        training=training,
    )


def spins_left(settings: StudySettings, person: Person) -> int:
    """Spins of the roulette that the person has earned and not drawn."""
    if not settings.game.enabled:
        return 0
    return max(0, min(person.valid // settings.game.spin_every, settings.game.max_spins) - person.spins)
