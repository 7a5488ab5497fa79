"""Normalisation and pooled squared differences in few passes over memory, with their own gradients.

Feature maps of a batch are far larger than a processor's cache, so what costs is how often they are read and written. On a CPU
the images of a batch are taken one after the other here: what lies between two steps is then still in the cache, and an image's
result does not depend on the others in its batch. The gradients are written out, in half the passes of the chain of the plain
operations. On other devices, and where torch traces a program, the plain operations run: they are few and large, and compilers
join them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# eps stands under the root: x / (|x| + eps) has no finite gradient at 0
EPS = 1e-10


def image_by_image(x: Tensor) -> bool:
    """Whether the images of a batch are better taken one after the other: on a CPU, outside a traced program."""
    return x.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.compiler.is_exporting())


def wants_gradient(*tensors: Tensor) -> bool:
    """Whether a graph is recorded through any of them."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def each_image(work: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """`work` of each pair of (B, ...) tensors as a batch of one, joined; one side may hold a single image for all others."""
    count = max(len(x), len(y))
    sides = (side.expand(count, *side.shape[1:]).split(1) for side in (x, y))
    return torch.cat([work(a, b) for a, b in zip(*sides, strict=True)])


def unit_vectors(features: Tensor) -> Tensor:
    """(B, C, H, W) features over sqrt(sum_c f_c^2 + EPS), see `statistics.unit_channels`; float32 or float64 on a CPU."""
    return _UnitVectors.apply(features)[0]  # type: ignore[no-untyped-call, no-any-return]


def mean_squares(x: Tensor, y: Tensor) -> Tensor:
    """Means over positions of (x - y)^2, (B, C) of two (B, C, H, W) of one shape and type; float32 or float64 on a CPU."""
    return _MeanSquares.apply(x, y)  # type: ignore[no-untyped-call, no-any-return]


def squared_difference(x: Tensor, y: Tensor) -> Tensor:
    """(x - y)^2; one of the two may hold a single image."""
    if x.shape != y.shape:  # one reference against many
        return (x - y).square()
    return F.mse_loss(x, y, reduction="none")  # the same, in one pass forward and one backward


def _inverse_lengths(features: Tensor) -> Tensor:
    """(B, 1, H, W) 1 / sqrt(sum_c f_c^2 + EPS)."""
    if features.stride(1) == 1:  # channels side by side: the sum of squares needs no copy of the squares
        squares = torch.linalg.vector_norm(features, dim=1, keepdim=True).square_()
    else:
        squares = features.square().sum(dim=1, keepdim=True)
    return squares.add_(EPS).rsqrt_()


class _UnitVectors(torch.autograd.Function):
    """y = r a with r = (|a|^2 + EPS)^-1/2; the gradient is r (g - y (g . y)), products over the channels."""

    @staticmethod
    def forward(features: Tensor) -> tuple[Tensor, Tensor]:
        scaled, inverse = torch.empty_like(features), []
        for one, out in zip(features.split(1), scaled.split(1), strict=True):
            inverse.append(_inverse_lengths(one))
            torch.mul(one, inverse[-1], out=out)
        return scaled, torch.cat(inverse) if inverse else features.new_empty(features[:, :1].shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Tensor:  # type: ignore[override]
        features, scaled, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is wanted: through operations that autograd knows
            inverse = torch.rsqrt(features.square().sum(dim=1, keepdim=True) + EPS)
            scaled = features * inverse
            return (gradient - scaled * (gradient * scaled).sum(dim=1, keepdim=True)) * inverse
        found = torch.empty_like(scaled)
        for g, y, r, out in zip(gradient.split(1), scaled.split(1), inverse.split(1), found.split(1), strict=True):
            torch.addcmul(g, y, (g * y).sum(dim=1, keepdim=True).neg_(), out=out)
            out.mul_(r)
        return found


class _MeanSquares(torch.autograd.Function):
    """mean over positions of (x - y)^2; the gradient for x is 2 g (x - y) / positions."""

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> Tensor:
        return each_image(lambda a, b: F.mse_loss(a, b, reduction="none").mean(dim=(2, 3)), x, y)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        x, y = ctx.saved_tensors
        scale = (gradient * (2.0 / (x.shape[2] * x.shape[3])))[:, :, None, None]  # (B, C, 1, 1)
        if torch.is_grad_enabled():
            found = (x - y) * scale
        else:
            found = torch.empty_like(x)
            for a, b, factor, out in zip(x.split(1), y.split(1), scale.split(1), found.split(1), strict=True):
                torch.sub(a, b, out=out).mul_(factor)
        return found if ctx.needs_input_grad[0] else None, -found if ctx.needs_input_grad[1] else None
