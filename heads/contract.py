"""The contract of a head, and what heads are fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heads.features import Taps
from heads.inputs import input_of
from heads.output import Output
from semfid.errors import deprecated
from semfid.scoring.statistics import Compress, Normalize

__all__ = ["BackboneShape", "Compress", "Head", "LinearForm", "MapHead", "Normalize", "Scale", "Taps"]

Scale = Literal["none", "train"]


@dataclass(frozen=True)
class LinearForm:
    """How a head is linear: its score is output(inputs . weights + bias), over inputs that no parameter of it changes.

    Attributes:
        output: see `heads.output`.
        nonnegative: whether weights below 0 are excluded.
        bias: whether there is a constant.
    """

    output: Output
    nonnegative: bool
    bias: bool


class BackboneShape(Protocol):
    """What a head may know of its backbone; every `backbones.Backbone` has it."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    block_channels: tuple[int, ...]
    embed_dim: int


class Head(nn.Module):
    """From what two images look like inside a backbone to one difference per pair.

    Attributes:
        input_kind: what `forward` takes, by the name of a `heads.inputs.HeadInput`.

            * ``pooled_squared_differences``: (B, P * sum of C_l), (f_l(x) - f_l(y))^2 pooled over positions in P ways:
              poolings side by side in the order of `poolings`, within each the taps from shallow to deep.
            * ``pooled_features``: (B, 2, sum of C_l), spatial means of reference's and candidate's features.
            * ``embeddings``: (B, 2, D).
            * ``difference_grids``: a list of (B, K_l, h_l, w_l), or the same side by side, (B, D): squared differences on
              grids that are no finer than the head's stride. Such a head is a `heads.grid_head.GridHead`.
            * ``squared_difference_maps``: a list: the images' own squared difference, mean over the colour channels,
              (B, 1, H, W), then (B, C_l, H_l, W_l) per stage, of images padded to multiples of every stride. Such a head is a
              `heads.decoders.base.DecoderHead`: it gives a map at the size of the images, and the score is one of the map.

            All but the last are computed once with a frozen backbone, and cached.
        taps: stages or residual blocks.
        normalize: ``unit`` scales each position's channel vector to length 1 before differences are taken.
        poolings: how squared differences are pooled over positions, see `heads.statistics.parse_poolings`; each is
            cached apart, so that heads share what they have in common.
        symmetric: whether exchanging reference and candidate leaves the score as it is.
        zero_at_identity: whether identical images score exactly 0.
        nonnegative: names of parameters that are set to max(w, 0) after each optimiser step.
        gives_maps: whether it also says where, as a `MapHead`, a `GridHead` or a `DecoderHead`.
        needs_calibration: whether `calibrate` must see the training pairs' statistics before the first step.
        calibration_pairs: how many of them at most, the first ones.
        solved: nothing of it trains: its weights are solved for, and it has no other fit.
        score_learns: whether its score has weights that the map does not depend on.
        trains_mixed: whether training it takes the trainer's precision; all else is of float32.
    """

    input_kind: ClassVar[str]
    taps: ClassVar[Taps] = "stages"
    symmetric: bool = True
    gives_maps: ClassVar[bool] = False
    normalize: Normalize = "none"
    poolings: tuple[str, ...] = ("mean",)
    zero_at_identity: bool = True
    nonnegative: tuple[str, ...] = ()
    needs_calibration: bool = False
    calibration_pairs: ClassVar[int] = 1024
    solved: ClassVar[bool] = False
    score_learns: bool = False
    trains_mixed: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "consumes" in vars(cls):
            deprecated(f"head {cls.__name__}: consumes is called input_kind now")
            cls.input_kind = vars(cls)["consumes"]

    def forward(self, features: Tensor) -> Tensor:
        """Predicted difference, (B,)."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def calibrate(self, features: Tensor) -> None:
        """Set what depends on the data and does not train, in place, from training pairs: (n, ...) as `forward` takes it."""

    def difference_map(self, positions: list[Tensor]) -> Tensor:
        """(B, 1, h, w) differences at every position; of a head that gives maps.

        Args:
            positions: as `heads.inputs.HeadInput.positions` gives it.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no maps")

    def score_and_map(self, positions: list[Tensor], detach_map: bool = False) -> tuple[Tensor, Tensor]:
        """`forward` and `difference_map` of the same pairs.

        Args:
            detach_map: the gradient of a score that is one of the map does not reach the map.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no maps")

    @classmethod
    def linear_form(cls, keywords: Mapping[str, Any]) -> LinearForm | None:
        """How a head with these keywords, all of them given, is linear; None where it is not.

        A linear head has `linear_inputs` and `set_linear` too; it is then fitted exactly where the loss allows it.
        """
        return None

    def linear_inputs(self, features: Tensor) -> Tensor:
        """(n, D) what a linear head's weights are multiplied with, from features as `forward` takes it."""
        raise NotImplementedError(f"{type(self).__name__} is not linear: it has no linear_inputs")

    def linear_sizes(self, inputs: Tensor) -> Tensor:
        """(D,) above 0, what a linear head's inputs (n, D) of training pairs are divided by before their weights are penalised.

        Not centred: an input of 0 stays 0. By default their root mean squares.
        """
        rms = inputs.double().square().mean(dim=0).sqrt()
        return torch.where(rms > 0, rms, 1.0)

    def set_linear(self, weights: Tensor, bias: float) -> None:
        """Set the (D,) weights and the constant (0 for a head without one) of a linear head."""
        raise NotImplementedError(f"{type(self).__name__} is not linear: it has no set_linear")

    def project(self) -> None:
        """Put the parameters of `nonnegative` back where they belong."""
        for name in self.nonnegative:
            self.get_parameter(name).data.clamp_(min=0.0)


class MapHead(Head):
    """A head that can also say where: it weighs every position as it weighs the pooled whole.

    With mean pooling and no compression the score is the spatial mean of the per-position scores.
    """

    gives_maps = True

    def difference_maps(self, squared_differences: Sequence[Tensor]) -> list[Tensor]:
        """Per-position scores, one (B, 1, H_l, W_l) per used tap, before the output function.

        Args:
            squared_differences: (B, C_l, H_l, W_l) for every tap of the backbone, shallow to deep; signed where any of the
                head's poolings is one-sided, see `heads.statistics.differences_for`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement difference_maps")

    def difference_map(self, positions: list[Tensor]) -> Tensor:
        """On the grid of the finest tap that is used."""
        taps = self.difference_maps([tap.float() for tap in positions])  # one (B, 1, h_l, w_l) per used tap
        size = taps[0].shape[-2:]
        same = [F.interpolate(tap, size=size, mode="bilinear", align_corners=False) for tap in taps]
        return self.finish(torch.stack(same).mean(dim=0))

    def score_and_map(self, positions: list[Tensor], detach_map: bool = False) -> tuple[Tensor, Tensor]:
        return self(input_of(self).pooled(positions)), self.difference_map(positions)

    def finish(self, raw: Tensor) -> Tensor:
        """From the mean of per-position scores to a difference, element by element; the same turns a map into differences."""
        return raw
