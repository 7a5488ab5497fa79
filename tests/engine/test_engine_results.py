"""The table: right figures, honest marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from run_support import Write, only_run, run_folders
from scipy.stats import spearmanr

from engine.config.sections import Evaluation
from engine.results.pairs import RunResult, compare_variants, compute_metrics, write_results
from semfid.cli import main
from semfid.errors import UserError

SETTINGS = Evaluation(bootstraps=200)


def _labels(sources: int = 30, each: int = 4, votes: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = sources * each
    yes = rng.integers(0, 21, n)
    frame = pd.DataFrame(
        {
            "pair_id": [f"p{i:03d}" for i in range(n)],
            "source_id": [f"s{i // each}" for i in range(n)],
            "origin": [f"model{i % 2}" for i in range(n)],
            "difference": yes / 20,
            "yes_votes": yes,
            "votes": 20,
            "fold": [i // each % 3 for i in range(n)],
            "split": "test",
        }
    )
    return frame if votes else frame.drop(columns=["yes_votes", "votes"])


def _run(
    label: str,
    seed: int = 0,
    noise: float = 0.1,
    sign: float = 1.0,
    leaky: bool = False,
    learned: bool = True,
    **more: Any,
) -> RunResult:
    table = _labels(**more)
    rng = np.random.default_rng([seed, int(abs(noise) * 100)])
    predicted = sign * table["difference"] + rng.normal(0, noise, len(table)) if noise >= 0 else 0.5
    return RunResult(label, seed, table.assign(predicted=predicted), leaky, learned, Path(f"runs/{label}-{seed}"))


def _value(row: Any, name: str) -> Any:
    return row[name].value


def test_figures_are_means_over_seeds_of_scipy_s() -> None:
    runs = [_run("a", seed) for seed in range(3)] + [_run("b", 0, noise=0.5)]
    (result,) = compare_variants(runs, SETTINGS)
    assert [row["variant"] for row in result.rows] == ["a", "b"], "the best first"
    srcc = [spearmanr(r.predictions["difference"], r.predictions["predicted"])[0] for r in runs[:3]]
    mse = [((r.predictions["difference"] - r.predictions["predicted"]) ** 2).mean() for r in runs[:3]]
    row = result.rows[0]
    assert _value(row, "srcc") == pytest.approx(np.mean(srcc), abs=1e-12)
    assert _value(row, "srcc_seed_std") == pytest.approx(np.std(srcc, ddof=1), abs=1e-12)
    assert _value(row, "mse") == pytest.approx(np.mean(mse), abs=1e-12)
    assert (row["n"], row["sources"], row["seeds"]) == (120, 30, 3)
    assert row["srcc"].low < row["srcc"].value < row["srcc"].high
    spreads = []
    for run in runs[:3]:
        folds = [f for _, f in run.predictions.groupby("fold")]
        spreads.append(np.std([spearmanr(f["difference"], f["predicted"])[0] for f in folds], ddof=1))
    assert _value(row, "srcc_fold_std") == pytest.approx(np.mean(spreads), abs=1e-12)
    assert np.isnan(_value(result.rows[1], "srcc_seed_std"))


def test_order_of_rows_and_runs_is_irrelevant() -> None:
    runs = [_run("a", seed) for seed in range(2)] + [_run("b", 0, noise=0.3)]
    shuffled = [
        RunResult(r.label, r.seed, r.predictions.sample(frac=1, random_state=i), r.leaky, r.learned, r.path)
        for i, r in enumerate(reversed(runs))
    ]
    first, second = (compare_variants(given, SETTINGS)[0] for given in (runs, shuffled))
    assert first.screen == second.screen


def test_marks() -> None:
    runs = [
        _run("good"),
        _run("as good", 1, noise=0.1),
        _run("worse", noise=0.9),
        _run("wrong way", noise=0.2, sign=-1.0),
    ]
    (result,) = compare_variants(runs, SETTINGS)
    marks = {row["variant"]: row["srcc"].mark for row in result.rows}
    assert marks["worse"] == marks["wrong way"] == ""
    assert "*" in (marks["good"], marks["as good"])
    rows = {row["variant"]: row for row in result.rows}
    assert _value(rows["wrong way"], "srcc") < -0.5, "the sign is kept"
    assert result.rows[-1]["variant"] == "wrong way"
    assert _value(rows["worse"], "p_holm") < 0.05
    for name in ("good", "as good"):
        assert _value(rows[name], "p_holm") > 0.05 or marks[name] == ""
    assert "*: not distinguishable from the best SRCC" in result.screen


def test_a_single_variant_has_no_mark() -> None:
    (result,) = compare_variants([_run("alone")], SETTINGS)
    assert result.rows[0]["srcc"].mark == ""


def test_constant_is_a_word_not_a_zero(tmp_path: Path) -> None:
    (result,) = compare_variants([_run("a"), _run("flat", noise=-1.0)], SETTINGS)
    assert result.rows[-1]["variant"] == "flat"
    line = next(line for line in result.screen.splitlines() if line.startswith("| flat"))
    assert line.count("constant") == 3 and " 0.000" not in line
    assert _value(result.rows[-1], "mse") == pytest.approx(((_labels()["difference"] - 0.5) ** 2).mean())
    write_results([result], tmp_path)
    table = pd.read_csv(tmp_path / "results.csv").set_index("variant")
    assert np.isnan(table.loc["flat", "srcc"]) and table.loc["flat", "srcc_note"] == "constant"
    metrics = compute_metrics(_run("flat", noise=-1.0).predictions, SETTINGS)["pooled"]
    assert metrics["constant"] and np.isnan(metrics["srcc"])


def test_one_constant_seed_makes_the_mean_constant() -> None:
    flat = _run("a", 1, noise=-1.0)
    (result,) = compare_variants([_run("a", 0), flat], SETTINGS)
    assert result.rows[0]["srcc"].note == "constant" and np.isnan(_value(result.rows[0], "srcc"))


def test_a_nan_names_its_pair() -> None:
    run = _run("a")
    run.predictions.loc[7, "predicted"] = float("nan")
    with pytest.raises(UserError, match="prediction of pair 'p007' is not a finite number"):
        compute_metrics(run.predictions, SETTINGS)


def test_a_nan_of_a_run_names_its_pair(
    write_experiment: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nan_head_plugin.py").write_text(
        "import torch\nfrom engine.plugins import HEADS, Head, BackboneShape\n\n\n"
        "@HEADS.register('nan_head', summary='fails on the strongest difference')\n"
        "class NanHead(Head):\n    input_kind = 'pooled_squared_differences'\n\n"
        "    def __init__(self, backbone: BackboneShape) -> None:\n        super().__init__()\n\n"
        "    def forward(self, statistic):\n        mean = statistic.mean(dim=1)\n"
        "        return torch.where(mean == mean.max(), torch.nan, mean)\n"
    )
    file = write_experiment({"plugins": ["nan_head_plugin.py"], "model.head": {"name": "nan_head"}})
    assert main(["run", str(file)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the prediction of pair '" in error and "is not a finite number" in error
    run = only_run(tmp_path / "runs")
    assert json.loads((run / "status.json").read_text())["state"] == "failed"
    assert not (run / "metrics.json").exists() and not (run / "predictions.csv").exists()


def test_leaky_is_said_in_every_table(
    write_experiment: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways of splitting the same pairs, in one table, with the baseline of each."""
    file = write_experiment(
        {
            "data.split": {"by": "source", "folds": 3, "val": 0.2},
            "sweep": {"data.split.by": ["source", "row"]},
            "baselines": ["psnr"],
        }
    )
    assert main(["ablate", str(file)]) == 0
    screen = capsys.readouterr().out
    rows = {line.split("|")[1].strip(): line for line in screen.splitlines() if line.startswith("| ")}
    assert "LEAKY" in rows["by=row"] and "LEAKY" not in rows["by=source"]
    assert "LEAKY: the split ignores sources (data.split.by: row)" in screen
    assert {name for name in rows if name.startswith("psnr")} == {"psnr data.split.by=source", "psnr data.split.by=row"}
    notes = pd.read_csv(tmp_path / "runs" / "t" / "results.csv").set_index("variant")["note"]
    assert notes["by=row"] == "LEAKY"
    for ending in ("md", "tex"):
        assert "LEAKY" in (tmp_path / "runs" / "t" / f"results.{ending}").read_text()


def test_a_baseline_on_two_image_sizes_is_not_two_seeds(write_experiment: Write, tmp_path: Path) -> None:
    file = write_experiment({"sweep": {"data.image_size": [32, 48], "seed": [0, 1]}, "baselines": ["psnr"]})
    assert main(["ablate", str(file)]) == 0
    table = pd.read_csv(tmp_path / "runs" / "t" / "results.csv").set_index("variant")
    assert table["seeds"].to_dict() == {
        "image_size=32": 2, "image_size=48": 2, "psnr data.image_size=32": 1, "psnr data.image_size=48": 1,
    }  # fmt: skip


def test_the_ceiling_is_printed_where_there_are_votes() -> None:
    (result,) = compare_variants([_run("a")], SETTINGS)
    assert result.ceiling is not None
    assert f"noise ceiling of these labels (20 votes a pair): SRCC {result.ceiling.srcc:.3f}" in result.screen
    assert "MSE floor" in result.screen
    (result,) = compare_variants([_run("a", votes=False)], SETTINGS)
    assert result.ceiling is None and "ceiling" not in result.screen


def test_rows_per_origin() -> None:
    runs = [_run("a", 0), _run("a", 1)]
    (result,) = compare_variants(runs, SETTINGS)
    assert [row["origin"] for row in result.origins] == ["model0", "model1"]
    for row in result.origins:
        own = [r.predictions[r.predictions["origin"] == row["origin"]] for r in runs]
        assert _value(row, "srcc") == pytest.approx(
            np.mean([spearmanr(o["difference"], o["predicted"])[0] for o in own]), abs=1e-12
        )
        assert row["n"] == 60 and row["difference"] == pytest.approx(own[0]["difference"].mean())
    assert compare_variants(runs, SETTINGS.model_copy(update={"by_origin": False}))[0].origins == []


def test_files(tmp_path: Path) -> None:
    results = compare_variants([_run("a_b"), _run("c%", noise=0.4), _run("psnr", noise=0.8, learned=False)], SETTINGS)
    written = write_results(results, tmp_path)
    expected = {"results.csv", "results.md", "results.tex", "results_by_origin.csv", "results_by_origin.md"}
    assert {path.name for path in written} == expected == {path.name for path in tmp_path.iterdir()}
    table = pd.read_csv(tmp_path / "results.csv")
    assert table["srcc"].tolist() == [_value(row, "srcc") for row in results[0].rows], "full precision"
    assert table.set_index("variant").loc["psnr", "note"] == "training-free, uncalibrated"
    assert r"a\_b" in (tmp_path / "results.tex").read_text() and r"c\%" in (tmp_path / "results.tex").read_text()
    assert "noise ceiling" in (tmp_path / "results.md").read_text()


def test_other_pairs_are_another_table(
    write_experiment: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_experiment({"sweep": {"data.seed": [0, 1], "model.head.depth": [1, 2]}, "baselines": ["psnr"]})
    assert main(["ablate", str(file)]) == 0
    screen = capsys.readouterr().out
    assert screen.count("noise ceiling") == 2 and screen.count("| variant") == 2
    names = {path.name for path in (tmp_path / "runs" / "t").glob("results*.csv")}
    assert len([name for name in names if "origin" not in name]) == 2
    for name in names:
        table = pd.read_csv(tmp_path / "runs" / "t" / name)
        assert table["variant"].nunique() == 3
        assert len({v.split("seed=")[1][0] for v in table["variant"]}) == 1, "data sets mixed in one table"


def test_seeds_are_averaged_from_runs(write_experiment: Write, tmp_path: Path) -> None:
    file = write_experiment({"sweep": {"model.head.depth": [1, 3], "seed": [0, 1, 2]}})
    assert main(["ablate", str(file)]) == 0
    table = pd.read_csv(tmp_path / "runs" / "t" / "results.csv").set_index("variant")
    assert table["seeds"].tolist() == [3, 3]
    for depth in (1, 3):
        runs = [run for run in run_folders(tmp_path / "runs") if f"depth={depth}" in run.name]
        figures = [json.loads((run / "metrics.json").read_text())["pooled"] for run in runs]
        for name in ("srcc", "mse", "plcc_logistic"):
            assert table.loc[f"depth={depth}", name] == pytest.approx(np.mean([f[name] for f in figures]), abs=1e-12)


def test_predictions_of_other_pairs_are_refused() -> None:
    one, other = _run("a"), _run("a", 1)
    moved = other.predictions.assign(pair_id=one.predictions["pair_id"].to_numpy()[::-1])
    runs = [one, RunResult("a", 1, moved, False, True, Path("runs/a-1"))]
    assert len(compare_variants(runs, SETTINGS)) == 2, "other labels for the same names: not one table"
