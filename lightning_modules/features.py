"""From two batches of images to what a decoder of difference maps is fed, and back to maps of their size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones import Backbone, Taps
from heads.contract import Head, Normalize
from heads.statistics import differences_for


def padded(images: Tensor, multiple: int) -> Tensor:
    """(B, C, H, W) continued to the right and below by its last column and row, up to multiples of `multiple`."""
    height, width = images.shape[-2:]
    right, below = -width % multiple, -height % multiple
    # an exported program knows no size yet: it pads, if by nothing
    needed = torch.compiler.is_exporting() or right or below
    return F.pad(images, (0, right, 0, below), mode="replicate") if needed else images


def shared_features(
    trunk: Backbone, reference: Tensor, candidate: Tensor, first: Tensor | None, multiple: int, taps: Taps = "stages"
) -> tuple[list[Tensor], list[Tensor]]:
    """Features of both images of B pairs, from one pass; a reference that stands several times passes once.

    Args:
        first: (B,) position of the first pair with the same reference image; None: all differ.
        multiple: images are padded to multiples of it.
        taps: stages or residual blocks.

    Returns:
        taps of the references and of the candidates, (B, C_l, H_l, W_l) each.
    """
    pairs = len(reference)
    if first is None or trunk.batch_matters:
        features = trunk(padded(torch.cat([reference, candidate]), multiple), taps)  # (2B, C_l, H_l, W_l)
        return [stage[:pairs] for stage in features], [stage[pairs:] for stage in features]
    distinct, place = torch.unique(first, return_inverse=True)  # (R,), (B,)
    features = trunk(padded(torch.cat([reference[distinct], candidate]), multiple), taps)  # (R + B, C_l, H_l, W_l)
    many = len(distinct)
    return [stage[:many][place] for stage in features], [stage[many:] for stage in features]


def map_statistic(
    reference: Tensor,
    candidate: Tensor,
    x: Sequence[Tensor],
    y: Sequence[Tensor],
    head: Head,
    multiple: int,
    normalize: Normalize,
) -> list[Tensor]:
    """What heads that consume ``squared_difference_maps`` take.

    Args:
        reference, candidate: (B, 3, H, W) images.
        x, y: their stages, of the padded images.
        head: whose poolings say whether differences are signed, see `heads.statistics.differences_for`.
        multiple: what the images were padded to.
        normalize: the head's, or none where features are of unit length already.

    Returns:
        the images' own squared difference, (B, 1, H', W') with H' and W' multiples of `multiple`; d_l of every stage.
    """
    pixel = (reference - candidate).square().mean(dim=1, keepdim=True)  # (B, 1, H, W)
    return [padded(pixel, multiple), *differences_for(head.poolings, x, y, normalize)]
