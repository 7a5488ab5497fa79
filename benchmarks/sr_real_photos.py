"""Photos for experiments/sr_real_photos.yaml, and what its networks do to written words.

    python benchmarks/sr_real_photos.py link DATA FOLDER
    python benchmarks/sr_real_photos.py text FOLDER RUNS [--photos N]

`link` makes FOLDER/train and FOLDER/test of links to the photos of coco128 and koniq_photos. Those without a rating are tested,
since the judge is fitted on the ratings. `text` enlarges whole tested photos (scale 4, the module's degradation) by the network
of every run, and prints `text_difference` over the photos in which OCR reads something. Intervals are over photos.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lightning_modules.projects.sr_network import SmallEdsr, shrunk
from metrics.text import TextDifference
from semfid.io.images import read_image, to_planes
from semfid.io.listing import list_images
from semfid.io.yaml_file import read_mapping
from semfid.stats.bootstrap import interval

SETS = {"koniq_photos": "koniq_sr", "coco128/train2017": "coco128_sr"}  # photos: ratings of them
SCALE, NOISE, RESAMPLES = 4, 0.02, 2000


def link(data: Path, folder: Path) -> None:
    """Links to all photos, in ``train`` where they have a rating, else in ``test``."""
    for photos, ratings in SETS.items():
        rated = set(pd.read_csv(data / ratings / "ratings.csv", dtype={"source_id": str})["source_id"])
        for path in list_images(data / photos).paths:
            part = folder / ("train" if path.stem in rated else "test")
            part.mkdir(parents=True, exist_ok=True)
            if not (part / path.name).exists():
                (part / path.name).symlink_to(path.resolve())
    print({part.name: len(list(part.iterdir())) for part in sorted(folder.iterdir())})


def text(folder: Path, runs: Path, most: int | None) -> None:
    """Table of `text_difference` per run, and of each run against the first."""
    networks = dict(networks_of(runs))
    metric, rows = TextDifference(), []
    for row, path in enumerate(list_images(folder / "test").paths[:most]):
        photo = photo_of(path)
        if not float(metric(photo, torch.full_like(photo, 0.5))):  # nothing is read: nothing can be lost
            continue
        with torch.inference_mode():
            low = shrunk(photo, SCALE, NOISE, torch.tensor([row]))
            rows.append({name: float(metric(photo, net(low).clamp(0, 1))) for name, net in networks.items()})
    table = pd.DataFrame(rows)
    print(f"{len(table)} photos with text")
    if table.empty:
        return
    draws = np.random.default_rng(0).integers(len(table), size=(RESAMPLES, len(table)))
    for name in table:
        values, change = table[name].to_numpy(), (table[name] - table.iloc[:, 0]).to_numpy()
        cells = [f"{own.mean():.3f} [{low:.3f}, {high:.3f}]" for own in (values, change)
                 for low, high in [interval(own[draws].mean(axis=1))]]  # fmt: skip
        print(f"{name}: {cells[0]}, minus the first {cells[1]}")


def networks_of(runs: Path) -> Iterator[tuple[str, SmallEdsr]]:
    """The networks of finished runs by the folders' names, smallest weight of the semantic loss first."""
    found = {file.parent: read_mapping(file.parent / "config.yaml") for file in runs.glob("*/network.safetensors")}
    for run in sorted(found, key=lambda run: float(found[run]["model"].get("semantic_weight", 0))):
        network = SmallEdsr(SCALE)
        network.load_state_dict(load_file(run / "network.safetensors"))
        yield run.name, network.eval()


def photo_of(path: Path) -> Tensor:
    """(1, 3, H, W) in [0, 1], its sides divisible by the scale."""
    image = read_image(path)
    width, height = (side - side % SCALE for side in image.size)
    return torch.from_numpy(to_planes(image.crop((0, 0, width, height))).copy())[None].float() / 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    linking = commands.add_parser("link")
    linking.add_argument("data", type=Path)
    linking.add_argument("folder", type=Path)
    reading = commands.add_parser("text")
    reading.add_argument("folder", type=Path)
    reading.add_argument("runs", type=Path)
    reading.add_argument("--photos", type=int, help="how many tested photos to look at; all where left out")
    arguments = parser.parse_args()
    if arguments.command == "link":
        link(arguments.data, arguments.folder)
    else:
        text(arguments.folder, arguments.runs, arguments.photos)


if __name__ == "__main__":
    main()
