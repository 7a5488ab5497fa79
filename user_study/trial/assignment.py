"""Brings a person's trials up to date: closes what ran out, moves what is next onto the screen, assigns what is missing."""

from __future__ import annotations

import hmac
import secrets
from random import Random, SystemRandom
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from user_study.core import study_state
from user_study.core.errors import StudyError
from user_study.core.settings import StudySettings
from user_study.core.study_state import StudyFacts
from user_study.database.engine import TryAgain
from user_study.database.prepared import Prepared
from user_study.database.schema import assignment, pair, response
from user_study.trial import leases, pair_selection, schedule
from user_study.trial.pair_selection import Choice
from user_study.trial.person import Person, lock
from user_study.trial.trials import Training, Trial, TrialState, open_trials

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


def current(
    c: Connection, settings: StudySettings, participant_id: int, now: int, rng: Random | None = None
) -> TrialState:
    """The person's trials now; assigns what is missing.

    Raises:
        NotReady: the person has not consented or not read the instructions.
    """
    person = lock(c, participant_id)
    return current_of(c, study_state.facts(c), person, now, rng or SystemRandom())


def current_of(c: Connection, facts: StudyFacts, person: Person, now: int, rng: Random) -> TrialState:
    """`current`, for a person who is locked already; saves the person."""
    trials = open_trials(c, person.id)
    lease_ms = facts.settings.lease_s * 1000
    if trials and any(trial.expires_at - now < lease_ms * 3 // 4 for trial in trials if trial.expires_at > now):
        leases.renew(c, person.id, now + lease_ms)
        trials = [_renewed(trial, now + lease_ms) if trial.expires_at > now else trial for trial in trials]
    state = bring_up_to_date(c, facts, person, trials, now, rng)
    state.can_undo = not state.break_due and state.phase == "main" and undoable(c, person.id) is not None
    person.last_seen_at = now
    person.save(c)
    return state


def undoable(c: Connection, person: int) -> int | None:
    """Assignment of the last answer, where it may be taken back; None otherwise."""
    last = c.execute(_LAST, {"person": person}).first()
    return None if last is None or last.kind == "training" or last.why_not == "undone" else last.assignment_id


def bring_up_to_date(
    c: Connection, facts: StudyFacts, person: Person, trials: list[Trial], now: int, rng: Random
) -> TrialState:
    """Close, move up, assign. Changes `person` in memory; the caller saves it.

    Args:
        trials: what is open with the person.
    """
    if person.step not in READY:
        raise NotReady("accept the consent and read the instructions first")
    ended = [trial for trial in trials if trial.expires_at <= now]
    # what stands behind an expired trial goes too: the person was away; and so do trials of a step that is over
    stale = (
        trials
        if ended or not person.included
        else [t for t in trials if (t.kind == "training") != (person.step == "training")]
    )
    if stale:
        give_up(c, person, stale, "expired" if ended else "released", now)
        trials = [trial for trial in trials if trial not in stale]
    if not person.included:
        return _end(facts, person, now, "done")
    if facts.state != "live" and not person.tester:
        # what is on the screen may still be answered; nothing new is given out
        return _state(facts, person, "closed" if facts.state == "closed" else "paused", [], None)
    training = None
    if person.step == "training":
        training = _training(c, facts, person, trials, now, rng)
    if person.step in ("main", "finished"):
        if person.training_passed_at is None:
            return _end(facts, person, now, "done", screened_out=True)
        trials = _main(c, facts, person, trials, now, rng)
        if not trials:
            nothing_yet = person.position == 0
            return _state(facts, person, "full", [], None) if nothing_yet else _end(facts, person, now, "done")
        person.step = "main"
        return _state(facts, person, "main", trials, None)
    return _state(facts, person, "training", trials, training)


def give_up(c: Connection, person: Person, trials: list[Trial], state: str, now: int) -> None:
    """Close open trials of a person without an answer."""
    leases.close(c, trials, state, person.tester, now)
    person.position = max(0, person.position - sum(trial.kind != "training" for trial in trials))


def assign(
    c: Connection,
    person: Person,
    choice: Choice,
    position: int,
    slot: int,
    now: int,
    lease_ms: int,
    repeat_no: int | None = None,
) -> Trial:
    """Write one assignment and take its place."""
    leases.take(c, choice.row.id, choice.kind, choice.reference_left, person.tester)
    return open_row(
        c,
        person,
        choice.row,
        choice.kind,
        choice.repeat_no if repeat_no is None else repeat_no,
        choice.reference_left,
        position,
        slot,
        now,
        lease_ms,
    )


def open_row(
    c: Connection,
    person: Person,
    row: Any,
    kind: str,
    repeat_no: int,
    reference_left: int,
    position: int,
    slot: int,
    now: int,
    lease_ms: int,
) -> Trial:
    """Insert an open assignment; `row` has a pair's id and pictures."""
    pictures = {name: getattr(row, name) for name in _PICTURE_NAMES}
    values = {
        "token": secrets.token_urlsafe(16),
        "pair_id": getattr(row, "pair_id", None) or row.id,
        "kind": kind,
        "repeat_no": repeat_no,
        "position": position,
        "slot": slot,
        "reference_left": reference_left,
        "state": "open",
        "assigned_at": now,
        "shown_at": now if slot == 0 else None,
        "expires_at": now + lease_ms,
    }
    [(number,)] = _INSERT.rows(c, {"participant_id": person.id, **values})
    return Trial(id=number, truth=row.truth, explanation=row.explanation, **values, **pictures)


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


def _main(c: Connection, facts: StudyFacts, person: Person, trials: list[Trial], now: int, rng: Random) -> list[Trial]:
    trials = _move_up(c, facts, trials, now)
    settings = facts.settings
    while len(trials) < 2:
        answered = person.position - len(trials)
        if (
            person.valid + len(trials) >= settings.per_person_cap
            or answered + len(trials) >= 2 * settings.per_person_cap
        ):
            break
        position = person.position + 1
        try:
            choice = _choose(c, facts, person, position, rng)
        except TryAgain:
            if not trials:
                raise
            break  # the one on the screen is enough for now
        if choice is None:
            break
        trials.append(assign(c, person, choice, position, len(trials), now, settings.lease_s * 1000))
        person.position = position
    return trials


def _choose(c: Connection, facts: StudyFacts, person: Person, position: int, rng: Random) -> Choice | None:
    settings, seed = facts.settings, f"{facts.secret} {person.id}"
    truth = schedule.trap_at(settings, seed, position)
    due = truth is None and schedule.repeat_at(settings, seed, position)
    if truth is not None or due:
        if pair_selection.least_answered(c, person.id, settings.quota) is None:
            return None  # traps and repeats stand among main trials, never alone at the end
        special = (
            pair_selection.trap_pair(c, person.id, truth, rng)
            if truth is not None
            else pair_selection.repeat_pair(c, person.id, position - settings.repeat_gap, rng)
        )
        if special is not None:
            return special
    return pair_selection.main_pair(c, person.id, settings.quota, facts.strata, rng)


def _move_up(c: Connection, facts: StudyFacts, trials: list[Trial], now: int) -> list[Trial]:
    """The trial loaded ahead comes onto the screen where that is empty."""
    if trials and trials[0].slot == 1:
        first, until = trials[0], now + facts.settings.lease_s * 1000
        _TO_SCREEN.change(c, {"of": first.id, "at": now, "until": until})
        first.slot, first.shown_at, first.expires_at = 0, now, until
    return trials


def training_order(c: Connection, facts: StudyFacts, person: Person, attempt: int) -> list[int]:
    """Pairs of a training block, both polarities alike, in the order of this person and try."""
    rows = c.execute(_TRAINING_PAIRS).all()
    rng = Random(f"{facts.secret} {person.id} training {attempt}")
    by_truth = [[row.id for row in rows if (row.truth == "yes") == wanted] for wanted in (True, False)]
    for ids in by_truth:
        rng.shuffle(ids)
    longer, shorter = sorted(by_truth, key=len, reverse=True)
    taken = [number for both in zip(longer, shorter, strict=False) for number in both] + longer[len(shorter) :]
    taken = taken[: facts.settings.training.items]
    rng.shuffle(taken)
    return taken


def needed_right(settings: StudySettings, items: int) -> int:
    """Right answers that pass a block of `items`, where the study has fewer pairs than it wants."""
    wanted = settings.training
    return wanted.passing if items >= wanted.items else -(-wanted.passing * items // max(1, wanted.items))


def _training(
    c: Connection, facts: StudyFacts, person: Person, trials: list[Trial], now: int, rng: Random
) -> Training | None:
    """Fills `trials` in place; moves the person on where there is nothing to train."""
    attempt = person.training_attempts + 1
    order = training_order(c, facts, person, attempt)
    if not order:
        person.step, person.training_passed_at = "main", now
        return None
    _move_up(c, facts, trials, now)
    answered = int(c.execute(_TRAINED, {"person": person.id, "attempt": attempt}).scalar_one())
    while len(trials) < 2 and answered + len(trials) < len(order):
        item = answered + len(trials)
        choice = pair_selection.training_pair(c, order[item], rng)
        trials.append(
            assign(c, person, choice, item + 1, len(trials), now, facts.settings.lease_s * 1000, repeat_no=attempt)
        )
    return Training(min(answered + 1, len(order)), len(order), attempt)


def _end(facts: StudyFacts, person: Person, now: int, phase: str, screened_out: bool = False) -> TrialState:
    if person.step != "finished" or person.completion_code is None:
        person.step, person.finished_at = "finished", person.finished_at or now
        person.completion_code = completion_code(facts, person, screened_out)
    return _state(facts, person, phase, [], None)


def _state(facts: StudyFacts, person: Person, phase: str, trials: list[Trial], training: Training | None) -> TrialState:
    settings = facts.settings
    answered = person.position - sum(trial.kind != "training" for trial in trials)
    return TrialState(
        phase=phase,
        trial=trials[0] if trials else None,
        upcoming=trials[1] if len(trials) > 1 else None,
        break_due=phase == "main"
        and settings.break_every > 0
        and answered > 0
        and answered % settings.break_every == 0,
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


def _renewed(trial: Trial, until: int) -> Trial:
    trial.expires_at = until
    return trial
