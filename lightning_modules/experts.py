"""Two experts and a gate, the kind of metric that the package ships: what they see, and how they become one file.

    difference = saturated( g k(v) + (1 - g) max_p m(p) )

k is kernel ridge regression on pooled differences v of the images as they are, fitted on *rated* pairs: outputs of restoration,
where every position differs a little. m is local evidence on a small view of the images, trained on all other pairs: edits, where
most positions do not differ; raised to a power, it is the share of such pairs that are changed. The gate g says which of the two
kinds a pair is. The map mixes alike: local evidence where a place was edited, and where an image was restored a sum of
differences, each channel by what it says of the rated pairs' labels.

Solved for or trained on cached statistics by `engine.runs.run_experts`; nothing here is stepped through images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor, nn

from backbones import Backbone
from heads import build_head
from heads.kernel import Kernel
from heads.local_evidence import LocalEvidence
from heads.statistics import channel_rms, compressed, split_side
from lightning_modules.optimizers import check_optimizer
from registry import LIGHTNING_MODULES
from semfid.errors import UserError, did_you_mean
from semfid.scoring.default_metric import Differences, Spec, Statistic
from semfid.scoring.efficientnet_lite import STRIDES
from semfid.scoring.predictors import ExpertsMap, ExpertsPredictor

# the stages that timm gives of it, by the names of the package's own network
STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")
BACKBONE = "tf_efficientnet_lite0"
RESTORED_PENALTY = 10.0  # so that nearly all channels take part: a sparse map marks fewer of the rated places
WORDS = ("same", "details differ", "a detail changed", "something became something else", "changed beyond doubt")
"""In words: grades 0 to 3 of the ratings; beyond them the answer does not depend on how large the change is."""
BANDS = tuple(zip((0.0, 0.125, 0.375, 0.625, 0.875), WORDS, strict=True))

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gate:
    """g = sigmoid(slope (v / scale . weights + offset)), see `predictors.ExpertsPredictor`.

    Attributes:
        weights: (D,)
    """

    weights: Floats
    offset: float


@LIGHTNING_MODULES.register(
    "experts", summary="a kernel expert for restored images, local evidence for edited ones, a gate; writes metric.pt"
)
class Experts(nn.Module):
    """Settings of both experts, and their heads.

    Args:
        backbone: timm's tf_efficientnet_lite0, frozen: the package has this network of its own.
        rated: sets of `data` (see the datamodule ``joined``) whose labels are of raters; the others are edits.
        kernel: keywords of the head ``kernel``.
        evidence: keywords of the head ``local_evidence``, of 5 stages.
        view: side that images are squashed to for local evidence.
        penalty: of the kernel expert; None: chosen by leaving photos out.
        power: local evidence is raised to it, see `predictors.ExpertsMap`; its rank order stays.
        gate_ridge: of the gate's regression; large, the gate is softer.
        slope: of the gate.
        optimizer: of local evidence.
        saturation: where differences bend towards 1, see `predictors.saturated`.
        metric: its name, with its version.
    """

    def __init__(
        self,
        backbone: Backbone,
        rated: list[str],
        kernel: dict[str, Any] | None = None,
        evidence: dict[str, Any] | None = None,
        view: int = 224,
        penalty: float | None = None,
        power: float = 1.0,
        gate_ridge: float = 1.0,
        slope: float = 20.0,
        optimizer: dict[str, Any] | None = None,
        saturation: float = 0.8,
        metric: str = "semfid experts",
    ) -> None:
        super().__init__()
        if not backbone.identity.startswith(f"timm.{BACKBONE}-") or backbone.tuning != "frozen":
            raise UserError(f"model: experts needs model.backbone: {{name: timm, model: {BACKBONE}, tuning: frozen}}")
        for key, value in (("gate_ridge", gate_ridge), ("slope", slope), ("penalty", penalty)):
            if value is not None and not value > 0:
                raise UserError(f"model.{key} is {value:g}; it must be above 0")
        if view < 32:
            raise UserError(f"model.view is {view}; it must be at least 32 pixels, 224 is a good start")
        self.backbone, self.rated, self.view = backbone, tuple(rated), view
        if power < 1:
            raise UserError(f"model.power is {power:g}; it must be at least 1")
        self.power = power
        self.penalty, self.gate_ridge, self.slope = penalty, gate_ridge, slope
        self.saturation, self.metric = saturation, metric
        self.optimizer = optimizer or {"name": "adamw", "lr": 4e-3, "weight_decay": 0.01, "schedule": "cosine"}
        check_optimizer(self.optimizer)
        self._kernel, self._evidence = dict(kernel or {}), dict(evidence or {})
        for options, key in ((self._kernel, "kernel"), (self._evidence, "evidence")):
            for fixed in {"output", "normalize"} & set(options):
                raise UserError(f"model.{key}.{fixed} is the metric's own; remove it")
        self.new_kernel(), self.new_evidence()  # so that an error in their keywords is raised now

    def new_kernel(self) -> Kernel:
        made = build_head("kernel", self.backbone, {**self._kernel, "output": "identity"})
        assert isinstance(made, Kernel)
        return made

    def new_evidence(self) -> LocalEvidence:
        made = build_head("local_evidence", self.backbone, {**self._evidence, "output": "sigmoid"})
        assert isinstance(made, LocalEvidence)
        return made

    def is_rated(self, origins: Sequence[str]) -> NDArray[np.bool_]:
        """(N,) whether a pair of these origins, ``<set>`` or ``<set>: ...``, is rated.

        Raises:
            UserError: a rated set that is not there, or no pair of one of the two kinds.
        """
        sets = np.array([origin.partition(": ")[0] for origin in origins])
        for name in self.rated:
            if name not in sets:
                known = sorted(set(sets.tolist()))
                raise UserError(
                    f"model.rated: data has no set {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}"
                )
        found = np.isin(sets, self.rated)
        if found.all() or not found.any():
            raise UserError("model: experts needs rated pairs and edited ones; give both as sets of data.name: joined")
        return found

    def gate(self, inputs: Floats, rated: NDArray[np.bool_]) -> Gate:
        """Ridge regression of 1 (rated) and 0 (edited) on (n, D) scaled inputs, both kinds weighing alike; 0.5 divides them."""
        target = rated.astype(np.float64)
        weights = np.where(rated, (~rated).sum() / rated.sum(), 1.0)
        share = weights / weights.sum()
        centre, level = share @ inputs, share @ target
        moved = inputs - centre
        solved = np.linalg.solve(moved @ moved.T + self.gate_ridge * np.diag(1 / weights), target - level)
        plane = moved.T @ solved
        return Gate(plane, float(level - centre @ plane - 0.5))

    def restored(self, grids: Sequence[Tensor], difference: Floats) -> Tensor:
        """(K,) nonnegative weights of a restored image's map.

        A nonnegative ridge regression of rated labels on the means over positions of (n, K_l, h_l, w_l) differences: the same
        weights at every position then say where. No place is seen.
        """
        compress = self.new_evidence().compress
        means = torch.cat(
            [compressed(grid.float(), compress).mean(dim=(2, 3)) for grid in grids], dim=1
        ).double()  # (n, K)
        scale = channel_rms(means).numpy()
        scale[scale == 0] = 1.0
        inputs = means.numpy() / scale
        penalty = RESTORED_PENALTY * np.eye(len(scale))
        weights, _ = nnls(np.concatenate([inputs, penalty]), np.concatenate([difference, np.zeros(len(scale))]))
        return torch.from_numpy(weights / scale)

    def predictor(self, kernel: Kernel, gate: Gate) -> ExpertsPredictor:
        """The solved kernel and the gate as the package computes them."""
        # the package leaves the kernel's value at zero out of each support; one support at zero brings the rest
        support = torch.cat([kernel.support, kernel.support.new_zeros(1, kernel.support.shape[1])])
        coefficients = torch.cat([kernel.coefficients, -kernel.coefficients.sum().reshape(1)])
        return ExpertsPredictor(
            support=support,
            coefficients=coefficients,
            scale=kernel.scale,
            widths=torch.tensor(kernel.widths),
            gamma=torch.full((len(kernel.widths),), kernel.gamma),
            gate=torch.from_numpy(gate.weights),
            offset=torch.tensor(gate.offset),
            slope=torch.tensor(self.slope),
        )

    def map_head(self, evidence: LocalEvidence, restored: Tensor) -> ExpertsMap:
        return ExpertsMap(
            first=(evidence.first / evidence.scale).detach(),
            first_bias=evidence.first_bias.detach(),
            second=evidence.second.detach(),
            second_bias=evidence.second_bias.detach(),
            last=evidence.last.detach(),
            strides=torch.tensor([STRIDES[stage] for stage in STAGES]),
            stride=torch.tensor(evidence.stride),
            restored=restored,
            power=torch.tensor(self.power),
        )

    def spec(self, figures: Mapping[str, float], card: Mapping[str, Any]) -> Spec:
        """What the file says of itself.

        Args:
            figures: of held-out pairs.
            card: data, labels, licences.
        """
        kernel, evidence = self.new_kernel(), self.new_evidence()
        used = STAGES[len(STAGES) - len(kernel.widths) // len(kernel.poolings) :]
        statistics: list[Statistic] = []
        for side, pooling in map(split_side, kernel.poolings):
            own = Statistic(taps=used, compress=kernel.compress, sides=side or "both", poolings=(pooling,))  # type: ignore[arg-type]
            if statistics and statistics[-1].sides == own.sides:  # one pass over the differences gives both
                own = Statistic(
                    taps=used, compress=kernel.compress, sides=own.sides, poolings=(*statistics.pop().poolings, pooling)
                )
            statistics.append(own)
        return Spec(
            name=self.metric,
            statistics=tuple(statistics),
            predictor=ExpertsPredictor.kind,
            saturation=self.saturation,
            map_input=Differences(taps=STAGES, compress=evidence.compress),
            map_head=ExpertsMap.kind,
            map_view=self.view,
            peak=True,
            bands=BANDS,
            figures=dict(figures),
            card=dict(card),
        )
