"""A finished run, ready to score: its backbone, the heads of its folds, and what it was trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbones import Backbone, build_backbone
from backbones.contract import current_key, weights_hash
from heads import Head, build_head
from heads.inputs import input_of
from heads.output import full_precision
from lightning_modules.model_config import RunFile, read_run_file
from registry import DATAMODULES, load_plugins
from semfid.errors import UserError
from semfid.io.torch_files import DamagedFileError, load_whole
from semfid.scoring.default_metric import load_metric_file
from semfid.scoring.load import load_scorer
from semfid.scoring.scorer import Description, Facts, Scorer
from semfid.settings import PluginSpec

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_METRIC = "default"  # the word for the packaged metric where a scorer is asked for
METRIC = "metric.pt"  # that a run of experts writes
DEFAULTS = {"image_size": 224, "resize": "squash"}


class RunScorer(Scorer):
    """Scores with the mean of the heads of a run's folds over one backbone.

    Args:
        backbone: eval mode; no gradient reaches its weights.
        heads: one per fold, of one kind.
        facts: see `semfid.scoring.scorer.Facts`.
    """

    def __init__(self, backbone: Backbone, heads: Sequence[Head], facts: Facts) -> None:
        super().__init__()
        self.backbone, self.heads, self.facts = backbone, nn.ModuleList(heads), facts
        self.requires_grad_(False)
        self.eval()

    def describe(self, images: Tensor) -> Description:
        return input_of(self.heads[0]).describe(self.backbone, images)

    def compare(self, reference: Description, candidate: Description) -> Tensor:
        return compare(self.heads, reference, candidate)

    def maps(self, reference: Description, candidate: Description) -> Tensor:
        if not self.facts.gives_maps:
            return super().maps(reference, candidate)
        return maps(self.heads, reference, candidate)

    def compare_with_maps(self, reference: Description, candidate: Description) -> tuple[Tensor, Tensor]:
        positions = input_of(self.heads[0]).positions(reference, candidate)
        with full_precision(reference[0].device.type):
            found = [head.score_and_map(positions) for head in self.heads]  # type: ignore[operator, union-attr]
        return torch.stack([score for score, _ in found]).mean(dim=0), torch.stack([own for _, own in found]).mean(
            dim=0
        )


def compare(heads: nn.ModuleList, reference: Description, candidate: Description) -> Tensor:
    """Mean over the heads, which are of one kind, of the difference of each pair, (B,)."""
    compared = input_of(heads[0]).compare(reference, candidate)
    with full_precision(reference[0].device.type):
        return torch.stack([head(compared) for head in heads]).mean(dim=0)


def maps(heads: nn.ModuleList, reference: Description, candidate: Description) -> Tensor:
    """Mean over the heads of the difference at every position: (B, 1, h, w) on the grid of the finest tap that a linear head
    uses, or of a grid head's finest grid; (B, 1, H, W) from a decoder.
    """
    positions = input_of(heads[0]).positions(reference, candidate)
    with full_precision(reference[0].device.type):
        return torch.stack([head.difference_map(positions) for head in heads]).mean(dim=0)  # type: ignore[operator, union-attr]


def load_run(folder: str | Path, part: int | None = None) -> RunScorer:
    """The scorer of a finished run.

    Args:
        part: the fold whose head is used; None: the mean over all folds' heads.

    Raises:
        UserError: no finished run, a run that cannot score pairs, backbone weights that are missing or not those that the run
            was trained on, several folds each with a backbone of its own and no `part`.
    """
    folder = Path(folder)
    config = _config(folder)
    parts = sorted(folder.glob("part-*.ckpt"), key=lambda path: int(path.stem.split("-")[1]))
    if not parts:
        raise UserError(f"{folder} has no part-0.ckpt: it is of a metric that needs no training; use a learned variant")
    if part is not None:
        parts = [path for path in parts if path.stem == f"part-{part}"]
        if not parts:
            raise UserError(f"{folder} has no part {part}; leave it out to use all folds")
    load_plugins(config.plugins)
    spec = config.model.needed_backbone
    if config.model.tuning != "frozen" and len(parts) > 1:
        raise UserError(
            f"{folder}: each of its {len(parts)} folds trained a backbone of its own; choose one by its number"
        )
    backbone = build_backbone(spec.name, _with_weights(spec.keywords, folder))
    heads = [_head(config, backbone, path) for path in parts]
    backbone.eval()  # before anything passes: BatchNorm that was trained would take up its statistics
    provenance = _json(folder / "provenance.json")
    defaults = {key: _default(config.data, key) for key in DEFAULTS}
    figures = _json(folder / "metrics.json").get("pooled", {})
    facts = Facts(
        run=f"{folder.resolve().parent.name}/{folder.resolve().name}",
        weights_hash="",
        image_size=int(provenance.get("image_size", defaults["image_size"])),
        resize=provenance.get("resize", defaults["resize"]),
        fixed_size=_fixed_size(backbone),
        gives_maps=heads[0].gives_maps,
        figures={key: figures[key] for key in ("srcc", "krcc", "plcc", "mse", "n") if key in figures},
    )
    scorer = RunScorer(backbone, heads, facts)
    scorer.facts = replace(facts, weights_hash=weights_hash(scorer))
    return scorer


def load_finished(folder: str | Path, part: int | None = None) -> Scorer:
    """The scorer of a finished run of any kind: `load_run`, or the metric's file that a run of experts wrote.

    Args:
        part: as of `load_run`; None: of a run of experts, the metric that was fitted on all pairs.

    Raises:
        UserError: as `load_run`; a file that is damaged.
    """
    folder = Path(folder)
    if not (folder / METRIC).is_file():
        return load_run(folder, part)
    _finished(folder)
    file = folder / (METRIC if part is None else f"part-{part}.pt")
    if not file.is_file():
        raise UserError(f"{folder} has no part {part}; leave it out to use the metric that was fitted on all pairs")
    return load_metric_file(file)


def open_scorer(path: str) -> Scorer:
    """The default metric by the word ``default``; other scorers by the path of a run folder or of a file (exported, or a metric's
    weights, ``.pt``), or by a pattern that fits one of them.

    Raises:
        UserError: nothing there, or not a scorer.
    """
    return load_scorer(None if path == DEFAULT_METRIC else path)


def _finished(folder: Path) -> None:
    """Refuse what is not the folder of a finished run."""
    if not (folder / "status.json").is_file():
        raise UserError(
            f"{folder} is not a run folder; give runs/<experiment>/<variant>-<hash>, or a file that `semfid export` wrote"
        )
    state = _json(folder / "status.json").get("state")
    if state != "done":
        raise UserError(f"{folder} is not finished (its state is {state}); run its experiment again")


def _config(folder: Path) -> RunFile:
    _finished(folder)
    config = read_run_file(folder)
    if (folder / METRIC).is_file():
        raise UserError(f"{folder} has no heads: it wrote its metric as one file; use {folder / METRIC}")
    if config.model.backbone is None or config.model.head is None:
        raise UserError(f"{folder} is a run of {config.model.name}, which scores no pairs; use a learned variant")
    return config


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read; train the run again") from error


def _with_weights(backbone: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The backbone's keywords with weights that can be found from here; a run names them as seen from where it was made."""
    if backbone.get("tuning") == "full":  # every weight is in the checkpoint
        return {**backbone, "pretrained": "none"}
    given = backbone.get("pretrained", "hub")
    if not (isinstance(given, str) and (given.endswith((".safetensors", ".pt", ".pth", ".ckpt")) or "/" in given)):
        return backbone
    for path in (Path(given), ROOT / given):
        if path.is_file():
            return {**backbone, "pretrained": str(path)}
    raise UserError(f"{folder}: its backbone weights {given} are missing; put the file back, or train the run again")


def _head(config: RunFile, backbone: Backbone, path: Path) -> Head:
    spec = config.model.needed_head
    head = build_head(spec.name, backbone, spec.keywords)
    try:
        saved = load_whole(path)
    except (OSError, DamagedFileError) as error:
        raise UserError(f"{path} cannot be read: it is cut off or damaged; train the run again") from error
    if backbone.tuning != "full" and saved["trunk_identity"] != backbone.identity:
        raise UserError(
            f"{path.parent} was trained on the backbone {saved['trunk_identity']}, but its weights file now holds "
            f"{backbone.identity}; restore the file, or train the run again"
        )
    both = nn.ModuleDict({"backbone": backbone, "head": head})
    state = {current_key(key): value for key, value in saved["state_dict"].items()}
    own = {key: value for key, value in state.items() if key.startswith(("backbone.", "head."))}
    both.load_state_dict(own)
    return head


def _default(data: PluginSpec, key: str) -> Any:
    if key in data.keywords:
        return data.keywords[key]
    parameter = DATAMODULES.get(data.name).keywords.get(key)
    return DEFAULTS[key] if parameter is None else parameter.default


def _fixed_size(backbone: Backbone) -> bool:
    """Whether the backbone, in eval mode, refuses images of another size than its own: tried, since every family has rules of
    its own.
    """
    refused = 0
    for side in (64, 96):
        try:
            with torch.no_grad():
                backbone(torch.zeros(1, 3, side, side))
        except (UserError, RuntimeError, AssertionError, ValueError):
            refused += 1
    return refused > 0
