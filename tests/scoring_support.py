"""What the tests of scoring share: finished runs, an exported file, folders of pictures, a metric by hand.

The runs are made once per session and only when a test asks for them. `naive_scores` scores one pair at a time with Pillow,
the backbone and the head alone; it knows nothing of the code under test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from run_support import BACKBONE_PLUGIN, SMALL, merged, only_run
from torch import Tensor

from semfid.scoring.scorer import Description, Facts, Scorer

UNIT = {"name": "lpips_linear", "depth": 2, "normalize": "unit", "weights": "nonnegative", "output": "sigmoid"}
# a plugin: small, so quick to export; its pooling rounds odd sizes
SCORED_PLUGIN = (
    BACKBONE_PLUGIN.replace('"two_stages"', '"two_stages_scored"')
    .replace("nn.BatchNorm2d(width), nn.ReLU()", "nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)")
    .replace("strides=[2, 4]", "strides=[4, 8]")
)
TINY = {"model.backbone": {"name": "two_stages_scored"}, "model.head.depth": 1}
CHANGES: dict[str, dict[str, Any]] = {
    "linear": {},
    "unit": {"model.head": UNIT},
    "embedding": {"model.head": {"name": "embedding_mlp", "hidden": [8]}},
    "pooled": {"model.head": {"name": "pooled_mlp", "hidden": [8]}},
    "cosine": {"model.head": {"name": "cosine"}},
    "folds": {"data.split": {"folds": 3}, "model.head.bias": True},
    # statistics of BatchNorm that trains must not move while a run is loaded
    "full": {"model.backbone.tuning": "full", "model.backbone.batch_norm": "train", "model.head.depth": 1},
    "lora": {"model.backbone.tuning": "lora", "model.backbone.lora_rank": 2, "model.head.depth": 0},
    "fixed": {  # a backbone for images of one size only
        "model.backbone.model": "test_vit",
        "data.image_size": 160,
        "model.head": {"name": "lpips_linear_shared", "depth": 1},
    },
    "letterbox": {**TINY, "data.resize": "letterbox", "data.image_size": 48},
    "tiny_folds": {**TINY, "data.split": {"folds": 2}, "model.head.normalize": "unit", "model.head.bias": True},
    "tiny_poolings": {
        **TINY,
        "model.head.pooling": ["mean", "max", "gained:top:0.05"],
        "model.head.compress": "sqrt",
    },
    "tiny_evidence": {**TINY, "model.head": {"name": "local_evidence", "width": 8}},
    "tiny_unet": {
        **TINY,
        "model.name": "local_map",
        "model.head": {"name": "unet_pixel", "max_width": 8, "score": "learned"},
        "model.loss": "bce",
    },
    "tiny_embedding": {**TINY, "model.head": {"name": "embedding_mlp", "hidden": [8]}},
}


class Runs:
    """Finished runs by the names of `CHANGES`, made at the first look."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plugin = root / "two_stages_scored.py"
        self.plugin.write_text(SCORED_PLUGIN)

    def __getitem__(self, name: str) -> Path:
        output = self.root / "runs" / name
        if not output.exists():
            from semfid.cli import main

            config = merged(
                SMALL,
                {
                    "name": name,
                    "plugins": [str(self.plugin)],
                    "data.folder": str(self.root / "scenes"),
                    "output": str(output),
                    "cache.folder": str(self.root / "cache"),
                    "trainer.max_epochs": 1,
                    **CHANGES[name],
                },
            )
            file = self.root / f"{name}.yaml"
            file.write_text(yaml.safe_dump(config))
            assert main(["run", str(file)]) == 0
        return only_run(output)

    def config(self, name: str) -> dict[str, Any]:
        return dict(yaml.safe_load((self[name] / "config.yaml").read_text()))

    def pairs(self, name: str) -> pd.DataFrame:
        """The run's own test pairs with absolute paths and what it predicted, sorted by pair_id."""
        predicted = pd.read_csv(self[name] / "predictions.csv", dtype={"pair_id": str})
        (table,) = (self.root / "scenes").glob("*/pairs.csv")
        frame = pd.read_csv(table, dtype={"pair_id": str})[["pair_id", "reference", "candidate"]]
        frame = frame.assign(**{key: [str(table.parent / p) for p in frame[key]] for key in ("reference", "candidate")})
        return predicted.merge(frame, on="pair_id", validate="one_to_one").sort_values("pair_id").reset_index(drop=True)

    def table(self, name: str, path: Path) -> Path:
        """`pairs` as a pair table for `semfid score --pairs`."""
        self.pairs(name)[["pair_id", "reference", "candidate", "origin"]].to_csv(path, index=False)
        return path


def regressor(runs: Runs, name: str, part: int = 0) -> Any:
    """The trained module of a run's fold, put together from its configuration and checkpoint by hand."""
    from backbones import build_backbone
    from lightning_modules.global_regressor import GlobalRegressor
    from lightning_modules.local_map import LocalMapRegressor

    model = runs.config(name)["model"]
    backbone = {key: value for key, value in model["backbone"].items() if key != "name"}
    kind = LocalMapRegressor if model["name"] == "local_map" else GlobalRegressor
    module = kind(build_backbone(model["backbone"]["name"], backbone), model["head"])
    state = torch.load(runs[name] / f"part-{part}.ckpt", weights_only=True)["state_dict"]
    module.load_state_dict({key: value for key, value in state.items() if key.startswith(("backbone.", "head."))})
    module.eval()
    return (lambda x, y: module(x, y)[1]) if model["name"] == "local_map" else module


def images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """(count, 3, height, width) in [0, 1]."""
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def loaded_image(path: str | Path, side: int | None) -> Tensor:
    """(1, 3, H, W), squashed to `side` where given."""
    image = Image.open(path).convert("RGB")
    if side is not None and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None].float() / 255


def naive_scores(module: Any, pairs: list[tuple[Path, Path]], side: int | None) -> list[float]:
    """One pair at a time through backbone and head."""
    with torch.no_grad():
        return [float(module(loaded_image(x, side), loaded_image(y, side))) for x, y in pairs]


class ToyScorer(Scorer):
    """Four times the mean squared difference of 4x4 means; counts the images that it describes."""

    def __init__(self, **facts: Any) -> None:
        super().__init__()
        given = {"run": "toys/toy", "weights_hash": "0" * 16, "image_size": 64, "resize": "squash"}
        self.facts = Facts(**{**given, "fixed_size": False, "gives_maps": True, "figures": {}, **facts})
        self.described = 0
        self.passes: list[tuple[int, ...]] = []

    def describe(self, images: Tensor) -> Description:
        self.described += len(images)
        self.passes.append(tuple(images.shape))
        return (F.avg_pool2d(images, 4),)

    def compare(self, reference: Description, candidate: Description) -> Tensor:
        return 4 * (reference[0] - candidate[0]).square().mean(dim=(1, 2, 3))

    def maps(self, reference: Description, candidate: Description) -> Tensor:
        if not self.facts.gives_maps:
            return super().maps(reference, candidate)
        return 4 * (reference[0] - candidate[0]).square().mean(dim=1, keepdim=True)


def toy_score(reference: Path, candidate: Path, side: int | None = None) -> float:
    """What `ToyScorer` gives, by numpy."""
    pixels = []
    for path in (reference, candidate):
        image = Image.open(path).convert("RGB")
        if side is not None and image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.BICUBIC)
        array = np.asarray(image, dtype=np.float64) / 255
        height, width = array.shape[0] // 4 * 4, array.shape[1] // 4 * 4
        cells = array[:height, :width].reshape(height // 4, 4, width // 4, 4, 3)
        pixels.append(cells.mean(axis=(1, 3)))
    return float(4 * ((pixels[0] - pixels[1]) ** 2).mean())


def picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth random (H, W, 3) picture with an edge in it."""
    rng, (width, height) = np.random.default_rng(seed), size
    small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    pixels = np.array(small.resize(size, Image.Resampling.BICUBIC))
    pixels[height // 3 : height // 2, width // 4 :] = rng.integers(0, 256, 3)
    return pixels


def write_picture(path: Path, seed: int, size: tuple[int, int] = (64, 64), changed: int = 0) -> Path:
    """A picture; `changed` other than 0 repaints a part of it."""
    pixels = picture(seed, size)
    if changed:
        width, height = size
        pixels[height // 2 :, : width // 2] = np.random.default_rng(changed).integers(0, 256, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_folders(
    root: Path,
    references: int = 3,
    models: tuple[str, ...] = ("A", "B"),
    sizes: tuple[tuple[int, int], ...] = ((64, 64),),
) -> tuple[Path, Path]:
    """``HQ/s<i>.png`` and ``SR/<model>_s<i>.png``."""
    for number in range(references):
        size = sizes[number % len(sizes)]
        write_picture(root / "HQ" / f"s{number}.png", number, size)
        for index, model in enumerate(models):
            write_picture(root / "SR" / f"{model}_s{number}.png", number, size, changed=1 + 10 * number + index)
    return root / "HQ", root / "SR"
