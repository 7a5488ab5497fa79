"""From the statistic of a pair to a raw score; from the squared differences at every position to a map.

Each kind is a module made of tensors alone: a file holds its `kind` and what `stored` gives.
Zeros give exactly 0 in all of them, so identical images score exactly 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from semfid.errors import UserError
from semfid.scoring.local_evidence import EvidenceWeights, difference_grids, evidence
from semfid.scoring.scorer import upsampled
from semfid.scoring.statistics import Compress, compressed

ROWS = 256  # of a tap, weighed at once


class Part(nn.Module):
    """A module that is its tensors.

    Attributes:
        kind: its name in files.
        parts: names of its tensors, which are its buffers and the arguments of its constructor.
        in_half: those that are stored in float16; the constructor rounds them, so that a file gives the same scores.
    """

    kind: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    in_half: ClassVar[tuple[str, ...]] = ()

    def stored(self) -> dict[str, Tensor]:
        """Tensors for a file."""
        found = {name: self.get_buffer(name).detach().cpu().contiguous() for name in self.parts}
        return {name: tensor.half() if name in self.in_half else tensor for name, tensor in found.items()}

    def _hold(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            rounded = tensor.half() if name in self.in_half else tensor
            self.register_buffer(name, rounded.float() if rounded.is_floating_point() else rounded)


class _ScaledWeights(Part):
    """One weight per channel, for channels that are divided by their scales.

    Args:
        weight: (D,); of a map the channels of all taps side by side.
        scale: (D,), above 0.
    """

    kind = "linear"
    parts = ("weight", "scale")
    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        super().__init__()
        self._hold(weight=weight, scale=scale)


class LinearPredictor(_ScaledWeights):
    """raw = sum_c weight_c v_c / scale_c."""

    def forward(self, statistic: Tensor) -> Tensor:
        """(B,) of (B, D)."""
        return statistic @ (self.weight / self.scale)


class KernelPredictor(Part):
    """A mean of Gaussian kernels over blocks of columns, less its value at identical images.

        raw = sum_i a_i (k(z, z_i) - k(0, z_i)),   k(z, z_i) = mean_b exp(-gamma_b |z_b - z_ib|^2),   z = v / scale

    Args:
        support: (N, D) vectors z_i, divided by `scale` already.
        coefficients: (N,) a_i.
        scale: (D,), above 0.
        widths: (blocks,) int64 columns of each block, D together.
        gamma: (blocks,)
    """

    kind = "kernel"
    parts: ClassVar[tuple[str, ...]] = ("support", "coefficients", "scale", "widths", "gamma")
    in_half = ("support",)
    support: Tensor
    coefficients: Tensor
    scale: Tensor
    widths: Tensor
    gamma: Tensor

    def __init__(self, support: Tensor, coefficients: Tensor, scale: Tensor, widths: Tensor, gamma: Tensor) -> None:
        super().__init__()
        self._hold(support=support, coefficients=coefficients, scale=scale, widths=widths, gamma=gamma)
        self._columns = widths.tolist()

    def forward(self, statistic: Tensor) -> Tensor:
        """(B,) of (B, D)."""
        z = (statistic / self.scale).split(self._columns, dim=1)
        return kernel_changes(z, self.support.split(self._columns, dim=1), self.gamma) @ self.coefficients


class ExpertsPredictor(KernelPredictor):
    """Two answers and the share of each: of a whole image restored, and of one place changed.

        raw = g kernel(v) + (1 - g) peak,   g = sigmoid(slope (v / scale . gate + offset))

    The kernel learned from rated outputs of super-resolution, where every position differs a little; the peak is the largest
    value of a map that learned from edits, where most positions do not. `g` says which of the two kinds a pair is. Both answers
    are 0 at identical images, and so is their mixture.

    Args:
        support, coefficients, scale, widths, gamma: see `KernelPredictor`, for the first D columns.
        gate: (D,)
        offset: ()
        slope: ()
    """

    kind = "experts"
    parts = (*KernelPredictor.parts, "gate", "offset", "slope")
    gate: Tensor
    offset: Tensor
    slope: Tensor

    def __init__(
        self,
        support: Tensor,
        coefficients: Tensor,
        scale: Tensor,
        widths: Tensor,
        gamma: Tensor,
        gate: Tensor,
        offset: Tensor,
        slope: Tensor,
    ) -> None:
        super().__init__(support, coefficients, scale, widths, gamma)
        self._hold(gate=gate, offset=offset, slope=slope)

    def share(self, statistic: Tensor) -> Tensor:
        """g, (B,) of (B, D)."""
        return torch.sigmoid(self.slope * (statistic / self.scale @ self.gate + self.offset))

    def forward(self, statistic: Tensor) -> Tensor:
        """(B,) of (B, D + 1): the peak stands last."""
        pooled, peak = statistic[:, :-1], statistic[:, -1]
        share = self.share(pooled)  # (B,)
        return share * super().forward(pooled) + (1 - share) * peak


def kernel_changes(z: Sequence[Tensor], supports: Sequence[Tensor], gammas: Tensor | Sequence[float]) -> Tensor:
    """Mean over blocks of k(z_b, s_b) - k(0, s_b), (B, N), k Gaussian; of blocks (B, D_b) and (N, D_b)."""
    total: Tensor | None = None
    for own, support, gamma in zip(z, supports, gammas, strict=True):
        change = _kernel_change(own, support, gamma)
        total = change if total is None else total + change
    assert total is not None
    return total / len(z)


def _kernel_change(z: Tensor, support: Tensor, gamma: Tensor | float) -> Tensor:
    """exp(-gamma |z - s|^2) - exp(-gamma |s|^2), (B, N): exactly 0 at z = 0, and precise near it."""
    at_zero = -gamma * support.square().sum(dim=1)  # (N,)
    gain = gamma * (2 * z @ support.T - z.square().sum(dim=1, keepdim=True))  # (B, N)
    near = at_zero.exp() * torch.expm1(gain.clamp(max=1.0))
    far = (at_zero + gain).clamp(max=0.0).exp() - at_zero.exp()
    return torch.where(gain < 1.0, near, far)


class MapHead(Part):
    """A part that gives a difference at every position."""

    def forward(self, differences: Iterable[Tensor], compress: Compress, saturation: float) -> Tensor:
        """(B, 1, h, w) differences in [0, 1] on the grid of the first tap or a coarser one; (B, 2, h, w) from `ExpertsMap`.

        Args:
            differences: (B, C_l, h_l, w_l) squared differences per tap, shallow to deep; taken one after the other.
            compress: of squared differences.
            saturation: of `saturated`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement forward")


class LinearMap(_ScaledWeights, MapHead):
    """sum_c weight_c c(d_c) / scale_c at every position, on the grid of the first tap, then `saturated`."""

    def forward(self, differences: Iterable[Tensor], compress: Compress, saturation: float) -> Tensor:
        return saturated(weighed(differences, self.weight / self.scale, compress), saturation)


def weighed(differences: Iterable[Tensor], weight: Tensor, compress: Compress) -> Tensor:
    """sum_c weight_c c(d_c) at every position, (B, 1, h, w) on the grid of the first tap.

    Args:
        differences: (B, C_l, h_l, w_l) squared differences per tap.
        weight: (sum of C_l,), the taps side by side.

    Raises:
        ValueError: another number of weights than of channels.
    """
    first, total = 0, torch.zeros(())
    for tap in differences:
        own = weight[first : first + tap.shape[1]]
        first += tap.shape[1]
        if len(own) < tap.shape[1]:
            break
        # some rows at a time: at whole resolution the compressed copies would not fit beside the differences
        rows = [torch.einsum("bchw,c->bhw", compressed(part, compress), own) for part in tap.split(ROWS, dim=2)]
        one = torch.cat(rows, dim=1)[:, None]  # (B, 1, h_l, w_l)
        total = total + upsampled(one, total.shape[-2:]) if total.dim() else one
    if first != len(weight):
        raise ValueError(f"the map head has {len(weight)} weights for {first} channels")
    return total


class LocalMap(MapHead):
    """Evidence of a small network at every position of one grid, see `local_evidence`; tanh(e / 2), as its head in the clone.

    Args:
        first, first_bias, second, second_bias, last: see `local_evidence.EvidenceWeights`.
        strides: (taps,) int64 pixels of each tap.
        stride: () int64 of the grid.
    """

    kind = "local"
    parts: ClassVar[tuple[str, ...]] = (*EvidenceWeights._fields, "strides", "stride")

    def __init__(
        self,
        first: Tensor,
        first_bias: Tensor,
        second: Tensor,
        second_bias: Tensor,
        last: Tensor,
        strides: Tensor,
        stride: Tensor,
    ) -> None:
        super().__init__()
        self._hold(first=first, first_bias=first_bias, second=second, second_bias=second_bias, last=last)
        self._hold(strides=strides, stride=stride)
        self._strides, self._stride = strides.tolist(), int(stride)

    def forward(self, differences: Iterable[Tensor], compress: Compress, saturation: float) -> Tensor:
        return self.local(difference_grids(differences, self._strides, self._stride), compress)

    def local(self, grids: Sequence[Tensor], compress: Compress) -> Tensor:
        """(B, 1, h, w) of `local_evidence.difference_grids`."""
        weights = EvidenceWeights(*(self.get_buffer(name) for name in EvidenceWeights._fields))
        return torch.tanh(evidence(grids, weights, compress) / 2).clamp(min=0.0)


class ExpertsMap(LocalMap):
    """The maps of `ExpertsPredictor`'s two answers: where one place changed, and where a whole image was restored.

    Local evidence learned from edits, where most positions stay as they are; on a restored image it is at chance. There the map
    is a sum of compressed differences, each channel by what it says of rated images' grades.

    Args:
        first, first_bias, second, second_bias, last, strides, stride: see `LocalMap`.
        restored: (K,) nonnegative weights of the grids' channels side by side.
        power: () at least 1: local evidence is raised to it, which keeps its order, and makes of it the share of pairs with
            such evidence that are changed.
    """

    kind = "experts"
    parts = (*LocalMap.parts, "restored", "power")

    def __init__(self, *, restored: Tensor, power: Tensor, **local: Tensor) -> None:
        super().__init__(**local)
        self._hold(restored=restored, power=power)

    def local(self, grids: Sequence[Tensor], compress: Compress) -> Tensor:
        return super().local(grids, compress) ** self.get_buffer("power")

    def forward(self, differences: Iterable[Tensor], compress: Compress, saturation: float) -> Tensor:
        """(B, 2, h, w): local evidence, then the map of a restored image."""
        grids = difference_grids(differences, self._strides, self._stride)
        whole = saturated(weighed(grids, self.get_buffer("restored"), compress), saturation)
        return torch.cat([self.local(grids, compress), whole], dim=1)


PREDICTORS: dict[str, type[Part]] = {part.kind: part for part in (LinearPredictor, KernelPredictor, ExpertsPredictor)}
MAP_HEADS: dict[str, type[Part]] = {part.kind: part for part in (LinearMap, LocalMap, ExpertsMap)}


def rebuilt(kinds: Mapping[str, type[Part]], kind: str, tensors: Mapping[str, Tensor]) -> Part:
    """A part out of a file.

    Raises:
        UserError: a kind that this semfid does not know.
    """
    if kind not in kinds:
        raise UserError(f"its head is of the kind '{kind}', this semfid knows {', '.join(kinds)}; update semfid")
    return kinds[kind](**tensors)


def saturated(raw: Tensor, start: float) -> Tensor:
    """Raw scores as differences in [0, 1], element by element: 0 below 0, as they are up to `start`, then towards 1.

    Above `start` the slope goes on from 1 and falls exponentially: order is kept, and no value passes 1.
    """
    room = 1.0 - start
    beyond = (raw - start).clamp(min=0.0)
    return raw.clamp(min=0.0, max=start) - room * torch.expm1(-beyond / room)
