"""SRCC with the mean grade, over both sets and within each, and ROC AUC of Yes, of every variant of experiments/ratings.yaml.

    python benchmarks/ratings.py runs/ratings

Mean over the draws of the folds, and their standard deviation: intervals over photos stand in the experiment's own table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from default_metric_figures import read_run

from semfid.io.yaml_file import read_mapping
from semfid.stats import Column, srcc, to_markdown
from semfid.stats.binary import roc_auc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="folder of finished runs")
    found: dict[str, list[dict[str, float]]] = {}
    for file in sorted(parser.parse_args().experiment.glob("*/predictions.csv")):
        config = read_mapping(file.parent / "config.yaml")
        found.setdefault(str(config["choices"] or config["model"]), []).append(_figures(read_run(file.parent)))
    rows: list[dict[str, object]] = []
    for variant, draws in found.items():
        columns = pd.DataFrame(draws)
        cells = {name: f"{columns[name].mean():.3f} ± {columns[name].std(ddof=0):.3f}" for name in columns}
        rows.append({"variant": variant, "draws": len(draws), **cells})
    rows.sort(key=lambda row: str(row["SRCC"]))
    print(to_markdown(rows, [Column(name, name) for name in rows[0]]))


def _figures(table: pd.DataFrame) -> dict[str, float]:
    """Of one run."""
    score, truth = table["predicted"].to_numpy(), table["difference"].to_numpy()
    votes, yes_votes = (pd.to_numeric(table[name]).to_numpy() for name in ("votes", "yes_votes"))
    decided = np.flatnonzero(yes_votes * 2 != votes)
    yes = (yes_votes * 2 > votes).astype(float)
    found = {"SRCC": srcc(score, truth)}
    for name in sorted(set(table["set"])):
        rows = np.flatnonzero(table["set"] == name)
        found[f"within {name}"] = srcc(score[rows], truth[rows])
    return {**found, "AUC of Yes": roc_auc(score[decided], yes[decided])}


if __name__ == "__main__":
    main()
