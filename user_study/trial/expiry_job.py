"""What is done every few seconds: leases that ran out, sessions that are over, people to be judged by new rules."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from user_study.core import study_state
from user_study.core.study_state import StudyFacts
from user_study.database.schema import participant, session
from user_study.trial import leases, screening

PEOPLE = 50  # judged again in one run: answers need not wait long


def run(c: Connection, now: int) -> int:
    """Close leases that ran out; returns how many."""
    found = study_state.facts(c)
    closed = leases.expire(c, now, found.settings.lease_s * 1000)
    c.execute(delete(session).where(session.c.expires_at <= now))
    judge_by_new_rules(c, found, now)
    return closed


def judge_by_new_rules(c: Connection, facts: StudyFacts, now: int) -> int:
    """After a change of rules, judge everybody again, some in every run; returns how many were looked at.

    The fact `screened` says by which rules and up to whom; people who come later are judged by the rules in force anyway.
    """
    rules = screening.rules_hash(facts.settings.rules)
    said, _, upto = facts.screened.partition(" ")
    if said == rules and upto == "all":
        return 0
    last = int(upto) if said == rules else 0
    query = select(participant.c.id).where(participant.c.id > last).order_by(participant.c.id).limit(PEOPLE)
    people = list(c.execute(query).scalars())
    screening.refresh_people(c, facts.settings, people, now)
    study_state.put(c, "screened", f"{rules} {people[-1] if len(people) == PEOPLE else 'all'}")
    return len(people)
