"""The heat maps of a finished run, or why there are none."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.report.pictures import DrawMap, Pixels, thumbnail
from engine.results import Finished
from heads import MapHead
from images import load_pixels
from lightning_modules.global_regressor import named
from lightning_modules.scorer import RunScorer, load_run
from registry import HEADS, UserError
from semfid.runtime.heatmap import overlay
from semfid.runtime.scorer import Description

# what loading a run's files can meet when they were removed or changed after it had finished
BROKEN = (UserError, OSError, EOFError, RuntimeError, pickle.UnpicklingError)


def map_drawer(run: Finished, config: dict[str, Any]) -> DrawMap | str:
    """What draws the maps of a run; where there are none, a sentence that says why, empty where none are expected.

    Args:
        config: of the run.
    """
    if not run.learned:
        return ""
    try:
        if not _head_gives_maps(config):
            return ""
        drawer = _Drawer(run.path, config)
    except BROKEN as error:
        return f"No heat maps: {' '.join(str(error).split())}."
    return drawer


def _head_gives_maps(config: dict[str, Any]) -> bool:
    """Known from the head's name, before a trunk is built for nothing."""
    model = config["model"]
    if not isinstance(model, dict) or "head" not in model:
        return False
    head = HEADS.get(named(model["head"], "model.head")[0]).factory
    return isinstance(head, type) and issubclass(head, MapHead)


class _Drawer:
    """Draws with the head, and the trunk, of the fold that a pair was tested in: the map belongs to the score shown."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        backbone = named(config["model"]["backbone"], "model.backbone")[1]
        self.scorers: dict[int, RunScorer] = {}
        self.described: tuple[Any, Path | None, Description] = (
            None,
            None,
            (),
        )  # the last reference, which others share
        if backbone.get("tuning", "frozen") == "frozen":
            whole = load_run(folder)  # one trunk for all folds
            parts = sorted(int(path.stem.split("-")[1]) for path in folder.glob("part-*.ckpt"))
            heads = dict(zip(parts, whole.heads, strict=True))
            self.scorers = {part: RunScorer(whole.trunk, [head], whole.facts) for part, head in heads.items()}  # type: ignore[list-item]

    def _scorer(self, part: int) -> RunScorer:
        if part not in self.scorers:
            self.scorers[part] = load_run(self.folder, part)
        return self.scorers[part]

    def __call__(self, fold: int, reference: Path, candidate: Path) -> Pixels:
        scorer = self._scorer(fold)
        size, how = scorer.facts.image_size, scorer.facts.resize
        planes = load_pixels(candidate, size, how)  # (3, S, S)
        with torch.no_grad():
            if (scorer.trunk, reference) != (self.described[0], self.described[1]):
                self.described = scorer.trunk, reference, scorer.describe(_image(load_pixels(reference, size, how)))
            difference = scorer.maps(self.described[2], scorer.describe(_image(planes)))[0, 0].float().numpy()  # (h, w)
        # the whole picture, or what of it the trunk saw
        base = thumbnail(candidate) if how in ("squash", "none") else planes.transpose(1, 2, 0)
        return overlay(base, _resized(difference, base.shape[0], base.shape[1]))


def _image(planes: Pixels) -> Tensor:
    """(3, H, W) uint8 as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(planes)[None].float() / 255.0


def _resized(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
