"""Kinds of participants. Each sees a pair as the simulated panel does, and treats what it sees in its own way.

| kind | answers | takes |
|---|---|---|
| honest | what the person sees; 2 % slips | 1.5 to 4 s |
| coin | tosses a coin | 1 to 3 s |
| one_key | always the same | 0.9 to 2 s |
| hasty | what was seen in half of the trials, else a coin | 0.25 to 0.8 s |
| inconsistent | what was seen, or in six of ten trials a coin, and so not the same twice | 1.5 to 4 s |

Everybody passes the training: people slacken afterwards. A person sees a pair the same way whenever it comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from user_study.core.errors import StudyError

BIAS_SD = 0.4  # of a person's readiness to say yes, in logits
SLIP = 0.02
# a population with that spread says yes a little nearer to half than its middle member; this takes it back
_SHARPER = math.sqrt(1 + math.pi * BIAS_SD**2 / 8)
KINDS = ("honest", "coin", "one_key", "hasty", "inconsistent")
_GUESSES = {"honest": SLIP, "coin": 1.0, "one_key": 0.0, "hasty": 0.5, "inconsistent": 0.6}
_SECONDS = {
    "honest": (1.5, 4.0),
    "coin": (1.0, 3.0),
    "one_key": (0.9, 2.0),
    "hasty": (0.25, 0.8),
    "inconsistent": (1.5, 4.0),
}


@dataclass
class SimulatedPerson:
    """One participant.

    Args:
        kind: of KINDS.
        rng: all that this person draws.
    """

    kind: str
    rng: Random
    key: str = "yes"
    bias: float = 0.0
    seen: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = self.rng.choice(("yes", "no"))
        self.bias = self.rng.gauss(0.0, BIAS_SD)

    def judge(self, pair: str, rate: float) -> str:
        """Answer to a pair whose population's rate of yes is `rate`."""
        if self.kind == "one_key":
            return self.key
        if self.rng.random() < _GUESSES[self.kind]:
            return self.rng.choice(("yes", "no"))
        if pair not in self.seen:
            self.seen[pair] = self.rng.random() < self._own_rate(rate)
        return "yes" if self.seen[pair] else "no"

    def learn(self, truth: str) -> str:
        """Answer to a training item."""
        return truth

    def seconds(self) -> float:
        """How long this answer takes."""
        low, high = _SECONDS[self.kind]
        return self.rng.uniform(low, high)

    def _own_rate(self, rate: float) -> float:
        inner = min(max((rate - SLIP / 2) / (1 - SLIP), 1e-4), 1 - 1e-4)
        logit = math.log(inner / (1 - inner)) * _SHARPER + self.bias
        return 1 / (1 + math.exp(-logit))


def cast(participants: int, mix: dict[str, float], seed: int) -> list[SimulatedPerson]:
    """People in the shares of `mix`, in random order; every kind of a positive share has somebody.

    Raises:
        StudyError: an unknown kind, or shares that are none.
    """
    unknown = [kind for kind in mix if kind not in KINDS]
    if unknown or not mix or min(mix.values()) < 0 or sum(mix.values()) <= 0:
        raise StudyError(f"--mix: give shares such as honest=0.7,coin=0.1; kinds are {', '.join(KINDS)}")
    wanted = {kind: share for kind, share in mix.items() if share > 0}
    if participants < len(wanted):
        raise StudyError(f"--participants {participants}: too few for {len(wanted)} kinds")
    whole = sum(wanted.values())
    counts = {kind: max(1, math.floor(participants * share / whole)) for kind, share in wanted.items()}
    largest = max(wanted, key=lambda kind: wanted[kind])
    counts[largest] += participants - sum(counts.values())
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    Random(f"order {seed}").shuffle(kinds)
    return [SimulatedPerson(kind, Random(f"{seed} {number} {kind}")) for number, kind in enumerate(kinds)]


def parse_mix(text: str) -> dict[str, float]:
    """``honest=0.7,coin=0.1`` -> shares.

    Raises:
        StudyError: not of that form.
    """
    mix = {}
    for part in text.split(","):
        kind, _, share = part.partition("=")
        try:
            mix[kind.strip()] = float(share)
        except ValueError as error:
            raise StudyError(f"--mix {part.strip()!r}: write KIND=SHARE, such as honest=0.7,coin=0.1") from error
    return mix
