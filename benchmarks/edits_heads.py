"""ROC AUC of every variant of experiments/edits_heads.yaml, or of another experiment on edits, by kind of edit.

    python benchmarks/edits_heads.py runs/edits_heads

Kinds: *plain*; *hard*, small and colour-matched; *local*, all edits against degradations inside an object's mask; each as it is,
and after a degradation with x4 enlargement.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from default_metric_figures import edit_figures

from semfid.io.yaml_file import read_mapping
from semfid.stats import Column, to_markdown

SHOWN = ("plain", "hard", "local", "all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="folder of finished runs")
    rows: list[dict[str, object]] = []
    for file in sorted(parser.parse_args().experiment.glob("*/predictions.csv")):
        config = read_mapping(file.parent / "config.yaml")
        edits = pd.read_csv(config["data"]["table"], dtype=str, keep_default_na=False)[["pair_id", "kind", "after"]]
        found = pd.read_csv(file, dtype={"pair_id": str, "source_id": str}).merge(edits, on="pair_id", how="left")
        figures = edit_figures(found.assign(rated=False))
        cells = {
            f"{name}{words}": figures[f"edits auc {name}{words}"][0]
            for words in (" as they are", " enlarged x4")
            for name in SHOWN
        }
        low, high = figures["edits auc all"][1:]
        label = file.parent.name.rsplit("-", 1)[0].removesuffix("_seed=0")
        rows.append({"variant": label, **cells, "all": f"{figures['edits auc all'][0]:.3f} [{low:.3f}, {high:.3f}]"})
    rows.sort(key=lambda row: str(row["all"]), reverse=True)
    print(to_markdown(rows, [Column(name, name) for name in rows[0]]))


if __name__ == "__main__":
    main()
