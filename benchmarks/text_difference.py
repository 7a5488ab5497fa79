"""What `text_difference` finds and misses in rated super-resolution, and how often it is alarmed by mild compression.

    python benchmarks/text_difference.py DATA [--sets koniq_sr coco128_sr] [--csv FILE]

DATA holds `koniq_sr` and `coco128_sr` (pairs.csv, ratings.csv). The raters are two vision-language models, not people.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from semfid.io.images import read_image
from semfid.scoring.text import describe, text_comparer

QUALITIES = (75, 50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=["koniq_sr", "coco128_sr"])
    parser.add_argument("--csv", type=Path, help="the rated pairs, with text_difference, ref_chars and n_words")
    arguments = parser.parse_args()
    comparer = text_comparer()
    rated, clean = [], []
    for name in arguments.sets:
        folder = arguments.data / name
        ratings = pd.read_csv(folder / "ratings.csv", dtype={"source_id": str}, keep_default_na=False)
        start = time.process_time()
        rated += [{**row, "set": name, **compared(comparer, folder, row)} for row in ratings.to_dict("records")]
        print(f"{name}: {len(ratings) / (time.process_time() - start):.2f} pairs a second of processor time")
        for photo in sorted(set(pd.read_csv(folder / "pairs.csv")["reference"])):
            clean += compressed(comparer, read_image(folder / photo))
    frame = pd.DataFrame(rated)
    for name, part in [*frame.groupby("set"), ("all", frame)]:
        print_ratings(str(name), part)
    print_compressed(pd.DataFrame(clean))
    if arguments.csv is not None:
        frame[["pair_id", "text_difference", "ref_chars", "n_words"]].to_csv(arguments.csv, index=False)


def compared(comparer: Any, folder: Path, row: dict[Any, Any]) -> dict[str, Any]:
    """A rated pair: its figures and its words."""
    change = comparer(read_image(folder / row["reference"]), read_image(folder / row["candidate"]), gained=False)
    text = "text" in (row["kind_a"], row["kind_b"])
    if text or change.difference > 0:
        print(f"  {row['pair_id']} [{row['kind_a']}, {row['kind_b']}] {change.difference:.2f} {describe(change)}")
    return {
        "text": text,
        "none": row["kind_a"] == row["kind_b"] == "none",
        "text_difference": change.difference,
        "ref_chars": change.characters,
        "n_words": len(change.words),
    }


def compressed(comparer: Any, photo: Image.Image) -> list[dict[str, Any]]:
    """The photo against itself as a JPEG."""
    found = []
    for quality in QUALITIES:
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=quality)
        change = comparer(photo, Image.open(file).convert("RGB"), gained=False)
        kept = sum(word.status == "kept" for word in change.words)
        found.append({"quality": quality, "difference": change.difference, "words": len(change.words), "kept": kept})
    return found


def print_ratings(name: str, part: pd.DataFrame) -> None:
    hits = part[part["text"]]["text_difference"] > 0
    others = part[~part["text"]]
    alarms, quiet = others["text_difference"] > 0, others["none"]
    print(
        f"{name}: {len(part)} pairs, {(part['ref_chars'] > 0).sum()} with readable text; of {len(hits)} rated as text "
        f"{hits.sum()} found, AUC {area(part):.3f}; {alarms.sum()} of {len(others)} others, {(alarms & quiet).sum()} of "
        f"{quiet.sum()} of kind none; SRCC with the grade {part['text_difference'].corr(part['grade'], 'spearman'):.3f}"
    )


def area(part: pd.DataFrame) -> float:
    """Area under the ROC curve of "a rater said text", by rank sums."""
    ranks, yes = rankdata(part["text_difference"]), part["text"].to_numpy()
    return float((ranks[yes].mean() - (yes.sum() + 1) / 2) / (~yes).sum())


def print_compressed(frame: pd.DataFrame) -> None:
    for quality, part in frame.groupby("quality", sort=False):
        values = part["difference"]
        print(
            f"JPEG {quality}: {len(part)} photos, {(part['words'] > 0).sum()} with text; mean {values.mean():.4f}, above 0.1 "
            f"{(values > 0.1).sum()}, largest {np.max(values):.2f}; {part['kept'].sum()} of {part['words'].sum()} words kept"
        )


if __name__ == "__main__":
    main()
