"""Simulated raters: "is there a semantic change between the two pictures?", yes or no.

The rate model. A rater r with bias b_r ~ N(0, 0.6) (in logits) says yes to a pair with probability

    p = 0.03 / 2 + 0.97 * q                       3 % of the answers are lapses: a coin is tossed
    q = sigmoid(b_r - 3.8 + 2.4 * h)              nothing edited: a damaged picture raises false alarms (0.04 .. 0.22)
    q = v * sigmoid(b_r + e) + (1 - v) * 0.35     edited: who cannot see, guesses, and then says yes in 35 %

    e = base + slope * clip(log2(area / 0.05), -2.5, 1.5) - 0.8 * distance + 1.1 if the colour differs (same_class only)

| edit | base | slope | area 0.02 | area 0.05 | area 0.10 |
|---|---|---|---|---|---|
| same_class | -2.4 | 0.5 | 0.05 | 0.08 | 0.12 |
| intra | 0.8 | 1.0 | 0.32 | 0.61 | 0.79 |
| removed | 1.8 | 1.0 | 0.54 | 0.79 | 0.90 |
| inter | 2.1 | 1.0 | 0.60 | 0.83 | 0.92 |

(rates over the population at distance 0.4, undegraded, same colour; 0.12, 0.19, 0.27 for same_class in another
colour). `area` is the larger visible share of the image that the object takes before or after; `distance` is from the
middle of the image, 0 .. 1 (a corner).

The damage h = 1 - prod(1 - weight * strength) over the degradations in the candidate, with weights blur 1.0,
resample 0.9, noise 0.6, jpeg 0.5, tone 0.2, sharpen 0.15, shift 0.05. It hides small objects more than large ones:
v = 1 - 0.75 * h * min(1, 0.16 / sqrt(area)).

Every vote is of a rater drawn anew, so the votes of a pair are binomial with the population's rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data_tools.synthetic.degradations import parts
from data_tools.synthetic.edits import EDITS, UNCHANGED
from semfid.errors import UserError, did_you_mean

BIAS_SD = 0.6
LAPSE = 0.03
GUESS = 0.35
_BASE = {"same_class": -2.4, "intra": 0.8, "removed": 1.8, "inter": 2.1}
_SLOPE = {"same_class": 0.5, "intra": 1.0, "removed": 1.0, "inter": 1.0}
_DAMAGE = {"blur": 1.0, "resample": 0.9, "noise": 0.6, "jpeg": 0.5, "tone": 0.2, "sharpen": 0.15, "shift": 0.05}
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)  # mean over a normal population


@dataclass(frozen=True)
class Question:
    """What the raters are shown, as far as the rate depends on it.

    Attributes:
        edit: one of `edits.EDITS`, or ``unchanged``.
        area: visible share of the image that the object takes, the larger of before and after, 0 .. 1.
        distance: of the object from the middle of the image, 0 .. 1 (a corner).
        recoloured: the new instance has another colour (counts for ``same_class``).
        degradation, strength: as `degradations.degrade` takes them.
    """

    edit: str
    area: float = 0.0
    distance: float = 0.0
    recoloured: bool = False
    degradation: str = "none"
    strength: float = 0.0


def damage(degradation: str, strength: float) -> float:
    """How much a degradation hides, 0 .. 1."""
    kept = math.prod(1 - _DAMAGE[one] * strength for one in parts(degradation))
    return 1 - kept


def true_rate(question: Question) -> float:
    """Share of yes answers that infinitely many raters would give, 0 .. 1.

    Raises:
        UserError: an unknown edit or degradation.
    """
    hidden = damage(question.degradation, question.strength)
    if question.edit == UNCHANGED:
        seen = _mean_rate(-3.8 + 2.4 * hidden)
    elif question.edit in EDITS:
        area = max(question.area, 1e-4)
        salience = min(1.5, max(-2.5, math.log2(area / 0.05)))
        evidence = _BASE[question.edit] + _SLOPE[question.edit] * salience - 0.8 * question.distance
        evidence += 1.1 if question.edit == "same_class" and question.recoloured else 0.0
        visible = 1 - 0.75 * hidden * min(1.0, 0.16 / math.sqrt(area))
        seen = visible * _mean_rate(evidence) + (1 - visible) * GUESS
    else:
        known = (*EDITS, UNCHANGED)
        raise UserError(f"no edit '{question.edit}'{did_you_mean(question.edit, known)}; edits: {', '.join(known)}")
    return LAPSE / 2 + (1 - LAPSE) * seen


def panel(question: Question, votes: int, rng: np.random.Generator) -> int:
    """Yes answers of `votes` raters, 0 .. votes.

    Raises:
        UserError: fewer than one vote, or as `true_rate`.
    """
    if votes < 1:
        raise UserError(f"votes={votes}: a panel needs at least one vote")
    return int(rng.binomial(votes, true_rate(question)))


def _mean_rate(logit: float) -> float:
    rates = 1 / (1 + np.exp(-(logit + BIAS_SD * _NODES)))
    return float(np.dot(_WEIGHTS, rates) / _WEIGHTS.sum())
