"""The table of variants that train on single images: means, intervals over images, comparisons image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_support import typed

from engine.config.expansion import Variant
from engine.config.sections import Evaluation
from engine.results.images import _results, compare_tasks
from engine.runs.run_folder import RunFolder

EVALUATION = Evaluation(bootstraps=400, level=0.95)
IMAGES = [f"i{n:02d}" for n in range(40)]


def finished(
    root: Path, label: str, seed: int, values: dict[str, np.ndarray], images: list[str] = IMAGES
) -> tuple[Variant, RunFolder]:
    """A run whose figures are the means of its columns."""
    folder = RunFolder(root / f"{label}-{seed}")
    folder.path.mkdir(parents=True)
    order = np.random.default_rng(seed).permutation(len(images))  # rows need not come in one order
    table = pd.DataFrame({"image": images, **values}).iloc[order]
    table.to_csv(folder.path / "results.csv", index=False)
    folder.write_json(
        "metrics.json", {"figures": {k: float(v.mean()) for k, v in values.items()}, "images": len(images)}
    )
    return Variant(
        typed({"name": "t", "seed": seed, "data": {"name": "any"}}), {"w": label, "seed": seed}, (label,)
    ), folder


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    hard = rng.normal(0.0, 1.0, 40)  # images differ far more than variants do
    return {"a": hard, "b": hard + 0.1 + rng.normal(0.0, 0.02, 40), "c": hard + rng.normal(0.0, 0.02, 40)}


def test_intervals_and_comparisons_are_those_of_numpy(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    runs = [
        finished(tmp_path, label, seed, {"psnr": scores[label] + 0.01 * seed}) for label in "abc" for seed in (0, 1)
    ]
    results = compare_tasks(runs, EVALUATION)
    assert [row["variant"] for row in results.rows] == ["a", "b", "c"]
    rng = np.random.default_rng(1)
    for label, row in zip("abc", results.rows, strict=True):
        cell = row["psnr"]
        assert cell.value == pytest.approx(scores[label].mean() + 0.005)
        assert row["psnr_std"].value == pytest.approx(np.std([0.0, 0.01], ddof=1))
        drawn = [(scores[label] + 0.005)[rng.integers(0, 40, 40)].mean() for _ in range(4000)]
        assert [cell.low, cell.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.05)
    lines = {note.split(" minus")[0]: note for note in results.notes if " minus a" in note}
    low, high = (float(word) for word in lines["b"].split("[")[1].split("]")[0].split(","))
    assert (
        0.09 < low < (scores["b"] - scores["a"]).mean() < high < 0.12
    )  # the pairing takes the spread of the images out
    low, high = (float(word) for word in lines["c"].split("[")[1].split("]")[0].split(","))
    assert low <= 0 <= high and high - low < 0.02


def test_different_images_are_not_compared(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    other = [f"j{n}" for n in range(40)]
    runs = [finished(tmp_path, "a", 0, {"psnr": scores["a"]}), finished(tmp_path, "b", 0, {"psnr": scores["b"]}, other)]
    results = compare_tasks(runs, EVALUATION)
    assert results.notes == [] and results.rows[0]["psnr"].low is None


def test_a_column_that_is_not_its_figure_gets_no_interval(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    variant, folder = finished(tmp_path, "a", 0, {"label": scores["a"]})
    folder.write_json("metrics.json", {"figures": {"label": 0.5, "top1": 0.6}, "images": 40})
    (row,) = compare_tasks([(variant, folder)], EVALUATION).rows
    assert row["label"].low is None and row["top1"].value == 0.6


def test_a_figure_that_one_variant_lacks_stays_empty(tmp_path: Path, scores: dict[str, np.ndarray]) -> None:
    runs = [
        finished(tmp_path, "a", 0, {"psnr": scores["a"]}),
        finished(tmp_path, "b", 0, {"psnr": scores["b"], "own": scores["c"]}),
    ]
    results = compare_tasks(runs, EVALUATION)
    assert np.isnan(results.rows[0]["own"].value) and results.rows[0]["own"].note == "-"
    assert not any("own" in note for note in results.notes)


def test_names_of_images_stay_text(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("image,predicted,accuracy\nNA,null,1\n007,1,\n1e5,2,0.5\n")
    table = _results(RunFolder(tmp_path))
    assert table["image"].tolist() == ["NA", "007", "1e5"]
    assert table["accuracy"].isna().tolist() == [False, True, False]
