"""Writes docs/pictures/real_maps.jpg: difference maps of four edits of COCO photos, side by side.

    SEMFID_TEST_DATA=... python tools/make_real_maps_picture.py data/edits_real data/real_maps runs/clu_real

The first two arguments are the set and the output of benchmarks/real_maps.py; the third is the folder of the runs of
experiments/clu_real.yaml. Shown is the first pair of each kind whose photo and donor have a licence that allows changed copies.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from data_tools.builders.core.contact_sheet import Tile, contact_sheet
from lightning_modules.scorer import load_run
from semfid.io.images import read_image, resize_image
from semfid.io.maps import read_map
from semfid.scoring.heatmap import colours, overlay
from semfid.scoring.scorer import upsampled

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "real_maps.jpg"
LICENCES = {4: "CC BY", 5: "CC BY-SA", 7: "no known copyright restrictions", 8: "US government"}  # of COCO's list
KINDS = ("exchange", "insert", "remove", "part")
METHODS = {
    "true regions, predicted names": "true_regions-predicted_names",
    "predicted regions, true names": "predicted_regions-true_names",
    "both predicted": "predicted_regions-predicted_names",
}  # and the folders of the benchmark's maps
SIDE, INPUT = 170, 112  # pixels of a tile; of CLU's input


def pairs_of(data: Path, table: Path, made: Path) -> pd.DataFrame:
    """Pairs with maps that may be shown, in the table's order."""
    info = json.loads((data / "coco128" / "annotations" / "instances_train2017.json").read_text(encoding="utf-8"))
    free = {f"{image['id']:012d}": image["license"] for image in info["images"] if image["license"] in LICENCES}
    pairs = pd.read_csv(table, dtype={"source_id": str, "donor_source_id": str})
    kept = pairs["pair_id"].isin(pd.read_csv(made)["pair_id"])
    donor = pairs["donor_source_id"]
    return pairs[kept & pairs["source_id"].isin(free) & (donor.isna() | donor.isin(free))].assign(
        licence=pairs["source_id"].map(free)
    )


def planes(picture: Image.Image) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1] at CLU's input size."""
    pixels = np.asarray(resize_image(picture, INPUT, "squash"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def clu_map(run: Path, pair: str, images: list[Image.Image]) -> NDArray[np.float32]:
    """(H, W) by the head of the fold that the pair was tested in."""
    fold = pd.read_csv(run / "predictions.csv").set_index("pair_id").loc[pair, "fold"]
    scorer, (x, y) = load_run(run, int(fold)), (planes(one) for one in images)
    with torch.inference_mode():
        found = upsampled(scorer.maps(scorer.describe(x), scorer.describe(y)), (images[0].height, images[0].width))
    return np.asarray(found[0, 0])


def row_of(pair: pd.Series, table: Path, maps: Path, run: Path) -> list[Tile]:
    """Photo, edit, true mask, the maps of regions and names, CLU's, and the squared pixel difference."""
    images = [read_image(table / pair[side]) for side in ("reference", "candidate")]
    reference, candidate = (np.asarray(one) for one in images)
    before, after = (str(pair[f"category_{side}"]).replace("nan", "") for side in ("before", "after"))
    tiles: list[Tile] = [
        (reference, f"COCO {pair['source_id']}, {LICENCES[int(pair['licence'])]}"),
        (
            candidate,
            f"{pair['kind']}: {before} > {after}".rstrip(" >") + (", degraded" if pair["after"] == "sr" else ""),
        ),
        (colours(read_map(table / pair["map"])), "true mask"),
    ]
    for words, folder in METHODS.items():
        tiles.append((overlay(candidate, read_map(maps / folder / f"{pair['pair_id']}.npy")), words))
    tiles.append((overlay(candidate, clu_map(run, pair["pair_id"], images)), "CLU, ImageNet"))
    squared = ((reference.astype(np.float64) - candidate) ** 2).mean(axis=2) / 255**2
    return [*tiles, (overlay(candidate, squared), "squared pixels")]


def main() -> None:
    table, maps, runs = (Path(word) for word in sys.argv[1:4])
    pairs = pairs_of(Path(os.environ["SEMFID_TEST_DATA"]), table / "pairs.csv", maps / "pairs.csv")
    (run,) = (path.parent for path in runs.glob("*package*/maps.csv"))
    first = [pairs[pairs["kind"] == kind].iloc[0] for kind in KINDS if (pairs["kind"] == kind).any()]
    sheet = contact_sheet([row_of(pair, table, maps, run) for pair in first], SIDE)
    Image.open(io.BytesIO(sheet)).convert("RGB").save(PICTURE, quality=85)
    print(f"{PICTURE}: {', '.join(pair['pair_id'] for pair in first)}")


if __name__ == "__main__":
    main()
