"""Writes docs/pictures/failures_<kind>.jpg: outputs that changed the meaning of COCO photos, with the default metric.

SEMFID_TEST_DATA=... python tools/make_failure_gallery.py

Kinds are those of the two model raters; `text` is what OCR reads otherwise. Only photos whose licence allows changed copies.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from data_tools.builders.core.contact_sheet import Tile, contact_sheet
from metrics.text import TextDifference
from semfid.io.images import read_image
from semfid.scoring.default_metric import DefaultMetric, load_default_metric
from semfid.scoring.heatmap import overlay

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
LICENCES = {4: "CC BY", 5: "CC BY-SA", 7: "no known copyright restrictions", 8: "US government"}  # of COCO's list
KINDS = {"faces": {"face"}, "objects": {"object", "part"}, "textures": {"texture", "none"}}
PER_KIND, SIDE = 4, 220


def tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def row_of(metric: DefaultMetric, pair: pd.Series, root: Path, kind: str) -> list[Tile]:
    """Photo, output, map; below them what the raters, the metric and OCR say."""
    reference, candidate = (np.asarray(read_image(root / pair[side])) for side in ("reference", "candidate"))
    score, found = metric.score_and_map(tensor(reference), tensor(candidate))  # (1,), (1, 1, H, W)
    assert found is not None
    grade = "not rated" if pd.isna(pair["grade"]) else f"grade {pair['grade']:g}, {pair['kind_a']}"
    texts = (
        f"COCO {pair['source_id']}, {LICENCES[pair['licence']]}",
        f"text difference {pair['text']:.2f}" if kind == "text" else grade,
        f"{float(score):.2f} {metric.word(float(score))}",
    )
    return list(zip((reference, candidate, overlay(candidate, found[0, 0].numpy())), texts, strict=True))


def images_of(pair: pd.Series, root: Path) -> list[torch.Tensor]:
    """Photo and output, (1, 3, H, W) in [0, 1] each."""
    return [tensor(np.asarray(read_image(root / pair[side]))) for side in ("reference", "candidate")]


def pairs_of(data: Path) -> pd.DataFrame:
    """Pairs of photos that may be shown, with the raters' grades where there are some."""
    info = json.loads((data / "coco128" / "annotations" / "instances_train2017.json").read_text(encoding="utf-8"))
    licence = {f"{image['id']:012d}": image["license"] for image in info["images"]}
    pairs = pd.read_csv(data / "coco128_sr" / "pairs.csv", dtype={"source_id": str})
    ratings = pd.read_csv(data / "coco128_sr" / "ratings.csv")[["pair_id", "grade", "kind_a"]]
    pairs = pairs.merge(ratings, on="pair_id", how="left").assign(licence=pairs["source_id"].map(licence))
    return pairs[pairs["licence"].isin(LICENCES)]


def main() -> None:
    data = Path(os.environ["SEMFID_TEST_DATA"])
    root, metric, text = data / "coco128_sr", load_default_metric(), TextDifference()
    with torch.inference_mode():
        pairs = pairs_of(data)
        pairs = pairs.assign(text=[float(text(*images_of(pair, root))) for _, pair in pairs.iterrows()])
        chosen = {
            kind: pairs[pairs["kind_a"].isin(names)].sort_values("grade", ascending=False, kind="stable")
            for kind, names in KINDS.items()
        }
        chosen["text"] = pairs[pairs["text"] > 0].sort_values("text", ascending=False, kind="stable")
        for kind, found in chosen.items():
            first = [pair for _, pair in found.head(PER_KIND).iterrows()]
            sheet = contact_sheet([row_of(metric, pair, root, kind) for pair in first], SIDE)
            path = PICTURES / f"failures_{kind}.jpg"
            Image.open(io.BytesIO(sheet)).save(path, quality=85)
            print(f"{path}: {', '.join(pair['source_id'] for pair in first)}")


if __name__ == "__main__":
    main()
