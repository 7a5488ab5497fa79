"""What the report says and draws, against numbers computed here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from report_support import SETTINGS, finished, labels
from scipy.stats import rankdata, spearmanr

from engine.report.configs import differing, provenance_table
from engine.report.content import examples, headline, table_content
from engine.report.tables import table_view
from engine.results.pairs import RunResult, compare_variants
from semfid.stats import wilson


def test_columns_are_those_of_the_runs(tmp_path: Path) -> None:
    table = labels()
    runs = [finished(tmp_path, "a", table, seed, 0.1 + 0.05 * seed) for seed in (1, 0)]
    runs.append(finished(tmp_path, "psnr", table, noise=0.5, learned=False))
    runs[0] = RunResult(**{**vars(runs[0]), "predictions": runs[0].predictions.sample(frac=1, random_state=1)})
    (result,) = compare_variants(runs, SETTINGS)
    content = table_content(result, SETTINGS)
    pairs = content["pairs"]
    assert pairs["id"] == sorted(table["pair_id"])
    assert pairs["label"] == pytest.approx(table["difference"].tolist(), abs=1e-4)
    low, high = wilson(table["yes_votes"], table["votes"])
    assert pairs["low"] == pytest.approx(low, abs=1e-4) and pairs["high"] == pytest.approx(high, abs=1e-4)
    assert [content["origins"][place]["name"] for place in pairs["origin"]] == table["origin"].tolist()
    for origin in content["origins"]:
        own = table[table["origin"] == origin["name"]]["difference"]
        assert origin["mean"] == pytest.approx(own.mean(), abs=1e-4) and origin["n"] == len(own)
        assert origin["low"] < origin["mean"] < origin["high"]
    first, second = content["variants"]
    assert (first["label"], second["label"], second["learned"]) == ("a", "psnr", False)
    assert [run["seed"] for run in first["runs"]] == [0, 1], "seeds in order"
    for run in first["runs"]:
        own = next(r for r in runs if r.label == "a" and r.seed == run["seed"]).predictions.sort_values("pair_id")
        assert run["predicted"] == pytest.approx(own["predicted"].tolist(), abs=1e-4)
        means = own.groupby("origin")["predicted"].mean()
        assert [mean["mean"] for mean in run["origins"]] == pytest.approx(means.tolist(), abs=1e-4)
        distance = (own["predicted"] - own["difference"]).abs().to_numpy()
        assert distance[run["worst"]].tolist() == pytest.approx(sorted(distance)[:-5:-1])
        assert distance[run["best"]].tolist() == pytest.approx(sorted(distance)[:4])
        assert sum(found["n"] for found in run["calibration"]) == len(table)
    srcc = [
        np.mean(
            [
                spearmanr(*(r.predictions[r.predictions["origin"] == name][c] for c in ("difference", "predicted")))[0]
                for r in runs[:2]
            ]
        )
        for name in sorted(table["origin"].unique())
    ]
    assert [found["srcc"] for found in first["origins"]] == pytest.approx(srcc, abs=1e-4)


def test_examples_of_a_metric_that_is_not_calibrated_go_by_rank() -> None:
    rng = np.random.default_rng(0)
    label = rng.random(50)
    predicted = 100 * label**3
    predicted[7] = -1.0
    best, worst = examples(label, predicted, by_rank=True)
    distance = np.abs(rankdata(label) - rankdata(predicted))
    assert worst[0] == 7 and not set(best) & set(worst)
    assert distance[best].max() <= np.sort(distance)[3]


def test_examples_of_few_pairs_do_not_overlap() -> None:
    best, worst = examples(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.5, 0.0]))
    assert (best, worst) == ([0], [2])
    assert examples(np.array([0.5]), np.array([0.1])) == ([], [])


def test_headline_says_only_what_the_table_marks(tmp_path: Path) -> None:
    table = labels(sources=60)
    runs = {
        "good": finished(tmp_path, "good", table, noise=0.1),
        "twin": finished(tmp_path, "twin", table, noise=0.1),
        "bad": finished(tmp_path, "bad", table, noise=2.0),
        "flat": finished(tmp_path, "flat", table, noise=None),
    }

    def said(*names: str, **settings: int) -> str:
        chosen = SETTINGS.model_copy(update={"bootstraps": 200, **settings})
        (result,) = compare_variants([runs[name] for name in names], chosen)
        return " ".join(headline(result, chosen))

    (result,) = compare_variants([runs["good"], runs["bad"]], SETTINGS.model_copy(update={"bootstraps": 200}))
    cell = result.rows[0]["srcc"]
    alone = f"good has the highest SRCC: {cell.value:.3f} [{cell.low:.2f}, {cell.high:.2f}]."  # type: ignore[union-attr]
    assert said("good", "bad") == f"{alone} Every other variant is worse beyond chance."
    assert "Not distinguishable from it: good." in said("good", "twin", "bad") or (
        "Not distinguishable from it: twin." in said("good", "twin", "bad")
    )
    assert "bad" not in said("good", "twin", "bad")
    assert "There is no other variant" in said("good")
    assert said("good", "bad", "flat").endswith("Every other variant that ranks the pairs is worse beyond chance.")
    assert "the only variant that ranks the pairs" in said("good", "flat")
    assert said("flat") == "Every variant predicts a constant, so none of them ranks the pairs."
    assert "evaluation.bootstraps of 39 at least" in said("good", "bad", "twin", bootstraps=30)


def test_headline_warns(tmp_path: Path) -> None:
    table = labels(sources=8)
    runs = [finished(tmp_path, "a", table, leaky=True), finished(tmp_path, "b", table, noise=3.0)]
    (result,) = compare_variants(runs, SETTINGS)
    said = " ".join(headline(result, SETTINGS))
    assert "But a is LEAKY" in said and "These are 8 sources only" in said


def test_table_view(tmp_path: Path) -> None:
    table = labels(sources=60)
    runs = [
        finished(tmp_path, "a", table),
        finished(tmp_path, "flat", table, noise=None),
        finished(tmp_path, "leak", table, noise=0.6, leaky=True),
    ]
    (result,) = compare_variants(runs, SETTINGS)
    view = table_view(result)
    assert "± runs" not in [column["header"] for column in view["columns"]], "nothing to say with one seed"
    rows = {row["variant"]: {cell["name"]: cell for cell in row["cells"]} for row in view["rows"]}
    assert rows["flat"]["srcc"]["text"] == "constant" and rows["flat"]["srcc"]["bar"] is None
    assert rows["flat"]["srcc"]["value"] == ""
    bar, (low, high) = rows["a"]["srcc"]["bar"], (view["scale"]["low"], view["scale"]["high"])
    cell = result.rows[0]["srcc"]
    back = [low + (high - low) * at / 100 for at in (bar["low"], bar["value"], bar["low"] + bar["width"])]
    assert back == pytest.approx([cell.low, cell.value, cell.high], abs=1e-3)  # type: ignore[union-attr]
    assert [row["leaky"] for row in view["rows"] if row["variant"] == "leak"] == [True]


def test_what_differs() -> None:
    base = {"data": {"name": "pairs"}, "seed": 0, "output": "here"}
    found = differing(
        {
            "a": {**base, "model": {"head": {"name": "x", "depth": 1}, "betas": [0.9, 0.99]}},
            "b": {**base, "seed": 1, "output": "there", "model": {"head": {"name": "y"}, "betas": [0.9, 0.99]}},
        }
    )
    assert found["keys"] == ["model.head.name", "model.head.depth"]
    assert [row["values"] for row in found["rows"]] == [["x", "1"], ["y", "–"]]


def test_provenance_says_shared_facts_once() -> None:
    facts = {"commit": "abc", "versions": {"torch": "2"}, "seed": 0, "wall_s": 1.5}
    found = provenance_table([("a", 0, facts), ("b", 1, {**facts, "seed": 1, "wall_s": 2.5})])
    assert found["same"] == [["commit", "abc"], ["versions.torch", "2"]]
    assert found["keys"] == ["wall_s"]
    assert found["rows"][1] == {"variant": "b", "seed": 1, "values": ["2.5"]}
