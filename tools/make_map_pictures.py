"""Draws the pictures of docs/local_maps.md, and the one of docs/scoring.md.

semfid ablate experiments/clu_scenes.yaml
python tools/make_map_pictures.py runs/clu_scenes          # clu.png, caption_maps.png, score.png
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from data_tools.region_maps.pipeline import MapSettings, MapTools, label_maps
from data_tools.synthetic import SceneSetConfig, write_region_set
from datamodules import PairDataModule
from lightning_modules.scorer import load_run
from models.captioners import build_captioner, outline_region
from models.segmenters import build_segmenter
from models.text_encoders import build_text_encoder
from registry import DATAMODULES
from semfid.cli import main as semfid
from semfid.io.pair_table import read_pairs
from semfid.io.yaml_file import read_mapping
from semfid.progress import silent
from semfid.scoring.heatmap import colours, overlay
from semfid.scoring.scorer import upsampled

OUT = Path(__file__).parents[1] / "docs" / "pictures"
SIDE, GAP, LINE = 160, 6, 16
Pixels = NDArray[np.uint8]


def sheet(columns: Sequence[str], rows: Sequence[Sequence[Pixels]], notes: Sequence[str]) -> Image.Image:
    """Pictures in a grid, a word above each column, a line below each row."""
    height = LINE + len(rows) * (SIDE + LINE + GAP)
    image = Image.new("RGB", (len(columns) * (SIDE + GAP) - GAP, height), "white")
    draw = ImageDraw.Draw(image)
    for number, word in enumerate(columns):
        draw.text((number * (SIDE + GAP), 2), word, fill="black")
    for place, (pictures, note) in enumerate(zip(rows, notes, strict=True)):
        top = LINE + place * (SIDE + LINE + GAP)
        for number, picture in enumerate(pictures):
            grown = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            image.paste(grown, (number * (SIDE + GAP), top))
        draw.text((0, top + SIDE + 1), note, fill="black")
    return image


def clu(folder: Path) -> Image.Image:
    """Test pairs of clu_scenes.yaml: CLU's map, a linear head's, and the squared pixel difference."""
    runs = {name: next(folder.glob(f"head={name}_*")) for name in ("unet_pixel", "lpips_linear")}
    config = read_mapping(runs["unet_pixel"] / "config.yaml")["data"]
    data: PairDataModule = DATAMODULES.build(config.pop("name"), **config)
    frame = data.table.frame
    figures = {name: pd.read_csv(run / "maps.csv").set_index("pair_id") for name, run in runs.items()}
    own = figures["unet_pixel"]
    changed = own[own["changed"] > 0].sort_values("average_precision")
    still = own[own["changed"] == 0].sort_values("predicted")
    # a good one, the middle, the worst; and the unchanged pair that is most called changed
    chosen = [changed.index[-len(changed) // 10], changed.index[len(changed) // 2], changed.index[0], still.index[-1]]
    scorers = {name: load_run(run) for name, run in runs.items()}
    rows, notes = [], []
    view = data.dataset.view(maps=True, augmented=False, seed=0)
    for pair in chosen:
        row = frame["pair_id"].tolist().index(pair)
        item = view[(row, 1.0)]
        x, y = (image[None].float() / 255 for image in (item.reference, item.candidate))
        picture = item.candidate.permute(1, 2, 0).numpy()
        drawn = [item.reference.permute(1, 2, 0).numpy(), picture, colours(item.map[0].float().numpy())]
        with torch.no_grad():
            for scorer in scorers.values():
                maps = upsampled(scorer.maps(scorer.describe(x), scorer.describe(y)), x.shape[-2:])
                drawn.append(overlay(picture, maps[0, 0].numpy()))
        drawn.append(overlay(picture, (x - y).square().mean(dim=1)[0].numpy()))
        rows.append(drawn)
        found = " ".join(f"{name} {table.loc[pair, 'average_precision']:.2f}" for name, table in figures.items())
        precise = f"average precision: {found}" if own.loc[pair, "changed"] else "nothing changed"
        notes.append(f"{frame['origin'].iloc[row]}, {frame['degradation'].iloc[row]}; {precise}")
    return sheet(["reference", "candidate", "truth", "CLU", "linear head", "squared pixels"], rows, notes)


def confused(source: Path, target: Path, share: float) -> None:
    """Regions of which a share carries another region's caption."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    (target / "captions.jsonl").unlink()
    lines = [json.loads(line) for line in (source / "captions.jsonl").read_text().splitlines()]
    regions = [line for line in lines if line["segment"] > 0]
    draw = np.random.default_rng(3)
    for index in draw.permutation(len(regions))[: round(share * len(regions))]:
        regions[index]["caption"] = regions[int(draw.integers(len(regions)))]["caption"]
    (target / "captions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def captions() -> Image.Image:
    """Maps from the regions and captions of scenes: as they are, and with captions that belong elsewhere."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        table = read_pairs(write_region_set(root / "set", SceneSetConfig(scenes=12, size=160)))
        frame = table.frame[table.frame["origin"].isin(["intra", "inter"])]
        table = table.with_frame(frame.drop_duplicates("source_id").head(3))
        embedder = build_text_encoder("hashed_words", {})
        found: dict[float, list[NDArray[np.float32]]] = {}
        for share in (0.0, 0.2):
            regions = root / f"regions-{share}"
            confused(root / "set/regions", regions, share)
            stored = {"folder": str(regions)}
            tools = MapTools(build_segmenter("stored", stored), build_captioner("stored", stored), embedder)
            label_maps(table, root / f"{share}.csv", root / f"work-{share}", tools, MapSettings(), silent)
            found[share] = [np.load(path).astype(np.float32) for path in read_pairs(root / f"{share}.csv").paths("map")]
        rows, notes = [], []
        for number, row in enumerate(table.frame.to_dict("records")):
            x, y = (Image.open(table.root / str(row[side])) for side in ("reference", "candidate"))
            truth = np.asarray(Image.open(table.root / str(row["map"])), dtype=np.float32) / 255
            outlined = outline_region(x, truth > 0.5, 2)
            rows.append(
                [np.asarray(outlined), np.asarray(y), colours(truth)]
                + [colours(found[share][number]) for share in (0.0, 0.2)]
            )
            notes.append(f"{row['category_before']} -> {row['category_after'] or 'nothing'}")
        return sheet(["reference, region outlined", "candidate", "truth", "true captions", "20 % wrong"], rows, notes)


def scored(folder: Path) -> Image.Image:
    """What `semfid score --map` writes of three test pairs that changed."""
    run = next(folder.glob("head=unet_pixel_*"))
    config = read_mapping(run / "config.yaml")["data"]
    table = DATAMODULES.build(config.pop("name"), **config).table
    own = pd.read_csv(run / "maps.csv")
    pairs = own[own["origin"].isin(["intra", "inter", "removed"])].drop_duplicates("origin")["pair_id"]
    lines = []
    with tempfile.TemporaryDirectory() as name:
        for pair in pairs:
            row = table.frame[table.frame["pair_id"] == pair].iloc[0]
            x, y = (str(table.root / row[side]) for side in ("reference", "candidate"))
            target = Path(name) / pair
            if semfid(["score", x, y, "--run", str(run), "--size", "native", "--map", str(target)]) != 0:
                raise SystemExit(f"{pair} was not scored")
            drawn = [next(target.glob(f"*_{kind}.png")) for kind in ("heat", "overlay")]
            lines.append([Image.open(path).convert("RGB") for path in (x, y, *drawn)])
    widths = [max(line[column].width for line in lines) for column in range(4)]
    size = sum(widths) + 3 * GAP, sum(line[2].height + GAP for line in lines) - GAP
    image, top = Image.new("RGB", size, "white"), 0
    for line in lines:
        left = 0
        for picture, width in zip(line, widths, strict=True):
            image.paste(picture, (left, top))
            left += width + GAP
        top += line[2].height + GAP
    return image


def main() -> None:
    OUT.mkdir(exist_ok=True)
    scored(Path(sys.argv[1])).save(OUT / "score.png")
    captions().save(OUT / "caption_maps.png")
    clu(Path(sys.argv[1])).save(OUT / "clu.png")


if __name__ == "__main__":
    main()
