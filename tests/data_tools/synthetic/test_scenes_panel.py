"""The simulated panel votes as its documented rates say."""

from __future__ import annotations

import numpy as np
import pytest

from data_tools.synthetic import Question, panel, true_rate
from semfid.errors import UserError


@pytest.mark.parametrize("area", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_order_of_edits(area: float, strength: float) -> None:
    rates = [true_rate(Question(kind, area, 0.4, False, "jpeg", strength)) for kind in ("same_class", "intra", "inter")]
    assert rates[0] < rates[1] < rates[2]
    assert true_rate(Question("same_class", area, 0.4, True)) > true_rate(Question("same_class", area, 0.4, False))


def test_documented_rates() -> None:
    table = {
        "same_class": (0.05, 0.08, 0.12), "intra": (0.32, 0.61, 0.79),
        "removed": (0.54, 0.79, 0.9), "inter": (0.6, 0.83, 0.92),
    }  # fmt: skip
    for kind, rates in table.items():
        for area, rate in zip((0.02, 0.05, 0.1), rates, strict=True):
            assert true_rate(Question(kind, area, 0.4)) == pytest.approx(rate, abs=0.006), (kind, area)
    recoloured = [true_rate(Question("same_class", area, 0.4, True)) for area in (0.02, 0.05, 0.1)]
    assert recoloured == pytest.approx([0.12, 0.19, 0.27], abs=0.006)
    blurred = Question("unchanged", degradation="blur", strength=1.0)
    assert true_rate(blurred) == pytest.approx(0.22, abs=0.006)
    assert true_rate(Question("unchanged")) == pytest.approx(0.04, abs=0.006)
    assert true_rate(Question("inter", 0.2, 0.1)) > 0.93


def test_damage_makes_unsure() -> None:
    for name in ("blur", "resample", "noise"):
        clear, damaged = Question("inter", 0.02), Question("inter", 0.02, degradation=name, strength=1.0)
        assert true_rate(damaged) < true_rate(clear)
        same = Question("unchanged", degradation=name, strength=1.0)
        assert true_rate(Question("unchanged")) < true_rate(same) < 0.3


def test_votes_are_binomial() -> None:
    question = Question("intra", 0.05, 0.4)
    rate, rng = true_rate(question), np.random.default_rng(0)
    yes = np.array([panel(question, 30, rng) for _ in range(4000)])
    assert yes.mean() / 30 == pytest.approx(rate, abs=0.005)
    assert yes.var() == pytest.approx(30 * rate * (1 - rate), rel=0.08)
    assert yes.min() >= 0 and yes.max() <= 30


def test_errors() -> None:
    with pytest.raises(UserError, match="at least one vote"):
        panel(Question("intra", 0.1), 0, np.random.default_rng(0))
    with pytest.raises(UserError, match="did you mean 'removed'"):
        true_rate(Question("remove", 0.1))
