"""Weights of a metric of the default kind as one file, and the file of the package (`semfid/scoring/weights`) with its hash."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from semfid.errors import UserError
from semfid.io.files import write_whole
from semfid.scoring.default_metric import PACKAGED, DefaultMetric, Spec, load_metric_file
from semfid.scoring.efficientnet_lite import TAPS, timm_names
from semfid.scoring.predictors import ExpertsMap, ExpertsPredictor, MapHead, Part


def save_default_metric(
    path: Path, backbone_state: Mapping[str, Tensor], predictor: Part, map_head: MapHead | None, spec: Spec
) -> str:
    """Write a metric's file; equal arguments give equal bytes.

    Args:
        path: ``.pt``.
        backbone_state: by timm's names of `tf_efficientnet_lite0`; what `spec` does not need is left out. Stored in float16.
        predictor: takes the statistics of `spec` side by side, (B, D).
        map_head: takes the squared differences of ``spec.map_input``.
        spec: with calibration (``saturation``, ``bands``), figures and card.

    Returns:
        SHA-256 of the file, in hexadecimal.

    Raises:
        UserError: the parts do not fit `spec`; bands that do not begin at 0 and rise; a tap that there is not.
    """
    loaded(spec, backbone_state, predictor, map_head)
    held: dict[str, str | Tensor] = {"spec": spec.to_json()}
    for weights, norm in timm_names(spec.taps()[-1]):
        for name in (weights, *(f"{norm}.{key}" for key in ("weight", "bias", "running_mean", "running_var"))):
            held[f"backbone/{name}"] = backbone_state[name].detach().cpu().half().contiguous()
    held |= {f"predictor/{name}": tensor for name, tensor in predictor.stored().items()}
    if map_head is not None:
        held |= {f"map/{name}": tensor for name, tensor in map_head.stored().items()}
    buffer = io.BytesIO()
    torch.save(held, buffer)
    write_whole(path, buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def install_default_metric(file: Path) -> None:
    """Make a file the default metric of the package: copy it there, and note its hash and what it answers.

    Raises:
        UserError: not a metric's weights.
    """
    content = file.read_bytes()
    score, level = answers(load_metric_file(file))
    write_whole(PACKAGED / "default_metric.pt", content)
    text = (
        '"""The default metric\'s weights. Written by `engine.default_metric_file.install_default_metric`."""\n\n'
        f'FILE = "default_metric.pt"\nSHA256 = "{hashlib.sha256(content).hexdigest()}"\n'
        f"ANSWERS = ({score:.5f}, {level:.5f})\n"
        '"""Score and mean of the map of a pair made by code. A test holds the metric to them: a change in functions that it\n'
        'shares with heads would change what it answers."""\n'
    )
    write_whole(PACKAGED / "__init__.py", text.encode())


def answers(metric: DefaultMetric) -> tuple[float, float]:
    """Score and mean of the map of a smooth picture against itself with another patch; mean 0 where there is no map."""
    draw = torch.Generator().manual_seed(0)
    small = torch.rand(2, 3, 12, 10, generator=draw)
    reference, patch = F.interpolate(small, (144, 120), mode="bilinear", align_corners=False).split(1)
    candidate = reference.clone()
    candidate[..., 40:90, 30:70] = patch[..., 40:90, 30:70]
    with torch.no_grad():
        score, maps = metric.score_and_map(reference, candidate)
    return float(score), 0.0 if maps is None else float(maps.mean())


def _check_spec(spec: Spec) -> None:
    unknown = [tap for one in (*spec.statistics, spec.map_input) if one for tap in one.taps if tap not in TAPS]
    if unknown:
        raise UserError(f"default metric: no tap '{unknown[0]}'; choose from {', '.join(TAPS)}")
    starts = [least for least, _ in spec.bands]
    if starts[:1] != [0.0] or any(b <= a for a, b in pairwise(starts)):
        raise UserError(f"default metric: bands begin at {starts}; begin at 0 and rise")
    if not 0.0 < spec.saturation < 1.0:
        raise UserError(f"default metric: saturation={spec.saturation:g} must lie between 0 and 1")


def loaded(
    spec: Spec, backbone_state: Mapping[str, Tensor], predictor: Part, map_head: MapHead | None
) -> DefaultMetric:
    """The metric as its file would be, to be evaluated before it is written.

    Raises:
        UserError: see `save_default_metric`.
    """
    _check_spec(spec)
    if (spec.predictor, spec.map_head) != (predictor.kind, map_head and map_head.kind):
        raise UserError("default metric: spec.predictor and spec.map_head must name the kinds of the two parts")
    if (spec.map_input is None) != (map_head is None):
        raise UserError("default metric: give both spec.map_input and map_head, or neither")
    if isinstance(map_head, ExpertsMap) and not isinstance(predictor, ExpertsPredictor):
        raise UserError(
            f"default metric: a map of two experts needs the share of each; predictor '{predictor.kind}' has none"
        )
    state = {name: tensor.half() for name, tensor in backbone_state.items()}
    metric = DefaultMetric(spec, state, predictor, map_head, "unsaved")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    try:
        score, maps = metric.score_and_map(images, images)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"default metric: its parts do not fit the spec's columns and taps: {error}") from error
    if score.shape != (2,) or bool(score.any()) or (maps is not None and bool(maps.any())):
        raise UserError("default metric: identical images must give exactly 0; use heads without an intercept")
    return metric
