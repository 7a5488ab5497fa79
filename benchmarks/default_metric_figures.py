"""What a run of experiments/default_metric.yaml answers on photos that it has not seen, kind by kind, with intervals over photos.

    python benchmarks/default_metric_figures.py 'runs/default_metric/*experts*'

Ratings: SRCC with the mean grade, both sets and each, ROC AUC of Yes, and whether maps are brightest where the raters saw the
change. Edits: ROC AUC of edits against what keeps the meaning, by kind, as they are and after a degradation with x4 enlargement
(the column ``after``), and figures of their maps.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lightning_modules.scorer import load_finished
from semfid.io.images import read_image
from semfid.io.yaml_file import read_mapping
from semfid.scoring.exported import one_path
from semfid.stats import srcc
from semfid.stats.binary import roc_auc

RESAMPLES = 1000
SMALL = 0.04  # of the image: area of a small edit

Rows = NDArray[np.int64]
Figure = Callable[[Rows], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a finished run, or a pattern that fits one")
    folder = one_path(parser.parse_args().run)
    table = read_run(folder)
    figures = {
        **rating_figures(table),
        **edit_figures(table),
        **map_figures_of(folder, table),
        **place_figures(folder, table),
    }
    print(json.dumps(figures, indent=1))


def read_run(folder: Path) -> pd.DataFrame:
    """Predictions of a run beside the columns of its sets' tables."""
    config = read_mapping(folder / "config.yaml")
    found = pd.read_csv(folder / "predictions.csv", dtype={"pair_id": str, "source_id": str})
    tables = []
    for name, given in config["data"]["sets"].items():
        path = Path(given["table"])
        own = pd.read_csv(path, dtype=str, keep_default_na=False)
        own["pair_id"] = f"{name}:" + own["pair_id"]
        tables.append(
            own.drop(columns=["source_id", "difference"], errors="ignore").assign(set=name, root=str(path.parent))
        )
    ours = found.drop(columns=["origin", "votes", "yes_votes"], errors="ignore")  # the sets' own tables have them
    joined = ours.merge(pd.concat(tables, ignore_index=True).fillna(""), on="pair_id", how="left")
    return joined.assign(rated=joined["set"].isin(config["model"].get("rated", config["data"]["sets"])))


def rating_figures(table: pd.DataFrame) -> dict[str, list[float]]:
    score, truth, rated = (table[name].to_numpy() for name in ("predicted", "difference", "rated"))
    votes, yes_votes = (pd.to_numeric(table[name]).to_numpy() for name in ("votes", "yes_votes"))
    decided = rated & (yes_votes * 2 != votes)
    yes = (yes_votes * 2 > votes).astype(float)

    def ranks(rows: Rows) -> float:
        return srcc(score[rows], truth[rows])

    found = {"ratings srcc": with_interval(table, rated, ranks)}
    for name in sorted(set(table["set"][rated])):
        found[f"ratings srcc {name}"] = with_interval(table, rated & (table["set"] == name).to_numpy(), ranks)
    found["ratings auc of yes"] = with_interval(table, decided, lambda rows: roc_auc(score[rows], yes[rows]))
    return found


def edit_figures(table: pd.DataFrame) -> dict[str, list[float]]:
    score, truth = table["predicted"].to_numpy(), table["difference"].to_numpy()
    kind, edited = table["kind"].to_numpy().astype(str), ~table["rated"].to_numpy()
    hard, changed = np.char.find(kind, "hard") >= 0, edited & (truth == 1)
    local, whole = np.char.startswith(kind, "local"), np.char.startswith(kind, "global") | (kind == "unchanged")
    kinds = {
        "plain": changed & ~hard | whole,
        "hard": changed & hard | whole,
        "local": changed | local,
        "hard against local": changed & hard | local,
        "all": changed | local | whole,
    }
    after = table["after"].to_numpy()
    conditions = {"": edited, " as they are": edited & (after == ""), " enlarged x4": edited & (after != "")}
    return {
        f"edits auc {name}{words}": with_interval(table, rows & some, lambda rows: roc_auc(score[rows], truth[rows]))
        for words, some in conditions.items()
        for name, rows in kinds.items()
    }


def map_figures_of(folder: Path, table: pd.DataFrame) -> dict[str, list[float]]:
    """Average precision and pointing game of edits' maps, of what the run has computed."""
    maps = pd.read_csv(folder / "maps.csv", dtype={"pair_id": str}).set_index("pair_id")
    own = maps.reindex(table["pair_id"])
    area = pd.to_numeric(table["area"], errors="coerce").to_numpy()
    changed = np.isfinite(own["average_precision"].to_numpy())
    found = {}
    for name, rows in (("all", changed), ("small", changed & (area < SMALL))):
        for figure, column in (("average precision", "average_precision"), ("pointing game", "hit")):
            values = own[column].to_numpy()
            found[f"maps {figure} {name}"] = with_interval(
                table, rows, lambda rows, v=values: float(np.nanmean(v[rows]))
            )  # type: ignore[misc]
    return found


def place_figures(folder: Path, table: pd.DataFrame) -> dict[str, list[float]]:
    """Whether maps of rated pairs are brightest where the raters saw the change: ``top left``, ``centre``, ... of 3 x 3 cells.

    ROC AUC over the nine cells of a pair, and whether its brightest cell is named; ``middle`` is the same of one map for all
    pairs, brightest in the middle, as most named places are.
    """
    middle = np.array([[1.0, 2.0, 1.0], [1.5, 3.0, 1.5], [0.5, 1.5, 0.5]])
    columns = {name: np.full(len(table), np.nan) for name in ("auc", "hit", "auc middle", "hit middle")}
    for fold in sorted(set(table["fold"])):
        scorer = load_finished(folder, int(fold))
        for row in np.flatnonzero(table["rated"] & (table["fold"] == fold)):
            named = named_cells(f"{table['where_a'][row]} and {table['where_b'][row]}")
            if not named.any() or named.all():
                continue
            reference, candidate = (
                _pixels(Path(table["root"][row]) / table[side][row]) for side in ("reference", "candidate")
            )
            with torch.inference_mode():
                found = scorer.maps(scorer.describe(reference), scorer.describe(candidate))
            cells = torch.nn.functional.adaptive_avg_pool2d(found, 3)[0, 0].numpy()
            for suffix, values in (("", cells), (" middle", middle)):
                columns[f"auc{suffix}"][row] = roc_auc(values.ravel(), named.ravel().astype(float))
                columns[f"hit{suffix}"][row] = named.ravel()[values.argmax()]
    chosen = np.isfinite(columns["auc"])
    return {
        f"places {name}": with_interval(table, chosen, lambda rows, own=own: float(own[rows].mean()))  # type: ignore[misc]
        for name, own in columns.items()
    }


def _pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(read_image(path)).copy()).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)


def named_cells(words: str) -> NDArray[np.bool_]:
    """(3, 3) cells that a rater named; all where the whole picture was."""
    found = np.zeros((3, 3), dtype=bool)
    if "whole" in words or "every" in words:
        return ~found
    for place in re.split(" and | to |, ", words):
        row = 0 if "top" in place else 2 if "bottom" in place else 1
        column = 0 if "left" in place else 2 if "right" in place else 1
        if (row, column) != (1, 1) or "cent" in place:
            found[row, column] = True
    return found


def with_interval(table: pd.DataFrame, chosen: NDArray[Any], figure: Figure) -> list[float]:
    """A figure of some rows and its 95 % percentile interval over photos: ``[value, low, high]``."""
    rows = np.flatnonzero(chosen)
    of_source = [group.to_numpy() for _, group in pd.Series(rows).groupby(table["source_id"].to_numpy()[rows])]
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        picked = generator.integers(len(of_source), size=len(of_source))
        drawn.append(figure(np.concatenate([of_source[number] for number in picked])))
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return [round(float(value), 4) for value in (figure(rows), low, high)]


if __name__ == "__main__":
    main()
