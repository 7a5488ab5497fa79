"""Points, the roulette and the leaderboard. Points are entries of a ledger that only grows; a score is its sum."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, bindparam, func, insert, select, tuple_

from user_study.core.errors import StudyError
from user_study.database.prepared import Prepared
from user_study.database.schema import ledger, participant, response
from user_study.trial.assignment import spins_left
from user_study.trial.person import look
from user_study.trial.turn import Turn

_ENTRY = Prepared(insert(ledger), keys=("participant_id", "kind", "ref", "points", "at"))
_LATELY = (
    select(response.c.kind, response.c.correct)
    .where(
        response.c.participant_id == bindparam("person"),
        response.c.kind.in_(("main", "trap", "repeat")),
        response.c.why_not.is_distinct_from("undone"),
    )
    .order_by(response.c.id.desc())
    .limit(bindparam("last"))
)


class NoSpin(StudyError):
    """No spin has been earned."""


@dataclass(frozen=True)
class Spin:
    """Where the wheel stops: `wheel[segment]` is `points`; `applied` is what the score changed by (it has a floor)."""

    points: int
    segment: int
    wheel: tuple[int, ...]
    applied: int
    score: int
    spins_left: int


@dataclass(frozen=True)
class Place:
    """A row of the leaderboard."""

    rank: int
    participant_id: int
    nickname: str
    score: int
    prize: str


def pay(turn: Turn, assignment_id: int) -> None:
    """Points for a valid answer that `person.valid` has just counted; with the streak's, where it completes a round.

    The streak is paid at the round's end and not at its trap, or the points would tell which pair was the trap.
    """
    game, person = turn.settings.game, turn.person
    if not game.enabled:
        return
    _enter(turn, "answer", assignment_id, game.points)
    if game.streak and person.valid % game.spin_every == 0:
        rows = turn.c.execute(_LATELY, {"person": person.id, "last": game.spin_every}).all()
        traps = [row.correct for row in rows if row.kind == "trap"]
        milestone = person.valid // game.spin_every
        known = select(ledger.c.id).where(
            ledger.c.participant_id == person.id, ledger.c.kind == "streak", ledger.c.ref == milestone
        )
        if traps and all(traps) and turn.c.execute(known).first() is None:
            _enter(turn, "streak", milestone, game.streak)


def take_back(turn: Turn, assignment_id: int) -> None:
    """The points of an answer that was taken back; the ledger keeps both entries, and the score its floor."""
    person = turn.person
    paid = turn.c.execute(
        select(func.sum(ledger.c.points)).where(
            ledger.c.participant_id == person.id, ledger.c.kind == "answer", ledger.c.ref == assignment_id
        )
    ).scalar_one()
    if paid:
        _enter(turn, "undo", assignment_id, max(-int(paid), min(0, turn.settings.game.floor - person.score)))


def spin(turn: Turn) -> Spin:
    """Draw one spin, here and not in the browser; saves the person.

    Raises:
        NoSpin: none is left.
    """
    game, person = turn.settings.game, turn.person
    if spins_left(turn.settings, person) <= 0:
        raise NoSpin(f"there is no spin left; every {game.spin_every} valid answers give one")
    segment = turn.rng.randrange(len(game.wheel))
    points = game.wheel[segment]
    applied = max(points, min(0, game.floor - person.score))
    person.spins += 1
    _enter(turn, "spin", person.spins, applied)
    person.save(turn.c)
    return Spin(points, segment, game.wheel, applied, person.score, spins_left(turn.settings, person))


def score(c: Connection, participant_id: int) -> int:
    """The sum of a person's ledger."""
    total = c.execute(
        select(func.coalesce(func.sum(ledger.c.points), 0)).where(ledger.c.participant_id == participant_id)
    )
    return int(total.scalar_one())


def leaderboard(c: Connection, limit: int, prizes: tuple[str, ...] = ()) -> list[Place]:
    """The best of those who wish to be seen and are not excluded; ties go to who was there first."""
    rows = _BEST.rows(c, {"most": limit})
    return [
        Place(rank, number, nickname, score, prizes[rank - 1] if rank <= len(prizes) else "")
        for rank, (number, nickname, score) in enumerate(rows, 1)
    ]


def place(c: Connection, participant_id: int, prizes: tuple[str, ...] = ()) -> Place | None:
    """A person's own row; None for testers, the excluded, those who do not wish to be seen, and before the first point."""
    me = look(c, participant_id)
    if me.tester or not me.included or not me.on_leaderboard or me.score <= 0:
        return None
    ((better,),) = _BETTER.rows(c, {"points": me.score, "since": me.scored_at, "of": me.id})
    rank = int(better) + 1
    return Place(rank, me.id, me.nickname, me.score, prizes[rank - 1] if rank <= len(prizes) else "")


_SHOWN = (participant.c.on_leaderboard == 1, participant.c.standing == "included", participant.c.role == "participant")
_BEST = Prepared(
    select(participant.c.id, participant.c.nickname, participant.c.score)
    .where(*_SHOWN, participant.c.score > 0)
    .order_by(participant.c.score.desc(), participant.c.scored_at, participant.c.id)
    .limit(bindparam("most"))
)
_SINCE, _OF = bindparam("since", type_=BigInteger), bindparam("of", type_=BigInteger)
_BETTER = Prepared(
    select(func.count())
    .select_from(participant)
    .where(
        *_SHOWN,
        (participant.c.score > bindparam("points"))
        | (
            (participant.c.score == bindparam("points"))
            & (tuple_(participant.c.scored_at, participant.c.id) < tuple_(_SINCE, _OF))
        ),
    )
)


def _enter(turn: Turn, kind: str, ref: int, points: int) -> None:
    person = turn.person
    _ENTRY.change(turn.c, {"participant_id": person.id, "kind": kind, "ref": ref, "points": points, "at": turn.now})
    person.score += points
    if points:
        person.scored_at = turn.now
