"""A real segmenter on real photos: a TorchScript network of Pascal VOC's classes against COCO's panoptic truth.

    python benchmarks/real_regions.py DATA [--csv FILE]

DATA holds `coco128` (photos and panoptic files) and `weights/espnetv2_voc.torchscript.pt`. COCO's categories that are none of
VOC's 20 count as background; pixels that the truth leaves void do not count. Intervals are over photos.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.captioners.errors import LabelError
from models.segmenters import Segmentation, build_segmenter
from semfid.io.images import read_image
from semfid.io.listing import list_images
from semfid.stats.bootstrap import interval

OTHER_WORDS = {
    "aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "tv monitor": "tv",
}  # fmt: skip  # VOC's words for COCO's categories
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--csv", type=Path, help="pixels by photo, true and predicted class")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    coco = arguments.data / "coco128"
    truth = build_segmenter(
        "panoptic_files",
        {"annotations": str(coco / "annotations" / "panoptic_train2017.json"), "images": str(coco / "train2017")},
    )
    weights = str(arguments.data / "weights" / "espnetv2_voc.torchscript.pt")
    network = build_segmenter("torchscript_voc", {"weights": weights, "device": "cpu"})
    rows, seconds, photos = [], 0.0, 0
    for path in list_images(coco / "train2017").paths:
        image = read_image(path)
        try:
            (true,) = truth.segment([image])
        except LabelError:  # one of the photos without panoptic truth
            continue
        start = time.process_time()
        (said,) = network.segment([image])
        seconds, photos = seconds + time.process_time() - start, photos + 1
        rows += counts(path.stem, true, said)
    frame = pd.DataFrame(rows)
    if arguments.csv is not None:
        frame.to_csv(arguments.csv, index=False)
    print(f"{photos} photos, {seconds / photos:.2f} s of processor time each, network and enlargement, one thread")
    print_figures(frame)


def counts(photo: str, true: Segmentation, said: Segmentation) -> list[dict[str, object]]:
    """Pixels of a photo by true and predicted VOC class; of the truth, ``background`` is what VOC has no class for."""
    known = {OTHER_WORDS.get(name, name): name for name in said_classes()}
    kinds = {one: known.get(label, "background") for one, label in true.labels.items()} | {0: ""}
    frame = pd.DataFrame({"true": named(true.ids, kinds), "said": named(said.ids, said.labels)})
    table = frame[frame["true"] != ""].value_counts()
    return [{"photo": photo, "true": one, "said": other, "pixels": int(n)} for (one, other), n in table.items()]


def named(ids: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    """The name at every pixel, flat."""
    found, place = np.unique(ids.ravel(), return_inverse=True)
    return np.array([names[one] for one in found.tolist()])[place]


def said_classes() -> list[str]:
    from registry import SEGMENTERS

    return list(SEGMENTERS.get("torchscript_voc").preset["classes"])


def print_figures(frame: pd.DataFrame) -> None:
    """Pixel accuracy and intersection over union by class, with intervals over photos."""
    photos = sorted(frame["photo"].unique())
    place = {photo: number for number, photo in enumerate(photos)}
    frame = frame.assign(row=frame["photo"].map(place), right=frame["true"] == frame["said"])
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(photos), np.full(len(photos), 1 / len(photos)), size=RESAMPLES)  # (R, photos)
    accuracy = sums(frame[frame["right"]], photos), sums(frame, photos)
    print(f"pixel accuracy {shown(*accuracy, weights)}")
    objects = frame[frame["true"] != "background"]
    print(
        f"pixels of VOC's objects recognised {shown(sums(objects[objects['right']], photos), sums(objects, photos), weights)}"
    )
    without = len(photos) - objects["photo"].nunique()
    print(f"photos without any of the 20 classes: {without}")
    for kind in sorted(set(frame["true"])):
        hit = frame[(frame["true"] == kind) & (frame["said"] == kind)]
        either = frame[(frame["true"] == kind) | (frame["said"] == kind)]
        holding = frame[frame["true"] == kind]["photo"].nunique()
        print(f"  IoU {kind} ({holding} photos): {shown(sums(hit, photos), sums(either, photos), weights)}")


def sums(frame: pd.DataFrame, photos: list[str]) -> np.ndarray:
    """Pixels of each photo, (photos,)."""
    return np.bincount(frame["row"], frame["pixels"], minlength=len(photos))


def shown(part: np.ndarray, whole: np.ndarray, weights: np.ndarray) -> str:
    with np.errstate(invalid="ignore"):
        low, high = interval((weights @ part) / (weights @ whole))
    return f"{part.sum() / whole.sum():.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
