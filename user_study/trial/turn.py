"""One request of a person inside one transaction: what assigning, answering, undoing and the roulette need."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random, SystemRandom

from sqlalchemy import Connection

from user_study.core import study_state
from user_study.core.settings import StudySettings
from user_study.core.study_state import StudyFacts
from user_study.trial.person import Person, lock


@dataclass
class Turn:
    """A person who is locked until the transaction ends. Functions change `person` in memory; `save` writes it.

    Attributes:
        now: epoch ms.
        rng: decides sides, ties and spins.
    """

    c: Connection
    facts: StudyFacts
    person: Person
    now: int
    rng: Random

    @classmethod
    def begin(cls, c: Connection, participant_id: int, now: int, rng: Random | None = None) -> Turn:
        """Lock the person.

        Raises:
            UnknownParticipant: erased meanwhile.
        """
        person = lock(c, participant_id)
        return cls(c, study_state.facts(c), person, now, rng or SystemRandom())

    @property
    def settings(self) -> StudySettings:
        """The settings in force."""
        return self.facts.settings

    @property
    def until(self) -> int:
        """When a lease ends that begins now, epoch ms."""
        return self.now + self.settings.lease_s * 1000

    def save(self) -> None:
        """Write the person, who was here now."""
        self.person.last_seen_at = self.now
        self.person.save(self.c)
