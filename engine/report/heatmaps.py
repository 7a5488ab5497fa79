"""The heat maps of a finished run, or why there are none."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.config.schema import RunConfig
from engine.report.pictures import DrawMap, Pixels, thumbnail
from engine.results.map_makers import MapMaker, RunMaps, gives_maps, map_maker
from engine.results.map_targets import Map
from engine.results.run_result import RunResult
from semfid.errors import UserError
from semfid.io.images import load_pixels
from semfid.scoring.heatmap import overlay

# what loading a run's files can meet when they were removed or changed after it had finished
BROKEN = (UserError, OSError, EOFError, RuntimeError, pickle.UnpicklingError)


def map_drawer(run: RunResult, config: RunConfig) -> DrawMap | str:
    """What draws the maps of a run; where there are none, a sentence that says why, empty where none are expected.

    Args:
        config: of the run.
    """
    if not run.learned:
        return ""
    try:
        return _Drawer(RunMaps(run.path, config)) if gives_maps(config) else ""
    except BROKEN as error:
        return f"No heat maps: {' '.join(str(error).split())}."


def open_maker(run: RunResult, config: RunConfig) -> MapMaker | str:
    """What makes the maps of a run that has metrics of them, or why it cannot be had."""
    try:
        return map_maker(run.path, config)
    except BROKEN as error:
        return " ".join(str(error).split())


class _Drawer:
    """Draws with the head, and the backbone, of the fold that a pair was tested in: the map belongs to the score shown."""

    def __init__(self, maker: RunMaps) -> None:
        self.maker = maker

    def __call__(self, fold: int, reference: Path, candidate: Path) -> Pixels:
        facts = self.maker.scorer(fold).facts
        size, how = facts.image_size, facts.resize
        planes = load_pixels(candidate, size, how)  # (3, S, S)
        x = image_tensor(load_pixels(reference, size, how))
        difference = self.maker(fold, [str(reference)], x, image_tensor(planes))[0, 0].numpy()  # (S, S)
        # the whole picture, or what of it the backbone saw
        base = thumbnail(candidate) if how in ("squash", "bounded", "none") else planes.transpose(1, 2, 0)
        return overlay(base, resized(difference, base.shape[0], base.shape[1]))


def image_tensor(planes: Pixels) -> Tensor:
    """(3, H, W) uint8 as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(planes)[None].float() / 255.0


def resized(values: Map, height: int, width: int) -> Map:
    """A map at another size; unknown pixels spread to those that are made of them."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
