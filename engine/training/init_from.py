"""Training that starts from a finished run: its head, and what it trained of the backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from backbones import Backbone
from backbones.contract import current_key
from datamodules.base import PairDataModule
from engine.config.schema import RunConfig
from engine.runs.run_folder import RunFolder
from heads import Head
from lightning_modules.model_config import ModelSection, RunFile, filled, read_run_file
from lightning_modules.pair_module import PairModule
from registry import BACKBONES, HEADS
from semfid.errors import UserError
from semfid.io.torch_files import DamagedFileError, load_whole
from semfid.scoring.exported import one_path

OWN = (
    "tuning",
    "lora_rank",
    "batch_norm",
    "pretrained",
    "init_seed",
)  # of a backbone: judged by themselves, or by weights


@dataclass(frozen=True)
class InitialWeights:
    """A finished run as the start of another.

    Attributes:
        folder: of the run.
        config: of the run.
        parts: how many trainings it holds.
    """

    folder: Path
    config: RunFile
    parts: int

    @classmethod
    def of(cls, config: RunConfig) -> InitialWeights | None:
        """What the key ``init_from`` of a variant names; None where it names nothing. Loads no weights.

        Raises:
            UserError: no such run, one that is not finished, or one of another model; names the difference.
        """
        if config.init_from is None:
            return None
        try:
            folder = one_path(config.init_from)
        except UserError as error:
            raise UserError(f"init_from: {error}") from error
        state = RunFolder(folder).state
        if state != "done":
            raise UserError(f"init_from: {folder} is no finished run (its state is {state}); run its experiment first")
        try:
            own = read_run_file(folder)
        except UserError as error:
            raise UserError(f"init_from: {folder / 'config.yaml'} cannot be read; run its experiment again") from error
        parts = len(list(folder.glob("part-*.ckpt")))
        if not parts:
            raise UserError(f"init_from: {folder} has trained nothing; give the run of a learned variant")
        found = cls(folder, own, parts)
        found._same_model(config.needed_model)
        return found

    def _same_model(self, model: ModelSection) -> None:
        theirs = self.config.model
        self._equal("model", {"name": model.name}, {"name": theirs.name})
        mine, other = (filled(BACKBONES, one.needed_backbone) for one in (model, theirs))
        self._equal("model.backbone", {"name": model.needed_backbone.name}, {"name": theirs.needed_backbone.name})
        self._equal("model.backbone", *({k: v for k, v in one.items() if k not in OWN} for one in (mine, other)))
        self._equal("model.head", {"name": model.needed_head.name}, {"name": theirs.needed_head.name})
        self._equal("model.head", *(filled(HEADS, one.needed_head) for one in (model, theirs)))
        if theirs.tuning != "frozen":  # the backbone comes from the run, too
            keys = ("tuning", "lora_rank") if theirs.tuning == "lora" else ("tuning",)
            self._equal("model.backbone", {k: mine.get(k) for k in keys}, {k: other.get(k) for k in keys})

    def _equal(self, where: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        for key in (*mine, *theirs):
            if mine.get(key) != theirs.get(key):
                raise UserError(
                    f"init_from: {self.folder} is of another model: its {where}.{key} is {theirs.get(key)!r} and here it is "
                    f"{mine.get(key)!r}; set {where}.{key} alike, or start from another run"
                )

    def check_data(self, data: PairDataModule) -> None:
        """Refuse to test on what the run was trained on.

        Raises:
            UserError: photos of a training of the run among those that are tested here; folds that do not correspond.
        """
        if self.parts not in (1, len(data.parts)):
            raise UserError(
                f"init_from: {self.folder} has {self.parts} folds and this variant {len(data.parts)}; start from a run with one "
                f"split, or use its folds: data.split.file={self.folder}/split.csv"
            )
        if data.leaky:
            return
        split = self._split()
        sources = data.table.frame["source_id"].astype(str).to_numpy()
        for part in data.parts:
            seen = (
                split["source_id"][split["fold"] != part.index]
                if self.parts > 1
                else split["source_id"][split["trained"]]
            )
            both = sorted(set(seen) & set(sources[part.test]))
            if both:
                raise UserError(
                    f"init_from: {self.folder} was trained on photo {both[0]!r}, which is tested here ({len(both)} such photos); "
                    f"test on other photos, or take over its split: data.split.file={self.folder}/split.csv"
                )

    def _split(self) -> pd.DataFrame:
        try:
            split = pd.read_csv(self.folder / "split.csv", dtype={"source_id": str}, keep_default_na=False)
            if self.parts == 1:
                split["trained"] = split["split"] != "test"
            return split[["source_id", "fold" if self.parts > 1 else "trained"]]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"init_from: {self.folder / 'split.csv'} cannot be read; run its experiment again"
            ) from error

    def load_module(self, module: PairModule, part: int) -> None:
        """Give a module the weights of the run's training number `part`, or of its only one.

        Raises:
            UserError: a file that cannot be read, weights of another shape, another backbone.
        """
        state = self._load(part, module.backbone)
        self._put(module.head, state["head"])
        if state["backbone"]:
            self._put(module.backbone, state["backbone"])

    def load_head(self, head: Head, backbone: Backbone, part: int) -> None:
        """`load_module` of a head alone, for a backbone that is frozen.

        Raises:
            UserError: as `load_module`.
        """
        self._put(head, self._load(part, backbone)["head"])

    def _load(self, part: int, backbone: Backbone) -> dict[str, dict[str, Tensor]]:
        path = self.folder / f"part-{part if self.parts > 1 else 0}.ckpt"
        try:
            saved = load_whole(path)
            state, identity = saved["state_dict"], saved["trunk_identity"]
        except (OSError, KeyError, DamagedFileError) as error:
            raise UserError(f"init_from: {path} cannot be read; run its experiment again") from error
        found: dict[str, dict[str, Tensor]] = {"head": {}, "backbone": {}}
        for key, tensor in state.items():
            side, _, rest = current_key(key).partition(".")
            if side in found:
                found[side][rest] = tensor
        if self.config.model.tuning != "full" and identity != backbone.identity:
            raise UserError(
                f"init_from: {self.folder} was trained on the backbone {identity}, and this variant's is {backbone.identity}; "
                "set model.backbone.pretrained to the weights that it used"
            )
        return found

    def _put(self, module: torch.nn.Module, state: Mapping[str, Any]) -> None:
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"init_from: the weights of {self.folder} do not fit: {reason}") from error
        if isinstance(module, Head):
            module.needs_calibration = False  # what the run's training pairs set stays
