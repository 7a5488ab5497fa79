"""Traps and practice pairs: who gets them right, and which of them may themselves be wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from user_study.analysis import statistics
from user_study.analysis.queries import count_if, filled
from user_study.database.schema import image, pair, participant, response

SUSPECT_FROM = 5  # answers of passing people: fewer say nothing
SUSPECT_SHARE = 0.2


@dataclass(frozen=True)
class TrapRow:
    """A trap or a practice pair.

    Attributes:
        seen, right: answers of everybody but testers.
        passing_seen, passing_right: of people who are not excluded; the interval is theirs.
        suspect: more than 20 % of (at least 5) passing people fail it: look at it, and retire it if it is wrong.
        reference, candidate: tokens of the pictures.
        example: a worked example of the instructions, not an item of the practice.
    """

    id: int
    key: str
    kind: str
    truth: str | None
    active: bool
    retired_reason: str | None
    seen: int
    right: int
    passing_seen: int
    passing_right: int
    low: float
    high: float
    reference: str
    candidate: str
    example: bool

    @property
    def suspect(self) -> bool:
        missed = self.passing_seen - self.passing_right
        return self.passing_seen >= SUSPECT_FROM and missed > SUSPECT_SHARE * self.passing_seen


def list_traps(c: Connection, kind: str = "trap") -> list[TrapRow]:
    """All pairs of that kind (trap or training), the active and the worst answered first."""
    keys = select(pair.c.id).where(pair.c.kind == kind)
    passing = participant.c.standing == "included"
    right = response.c.correct == 1

    tallies = {
        row[0]: [int(value) for value in row[1:]]
        for row in c.execute(
            select(response.c.pair_id, func.count(), count_if(right), count_if(passing), count_if(and_(passing, right)))
            .join(participant, participant.c.id == response.c.participant_id)
            .where(response.c.pair_id.in_(keys), participant.c.role == "participant", response.c.correct.is_not(None))
            .group_by(response.c.pair_id)
        )
    }
    reference, candidate = image.alias("reference"), image.alias("candidate")
    rows = []
    for found in c.execute(
        select(pair, reference.c.token.label("reference_token"), candidate.c.token.label("candidate_token"))
        .join(reference, reference.c.id == pair.c.reference_image)
        .join(candidate, candidate.c.id == pair.c.candidate_image)
        .where(pair.c.kind == kind)
    ):
        seen, good, passing_seen, passing_right = tallies.get(found.id, [0, 0, 0, 0])
        low, high = statistics.interval(passing_right, passing_seen)
        rows.append(
            filled(
                TrapRow,
                found,
                key=found.pair_key,
                active=bool(found.active),
                seen=seen,
                right=good,
                passing_seen=passing_seen,
                passing_right=passing_right,
                low=low,
                high=high,
                reference=found.reference_token,
                candidate=found.candidate_token,
                example=json.loads(found.extra).get("example") is True,
            )
        )
    return sorted(
        rows,
        key=lambda row: (not row.active, row.passing_right / row.passing_seen if row.passing_seen else 2.0, row.key),
    )
