"""The rules by which a person's answers are taken or left, in one place.

`judge` is pure: facts of a person and the study's rules in, verdict out. Failing the traps excludes; of the other rules one asks
for a review and two exclude. What the rules did they undo when the facts change (a trap is retired, a rule is loosened); an
admin's decision counts.
"""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, select

from user_study.core.settings import StudySettings
from user_study.core.settings_sections import RuleSettings
from user_study.database.schema import pair, participant, response
from user_study.trial import exclusion
from user_study.trial.person import Person, UnknownParticipant, lock

VERSION = 1  # of the code below; part of `rules_hash`
BY_RULES = "rules"
WARNING = "Please look closely: some of your recent answers were surprising. Compare the whole of both images before you answer."

_ANSWERS = (
    select(response.c.kind, response.c.answer, response.c.correct, response.c.rt_ms, response.c.blurs, pair.c.active)
    .join(pair, pair.c.id == response.c.pair_id)
    .where(
        response.c.participant_id == bindparam("person"),
        response.c.kind.in_(("main", "trap", "repeat")),
        response.c.why_not.is_distinct_from("undone"),
    )
)


@dataclass(frozen=True)
class PersonFacts:
    """What is judged. Times in ms; shares in [0, 1]; nan where there is nothing to count."""

    traps_seen: int = 0
    traps_right: int = 0
    trials: int = 0
    median_ms: float = math.nan
    fast_share: float = 0.0
    same_share: float = 0.0
    repeats: int = 0
    repeats_same: int = 0
    blur_share: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """Whether to exclude, the names of the flags, and a sentence that says why."""

    exclude: bool
    flags: tuple[str, ...]
    reason: str


def rules_hash(rules: RuleSettings) -> str:
    """16 hex digits that name the rules, thresholds and code."""
    return hashlib.sha256(json.dumps([VERSION, rules.model_dump()], sort_keys=True).encode()).hexdigest()[:16]


def traps_needed(seen: int, rules: RuleSettings) -> int:
    """Right answers wanted of `seen` traps, rounded up."""
    return math.ceil(rules.trap_pass * seen - 1e-9)


def judge(facts: PersonFacts, rules: RuleSettings) -> Verdict:
    """Apply all rules."""
    said: dict[str, str] = {}
    if facts.traps_seen >= rules.min_traps and facts.traps_right < traps_needed(facts.traps_seen, rules):
        said["traps"] = (
            f"{facts.traps_right} of {facts.traps_seen} traps right, {traps_needed(facts.traps_seen, rules)} needed"
        )
    if facts.trials >= rules.timing_min:
        if facts.median_ms < rules.fast_median_ms:
            said["fast_median"] = f"median time {facts.median_ms:.0f} ms, below {rules.fast_median_ms} ms"
        if facts.fast_share > rules.fast_share:
            said["fast_share"] = f"{facts.fast_share:.0%} of answers faster than {rules.floor_ms} ms"
        if facts.blur_share > rules.blur_share:
            said["blur"] = f"left the page in {facts.blur_share:.0%} of trials"
    if facts.trials >= rules.same_min and facts.same_share > rules.same_share:
        said["same_answer"] = f"the same answer in {facts.same_share:.0%} of trials"
    if facts.repeats >= rules.repeat_min and facts.repeats_same / facts.repeats < rules.repeat_agreement:
        said["repeats"] = f"{facts.repeats_same} of {facts.repeats} repeated pairs answered as before"
    exclude = "traps" in said or len(said) >= 2
    return Verdict(exclude, tuple(said), "; ".join(said.values()))


def facts_of(c: Connection, person: int, rules: RuleSettings) -> PersonFacts:
    """What the answers of a person say. Retired traps judge nobody; answers that were taken back do not either."""
    rows = c.execute(_ANSWERS, {"person": person}).all()
    traps = [row.correct for row in rows if row.kind == "trap" and row.active]
    repeats = [row.correct for row in rows if row.kind == "repeat"]
    times = [row.rt_ms for row in rows if row.rt_ms is not None]
    answers = [row.answer for row in rows]
    count = len(rows)
    return PersonFacts(
        traps_seen=len(traps),
        traps_right=sum(traps),
        trials=count,
        median_ms=statistics.median(times) if times else math.nan,
        fast_share=sum(time < rules.floor_ms for time in times) / len(times) if times else 0.0,
        same_share=max(answers.count(answer) for answer in set(answers)) / count if count else 0.0,
        repeats=len(repeats),
        repeats_same=sum(repeats),
        blur_share=sum((row.blurs or 0) > 0 for row in rows) / count if count else 0.0,
    )


def refresh_locked(c: Connection, settings: StudySettings, person: Person, now: int) -> Verdict:
    """Judge a person who is locked again and act on it; the caller saves the person."""
    rules = settings.rules
    facts = facts_of(c, person.id, rules)
    person.traps_seen, person.traps_right = facts.traps_seen, facts.traps_right
    verdict = judge(facts, rules)
    person.flags = json.dumps(list(verdict.flags))
    if person.standing_by in (None, BY_RULES) and verdict.exclude == person.included:
        if verdict.exclude:
            exclusion.exclude_locked(c, person, verdict.reason, BY_RULES, rules_hash(rules), now)
        else:
            exclusion.restore_locked(
                c, person, verdict.reason or "no rule is against it", BY_RULES, rules_hash(rules), now
            )
    return verdict


def warn(settings: StudySettings, person: Person, now: int) -> str | None:
    """The one warning, once enough traps were missed; None: not now."""
    if person.warned_at is not None or person.traps_seen - person.traps_right < settings.rules.warn_after_misses:
        return None
    person.warned_at = now
    return WARNING


def refresh_all(c: Connection, settings: StudySettings, now: int) -> int:
    """Judge everybody again (the rules changed); returns how many changed standing."""
    return refresh_people(
        c, settings, list(c.execute(select(participant.c.id).order_by(participant.c.id)).scalars()), now
    )


def refresh_all_of_pair(c: Connection, settings: StudySettings, pair_id: int, now: int) -> int:
    """Judge everybody again who answered a pair."""
    query = select(response.c.participant_id).where(response.c.pair_id == pair_id).distinct()
    return refresh_people(
        c, settings, sorted(number for number in c.execute(query).scalars() if number is not None), now
    )


def refresh_people(c: Connection, settings: StudySettings, people: list[int], now: int) -> int:
    """Judge these people again, but for those who were erased meanwhile; returns how many changed standing."""
    changed = 0
    for number in people:
        try:
            person = lock(c, number)
        except UnknownParticipant:
            continue
        before = replace(person)
        refresh_locked(c, settings, person, now)
        if person != before:
            person.save(c)
        changed += person.standing != before.standing
    return changed
