"""ROC AUC against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.binary import roc_auc


@pytest.mark.parametrize("levels", [3, 1000])
def test_area_as_scikit_learn_gives_it_with_and_without_ties(levels: int) -> None:
    generator = np.random.default_rng(levels)
    label = generator.integers(0, 2, 200)
    predicted = np.round(generator.random(200) * levels) + label * levels / 4
    assert roc_auc(predicted, label) == pytest.approx(roc_auc_score(label, predicted), abs=1e-12)


def test_one_label_alone_gives_nan() -> None:
    assert math.isnan(roc_auc([0.1, 0.2], [1, 1]))


def test_other_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="0 and 1"):
        roc_auc([0.1, 0.2], [0.5, 1.0])
