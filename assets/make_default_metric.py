"""Make the default metric: features once, its parts fitted, figures by photos left out, one file.

    semfid build edits dataset_builders/configs/edits_mini.yaml out=data/edits
    python assets/make_default_metric.py --backbone weights/tf_efficientnet_lite0_imagenet.safetensors \
        --ratings koniq_sr/ratings.csv coco128_sr/ratings.csv --edits data/edits/pairs.csv --install

Rated outputs of super-resolution (difference = mean grade / 4; the raters are vision-language models, not people) train the
kernel expert and the map of restored images; edits with their own truth train the network of local evidence; which of the two
a pair is trains the gate. Photos are never on both sides of a fold. Features are kept under --features, so that a second call
goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from default_metric_fit import SATURATION, Features, fit_evidence, fit_experts, fit_restored, maps_of
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from engine.default_metric_file import WORDS, install_default_metric, save_default_metric
from evaluation import srcc
from evaluation.binary import roc_auc
from evaluation.maps import map_figures
from images import read_image
from semfid.runtime.default_metric import Differences, Spec, Statistic, squashed
from semfid.runtime.efficientnet_lite import CHANNELS, STRIDES, EfficientNetLite0
from semfid.runtime.local_evidence import difference_grids
from semfid.runtime.predictors import ExpertsMap, ExpertsPredictor

FOLDS, RESAMPLES = 5, 1000
VIEW, STRIDE = 224, 8
POOLED = ("blocks.1", "blocks.2", "blocks.4", "blocks.6")
LOCAL = ("blocks.0", *POOLED)
STATISTICS = tuple(Statistic(taps=POOLED, sides=side, poolings=("mean", "max")) for side in ("gained", "lost", "both"))
WIDTHS = [CHANNELS[tap] for _ in STATISTICS for _ in ("mean", "max") for tap in POOLED]
SMALL = 0.04  # area of a small edit


@dataclass(frozen=True)
class Pairs:
    """All pairs: the table (N rows, in the order of `features`) and their features."""

    table: pd.DataFrame
    features: Features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backbone", type=Path, required=True, help="safetensors by timm's names of tf_efficientnet_lite0"
    )
    parser.add_argument(
        "--ratings", type=Path, nargs="+", required=True, help="pair tables with the column grade, 0 to 4"
    )
    parser.add_argument("--edits", type=Path, nargs="+", required=True, help="pair tables of `semfid build edits`")
    parser.add_argument(
        "--features", type=Path, default=Path(".cache/default_metric"), help="folder of computed features"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/default_metric.pt"))
    parser.add_argument("--install", action="store_true", help="make it the metric of the package")
    arguments = parser.parse_args()
    backbone = {name: tensor.half() for name, tensor in load_file(arguments.backbone).items()}
    pairs = _gather(arguments, backbone)
    figures = evaluate(pairs)
    print(json.dumps(figures, indent=1))
    rows = np.flatnonzero(_usable(pairs.table))
    experts, network = _fit(pairs.features, rows)
    spec = Spec(
        name="semfid default 1",
        statistics=STATISTICS,
        predictor=experts.kind,
        saturation=SATURATION,
        map_input=Differences(taps=LOCAL),
        map_head=network.kind,
        map_view=VIEW,
        peak=True,
        bands=tuple(zip((0.0, 0.125, 0.375, 0.625, 0.875), WORDS, strict=True)),
        figures={"srcc": figures["ratings srcc"][0]},
        card={
            "figures": figures,
            "ratings": len(pairs.table[pairs.table.rated]),
            "edits": int((~pairs.table.rated).sum()),
        },
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    print(save_default_metric(arguments.out, backbone, experts, network, spec), arguments.out)
    if arguments.install:
        install_default_metric(arguments.out)


def _fit(data: Features, rows: NDArray[np.int64]) -> tuple[ExpertsPredictor, ExpertsMap]:
    network = fit_evidence(data, rows, *_strides(), seed=0)
    return fit_experts(data, rows, WIDTHS), fit_restored(data, rows, network)


def _strides() -> tuple[list[int], int]:
    return [STRIDES[tap] for tap in LOCAL], STRIDE


def _gather(arguments: argparse.Namespace, backbone: dict[str, Tensor]) -> Pairs:
    tables, found = [], []
    for path in (*arguments.ratings, *arguments.edits):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        rated = path in arguments.ratings
        truth = table["grade"].astype(float) / 4 if rated else table["difference"].astype(float)
        kept = ("pair_id", "source_id", "yes_votes", "votes", "kind", "level", "map", "area", "where_a", "where_b")
        columns = {name: table.get(name, "") for name in kept}
        place = {"set": path.parent.name, "root": str(path.parent)}
        tables.append(pd.DataFrame({**columns, **place, "truth": truth, "rated": rated}))
        found.append(_features(path, table, backbone, arguments.features))
    table = pd.concat(tables, ignore_index=True)
    statistic = np.concatenate([one["statistic"] for one in found]).astype(np.float64)
    grids = [np.concatenate([one[f"grid{number}"] for one in found]) for number in range(len(LOCAL))]
    features = Features(statistic, grids, table["truth"].to_numpy(), table["rated"].to_numpy())
    return Pairs(table, features)


def _features(
    path: Path, table: pd.DataFrame, backbone: dict[str, Tensor], folder: Path
) -> dict[str, NDArray[np.floating]]:
    """Statistics of images as they are and grids of the squashed view, kept in a file that is named by the table's content."""
    kept = folder / f"{path.parent.name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}.npz"
    if kept.is_file():
        with np.load(kept) as file:
            return dict(file)
    network = EfficientNetLite0(backbone, LOCAL).eval()
    held: tuple[str, list[Tensor], list[Tensor]] = ("", [], [])
    rows: dict[str, list[NDArray[np.floating]]] = {}
    for number, (reference, candidate) in enumerate(zip(table["reference"], table["candidate"], strict=True)):
        if held[0] != reference:
            held = (reference, *_described(network, path.parent / reference))
        own = _described(network, path.parent / candidate)
        for name, value in _compared(held[1:], own).items():
            rows.setdefault(name, []).append(value)
        if number % 100 == 0:
            print(f"{path.parent.name}: features of {number} of {len(table)} pairs", flush=True)
    stacked = {name: np.stack(values) for name, values in rows.items()}
    folder.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial.npz")
    np.savez(partial, **stacked)  # type: ignore[arg-type]
    partial.rename(kept)
    return stacked


def _described(network: EfficientNetLite0, path: Path) -> tuple[list[Tensor], list[Tensor]]:
    pixels = torch.from_numpy(np.asarray(read_image(path)).copy()).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
    with torch.inference_mode():
        return list(network(pixels)), list(network(squashed(pixels, VIEW)))


def _compared(
    reference: tuple[list[Tensor], list[Tensor]], candidate: tuple[list[Tensor], list[Tensor]]
) -> dict[str, NDArray[np.floating]]:
    with torch.inference_mode():
        (x, u), (y, v) = (
            tuple(dict(zip(LOCAL, view, strict=True)) for view in side) for side in (reference, candidate)
        )
        pooled = torch.cat([one.pooled(x, y) for one in STATISTICS], dim=1)[0]  # (D,)
        differences = (Differences(taps=LOCAL).of(u, v, tap) for tap in LOCAL)
        grids = difference_grids(differences, *_strides())
    named = {f"grid{number}": grid[0].half().numpy() for number, grid in enumerate(grids)}
    return {"statistic": pooled.numpy(), **named}


def _usable(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Objects exchanged for another of their class are left out: by the set's rule nothing changed, many raters would say so."""
    return (table["rated"] | (table["level"] != "same_class")).to_numpy()


def evaluate(pairs: Pairs) -> dict[str, list[float]]:
    """Figures by photos left out, each with its 95 % interval over photos: ``[value, low, high]``."""
    table, data = pairs.table, pairs.features
    sources = np.array(sorted(set(table["source_id"])))
    np.random.default_rng(0).shuffle(sources)
    fold = table["source_id"].map({name: number % FOLDS for number, name in enumerate(sources)}).to_numpy()
    usable = _usable(table)
    score = np.zeros(len(table))
    maps = np.zeros((len(table), *data.grids[0].shape[-2:]), dtype=np.float32)
    for number in range(FOLDS):
        train, test = np.flatnonzero((fold != number) & usable), np.flatnonzero(fold == number)
        score[test], maps[test] = _scores(data, *_fit(data, train), test)
        print(f"fold {number + 1} of {FOLDS}", flush=True)
    return {**_score_figures(table, score), **_map_figures(table, maps), **_place_figures(table, maps)}


def _scores(
    data: Features, experts: ExpertsPredictor, head: ExpertsMap, rows: NDArray[np.int64]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    local, restored = maps_of(data, head, rows).unbind(dim=1)  # (n, h, w) each
    statistic = torch.from_numpy(data.statistic[rows]).float()
    with torch.no_grad():
        raw = experts(torch.cat([statistic, local.flatten(1).amax(dim=1, keepdim=True)], dim=1))
        share = experts.share(statistic)[:, None, None]
    return raw.numpy(), (share * restored + (1 - share) * local).numpy()


def _score_figures(table: pd.DataFrame, score: NDArray[np.floating]) -> dict[str, list[float]]:
    truth, rated = table["truth"].to_numpy(), table["rated"].to_numpy()
    votes = pd.to_numeric(table["votes"]).to_numpy(), pd.to_numeric(table["yes_votes"]).to_numpy()
    decided = rated & (votes[1] * 2 != votes[0])
    yes = (votes[1] * 2 > votes[0]).astype(float)
    found = {"ratings srcc": _with_interval(table, rated, lambda rows: srcc(score[rows], truth[rows]))}
    for name in sorted(set(table["set"][rated])):
        rows = rated & (table["set"] == name).to_numpy()
        found[f"ratings srcc {name}"] = _with_interval(table, rows, lambda rows: srcc(score[rows], truth[rows]))
    found["ratings auc of yes"] = _with_interval(table, decided, lambda rows: roc_auc(score[rows], yes[rows]))
    kind = table["kind"].to_numpy().astype(str)
    hard, changed = np.char.find(kind, "hard") >= 0, (truth == 1) & ~rated
    local, whole = np.char.startswith(kind, "local"), np.char.startswith(kind, "global") | (kind == "unchanged")
    for name, rows in (
        ("plain", changed & ~hard | whole),
        ("hard", changed & hard | whole),
        ("local", changed | local),
        ("hard against local", changed & hard | local),
        ("all", changed | local | whole),
    ):
        found[f"edits auc {name}"] = _with_interval(table, rows, lambda rows: roc_auc(score[rows], truth[rows]))
    return found


def _map_figures(table: pd.DataFrame, maps: NDArray[np.floating]) -> dict[str, list[float]]:
    precision, pointed = np.full(len(table), np.nan), np.full(len(table), np.nan)
    area = np.zeros(len(table))
    for row in np.flatnonzero(~table["rated"] & (table["truth"] == 1)):
        target = np.asarray(read_image(Path(table["root"][row]) / table["map"][row]))[..., 0] / 255.0
        area[row] = (target > 0.5).mean()
        if not area[row]:
            continue
        whole = torch.nn.functional.interpolate(
            torch.from_numpy(maps[row])[None, None], size=target.shape, mode="bilinear"
        )
        figures = map_figures(whole[0, 0].numpy(), target)
        precision[row], pointed[row] = figures.average_precision, figures.hit
    found = {}
    for name, rows in (("all", area > 0), ("small", (area > 0) & (area < SMALL))):
        found[f"maps average precision {name}"] = _with_interval(
            table, rows, lambda rows: float(np.nanmean(precision[rows]))
        )
        found[f"maps pointing game {name}"] = _with_interval(table, rows, lambda rows: float(np.nanmean(pointed[rows])))
    return found


def _place_figures(table: pd.DataFrame, maps: NDArray[np.floating]) -> dict[str, list[float]]:
    """Whether maps of rated pairs are brightest where the raters saw the change: ``top left``, ``centre``, ... of 3 x 3 cells.

    ROC AUC over the nine cells of a pair, and whether its brightest cell is named; ``middle`` is the same of one map for all
    pairs, brightest in the middle, as most named places are.
    """
    cells = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(maps)[:, None], 3)[:, 0].numpy()  # (n, 3, 3)
    middle = np.array([[1.0, 2.0, 1.0], [1.5, 3.0, 1.5], [0.5, 1.5, 0.5]])
    columns = {name: np.full(len(table), np.nan) for name in ("auc", "hit", "auc middle", "hit middle")}
    for row in np.flatnonzero(table["rated"]):
        named = _named_cells(f"{table['where_a'][row]} and {table['where_b'][row]}")
        if not named.any() or named.all():
            continue
        for suffix, values in (("", cells[row]), (" middle", middle)):
            columns[f"auc{suffix}"][row] = roc_auc(values.ravel(), named.ravel().astype(float))
            columns[f"hit{suffix}"][row] = named.ravel()[values.argmax()]
    chosen = np.isfinite(columns["auc"])
    return {
        f"places {name}": _with_interval(table, chosen, lambda rows, own=own: float(own[rows].mean()))  # type: ignore[misc]
        for name, own in columns.items()
    }


def _named_cells(words: str) -> NDArray[np.bool_]:
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


def _with_interval(table: pd.DataFrame, chosen: NDArray[np.bool_], figure) -> list[float]:  # type: ignore[no-untyped-def]
    """A figure of some rows and its percentile interval over photos."""
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
