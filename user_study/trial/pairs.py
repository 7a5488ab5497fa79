"""Pairs and their pictures in the database."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, update

from user_study.core import audit, study_state
from user_study.core.errors import StudyError
from user_study.database.schema import image, pair
from user_study.trial import screening
from user_study.trial.trials import PAIR_WITH_PICTURES, PICTURES

Kind = Literal["main", "trap", "training"]


@dataclass(frozen=True)
class NewImage:
    """A picture whose file is in images/ already."""

    sha256: str
    file: str
    media_type: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True)
class NewPair:
    """A pair to be added.

    Attributes:
        reference, candidate: sha256 of pictures that `add_images` knows.
        truth: of traps and training pairs: yes (the meaning changed) or no.
        explanation: of training pairs and examples: what there is to see.
        example: a worked example of the instructions; of kind training, but not an item of the training block.
        extra: further columns of the pair table, for the exports.
    """

    pair_key: str
    source_key: str
    reference: str
    candidate: str
    reference_name: str
    candidate_name: str
    origin: str = ""
    kind: Kind = "main"
    truth: Literal["yes", "no"] | None = None
    explanation: str | None = None
    example: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


def add_images(c: Connection, images: Sequence[NewImage]) -> int:
    """Make pictures known; those that are (by content) are left alone. Returns how many are new."""
    known = known_images(c)
    new = {item.sha256: item for item in images if item.sha256 not in known}
    rows = [{"token": secrets.token_urlsafe(16), **vars(item)} for item in new.values()]
    if rows:
        c.execute(insert(image), rows)
    return len(rows)


def known_images(c: Connection) -> dict[str, int]:
    """sha256 -> id of all pictures."""
    return {row.sha256: row.id for row in c.execute(select(image.c.sha256, image.c.id))}


def existing_keys(c: Connection) -> set[str]:
    """pair_key of all pairs."""
    return set(c.execute(select(pair.c.pair_key)).scalars())


def add_pair(c: Connection, new: NewPair, now: int, rng: Random | None = None) -> None:
    """`add_pairs` of one."""
    add_pairs(c, [new], now, rng)


def add_pairs(c: Connection, new: Sequence[NewPair], now: int, rng: Random | None = None) -> None:
    """Add pairs under the quota in force.

    Raises:
        StudyError: a pair_key exists already, a trap without truth, a picture that is not known.
    """
    if not new:
        return
    rng = rng or SystemRandom()
    quota = study_state.facts(c).settings.quota
    ids, keys = known_images(c), existing_keys(c)
    rows = []
    for item in new:
        if item.pair_key in keys:
            raise StudyError(f"pair {item.pair_key!r} exists already; give it another pair_id, or leave it out")
        keys.add(item.pair_key)
        if item.kind != "main" and item.truth is None:
            raise StudyError(f"pair {item.pair_key!r}: a {item.kind} pair needs its truth, yes or no")
        missing = [sha for sha in (item.reference, item.candidate) if sha not in ids]
        if missing:
            raise StudyError(f"pair {item.pair_key!r}: its image {missing[0][:12]}... was not added")
        rows.append(
            {
                "pair_key": item.pair_key,
                "source_key": item.source_key,
                "origin": item.origin,
                "kind": item.kind,
                "truth": item.truth,
                "explanation": item.explanation,
                "reference_image": ids[item.reference],
                "candidate_image": ids[item.candidate],
                "reference_name": item.reference_name,
                "candidate_name": item.candidate_name,
                "extra": json.dumps({**item.extra, **({"example": True} if item.example else {})}, sort_keys=True),
                "quota": quota,
                "shuffle": rng.random(),
                "created_at": now,
            }
        )
    c.execute(insert(pair), rows)
    refresh_strata(c)


def refresh_strata(c: Connection) -> None:
    """Write down how many active main pairs every origin has; to be called after pairs came or went."""
    rows = c.execute(
        select(pair.c.origin, func.count()).where(pair.c.kind == "main", pair.c.active == 1).group_by(pair.c.origin)
    )
    study_state.put(c, "strata", json.dumps({origin: count for origin, count in rows}, sort_keys=True))


def counts(c: Connection) -> dict[str, int]:
    """Active pairs by kind."""
    found = c.execute(select(pair.c.kind, func.count()).where(pair.c.active == 1).group_by(pair.c.kind))
    return {"main": 0, "trap": 0, "training": 0, **{kind: count for kind, count in found}}


def example_pairs(c: Connection, limit: int = 6) -> list[Row[Any]]:
    """Worked examples of the instructions: truth, explanation and pictures."""
    query = (
        select(pair.c.id, pair.c.pair_key, pair.c.truth, pair.c.explanation, *PICTURES)
        .select_from(PAIR_WITH_PICTURES)
        .where(pair.c.kind == "training", pair.c.active == 1, pair.c.extra.like('%"example": true%'))
        .order_by(pair.c.id)
        .limit(limit)
    )
    return list(c.execute(query))


def set_active(c: Connection, pair_id: int, active: bool, reason: str, actor: str, now: int) -> None:
    """Retire a pair, or take it back. Answers stay; a retired trap judges nobody any more."""
    row = c.execute(select(pair.c.kind, pair.c.pair_key).where(pair.c.id == pair_id).with_for_update()).first()
    if row is None:
        raise StudyError(f"there is no pair {pair_id}")
    c.execute(
        update(pair)
        .where(pair.c.id == pair_id)
        .values(active=int(active), retired_reason=None if active else reason[:500])
    )
    audit.note(c, actor, "pair taken back" if active else "pair retired", row.pair_key, {"reason": reason[:500]}, now)
    if row.kind == "main":
        refresh_strata(c)
    if row.kind == "trap":
        screening.refresh_all_of_pair(c, study_state.facts(c).settings, pair_id, now)
