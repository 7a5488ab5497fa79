"""A head that compares a pair with the training pairs: Gaussian kernels over blocks of pooled squared differences.

    score = output( sum_i a_i (k(z, z_i) - k(0, z_i) - k(z, 0) + 1) ),   k(z, z_i) = mean_b exp(-gamma |z_b - z_ib|^2)

A block b is one pooling of one stage, compressed; z divides each input by its size over the training pairs (as
`heads.statistics.channel_rms` gives it) and by the root of the block's width, so that blocks weigh alike. The kernel is
anchored: every function it spans is exactly 0 at identical images.

Its weights are solved for and never trained: kernel ridge regression and its kin (Saunders et al., ICML 1998) are linear in the
coordinates of the training pairs in the kernel's own space, so that `engine.training.exact_fit` chooses the penalty and
solves as for any linear head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from heads.contract import BackboneShape, Compress, Head, LinearForm, Normalize
from heads.output import Output, apply_output
from heads.statistics import channel_rms, compressed, is_sided, last_taps, of_last_taps, parse_poolings
from registry import HEADS
from semfid.errors import UserError
from semfid.scoring.predictors import kernel_changes

MOST_PAIRS = 5000  # an eigendecomposition of more takes minutes
RANK = 1e-12  # of the largest eigenvalue: smaller ones are rounding


@HEADS.register(
    "kernel",
    summary="Gaussian kernels over blocks of pooled differences; solved for, a few thousand training pairs at most",
    source="kernel ridge regression, Saunders et al., ICML 1998",
)
class Kernel(Head):
    """Similarity to training pairs, over the last `depth` + 1 stages.

    Args:
        depth: as of `lpips_linear`.
        normalize: ``none`` or ``unit``.
        pooling: see `heads.statistics.parse_poolings`; by default means and maxima of both directions and of each alone.
        compress: see `heads.statistics.compressed`.
        gamma: of the kernels, over blocks whose mean squared length over the training pairs is below 1; small ones are nearly
            linear.
        output: see `heads.output`.
    """

    input_kind = "pooled_squared_differences"
    solved = True
    calibration_pairs = MOST_PAIRS

    support: Tensor
    coefficients: Tensor
    scale: Tensor

    def __init__(
        self,
        backbone: BackboneShape,
        depth: int = 3,
        normalize: Normalize = "none",
        pooling: str | list[str] = ["gained:mean", "gained:max", "lost:mean", "lost:max", "mean", "max"],  # noqa: B006 - only read
        compress: Compress = "sqrt",
        gamma: float = 3.0,
        output: Output = "clamp",
    ) -> None:
        super().__init__()
        used = last_taps(backbone.channels, depth)
        if not gamma > 0:
            raise UserError(f"head: gamma={gamma:g} must be above 0; 3 suits most features")
        self.poolings, self.compress, self.gamma = parse_poolings(pooling), compress, gamma
        self.normalize, self.output = normalize, output
        self.symmetric = not is_sided(self.poolings)
        self.widths = used * len(self.poolings)
        self._start = sum(backbone.channels) - sum(used)
        self.needs_calibration = True
        self.register_buffer("scale", torch.ones(sum(self.widths)))
        self.register_buffer("support", torch.zeros(0, sum(self.widths)))
        self.register_buffer("coefficients", torch.zeros(0))

    def calibrate(self, features: Tensor) -> None:
        """Take over sizes and training pairs, and let each count alike until coefficients are set.

        Raises:
            UserError: more than `MOST_PAIRS` pairs.
        """
        if len(features) > MOST_PAIRS:
            raise UserError(
                f"head: kernel compares with every training pair, and {len(features)} are too many (at most {MOST_PAIRS}); "
                "use lpips_linear with pooling and compress"
            )
        inputs = self.inputs(features)
        sizes = [channel_rms(block) * len(block.T) ** 0.5 for block in inputs.split(self.widths, dim=1)]
        self.scale = torch.cat([torch.where(own > 0, own, 1.0) for own in sizes]).to(inputs)
        self.support = inputs / self.scale
        self.coefficients = inputs.new_full((len(inputs),), 1 / len(inputs))

    @classmethod
    def linear_form(cls, keywords: Mapping[str, Any]) -> LinearForm | None:
        return LinearForm(keywords["output"], nonnegative=False, bias=False)

    def linear_inputs(self, features: Tensor) -> Tensor:
        """(n, r) float64 coordinates of the n calibration pairs in the space of the anchored kernel.

        Raises:
            UserError: other pairs than those of `calibrate`.
        """
        z = (self.inputs(features) / self.scale).double()
        if z.shape != self.support.shape or not torch.equal(z.to(self.support), self.support):
            raise UserError(
                "head: kernel is solved for on the pairs that it was calibrated with; calibrate it with all of them"
            )
        gram = self._similarities(z)  # (n, n)
        values, vectors = torch.linalg.eigh((gram + gram.T) / 2)
        kept = values > RANK * values[-1]
        roots = values[kept].sqrt()
        self._to_coefficients = vectors[:, kept] / roots  # (n, r)
        return vectors[:, kept] * roots

    def linear_sizes(self, inputs: Tensor) -> Tensor:
        return torch.ones(inputs.shape[1], dtype=torch.float64)  # the kernel has scaled them

    def set_linear(self, weights: Tensor, bias: float) -> None:
        self.coefficients = (self._to_coefficients @ weights.double()).to(self.support)

    def forward(self, features: Tensor) -> Tensor:
        z = self.inputs(features) / self.scale
        return apply_output(self._similarities(z) @ self.coefficients, self.output)  # (B,)

    def _similarities(self, z: Tensor) -> Tensor:
        """(B, n) of the anchored kernel between (B, D) and the training pairs."""
        if not len(self.support):
            return z.new_zeros(len(z), 0)
        with_zero = torch.cat([self.support.to(z), z.new_zeros(1, z.shape[1])])
        gammas: Sequence[float] = [self.gamma] * len(self.widths)
        changes = kernel_changes(z.split(self.widths, dim=1), with_zero.split(self.widths, dim=1), gammas)  # (B, n + 1)
        return changes[:, :-1] - changes[:, -1:]

    def inputs(self, features: Tensor) -> Tensor:
        """(B, P * sum of used C_l): the used taps of each pooling, compressed."""
        return compressed(of_last_taps(features, len(self.poolings), self._start), self.compress)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # as many training pairs as the file holds
        for name in ("support", "coefficients"):
            held = state_dict.get(f"{prefix}{name}")
            if held is not None:
                setattr(self, name, torch.zeros_like(held, device=self.scale.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
