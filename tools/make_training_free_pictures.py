"""Draws the picture of docs/training_free.md.

semfid ablate experiments/training_free_scenes.yaml
python tools/make_training_free_pictures.py runs/training_free_scenes
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw, ImageFont, ImageOps

from registry import DATAMODULES
from semfid.io.pair_table import PairTable
from semfid.io.yaml_file import read_mapping

OUT = Path(__file__).parents[1] / "docs" / "pictures"
SIDE, GAP, LINE, LABELS, BARS, MARGIN = 176, 8, 17, 132, 300, 12
INK, PALE, PLAIN, MEANING, TRUTH = "#222222", "#e8e8e8", "#9aa5b1", "#3d6fb4", "#c8352d"
BY_PIXELS = ("psnr", "ssim", "ms_ssim", "lpips", "pixel_difference")


def measures(folder: Path) -> tuple[pd.DataFrame, PairTable]:
    """What every training-free run of an experiment says of its test pairs, one column each, and the pairs."""
    columns: dict[str, pd.Series] = {}
    labels, config = None, None
    for path in sorted(folder.glob("*/predictions.csv")):
        one = read_mapping(path.parent / "config.yaml")
        found = pd.read_csv(path).set_index("pair_id")
        columns[name_of(one["model"])] = found["predicted"]
        labels, config = found["difference"], one["data"]
    if labels is None or config is None:
        raise SystemExit(
            f"{folder} has no finished runs; semfid ablate experiments/training_free_scenes.yaml makes them"
        )
    data = DATAMODULES.build(config.pop("name"), **config)
    names = sorted(columns, key=lambda name: (name not in BY_PIXELS, name))
    return pd.DataFrame({"label": labels, **{name: columns[name] for name in names}}), data.table


def name_of(model: dict[str, object]) -> str:
    """A measure and what tells it from its likes."""
    words = [str(model["name"])]
    for key in ("embedder", "strategy"):
        if key in model:
            value = model[key]
            words.append(str(value["name"] if isinstance(value, dict) else value))
    return " ".join(words).replace("hashed_words", "words")


def chosen(ranks: pd.DataFrame, table: PairTable) -> list[tuple[str, str]]:
    """Pairs, and what they show: what pixels mistake, then what measures of meaning mistake."""
    origin = table.frame.set_index("pair_id")["origin"].reindex(ranks.index)
    by_pixels = ranks[[name for name in ranks if name in BY_PIXELS]].mean(axis=1)
    by_captions = ranks[[name for name in ranks if str(name).startswith("c2c")]].mean(axis=1)
    by_image = ranks[[name for name in ranks if str(name).startswith(("i2i", "tower_cosine"))]].mean(axis=1)
    by_meaning, other = (by_captions + by_image) / 2, origin.isin(["intra", "inter", "removed"])
    picks = [
        ((by_pixels - ranks["label"])[origin == "unchanged"].idxmax(), "pixels cry wolf"),
        ((ranks["label"] + by_meaning - 2 * by_pixels)[other].idxmax(), "pixels hardly differ"),
        ((by_captions - ranks["label"])[origin == "same_class"].idxmax(), "captions cry wolf"),
        ((ranks["label"] - by_meaning)[other].idxmax(), "missed by all"),
    ]
    return [(str(pair), note) for pair, note in picks]


def draw(ranks: pd.DataFrame, scores: pd.DataFrame, table: PairTable) -> Image.Image:
    """Reference, candidate, and for each measure how much of all pairs it calls less changed; the label's is a line."""
    font = ImageFont.load_default(size=12)
    names = [str(name) for name in ranks.columns if name != "label"]
    picks = chosen(ranks, table)
    height = max(SIDE, LINE * len(names)) + 2 * LINE + GAP
    left = 2 * (SIDE + GAP)
    image = Image.new("RGB", (left + LABELS + BARS + GAP, height * len(picks) + LINE), "white")
    pen = ImageDraw.Draw(image)
    heads = (
        (0, "reference"),
        (SIDE + GAP, "candidate"),
        (left + LABELS, "share of all pairs that it calls less changed"),
    )
    for x, word in heads:
        pen.text((x, 0), word, fill=INK, font=font)
    rows = table.frame.set_index("pair_id")
    for place, (pair, note) in enumerate(picks):
        top, row = LINE + place * height, rows.loc[pair]
        for k, side in enumerate(("reference", "candidate")):
            with Image.open(table.root / str(row[side])) as picture:
                image.paste(
                    picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC), (k * (SIDE + GAP), top)
                )
        for number, name in enumerate(names):
            y, rank = top + number * LINE, float(ranks.loc[pair, name])
            pen.text((left, y), name, fill=INK, font=font)
            pen.rectangle((left + LABELS, y + 3, left + LABELS + BARS, y + LINE - 4), fill=PALE)
            colour = PLAIN if name in BY_PIXELS else MEANING
            pen.rectangle((left + LABELS, y + 3, left + LABELS + round(BARS * rank), y + LINE - 4), fill=colour)
        x = left + LABELS + round(BARS * float(ranks.loc[pair, "label"]))
        pen.line((x, top, x, top + LINE * len(names)), fill=TRUTH, width=2)
        told = f"{what_changed(row)}: {scores.loc[pair, 'label']:.0%} of the panel see a change (red line); {note}"
        pen.text((0, top + max(SIDE, LINE * len(names)) + 2), told, fill=INK, font=font)
    return image


def what_changed(row: pd.Series) -> str:
    damage = (
        "no damage"
        if row["degradation"] == "none"
        else f"{row['degradation'].replace('+', ' + ')} {row['strength']:.1f}"
    )
    if row["origin"] == "unchanged":
        return f"unchanged, {damage}"
    after = row["category_after"] if isinstance(row["category_after"], str) and row["category_after"] else "nothing"
    return f"{row['category_before']} -> {after}, {damage}"


def main() -> None:
    scores, table = measures(Path(sys.argv[1]))
    ranks = scores.rank(pct=True, method="average")
    OUT.mkdir(exist_ok=True)
    ImageOps.expand(draw(ranks, scores, table), MARGIN, "white").save(OUT / "training_free.png", optimize=True)
    print(OUT / "training_free.png")


if __name__ == "__main__":
    main()
